"""Safelight: turn uploaded pictures and videos into what a web page or an app can show.

``worker`` is the one shared package: the Lambda image, the Batch image and the command line
all run it. Imports flow downward only; the order is drawn in ``pyproject.toml`` (import-linter)
and kept by ``make check``.
"""

__version__ = "0.1.0"
