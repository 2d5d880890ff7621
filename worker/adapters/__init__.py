"""The only place that speaks to AWS, Redis or a database: the ports' implementations.

Each port of ``worker.ports`` has an AWS adapter and, where a person could use one, a local one.
What may not live here: a decision about pictures. Rules that two adapters of one port must agree
on stand in a module of their own beside them.
"""
