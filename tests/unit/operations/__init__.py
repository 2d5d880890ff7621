"""Tests of the heavy picture operations, on pictures made in code."""
