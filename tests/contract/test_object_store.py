"""ObjectStore: one suite on the fake and on S3."""

from __future__ import annotations

import hashlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.object_place import Place
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
def test_what_is_put_is_got(place: Place, data: bytes) -> None:
    """Bytes, type, metadata and etag come back as they were given."""
    etag = place.store.put(
        place.bucket,
        "a/b.webp",
        data,
        content_type="image/webp",
        cache_control="public, max-age=31536000, immutable",
        metadata={"reason": "truncated"},
    )

    got, found = place.store.get(place.bucket, "a/b.webp")

    assert got == data
    assert etag == found.etag == hashlib.md5(data).hexdigest()
    assert (found.key, found.size, found.content_type) == ("a/b.webp", len(data), "image/webp")
    assert found.metadata == {"reason": "truncated"}
    assert found.modified.startswith("20")
    assert found.modified.endswith("Z")
    assert found == place.store.head(place.bucket, "a/b.webp")


@pytest.mark.parametrize("first", [0, 1, 4, 5, 6])
@pytest.mark.parametrize("data", [b"", b"12345"], ids=["empty", "five"])
def test_the_beginning_can_be_asked_for(place: Place, data: bytes, first: int) -> None:
    """The first bytes come alone, with the size and etag of the whole object."""
    etag = place.put("key", data)

    got, found = place.store.get(place.bucket, "key", etag=etag, first=first)

    assert got == data[:first]
    assert found == place.store.head(place.bucket, "key")
    with pytest.raises(ObjectChanged):
        place.store.get(place.bucket, "key", etag="0" * 32, first=first)


def test_putting_again_replaces(place: Place) -> None:
    """The last write is what is there, with nothing of the one before."""
    place.put("key", b"first", note="old")
    place.put("key", b"second")

    data, found = place.store.get(place.bucket, "key")

    assert (data, dict(found.metadata)) == (b"second", {})
    assert place.keys() == ["key"]


def test_what_is_put_once_stays(place: Place) -> None:
    """Of two who write a name once the first has written it."""
    first = place.store.put(place.bucket, "once", b"first", content_type="text/plain", once=True)
    again = place.store.put(place.bucket, "once", b"again", content_type="text/plain", once=True)

    assert (bool(first), again) == (True, "")
    assert place.store.get(place.bucket, "once")[0] == b"first"


def test_a_missing_object_is_missing(place: Place) -> None:
    """Get, head and copy say ObjectMissing; an etag does not change that."""
    place.put("there", b"x")
    for ask in (
        lambda: place.store.get(place.bucket, "not"),
        lambda: place.store.get(place.bucket, "not", etag="0" * 32),
        lambda: place.store.head(place.bucket, "not"),
        lambda: place.store.head(place.bucket, "there/not"),
        lambda: place.store.copy((place.bucket, "not"), (place.bucket, "target")),
        lambda: place.store.copy((place.bucket, "not"), (place.bucket, "target"), metadata={}),
    ):
        with pytest.raises(ObjectMissing):
            ask()
    assert place.keys() == ["there"]


def test_a_replaced_object_is_noticed(place: Place) -> None:
    """Asked for by etag, an object that has been replaced is ObjectChanged, not other bytes."""
    old = place.put("key", b"first")
    new = place.put("key", b"second")

    with pytest.raises(ObjectChanged):
        place.store.get(place.bucket, "key", etag=old)
    assert place.store.get(place.bucket, "key", etag=new)[0] == b"second"


def test_a_version_can_be_named(place: Place) -> None:
    """The version id of an object fetches, describes and copies exactly that version."""
    place.put("key", b"one")
    version = place.store.head(place.bucket, "key").version_id

    assert version
    assert place.store.get(place.bucket, "key", version_id=version)[0] == b"one"
    assert place.store.head(place.bucket, "key", version_id=version).size == 3
    place.store.copy((place.bucket, "key"), (place.bucket, "copy"), version_id=version)
    assert place.store.get(place.bucket, "copy")[0] == b"one"


def test_a_deleted_version_is_missing(place: Place) -> None:
    """Deleting a version by its id removes it, and only it."""
    place.put("key", b"one")
    old = place.store.head(place.bucket, "key").version_id
    place.put("key", b"two")

    place.store.delete(place.bucket, "key", version_id=old)

    assert place.store.get(place.bucket, "key")[0] == b"two"
    with pytest.raises(ObjectMissing):
        place.store.get(place.bucket, "key", version_id=old)
    with pytest.raises(ObjectMissing):
        place.store.copy((place.bucket, "key"), (place.bucket, "copy"), version_id=old)


def test_deleting_is_final_and_repeatable(place: Place) -> None:
    """A deleted object is missing and unlisted; deleting it again is no error."""
    place.put("a/b", b"x")
    place.put("a", b"y")

    for _ in range(2):
        place.store.delete(place.bucket, "a/b")

    with pytest.raises(ObjectMissing):
        place.store.get(place.bucket, "a/b")
    assert place.keys() == ["a"]
    place.put("a/b", b"again")
    assert place.store.get(place.bucket, "a/b")[0] == b"again"


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda key: ascii(key[:20]))
def test_any_key_is_a_name_and_nothing_else(place: Place, key: str) -> None:
    """Keys that look like paths, escapes or our own files are stored, listed, copied, deleted."""
    place.put(key, key.encode())

    assert place.store.get(place.bucket, key)[0] == key.encode()
    assert place.keys() == [key]
    assert place.keys(key[:-1]) == [key]
    place.store.copy((place.bucket, key), (place.bucket, "target"))
    assert place.store.get(place.bucket, "target")[0] == key.encode()
    place.store.delete(place.bucket, key)
    assert place.keys() == ["target"]


def test_no_two_keys_meet(place: Place) -> None:
    """All hostile keys live in one bucket side by side, in the order of their UTF-8 bytes."""
    for key in HOSTILE_KEYS:
        place.put(key, key.encode())

    assert place.keys() == sorted(HOSTILE_KEYS, key=str.encode)
    for key in HOSTILE_KEYS:
        assert place.store.get(place.bucket, key)[0] == key.encode()


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "\ud800"], ids=ascii)
def test_impossible_keys_are_refused(place: Place, key: str) -> None:
    """A key that S3 cannot have cannot be written, is missing and is no error to delete."""
    with pytest.raises(InputError):
        place.put(key, b"x")
    with pytest.raises(ObjectMissing):
        place.store.get(place.bucket, key)
    with pytest.raises(ObjectMissing):
        place.store.head(place.bucket, key)
    place.store.delete(place.bucket, key)


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
def test_metadata_is_text(place: Place, value: str) -> None:
    """Any text survives as metadata, through put and through copy."""
    place.put("key", b"x", note=value)
    place.store.copy((place.bucket, "key"), (place.bucket, "copy"))
    place.store.copy((place.bucket, "key"), (place.bucket, "new"), metadata={"other": value})

    assert place.store.head(place.bucket, "key").metadata == {"note": value}
    assert place.store.head(place.bucket, "copy").metadata == {"note": value}
    assert place.store.head(place.bucket, "new").metadata == {"other": value}


@pytest.mark.parametrize(
    "metadata", [{"note": "x" * 2045}, {"Note": "x"}, {"no te": "x"}, {"": "x"}, {"é": "x"}]
)
def test_impossible_metadata_is_a_defect(place: Place, metadata: dict[str, str]) -> None:
    """Metadata that S3 would refuse is refused by every store, and nothing is written."""
    with pytest.raises(EngineError):
        place.store.put(place.bucket, "key", b"x", content_type="text/plain", metadata=metadata)
    assert place.keys() == []


@pytest.mark.parametrize("metadata", [None, {"reason": "crashed"}])
def test_a_copy_keeps_its_type(place: Place, metadata: dict[str, str] | None) -> None:
    """Whether its metadata is replaced or not, a copy has the type of its source."""
    place.store.put(place.bucket, "a", b"x", content_type="image/avif", metadata={"old": "1"})

    place.store.copy((place.bucket, "a"), (place.bucket, "b"), metadata=metadata)

    data, found = place.store.get(place.bucket, "b")
    assert (data, found.content_type) == (b"x", "image/avif")
    assert found.metadata == ({"old": "1"} if metadata is None else metadata)


def test_lists_begin_where_they_are_told(place: Place) -> None:
    """A list has the keys with the prefix that come after a key, whether it exists or not."""
    keys = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "b", "é"]
    for key in reversed(keys):
        place.put(key, b"x")

    assert place.keys() == keys
    assert place.keys("a/") == ["a/b", "a/b/c"]
    assert place.keys("a/b") == ["a/b", "a/b/c"]
    assert place.keys(after="a/") == ["a/b", "a/b/c", "a0", "b", "é"]
    assert place.keys("a", after="a/b") == ["a/b/c", "a0"]
    assert place.keys("nothing/there/") == []
    assert place.keys("\udcff") == []


def test_lists_say_size_and_etag(place: Place) -> None:
    """Every object of a list has its size, etag and time."""
    etag = place.put("key", b"12345")

    (found,) = place.store.list(place.bucket)

    assert (found.size, found.etag, found.modified[:2]) == (5, etag, "20")


def test_lists_are_lazy(place: Place) -> None:
    """A list can be left in the middle, and what is deleted meanwhile is no error."""
    for number in range(7):
        place.put(f"key{number}", b"x")

    found = place.store.list(place.bucket)
    first = [each.key for each in itertools.islice(found, 2)]
    place.store.delete(place.bucket, "key6")
    rest = [each.key for each in found]

    assert first == ["key0", "key1"]
    assert rest == ["key2", "key3", "key4", "key5"]


def test_a_reader_sees_one_write_or_the_other(place: Place) -> None:
    """While writers replace an object, every read is whole: its etag is that of its bytes."""
    bodies = [bytes([number]) * 50_000 for number in range(4)]
    place.put("key", bodies[0])
    ended = threading.Event()

    def write(body: bytes) -> None:
        for _ in range(15):
            place.put("key", body)

    def read() -> int:
        reads = 0
        while not ended.is_set() or not reads:
            data, found = place.store.get(place.bucket, "key")
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

    assert place.keys() == ["key"]
