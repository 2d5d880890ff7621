"""What the pipeline works on, as values: pictures, assets, jobs, errors. Standard library only."""
