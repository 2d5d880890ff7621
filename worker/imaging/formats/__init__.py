"""One file a format: recognised by its bytes, checked before a library sees it."""
