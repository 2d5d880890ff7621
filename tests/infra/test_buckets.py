"""What is said about the three buckets."""

from __future__ import annotations

import pytest

from tests.infra.declared import Declaration, declare

BUCKETS = ("intake", "delivery", "quarantine")


@pytest.mark.parametrize("name", BUCKETS)
def test_no_bucket_can_be_made_public(ordered: Declaration, name: str) -> None:
    """All four switches are on, and ACLs do not exist."""
    block = ordered.one("s3/BucketPublicAccessBlock", name)
    owner = ordered.one("s3/BucketOwnershipControls", name)

    assert block.inputs == {
        "bucket": f"safelight-test-{name}",
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }
    assert owner.inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_refuses_what_is_not_tls(ordered: Declaration, name: str) -> None:
    """Plain HTTP and old TLS are denied, on the bucket and on its objects."""
    statements = ordered.one("s3/BucketPolicy", name).statements()

    arn = f"arn:aws:s3:safelight-test-{name}"
    for statement in statements:
        assert statement["Effect"] == "Deny"
        assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")
        assert statement["Resource"] == [arn, f"{arn}/*"]
    assert [statement["Condition"] for statement in statements] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_is_encrypted(ordered: Declaration, name: str) -> None:
    """Encryption is said, not left to a default."""
    rules = ordered.one("s3/BucketServerSideEncryptionConfiguration", name).inputs["rules"]

    assert rules == [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]


def test_originals_are_versioned_and_renditions_are_not(ordered: Declaration) -> None:
    """Renditions can be made again, under keys that are written once."""
    (versioning,) = ordered.of("s3/BucketVersioning")

    assert versioning.name == "intake"
    assert versioning.inputs["versioningConfiguration"] == {"status": "Enabled"}


def test_rules_for_old_versions_wait_for_versioning(ordered: Declaration) -> None:
    """S3 would refuse them on a bucket without versions."""
    rules = ordered.one("s3/BucketLifecycleConfiguration", "intake")

    assert ("s3/BucketVersioning", "intake") in rules.waits_for


@pytest.mark.parametrize("name", BUCKETS)
def test_the_policy_waits_for_the_public_access_block(ordered: Declaration, name: str) -> None:
    """S3 refuses both at the same time."""
    policy = ordered.one("s3/BucketPolicy", name)

    assert ("s3/BucketPublicAccessBlock", name) in policy.waits_for


@pytest.mark.parametrize("name", BUCKETS)
def test_unfinished_uploads_are_aborted_after_a_day(ordered: Declaration, name: str) -> None:
    """Parts of an upload that never ended are paid for."""
    rules = ordered.one("s3/BucketLifecycleConfiguration", name).inputs["rules"]

    assert {
        "id": "abort-unfinished-uploads",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
    } in rules


def test_originals_are_tiered_at_once_and_go_to_glacier_if_large() -> None:
    """Objects up to 128 KB stay: colder classes cost more for them."""
    rules = (
        declare({"storage": {"glacierAfterDays": 120, "noncurrentDays": 7}})
        .one("s3/BucketLifecycleConfiguration", "intake")
        .inputs["rules"]
    )

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
    """Rejected originals go after thirty days; nothing else expires whole objects."""
    rules = {
        name: ordered.one("s3/BucketLifecycleConfiguration", name).inputs["rules"][1:]
        for name in ("delivery", "quarantine")
    }

    assert rules == {
        "delivery": [],
        "quarantine": [
            {
                "id": "expire",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "expiration": {"days": 30},
            }
        ],
    }


def test_buckets_are_kept_unless_told(ordered: Declaration) -> None:
    """A destroyed stack leaves its pictures, except where the configuration says not."""
    thrown_away = declare({"storage": {"forceDestroy": True}})

    assert [one.inputs["forceDestroy"] for one in ordered.of("s3/Bucket")] == [False] * 3
    assert [one.inputs["forceDestroy"] for one in thrown_away.of("s3/Bucket")] == [True] * 3
