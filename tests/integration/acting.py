"""Working as a role of the program, in a test's own process or one that it starts."""

from __future__ import annotations

from collections.abc import Mapping

import boto3

from worker.local.roles import Actor


def acting(who: Mapping[str, str], actor: Actor) -> dict[str, str]:
    """Variables by which a process has an actor's role for an hour.

    Args:
        who: those of whoever takes it; only the root user may.
        actor: whose role.
    """
    sts = boto3.client(
        "sts",
        endpoint_url=who["AWS_ENDPOINT_URL"],
        region_name=who["AWS_REGION"],
        aws_access_key_id=who["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=who["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=who.get("AWS_SESSION_TOKEN"),
    )
    session = sts.assume_role(RoleArn=actor.role, RoleSessionName="test")["Credentials"]
    sts.close()
    return {
        **who,
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
