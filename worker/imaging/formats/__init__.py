"""How formats are recognised (``sniff``) and checked before a library reads them."""
