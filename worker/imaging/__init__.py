"""The image engine: pure functions from bytes to bytes, without network or AWS."""
