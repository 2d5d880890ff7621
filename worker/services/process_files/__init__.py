"""The use case "process files and folders into an output folder", over plain paths.

``run`` is the order of things. ``inputs`` finds and names the sources, ``pool`` processes them,
``output_folder`` keeps the results, ``gallery`` shows them. Nothing is imported here, so that a
worker process loads only what it runs.
"""
