"""Heavy picture operations, one file each: pixels in, pixels out. No network, no AWS, no jobs.

They need the extra ``safelight[heavy]`` and run in Batch, never in the ingest function.
"""
