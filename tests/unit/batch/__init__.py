"""Tests of the job runner."""
