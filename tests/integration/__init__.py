"""Tests that run the project as its users do: real processes, real files."""
