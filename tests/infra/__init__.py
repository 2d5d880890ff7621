"""Tests of what the Pulumi program declares, on mocks."""
