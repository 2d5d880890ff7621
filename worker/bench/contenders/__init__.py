"""The programs that are measured, each run as a child process of its own.

What lives here: one file a contender, and what they have in common (``serving``). What may not:
anything the measuring side (``worker.bench.race``) imports; the two speak JSON lines only.
"""
