"""What is said about single buckets; ``rules`` has what every one needs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.configs import REPLICA
from tests.infra.declared import ACCOUNT, Declaration

BUCKETS = ("intake", "delivery", "quarantine")


def test_originals_are_versioned_and_renditions_are_not(ordered: Declaration) -> None:
    """Renditions can be made again, under keys that are written once."""
    (versioning,) = ordered.of("s3/BucketVersioning")

    assert versioning.name == "intake"
    assert versioning.inputs["versioningConfiguration"] == {"status": "Enabled"}


def test_rules_for_old_versions_wait_for_versioning(ordered: Declaration) -> None:
    """S3 would refuse them on a bucket without versions."""
    rules = ordered.one("s3/BucketLifecycleConfiguration", "intake")

    assert ("s3/BucketVersioning", "intake") in rules.waits_for


def test_originals_are_tiered_at_once_and_go_to_glacier_if_large(chosen: Declaration) -> None:
    """Objects up to 128 KB stay: colder classes cost more for them."""
    rules = chosen.one("s3/BucketLifecycleConfiguration", "intake").inputs["rules"]

    assert rules[1:] == [
        {
            "id": "tier",
            "status": "Enabled",
            "filter": {"objectSizeGreaterThan": 131_072},
            "transitions": [
                {"days": 0, "storageClass": "INTELLIGENT_TIERING"},
                {"days": 120, "storageClass": "GLACIER_IR"},
            ],
        },
        {
            "id": "forget-replaced",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrentVersionExpiration": {"noncurrentDays": 7},
            "expiration": {"expiredObjectDeleteMarker": True},
        },
    ]


def test_the_quarantine_expires(ordered: Declaration) -> None:
    """Rejected originals go after thirty days."""
    rules = ordered.one("s3/BucketLifecycleConfiguration", "quarantine").inputs["rules"]

    assert rules[1:] == [
        {
            "id": "expire",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "expiration": {"days": 30},
        }
    ]


def test_buckets_are_kept_unless_told(ordered: Declaration, chosen: Declaration) -> None:
    """A destroyed stack leaves its pictures, except where the configuration says not."""
    assert [one.inputs["forceDestroy"] for one in ordered.of("s3/Bucket")] == [False] * 3
    assert [one.inputs["forceDestroy"] for one in chosen.of("s3/Bucket")] == [True] * 6


# --- what can be chosen -----------------------------------------------------------------------


def test_browsers_may_upload_and_see_the_tags_of_parts(ordered: Declaration) -> None:
    """Completing an upload needs the ETag of each part, which CORS hides unless it is exposed."""
    (cors,) = ordered.of("s3/BucketCorsConfiguration")

    assert cors.name == "intake"
    assert cors.inputs["corsRules"] == [
        {
            "id": "uploads",
            "allowedMethods": ["POST", "PUT", "GET", "DELETE"],
            "allowedOrigins": ["*"],
            "allowedHeaders": ["content-type", "content-md5", "if-none-match", "x-amz-*"],
            "exposeHeaders": ["ETag"],
            "maxAgeSeconds": 3600,
        }
    ]


PREFLIGHTS = [
    # Of a form there is none: browsers send it at once, and look at the answer's headers.
    ("POST", []),
    ("PUT", ["content-type", "if-none-match"]),
    ("PUT", ["content-type", "if-none-match", "x-amz-checksum-sha256", "x-amz-meta-owner"]),
    ("PUT", []),  # a part
    ("GET", []),  # the list of parts
    ("DELETE", []),
]


@pytest.mark.parametrize(("method", "headers"), PREFLIGHTS)
def test_a_page_that_is_named_may_send_what_tickets_ask_for(
    chosen: Declaration, method: str, headers: list[str]
) -> None:
    """Read as S3 reads the rules; the emulator answers every origin with a star."""
    rules = chosen.one("s3/BucketCorsConfiguration", "intake").inputs["corsRules"]

    rule = matching(rules, "https://www.example.com", method, headers)

    assert rule is not None
    assert rule["exposeHeaders"] == ["ETag"]
    assert matching(rules, "https://www.example.com.evil.test", method, headers) is None
    assert matching(rules, "http://www.example.com", method, headers) is None
    assert matching(rules, "https://www.example.com", "HEAD", headers) is None
    assert matching(rules, "https://www.example.com", method, [*headers, "authorization"]) is None


def matching(
    rules: list[dict[str, Any]], origin: str, method: str, headers: list[str]
) -> dict[str, Any] | None:
    """The first rule that lets a request pass (Amazon S3 User Guide, "Using cross-origin resource
    sharing": origin, method and every requested header match; a star is any text)."""

    def fits(pattern: str, text: str) -> bool:
        before, star, after = pattern.partition("*")
        if not star:
            return pattern == text
        return len(text) >= len(pattern) - 1 and text.startswith(before) and text.endswith(after)

    for rule in rules:
        if (
            any(fits(one, origin) for one in rule["allowedOrigins"])
            and method in rule["allowedMethods"]
            and all(any(fits(a.lower(), h) for a in rule["allowedHeaders"]) for h in headers)
        ):
            return rule
    return None


def test_only_the_pages_that_are_named_may_upload(chosen: Declaration, bare: Declaration) -> None:
    """With none named there is nothing for browsers at all."""
    (rule,) = chosen.one("s3/BucketCorsConfiguration", "intake").inputs["corsRules"]

    console = "https://img.example.com"
    assert rule["allowedOrigins"] == ["https://www.example.com", console]
    assert not bare.of("s3/BucketCorsConfiguration")


def test_uploads_come_in_through_the_edge_where_chosen(
    ordered: Declaration, bare: Declaration
) -> None:
    """The intake bucket, which is the one that far clients send to."""
    (one,) = ordered.of("s3/BucketAccelerateConfiguration")

    assert one.inputs == {"bucket": "safelight-test-intake", "status": "Enabled"}
    assert not bare.of("s3/BucketAccelerateConfiguration")


def test_access_is_logged_into_a_bucket_of_its_own(full: Declaration) -> None:
    """Of all three, each under its name; S3 may write for these three and nobody else may."""
    logs = {one.name: one.inputs for one in full.of("s3/BucketLogging")}
    allowed = full.one("s3/BucketPolicy", "access-logs").statements()[2]

    assert set(logs) == set(BUCKETS)
    for name, inputs in logs.items():
        assert inputs == {
            "bucket": f"safelight-test-{name}",
            "targetBucket": "safelight-test-access-logs",
            "targetPrefix": f"{name}/",
        }
    assert allowed == {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:safelight-test-access-logs/*",
        "Condition": {
            "ArnEquals": {"aws:SourceArn": [f"arn:aws:s3:safelight-test-{one}" for one in BUCKETS]},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }


def test_what_is_kept_for_a_while_goes_after_it(chosen: Declaration) -> None:
    """Access logs and renditions, each after its own days."""
    days = {
        name: next(
            rule["expiration"]
            for rule in chosen.one("s3/BucketLifecycleConfiguration", name).inputs["rules"]
            if rule["id"] == "expire"
        )
        for name in ("access-logs", "delivery", "quarantine")
    }

    assert days == {
        "access-logs": {"days": 11},
        "delivery": {"days": 22},
        "quarantine": {"days": 33},
    }


def test_what_is_superseded_expires_by_its_tag(ordered: Declaration, chosen: Declaration) -> None:
    """A week after it was replaced, or as chosen; nothing without the tag does by default."""
    usual, other = (
        [
            rule
            for rule in one.one("s3/BucketLifecycleConfiguration", "delivery").inputs["rules"]
            if "expiration" in rule
        ]
        for one in (ordered, chosen)
    )

    assert usual == [
        {
            "id": "superseded",
            "status": "Enabled",
            "filter": {"tag": {"key": "superseded", "value": "true"}},
            "expiration": {"days": 7},
        }
    ]
    assert usual[0] | {"expiration": {"days": 3}} in other


def test_originals_are_copied_and_what_is_deleted_stays_there(full: Declaration) -> None:
    """To the bucket that was named, by a role that can do nothing else."""
    (copy,) = full.of("s3/BucketReplicationConfig")
    arn = "arn:aws:s3:safelight-test-intake"

    assert copy.inputs == {
        "bucket": "safelight-test-intake",
        "role": "arn:aws:iam:safelight-test-replicate",
        "rules": [
            {
                "id": "originals",
                "status": "Enabled",
                "priority": 1,
                "filter": {"prefix": ""},
                "deleteMarkerReplication": {"status": "Disabled"},
                "destination": {"bucket": REPLICA, "storageClass": "INTELLIGENT_TIERING"},
            }
        ],
    }
    assert ("s3/BucketVersioning", "intake") in copy.waits_for
    assert ("iam/RolePolicy", "replicate") in copy.waits_for
    assert [
        (one["Action"], one["Resource"])
        for one in full.one("iam/RolePolicy", "replicate").statements()
    ] == [
        (["s3:GetReplicationConfiguration", "s3:ListBucket"], [arn]),
        (
            [
                "s3:GetObjectVersionForReplication",
                "s3:GetObjectVersionAcl",
                "s3:GetObjectVersionTagging",
            ],
            [f"{arn}/*"],
        ),
        (["s3:ReplicateObject", "s3:ReplicateTags"], [f"{REPLICA}/*"]),
    ]
