"""Where calls come in. Each parses, makes one call inward and encodes the answer; no logic."""
