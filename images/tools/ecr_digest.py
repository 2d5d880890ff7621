"""Print the digest of an image that is in ECR: ``python ecr_digest.py REPOSITORY TAG``.

What lives here: the question whether something is pushed already. Tags there never move, so what
has one is not pushed again.
"""

from __future__ import annotations

import re
import sys


def main(repository: str, tag: str) -> int:
    """Print ``REPOSITORY@sha256:...``; nothing if no image has the tag or this is not ECR."""
    match = re.fullmatch(
        r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(.+)", repository
    )
    if match is None:
        return 0
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    account, region, name = match.groups()
    try:
        client = boto3.client("ecr", region_name=region)
        found = client.describe_images(
            registryId=account, repositoryName=name, imageIds=[{"imageTag": tag}]
        )["imageDetails"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return 0
        print(f"{repository}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except BotoCoreError as error:
        print(f"{repository}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for image in found:
        print(f"{repository}@{image['imageDigest']}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
