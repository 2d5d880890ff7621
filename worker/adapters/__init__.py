"""The implementations of ``worker.ports``: the only place that speaks to AWS, Redis or a database.

Each port has an AWS adapter and, where a person could use one, a local one. Adapters decide nothing
about pictures.
"""
