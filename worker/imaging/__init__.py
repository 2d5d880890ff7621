"""Pure pixels and frames: bytes in, bytes out. No network, no AWS."""
