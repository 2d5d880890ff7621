"""Pulumi's own engine on the program of this checkout: ``make engine-test`` (docs/engine.md)."""
