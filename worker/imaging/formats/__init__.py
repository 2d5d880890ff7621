"""Recognition of formats (``sniff``), and checks of files before a library reads them."""
