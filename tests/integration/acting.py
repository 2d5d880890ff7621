"""Working as a role of the program, in a test's own process or one that it starts."""

from __future__ import annotations

from collections.abc import Mapping

import boto3

from worker.local.roles import RoleHolder


def acting(who: Mapping[str, str], holder: RoleHolder) -> dict[str, str]:
    """Variables by which a process has the role of a holder for an hour.

    Args:
        who: those of whoever takes it; only the root user may.
        holder: whose role.
    """
    sts = boto3.client(
        "sts",
        endpoint_url=who["AWS_ENDPOINT_URL"],
        region_name=who["AWS_REGION"],
        aws_access_key_id=who["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=who["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=who.get("AWS_SESSION_TOKEN"),
    )
    session = sts.assume_role(RoleArn=holder.role, RoleSessionName="test")["Credentials"]
    sts.close()
    return {
        **who,
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
