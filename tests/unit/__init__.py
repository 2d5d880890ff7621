"""Tests of one module each: no network, no processes but our own."""
