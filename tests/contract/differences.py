"""Where moto's server answers otherwise than the embedded AWS; docs/emulators.md has the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """What both do, what AWS documents, and the tests that must fail on moto for it."""

    moto: str
    embedded: str
    documented: str
    """Or that it is not documented, with what its documentation says nearest to it."""
    source: str
    """Where AWS says so: a path below ``DOCUMENTATION``, or ``service: Structure.Member``, which
    names a member of the model in botocore."""
    tests: tuple[str, ...]


DOCUMENTATION = "https://docs.aws.amazon.com/"
SUITES = (
    *("test_batch_run", "test_catalog", "test_catalog_changes", "test_catalog_faults"),
    *("test_catalog_lists", "test_dynamo_catalog", "test_events", "test_ledger", "test_lifecycle"),
    *("test_object_store", "test_object_store_faults", "test_object_versions", "test_queue"),
    *("test_request_rate", "test_reviews", "test_secrets", "test_transfers"),
)
"""What runs on moto. Those of Step Functions do not: its executions did not end in two minutes."""
SHORT = ("test_lifecycle", "test_object_versions", "test_queue")
"""What of it the whole test run has."""
DIFFERENCES = (
    Difference(
        "a key with a line break is 404",
        "a key like any other",
        "any UTF-8, up to 1,024 bytes",
        "AmazonS3/latest/userguide/object-keys.html",
        (
            "test_any_key_is_a_name_and_nothing_else[s3-'line\\\\nbreak\\\\ttab']",
            "test_no_two_keys_meet[s3]",
        ),
    ),
    Difference(
        "a part under 5 MiB, not the last, is EntityTooSmall",
        "taken",
        "400, EntityTooSmall",
        "AmazonS3/latest/API/API_CompleteMultipartUpload.html",
        ("test_tags_go_where_they_are_put_and_nowhere_else",),
    ),
    Difference(
        "DeleteObjectTagging of a missing object is 500",
        "404",
        "not documented for this call; a key that is not there is 404, NoSuchKey",
        "AmazonS3/latest/API/ErrorResponses.html",
        ("test_a_file_is_tagged_from_its_first_write_or_later",),
    ),
    Difference(
        "a lifecycle rule for objects above a size comes back for all objects",
        "comes back as it was put",
        "the filter of a rule has that member",
        "s3: LifecycleRuleFilter.ObjectSizeGreaterThan",
        ("test_objects_expire_by_the_rules_of_their_bucket[wanted4-gone4]",),
    ),
    Difference(
        "an unfinished upload in parts has begun in 2010",
        "has the time of its beginning",
        "the time at which it was begun",
        "s3: MultipartUpload.Initiated",
        ("test_parts_of_an_upload_that_was_given_up_expire",),
    ),
    Difference(
        "a line of the ledger that is added to while it is deleted lacks its name",
        "is kept whole",
        "writes are applied in the order in which they arrive",
        "amazondynamodb/latest/developerguide/WorkingWithItems.html",
        ("test_work_that_is_added_while_an_owner_is_forgotten_is_not_lost",),
    ),
)


def reason(test: str) -> str:
    """Why a test must fail on moto; empty if it must not."""
    found = [one for one in DIFFERENCES if test in one.tests]
    return f"moto: {found[0].moto}; AWS documents: {found[0].documented}" if found else ""


def table() -> str:
    """The table of docs/emulators.md."""
    rows = [
        f"| {one.moto} | {one.embedded} | {one.documented} ({_linked(one.source)}) |"
        for one in DIFFERENCES
    ]
    return "\n".join(["| moto | the embedded AWS | AWS documents |", "| --- | --- | --- |", *rows])


def _linked(source: str) -> str:
    """A page's last name with its address, or the member of the model."""
    if ": " in source:
        return f"`{source}`"
    name = source.rpartition("/")[2].removesuffix(".html")
    return f"[{name}]({DOCUMENTATION}{source})"
