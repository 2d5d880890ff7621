"""The local stack's Batch: a table of jobs in SQLite, a runner with Batch's semantics, and how
jobs are executed. ``worker.local.services`` starts it.
"""
