"""Entry points. Each parses its input, makes one service call and encodes the response."""
