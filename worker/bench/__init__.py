"""Benchmarks: how fast, small and good this engine is beside other tools, on the same pictures.

What lives here: everything behind ``safelight bench``. What may not: timing tests (figures are
printed with the goals they meet or miss, nothing fails because of them), and anything that the
product itself needs.
"""
