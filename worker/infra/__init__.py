"""What the Pulumi program declares, without an account: recorded, printed, compared, drawn.

``program`` runs it and records a declaration; ``plan`` and ``page`` are made of that.
``stack_file`` reads a stack's configuration, ``deployed`` the outputs and the state that pulumi
writes: they serve ``make deploy``, ``make destroy`` and ``safelight infra env``. Nothing here calls
AWS.
"""
