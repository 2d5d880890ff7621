"""``safelight bench``: how fast, small and good this engine is beside other tools.

Figures are printed with the goals they meet or miss; nothing fails because of them. The product
does not need this package.
"""
