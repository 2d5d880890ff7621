"""Implementations of ``worker.ports``: only these modules talk to AWS and Redis.

Each port has an AWS adapter and, if a person could use it, a local one. Adapters contain no
business rules about pictures.
"""
