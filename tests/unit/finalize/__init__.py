"""Tests of what starts and finishes heavy uploads."""
