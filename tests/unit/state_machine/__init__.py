"""Tests of the local interpreter of state machines."""
