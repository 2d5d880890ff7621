"""The components of the Pulumi program, one concern each. Wired in ``__main__.py``.

A component gets what it needs as arguments, never looks anything up, and gives every resource
itself as parent; order is said with ``depends_on``. No code runs at import.
"""
