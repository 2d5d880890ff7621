"""What the Pulumi program declares, without an account: recorded, printed, compared, drawn.

The program itself is run, unchanged, on Pulumi's test seam (``worker.infra.program``), and
every registration is kept: ``recorder`` makes a declaration of them, ``plan`` what people read and
compare, ``components`` and ``graph`` the documentation.

``state``, ``stack_file`` and ``variables`` read what the pulumi command writes: they serve ``make
deploy``, ``make destroy`` and ``safelight infra env``. Nothing here talks to AWS.
"""
