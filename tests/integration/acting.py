"""Working as a role of the program, in a test's own process or one that it starts."""

from __future__ import annotations

from collections.abc import Mapping

import boto3

from worker.local.actors import Actor


def acting(root: Mapping[str, str], actor: Actor) -> dict[str, str]:
    """Variables by which a process has an actor's role for an hour.

    Args:
        root: those of the root user, who may take it.
    """
    sts = boto3.client(
        "sts",
        endpoint_url=root["AWS_ENDPOINT_URL"],
        region_name=root["AWS_REGION"],
        aws_access_key_id=root["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=root["AWS_SECRET_ACCESS_KEY"],
    )
    session = sts.assume_role(RoleArn=actor.role, RoleSessionName="test")["Credentials"]
    sts.close()
    return {
        **root,
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
