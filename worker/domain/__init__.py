"""Domain types: values for pictures, assets, jobs and errors. Standard library only."""
