"""The local stack's Batch: table, runner, logs, executors."""
