"""``safelight bench delivery``: files made on demand, the edge function, and a phone."""
