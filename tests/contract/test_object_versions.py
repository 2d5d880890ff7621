"""ObjectStore: versions, tags and ages, on the fake and on S3."""

from __future__ import annotations

from collections.abc import Callable

from tests.contract.conftest import BucketUnderTest
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.s3 import S3ObjectStore
from worker.domain.asset import CLOSED


def test_a_renewed_object_is_as_it_was(tested: BucketUnderTest) -> None:
    """Bytes, type, headers and metadata stay, and a missing object is no error."""
    key = "a b/ü.jpg"
    tested.put(key, b"abc", owner="Zoë")
    before = tested.store.head(tested.bucket, key)

    tested.store.renew(tested.bucket, key, tags={"superseded": "true"})
    tested.store.renew(tested.bucket, "missing", tags={"superseded": "true"})

    data, after = tested.store.get(tested.bucket, key)
    assert data == b"abc"
    assert after.modified >= before.modified
    assert (after.content_type, after.metadata) == (before.content_type, before.metadata)
    assert tested.keys() == [key]


def test_a_renewed_object_may_get_further_metadata(tested: BucketUnderTest) -> None:
    """It stands beside its own, and the tags stay unless others are given."""
    tested.put("a", b"abc", owner="Zoë")
    tested.store.renew(tested.bucket, "a", tags={"superseded": "true"})

    tested.store.renew(tested.bucket, "a", metadata={"cache-tag": "a:1"})

    data, after = tested.store.get(tested.bucket, "a")
    assert data == b"abc"
    assert after.metadata == {"owner": "Zoë", "cache-tag": "a:1"}


def test_tags_go_where_they_are_put_and_nowhere_else(
    clients: AwsClients, fresh: Callable[[str], str]
) -> None:
    """A renewed object has its tags, and a copy of it has none."""
    bucket = fresh("bucket")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    store = S3ObjectStore(clients, copy_bytes=1_000_000, part_bytes=1_000_000)
    store.put(bucket, "a", b"a", content_type="image/jpeg", cache_control="no-cache")
    store.put(bucket, "large", b"a" * 1_500_000, content_type="video/mp4")
    for key in ("a", "large"):
        store.renew(bucket, key, tags={"superseded": "true", "b c": "d+e"})
    store.renew(bucket, "a", metadata={"cache-tag": "a:1"})
    store.copy((bucket, "a"), (bucket, "b"))
    store.copy((bucket, "a"), (bucket, "c"), metadata={"x": "y"})

    def tags(key: str) -> dict[str, str]:
        found = clients.s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        return {one["Key"]: one["Value"] for one in found}

    wanted = {"superseded": "true", "b c": "d+e"}
    assert [tags(key) for key in ("a", "b", "c")] == [wanted, {}, {}]
    # The emulator forgets the tags of what comes in parts.
    assert store.get(bucket, "large")[0] == b"a" * 1_500_000
    assert clients.s3.head_object(Bucket=bucket, Key="a")["CacheControl"] == "no-cache"


def test_a_file_is_tagged_from_its_first_write_or_later(
    clients: AwsClients, fresh: Callable[[str], str]
) -> None:
    """By a put, a copy or a call of its own, which moves no bytes; and it loses its tags."""
    bucket = fresh("bucket")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    store = S3ObjectStore(clients)
    store.put(bucket, "put", b"a", content_type="image/jpeg", tags=CLOSED)
    store.put(bucket, "plain", b"a", content_type="image/jpeg", cache_control="no-cache")
    store.copy((bucket, "put"), (bucket, "copy"))
    store.copy((bucket, "plain"), (bucket, "closed"), metadata={"x": "y"}, tags=CLOSED)

    def tagged() -> set[str]:
        found = set()
        for one in store.list(bucket):
            tags = clients.s3.get_object_tagging(Bucket=bucket, Key=one.key)["TagSet"]
            assert tags in ([], [{"Key": "closed", "Value": "true"}])
            found |= {one.key} if tags else set()
        return found

    assert tagged() == {"put", "closed"}
    before = store.head(bucket, "plain")
    store.tag(bucket, "plain", CLOSED)
    store.tag(bucket, "closed", {})
    store.tag(bucket, "missing", CLOSED)
    store.tag(bucket, "missing", {})
    store.tag(bucket, "\ud800", CLOSED)
    assert tagged() == {"put", "plain"}
    assert store.head(bucket, "plain") == before


def test_a_deletion_may_be_of_one_content_alone(tested: BucketUnderTest) -> None:
    """With an etag: if the current object is that one, and nothing happens if it is not."""
    old = tested.put("a", b"old")
    new = tested.put("a", b"new")

    tested.store.delete(tested.bucket, "a", etag=old)
    assert tested.store.get(tested.bucket, "a")[0] == b"new"
    tested.store.delete(tested.bucket, "a", etag=new)
    assert tested.keys() == []
    for key in ("a", "missing"):
        tested.store.delete(tested.bucket, key, etag=new)


def test_every_version_is_found_and_can_be_deleted(
    clients: AwsClients, fresh: Callable[[str], str]
) -> None:
    """Replaced ones and markers of deletions, page by page, of a bucket without versions too."""
    for versioned in (True, False):
        bucket = fresh("bucket")
        clients.s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        if versioned:
            clients.s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        store = S3ObjectStore(clients, page=2)
        for number in range(5):
            store.put(bucket, "a", b"%d" % number, content_type="image/jpeg")
        store.put(bucket, "a/b", b"", content_type="image/jpeg")
        if versioned:
            store.delete(bucket, "a")

        found = list(store.all_versions(bucket, "a"))
        assert [key for key, _ in found].count("a") == (6 if versioned else 1)
        for key, version in found:
            store.delete(bucket, key, version_id=version)
        assert list(store.all_versions(bucket, "")) == []


def test_all_versions_are_listed_by_prefix(tested: BucketUnderTest) -> None:
    """Keys that begin so, and no others."""
    for key in ("a", "a/b", "b"):
        tested.put(key, b"x")
    assert sorted(key for key, _ in tested.store.all_versions(tested.bucket, "a")) == ["a", "a/b"]
