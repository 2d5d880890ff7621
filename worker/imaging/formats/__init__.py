"""How formats are recognised (``sniff``), and checked from their bytes before a library sees them."""
