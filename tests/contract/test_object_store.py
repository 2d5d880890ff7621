"""ObjectStore: one suite on the fake and on S3."""

from __future__ import annotations

import hashlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.conftest import BucketUnderTest
from worker.domain.errors import EngineError, InputError, ObjectChanged, ObjectMissing

HOSTILE_KEYS = (
    "plain.jpg",
    "with space and +plus&amp;=.jpg",
    "100%/%2F%2e%2e/50%25.jpg",
    "../../outside.jpg",
    "..",
    ".",
    "a/./b/../c",
    "/absolute",
    "//two//slashes//",
    "folder/",
    "~/.hidden",
    "back\\slash:colon*star?query#hash|pipe<>\"'",
    "naïve/日本語/🙂.png",
    "e\u0301 is not \u00e9",
    "line\nbreak\ttab",
    "=object.json",
    "=aside/=lock",
    "x" * 1024,
    "." * 700,
    "é" * 512,
    "a/" * 512,
)


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(range(256)) * 4096], ids=["0", "1", "1M"])
def test_what_is_put_is_got(tested: BucketUnderTest, data: bytes) -> None:
    """Bytes, type, metadata and etag come back as they were given."""
    etag = tested.store.put(
        tested.bucket,
        "a/b.webp",
        data,
        content_type="image/webp",
        cache_control="public, max-age=31536000, immutable",
        metadata={"reason": "truncated"},
    )

    got, found = tested.store.get(tested.bucket, "a/b.webp")

    assert got == data
    assert etag == found.etag == hashlib.md5(data).hexdigest()
    assert (found.key, found.size, found.content_type) == ("a/b.webp", len(data), "image/webp")
    assert found.metadata == {"reason": "truncated"}
    assert found.modified.startswith("20")
    assert found.modified.endswith("Z")
    assert found == tested.store.head(tested.bucket, "a/b.webp")


def test_tags_come_back(tested: BucketUnderTest) -> None:
    """Tags are those of the write, then those given later; a missing object has no answer."""
    tested.store.put(
        tested.bucket, "a", b"x", content_type="image/jpeg", tags={"closed": "true", "b c": "d+e"}
    )
    assert tested.store.tags(tested.bucket, "a") == {"closed": "true", "b c": "d+e"}

    tested.store.tag(tested.bucket, "a", {})
    assert tested.store.tags(tested.bucket, "a") == {}

    for missing in ("not", "x" * 1025):
        with pytest.raises(ObjectMissing):
            tested.store.tags(tested.bucket, missing)


@pytest.mark.parametrize("first", [0, 1, 4, 5, 6])
@pytest.mark.parametrize("data", [b"", b"12345"], ids=["empty", "five"])
def test_the_beginning_can_be_asked_for(tested: BucketUnderTest, data: bytes, first: int) -> None:
    """The first bytes come alone, with the size and etag of the whole object."""
    etag = tested.put("key", data)

    got, found = tested.store.get(tested.bucket, "key", etag=etag, first=first)

    assert got == data[:first]
    assert found == tested.store.head(tested.bucket, "key")
    with pytest.raises(ObjectChanged):
        tested.store.get(tested.bucket, "key", etag="0" * 32, first=first)


def test_putting_again_replaces(tested: BucketUnderTest) -> None:
    """The last write is what is there, with nothing of the one before."""
    tested.put("key", b"first", note="old")
    tested.put("key", b"second")

    data, found = tested.store.get(tested.bucket, "key")

    assert (data, dict(found.metadata)) == (b"second", {})
    assert tested.keys() == ["key"]


def test_what_is_put_once_stays(tested: BucketUnderTest) -> None:
    """Of two who write a name once the first has written it."""
    first = tested.store.put(tested.bucket, "once", b"first", content_type="text/plain", once=True)
    again = tested.store.put(tested.bucket, "once", b"again", content_type="text/plain", once=True)

    assert (bool(first), again) == (True, "")
    assert tested.store.get(tested.bucket, "once")[0] == b"first"


def test_a_missing_object_is_missing(tested: BucketUnderTest) -> None:
    """Get, head and copy say ObjectMissing; an etag does not change that."""
    tested.put("there", b"x")
    for ask in (
        lambda: tested.store.get(tested.bucket, "not"),
        lambda: tested.store.get(tested.bucket, "not", etag="0" * 32),
        lambda: tested.store.head(tested.bucket, "not"),
        lambda: tested.store.head(tested.bucket, "there/not"),
        lambda: tested.store.copy((tested.bucket, "not"), (tested.bucket, "target")),
        lambda: tested.store.copy((tested.bucket, "not"), (tested.bucket, "target"), metadata={}),
    ):
        with pytest.raises(ObjectMissing):
            ask()
    assert tested.keys() == ["there"]


def test_a_replaced_object_is_noticed(tested: BucketUnderTest) -> None:
    """Asked for by etag, an object that has been replaced is ObjectChanged, not other bytes."""
    old = tested.put("key", b"first")
    new = tested.put("key", b"second")

    with pytest.raises(ObjectChanged):
        tested.store.get(tested.bucket, "key", etag=old)
    assert tested.store.get(tested.bucket, "key", etag=new)[0] == b"second"


def test_a_version_can_be_named(tested: BucketUnderTest) -> None:
    """The version id of an object fetches, describes and copies exactly that version."""
    tested.put("key", b"one")
    version = tested.store.head(tested.bucket, "key").version_id

    assert version
    assert tested.store.get(tested.bucket, "key", version_id=version)[0] == b"one"
    assert tested.store.head(tested.bucket, "key", version_id=version).size == 3
    tested.store.copy((tested.bucket, "key"), (tested.bucket, "copy"), version_id=version)
    assert tested.store.get(tested.bucket, "copy")[0] == b"one"


def test_a_deleted_version_is_missing(tested: BucketUnderTest) -> None:
    """Deleting a version by its id removes it, and only it."""
    tested.put("key", b"one")
    old = tested.store.head(tested.bucket, "key").version_id
    tested.put("key", b"two")

    tested.store.delete(tested.bucket, "key", version_id=old)

    assert tested.store.get(tested.bucket, "key")[0] == b"two"
    with pytest.raises(ObjectMissing):
        tested.store.get(tested.bucket, "key", version_id=old)
    with pytest.raises(ObjectMissing):
        tested.store.copy((tested.bucket, "key"), (tested.bucket, "copy"), version_id=old)


def test_deleting_is_final_and_repeatable(tested: BucketUnderTest) -> None:
    """A deleted object is missing and unlisted; deleting it again is no error."""
    tested.put("a/b", b"x")
    tested.put("a", b"y")

    for _ in range(2):
        tested.store.delete(tested.bucket, "a/b")

    with pytest.raises(ObjectMissing):
        tested.store.get(tested.bucket, "a/b")
    assert tested.keys() == ["a"]
    tested.put("a/b", b"again")
    assert tested.store.get(tested.bucket, "a/b")[0] == b"again"


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda key: ascii(key[:20]))
def test_any_key_is_a_name_and_nothing_else(tested: BucketUnderTest, key: str) -> None:
    """Keys that look like paths, escapes or our own files are stored, listed, copied, deleted."""
    tested.put(key, key.encode())

    assert tested.store.get(tested.bucket, key)[0] == key.encode()
    assert tested.keys() == [key]
    assert tested.keys(key[:-1]) == [key]
    tested.store.copy((tested.bucket, key), (tested.bucket, "target"))
    assert tested.store.get(tested.bucket, "target")[0] == key.encode()
    tested.store.delete(tested.bucket, key)
    assert tested.keys() == ["target"]


def test_no_two_keys_meet(tested: BucketUnderTest) -> None:
    """All hostile keys live in one bucket side by side, in the order of their UTF-8 bytes."""
    for key in HOSTILE_KEYS:
        tested.put(key, key.encode())

    assert tested.keys() == sorted(HOSTILE_KEYS, key=str.encode)
    for key in HOSTILE_KEYS:
        assert tested.store.get(tested.bucket, key)[0] == key.encode()


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "\ud800"], ids=ascii)
def test_impossible_keys_are_refused(tested: BucketUnderTest, key: str) -> None:
    """A key that S3 cannot have cannot be written, is missing and is no error to delete."""
    with pytest.raises(InputError):
        tested.put(key, b"x")
    with pytest.raises(ObjectMissing):
        tested.store.get(tested.bucket, key)
    with pytest.raises(ObjectMissing):
        tested.store.head(tested.bucket, key)
    tested.store.delete(tested.bucket, key)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "  spaces  ",
        "Füße & 日本語 🙂",
        "=?UTF-8?B?eA==?=",
        "a=?b",
        "x\ny\x00",
        "é" * 300,
    ],
    ids=ascii,
)
def test_metadata_is_text(tested: BucketUnderTest, value: str) -> None:
    """Any text survives as metadata, through put and through copy."""
    tested.put("key", b"x", note=value)
    tested.store.copy((tested.bucket, "key"), (tested.bucket, "copy"))
    tested.store.copy((tested.bucket, "key"), (tested.bucket, "new"), metadata={"other": value})

    assert tested.store.head(tested.bucket, "key").metadata == {"note": value}
    assert tested.store.head(tested.bucket, "copy").metadata == {"note": value}
    assert tested.store.head(tested.bucket, "new").metadata == {"other": value}


@pytest.mark.parametrize(
    "metadata", [{"note": "x" * 2045}, {"Note": "x"}, {"no te": "x"}, {"": "x"}, {"é": "x"}]
)
def test_impossible_metadata_is_a_defect(tested: BucketUnderTest, metadata: dict[str, str]) -> None:
    """Metadata that S3 would refuse is refused by every store, and nothing is written."""
    with pytest.raises(EngineError):
        tested.store.put(tested.bucket, "key", b"x", content_type="text/plain", metadata=metadata)
    assert tested.keys() == []


@pytest.mark.parametrize("metadata", [None, {"reason": "crashed"}])
def test_a_copy_keeps_its_type(tested: BucketUnderTest, metadata: dict[str, str] | None) -> None:
    """Whether its metadata is replaced or not, a copy has the type of its source."""
    tested.store.put(tested.bucket, "a", b"x", content_type="image/avif", metadata={"old": "1"})

    tested.store.copy((tested.bucket, "a"), (tested.bucket, "b"), metadata=metadata)

    data, found = tested.store.get(tested.bucket, "b")
    assert (data, found.content_type) == (b"x", "image/avif")
    assert found.metadata == ({"old": "1"} if metadata is None else metadata)


def test_lists_begin_where_they_are_told(tested: BucketUnderTest) -> None:
    """A list has the keys with the prefix that come after a key, whether it exists or not."""
    keys = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "b", "é"]
    for key in reversed(keys):
        tested.put(key, b"x")

    assert tested.keys() == keys
    assert tested.keys("a/") == ["a/b", "a/b/c"]
    assert tested.keys("a/b") == ["a/b", "a/b/c"]
    assert tested.keys(after="a/") == ["a/b", "a/b/c", "a0", "b", "é"]
    assert tested.keys("a", after="a/b") == ["a/b/c", "a0"]
    assert tested.keys("nothing/there/") == []
    assert tested.keys("\udcff") == []


def test_lists_say_size_and_etag(tested: BucketUnderTest) -> None:
    """Every object of a list has its size, etag and time."""
    etag = tested.put("key", b"12345")

    (found,) = tested.store.list(tested.bucket)

    assert (found.size, found.etag, found.modified[:2]) == (5, etag, "20")


def test_lists_are_lazy(tested: BucketUnderTest) -> None:
    """A list can be left in the middle, and what is deleted meanwhile is no error."""
    for number in range(7):
        tested.put(f"key{number}", b"x")

    found = tested.store.list(tested.bucket)
    first = [each.key for each in itertools.islice(found, 2)]
    tested.store.delete(tested.bucket, "key6")
    rest = [each.key for each in found]

    assert first == ["key0", "key1"]
    assert rest == ["key2", "key3", "key4", "key5"]


def test_a_reader_sees_one_write_or_the_other(tested: BucketUnderTest) -> None:
    """While writers replace an object, every read is whole: its etag is that of its bytes."""
    bodies = [bytes([number]) * 50_000 for number in range(4)]
    tested.put("key", bodies[0])
    ended = threading.Event()

    def write(body: bytes) -> None:
        for _ in range(15):
            tested.put("key", body)

    def read() -> int:
        reads = 0
        while not ended.is_set() or not reads:
            data, found = tested.store.get(tested.bucket, "key")
            assert data in bodies
            assert hashlib.md5(data).hexdigest() == found.etag
            reads += 1
        return reads

    with ThreadPoolExecutor(5) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        writers = [threads.submit(write, body) for body in bodies[1:]]
        try:
            for writer in writers:
                writer.result()
        finally:
            ended.set()
        assert all(reader.result() for reader in readers)

    assert tested.keys() == ["key"]
