"""Records, prints, compares and draws the resources that the Pulumi program declares, without an
account.

``program`` runs it and records a declaration; ``plan`` and ``page`` are made of that.
``stack_file`` reads a stack's configuration, ``deployed`` the outputs and the state that pulumi
writes: they serve ``make deploy``, ``make destroy`` and ``safelight infra env``. This package makes
no AWS calls.
"""
