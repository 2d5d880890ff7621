"""Expires objects by a bucket's lifecycle rules, which the embedded AWS only stores.

Objects expire so many days after they were written, counted to the next midnight UTC (Amazon S3
User Guide, "Expiring objects"). Rules with ``Expiration.Days`` are applied, with any filter of
prefix, tag or size, and so are those that abort uploads in parts which were not completed
(``AbortIncompleteMultipartUpload``, by prefix); other rules (colder classes, versions of
originals) are not.

Runs in the process of ``worker.local.services``, at its start and once an hour.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code
from worker.domain.errors import SafelightError
from worker.local.child import log

SECONDS = 3600.0
"""Between two sweeps."""
_NONE = "NoSuchLifecycleConfiguration"
_UNFINISHED = "AbortIncompleteMultipartUpload"


def sweep(clients: AwsClients, bucket: str, *, now: datetime) -> int:
    """Delete expired objects and unfinished uploads; returns their number.

    Raises:
        SafelightError: the store does not answer.
    """
    found = _rules(clients, bucket)
    rules = [rule for rule in found if "Days" in rule.get("Expiration", {})]
    count = _abort_uploads(clients, bucket, found, now)
    if not rules:
        return count
    with aws_call(f"expire objects of {bucket}"):
        pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for page in pages:
            for item in page.get("Contents", ()):
                if any(_applies(clients, bucket, rule, item, now) for rule in rules):
                    clients.s3.delete_object(Bucket=bucket, Key=item["Key"])
                    count += 1
    return count


def _abort_uploads(
    clients: AwsClients, bucket: str, rules: Sequence[Mapping[str, Any]], now: datetime
) -> int:
    """Remove the parts of uploads that were begun too long ago."""
    limits = [
        (rule.get("Filter", {}).get("Prefix") or "", rule[_UNFINISHED]["DaysAfterInitiation"])
        for rule in rules
        if _UNFINISHED in rule
    ]
    count = 0
    if not limits:
        return count
    with aws_call(f"abort uploads into {bucket}"):
        pages = clients.s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        for page in pages:
            for item in page.get("Uploads", ()):
                if any(
                    item["Key"].startswith(prefix) and now >= _end(item["Initiated"], days)
                    for prefix, days in limits
                ):
                    clients.s3.abort_multipart_upload(
                        Bucket=bucket, Key=item["Key"], UploadId=item["UploadId"]
                    )
                    count += 1
    return count


def _end(began: datetime, days: int) -> datetime:
    """Return the midnight that ends a number of days."""
    end = began + timedelta(days=days)
    midnight = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=1) if midnight < end else midnight


def _rules(clients: AwsClients, bucket: str) -> list[Mapping[str, Any]]:
    with aws_call(f"read the lifecycle rules of {bucket}"):
        try:
            found = clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket)
        except clients.s3.exceptions.ClientError as error:
            if error_code(error) == _NONE:
                return []
            raise
    return [rule for rule in found["Rules"] if rule["Status"] == "Enabled"]


def _applies(
    clients: AwsClients,
    bucket: str,
    rule: Mapping[str, Any],
    item: Mapping[str, Any],
    now: datetime,
) -> bool:
    if now < _end(item["LastModified"], rule["Expiration"]["Days"]):
        return False
    only = rule.get("Filter", {})
    only = {**only, **only.get("And", {})}
    if not item["Key"].startswith(only.get("Prefix") or ""):
        return False
    if not only.get("ObjectSizeGreaterThan", -1) < item["Size"]:
        return False
    if not item["Size"] < only.get("ObjectSizeLessThan", float("inf")):
        return False
    wanted = [*only.get("Tags", ()), *([only["Tag"]] if "Tag" in only else [])]
    if not wanted:
        return True
    # Asked last: it is a request for each object.
    tags = clients.s3.get_object_tagging(Bucket=bucket, Key=item["Key"])["TagSet"]
    return all(one in tags for one in wanted)


@contextmanager
def sweeping(clients: AwsClients, buckets: Sequence[str]) -> Iterator[None]:
    """Sweep in the background for as long as the block lasts. Failures are logged."""
    ended = threading.Event()

    def run() -> None:
        while True:
            for bucket in buckets:
                if ended.is_set():
                    return
                try:
                    count = sweep(clients, bucket, now=datetime.now(UTC))
                except SafelightError as error:
                    log(f"{error.code}: {error.message}; trying again in an hour")
                else:
                    if count:
                        log(f"{count} objects or unfinished uploads of {bucket} have expired")
            if ended.wait(SECONDS):
                return

    thread = threading.Thread(target=run, name="lifecycle", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5.0)
