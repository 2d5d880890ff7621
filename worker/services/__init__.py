"""Use cases, one file or package each. Ports are passed as arguments."""
