"""``safelight simulate``: a deployment under a load that nobody has to pay for.

For development, in a checkout only: it reads what the Pulumi program declares.
"""
