"""What the local stack does by the rules of a bucket, on objects in the embedded AWS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.adapters.aws.clients import AwsClients
from worker.local import lifecycle

TAG = {"Key": "superseded", "Value": "true"}
DAYS = {"Days": 3}


@pytest.fixture
def bucket(clients: AwsClients, fresh: Callable[[str], str]) -> str:
    """With a few objects, one of which has a tag."""
    name = fresh("bucket")
    clients.s3.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    for key, tagging in (("a/1", ""), ("a/2", "superseded=true"), ("b/1", "superseded=false")):
        clients.s3.put_object(Bucket=name, Key=key, Body=b"x" * len(key), Tagging=tagging)
    clients.s3.put_object(Bucket=name, Key="large", Body=b"x" * 1000)
    return name


def rule(only: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A rule that expires something after three days."""
    return {"ID": "r", "Status": "Enabled", "Filter": only, "Expiration": DAYS, **more}


def midnight(days: int) -> datetime:
    """The one that begins so many days from now."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=days)


@pytest.mark.parametrize(
    ("wanted", "gone"),
    [
        (rule({"Prefix": ""}), {"a/1", "a/2", "b/1", "large"}),
        (rule({"Prefix": "a/"}), {"a/1", "a/2"}),
        (rule({"Tag": TAG}), {"a/2"}),
        (rule({"And": {"Prefix": "b/", "Tags": [TAG]}}), set()),
        (rule({"ObjectSizeGreaterThan": 500}), {"large"}),
        (rule({"Prefix": ""}, Status="Disabled"), set()),
    ],
)
def test_objects_expire_by_the_rules_of_their_bucket(
    clients: AwsClients, bucket: str, wanted: dict[str, Any], gone: set[str]
) -> None:
    """Those that a rule is for, and not before the midnight after their days."""
    clients.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [wanted]},  # type: ignore[list-item]
    )
    early = midnight(3) - timedelta(seconds=1)

    assert lifecycle.sweep(clients, bucket, now=early) == 0
    # A test that runs over midnight has its objects on the day before.
    assert lifecycle.sweep(clients, bucket, now=midnight(5)) == len(gone)

    left = clients.s3.list_objects_v2(Bucket=bucket).get("Contents", ())
    assert {one["Key"] for one in left} == {"a/1", "a/2", "b/1", "large"} - gone


def test_a_bucket_without_rules_keeps_everything(clients: AwsClients, bucket: str) -> None:
    """However old it is."""
    assert lifecycle.sweep(clients, bucket, now=midnight(10_000)) == 0


def test_sweeping_goes_on_beside_other_work(clients: AwsClients, bucket: str) -> None:
    """It begins at once and ends with the block; a bucket that is not there stops no other."""
    with lifecycle.sweeping(clients, ["missing-bucket-of-nobody", bucket]):
        pass
    assert clients.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 4


def test_parts_of_an_upload_that_was_given_up_expire(clients: AwsClients, bucket: str) -> None:
    """After the days of the rule, counted to midnight, and no others."""
    wanted = {
        "ID": "parts",
        "Status": "Enabled",
        "Filter": {"Prefix": "in/"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    clients.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [wanted]},  # type: ignore[list-item]
    )
    for key in ("in/a", "out/b"):
        upload = clients.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        clients.s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x")

    def left() -> list[str]:
        found = clients.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return [one["Key"] for one in found]

    assert lifecycle.sweep(clients, bucket, now=midnight(1)) == 0
    assert left() == ["in/a", "out/b"]
    assert lifecycle.sweep(clients, bucket, now=midnight(2)) == 1
    assert left() == ["out/b"]
