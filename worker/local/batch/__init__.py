"""The local stack's Batch: a table of jobs in SQLite, a runner with Batch's semantics, and how
jobs are executed. ``python -m worker.local.batch`` is the runner.
"""
