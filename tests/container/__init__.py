"""Tests of the container images, run by ``make images-test`` and never by ``make test``."""
