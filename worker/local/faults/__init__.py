"""Faults on purpose: a plan of them, run against a loaded local stack, and shrunk if it fails."""
