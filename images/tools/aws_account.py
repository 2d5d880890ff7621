"""Print the number of the AWS account that the credentials here are of: ``python aws_account.py``.

What lives here: the one call to AWS that a deployment makes before anything else.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Print twelve digits, or why there are none; the exit code says which."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = boto3.Session()
        # It answers the same everywhere; without a region of one's own one has to be named.
        client = session.client("sts", region_name=session.region_name or "us-east-1")
        print(client.get_caller_identity()["Account"])  # noqa: T201
    except (BotoCoreError, ClientError) as error:
        print(f"no AWS account answers to the credentials here: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
