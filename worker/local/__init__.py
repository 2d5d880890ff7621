"""The whole pipeline on one machine: embedded AWS, pumps, workers. Never part of a deployment."""
