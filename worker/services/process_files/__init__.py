"""The use case "process files and folders into an output folder", over plain paths.

``run`` contains the main sequence. ``inputs`` finds and names the sources, ``pool`` processes them,
``output_folder`` stores the results, and ``gallery`` writes the HTML page. This module imports
nothing, so that a worker process loads only the modules that it needs.
"""
