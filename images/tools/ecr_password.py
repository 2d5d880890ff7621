"""Print the password for an ECR registry: ``python ecr_password.py REGISTRY``.

What lives here: the one call to AWS that a push needs, so that no AWS command line has to be there.
"""

from __future__ import annotations

import base64
import re
import sys


def main(registry: str) -> int:
    """Print the password that belongs to user AWS; it is good for twelve hours."""
    match = re.fullmatch(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?", registry)
    if match is None:
        print(f"{registry} is not a registry of ECR", file=sys.stderr)  # noqa: T201
        return 2
    import boto3

    account, region = match.groups()
    client = boto3.client("ecr", region_name=region)
    answer = client.get_authorization_token(registryIds=[account])
    token = answer["authorizationData"][0]["authorizationToken"]
    print(base64.b64decode(token).decode().partition(":")[2])  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
