"""``python -m batch.workflows``: write the definitions of the workflows that ship."""

from __future__ import annotations

from batch.workflows.compiler import write_shipped

if __name__ == "__main__":
    write_shipped()
