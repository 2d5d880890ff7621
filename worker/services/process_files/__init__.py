"""The use case "process files and folders into an output folder", over plain paths.

What lives here, in the order of a run: finding the inputs (``inputs``), naming their results
(``names``), remembering earlier runs (``manifest``, ``journal``), supervising the worker
processes (``pool``), what such a process does (``handle``), writing aside and renaming
(``storage``), the page to look at (``gallery``) and the run itself (``run``).
What may not: pixels, terminals, a network. The engine comes in as :class:`~.engine.Engine`.

Nothing is imported here, so that a worker process loads only what it runs.
"""
