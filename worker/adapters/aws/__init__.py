"""Adapters of the ports on AWS: one file a service."""
