"""Use cases, one file or package each. They take what they need as arguments and hold no pixels."""
