"""Output stores: whole files under safe names; results with types; checkpoints with digests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch.job_services import JobServices
from batch.outputs import (
    JobOutputs,
    LocalOutputStore,
    OutputStore,
    S3OutputStore,
    StoredCheckpoint,
    content_type_of,
)
from tests.unit.batch.attempts import MemoryTransfers
from tests.unit.fakes import MemoryStore
from worker.atomic import STAGING_PREFIX, locked_staging
from worker.domain.asset import CLOSED
from worker.domain.errors import EngineError, InputError, SafelightError, Stopped, StorageFull
from worker.job_context import Stop


@pytest.fixture(params=["folder", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> OutputStore:
    """An empty target of each sort."""
    if request.param == "folder":
        return LocalOutputStore(tmp_path / "target")
    store = MemoryStore()
    return S3OutputStore("bucket", "some/prefix/", store=store, transfers=MemoryTransfers(store))


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Makes files to be stored."""

    def make(name: str, data: bytes) -> Path:
        path = tmp_path / "scratch" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return make


def test_what_is_stored_comes_back(
    target: OutputStore, made: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    """Files and small records can be fetched, read, listed and removed."""
    target.store(made("a", b"data"), "video/720p/init.mp4", content_type="video/mp4")
    target.write("video/x.json", b"{}", content_type="application/json")

    assert target.fetch("video/720p/init.mp4", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"data"
    assert target.read("video/x.json") == b"{}"
    assert list(target.names("video/")) == ["video/720p/init.mp4", "video/x.json"]
    target.remove("video/x.json")
    target.remove("video/x.json")
    assert target.read("video/x.json") is None


def test_what_is_not_there_is_none(target: OutputStore, tmp_path: Path) -> None:
    """Reading, fetching and listing an empty target is no error."""
    assert target.read("a/b") is None
    assert not target.fetch("a/b", tmp_path / "copy")
    assert list(target.names("a/")) == []


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "a\\b", "a\x00", "b" * 300]
)
def test_names_stay_inside(
    target: OutputStore, made: Callable[[str, bytes], Path], name: str, tmp_path: Path
) -> None:
    """A name that leaves the target, or that no folder can have, is a defect of the operation."""
    with pytest.raises(EngineError):
        target.store(made("a", b""), name, content_type="x/y")
    with pytest.raises(EngineError):
        JobOutputs(target, tmp_path).file(made("a", b""), name)


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, made: Callable[[str, bytes], Path]
) -> None:
    """A partial file never gets its final name, and no staging file remains."""
    target = LocalOutputStore(tmp_path / "target")
    target.write("a/b", b"old", content_type="x/y")

    with pytest.raises(SafelightError):
        target.store(tmp_path / "is not there", "a/b", content_type="x/y")

    assert [path.name for path in (tmp_path / "target" / "a").iterdir()] == ["b"]
    assert target.read("a/b") == b"old"


def test_what_a_killed_attempt_has_left_half_written_goes(tmp_path: Path) -> None:
    """The next that writes to the folder removes it, and leaves alone what is still written."""
    folder = tmp_path / "target" / "hls"
    folder.mkdir(parents=True)
    (folder / f"{STAGING_PREFIX}dead").write_bytes(b"half")

    with locked_staging(folder) as alive:
        LocalOutputStore(tmp_path / "target").write("hls/a", b"new", content_type="x/y")
        assert sorted(path.name for path in folder.iterdir()) == [alive.name, "a"]

    assert [path.name for path in folder.iterdir()] == ["a"]


def test_a_folder_that_another_job_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs of one target: one has just emptied its checkpoint, the other writes to its own."""
    folder = tmp_path / "target" / ".checkpoint"
    make = Path.mkdir
    removed: list[Path] = []

    def raced(self: Path, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        if self == folder and not removed:
            removed.append(self)
            self.rmdir()

    monkeypatch.setattr(Path, "mkdir", raced)
    LocalOutputStore(tmp_path / "target").write(".checkpoint/a", b"x", content_type="x/y")

    assert removed
    assert (folder / "a").read_bytes() == b"x"


def test_a_folder_is_held_by_one_job_of_a_record_at_a_time(tmp_path: Path) -> None:
    """A second one is told; those of other records, as of an array, are not kept off."""
    one, other = LocalOutputStore(tmp_path / "target"), LocalOutputStore(tmp_path / "target")
    with one.lock("results/00000.result.json"):
        with other.lock("results/00001.result.json"):
            pass
        with pytest.raises(InputError) as caught, other.lock("results/00000.result.json"):
            pass
        assert caught.value.code == "output_busy"
    with other.lock("results/00000.result.json"):
        pass

    assert list((tmp_path / "target").iterdir()) == []


def test_the_lock_of_a_killed_job_holds_nobody(tmp_path: Path) -> None:
    """Its file is still there, and nobody has it."""
    lock = tmp_path / ".checkpoint" / "result.json.lock"
    lock.parent.mkdir()
    lock.touch()

    with LocalOutputStore(tmp_path).lock("result.json"):
        assert lock.is_file()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", ["read", "write", "remove"])
def test_a_folder_instead_of_a_record_is_no_defect(tmp_path: Path, use: str) -> None:
    """Every operation names the output folder in its error."""
    (tmp_path / "out" / "result.json").mkdir(parents=True)
    target = LocalOutputStore(tmp_path / "out")
    done: dict[str, Callable[[], object]] = {
        "read": lambda: target.read("result.json"),
        "write": lambda: target.write("result.json", b"{}", content_type="application/json"),
        "remove": lambda: target.remove("result.json"),
    }

    with pytest.raises(InputError, match="out") as caught:
        done[use]()

    assert caught.value.code == "output_unwritable"


def test_a_full_disk_is_retryable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space is ``storage_full``, anything else about the folder ``output_unwritable``."""

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFull):
        LocalOutputStore(tmp_path).write("a", b"", content_type="x/y")

    monkeypatch.undo()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        LocalOutputStore(tmp_path / "file").write("a", b"", content_type="x/y")
    assert caught.value.code == "output_unwritable"


def test_results_are_remembered_with_size_and_digest(
    tmp_path: Path, target: OutputStore, made: Callable[[str, bytes], Path]
) -> None:
    """Stored files are listed by name with their content type; storing again replaces them."""
    outputs = JobOutputs(target, tmp_path / "fetched")
    made("tree/b/x.m4s", b"1")
    made("tree/a.vtt", b"22")
    outputs.tree(tmp_path / "scratch" / "tree", "hls")
    outputs.file(made("c", b"333"), "hls/a.vtt", content_type="text/plain")

    assert [(item.name, item.bytes, item.content_type) for item in outputs.stored] == [
        ("hls/a.vtt", 3, "text/plain"),
        ("hls/b/x.m4s", 1, "video/iso.segment"),
    ]
    copy = outputs.fetch("hls/a.vtt")
    assert copy is not None
    assert copy.read_bytes() == b"333"
    assert outputs.fetch("hls/none") is None


def test_trees_do_not_follow_links(tmp_path: Path, target: OutputStore) -> None:
    """A link among the results is not stored: it could lead anywhere."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "x.txt").symlink_to("/etc/passwd")

    outputs = JobOutputs(target, tmp_path / "fetched")
    outputs.tree(folder)

    assert outputs.stored == ()


def test_a_stopped_job_stores_nothing_more(
    tmp_path: Path, target: OutputStore, made: Callable[[str, bytes], Path]
) -> None:
    """A long list of results ends between two files."""
    stop = Stop()
    stop.request("enough")

    with pytest.raises(Stopped):
        JobOutputs(target, tmp_path, stop=stop).file(made("a", b""), "a")


def test_the_folder_of_checkpoints_is_reserved(
    tmp_path: Path, target: OutputStore, made: Callable[[str, bytes], Path]
) -> None:
    """A result cannot be written among the checkpoint's chunks."""
    with pytest.raises(EngineError):
        JobOutputs(target, tmp_path).file(made("a", b""), ".checkpoint/x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/master.m3u8", "application/vnd.apple.mpegurl"),
        ("x.vtt", "text/vtt; charset=utf-8"),
        ("x.MP4", "video/mp4"),
        ("x.m4s", "video/iso.segment"),
        ("x.webp", "image/webp"),
        ("x", "application/octet-stream"),
    ],
)
def test_content_types_follow_from_names(name: str, expected: str) -> None:
    """Players look at the content type first."""
    assert content_type_of(name) == expected


def test_s3_objects_have_type_and_cache_rules(made: Callable[[str, bytes], Path]) -> None:
    """Results may be kept for ever where that is true; records of state never are."""
    store = MemoryStore()
    target = S3OutputStore(
        "b", "p/", store=store, transfers=MemoryTransfers(store), cache_control="immutable"
    )
    target.store(made("a", b"1"), "a.mp4", content_type="video/mp4")
    target.write("result.json", b"{}", content_type="application/json")

    (video,) = store.versions["b", "p/a.mp4"]
    (record,) = store.versions["b", "p/result.json"]
    assert (video.content_type, video.cache_control) == ("video/mp4", "immutable")
    assert record.cache_control == "no-cache"


def test_results_of_what_waits_for_a_person_are_closed_from_the_first_write(
    made: Callable[[str, bytes], Path],
) -> None:
    """Files and records alike: the distribution may read none of them."""
    store = MemoryStore()
    services = JobServices(store, MemoryTransfers(store))
    for closed in (False, True):
        target = services.output_store("s3://bucket/p/", immutable=True, stop=Stop(), closed=closed)
        target.store(made("a", b"1"), f"{closed}.mp4", content_type="video/mp4")
        target.write(f"{closed}.json", b"{}", content_type="application/json")

    tags = {key: kept[-1].tags for (_, key), kept in store.versions.items()}
    assert tags == {
        "p/False.mp4": {},
        "p/False.json": {},
        "p/True.mp4": CLOSED,
        "p/True.json": CLOSED,
    }


# --- checkpoints ------------------------------------------------------------------------------


DIGEST = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> LocalOutputStore:
    """An empty folder."""
    return LocalOutputStore(tmp_path / "target")


def checkpoint(
    folder: LocalOutputStore, tmp_path: Path, *, job: str = "transcode", digest: str = DIGEST
) -> StoredCheckpoint:
    """A checkpoint, as a new attempt opens it."""
    return StoredCheckpoint(folder, job, digest, tmp_path / "fetched")


def chunk(tmp_path: Path, data: bytes) -> Path:
    """A finished chunk."""
    path = tmp_path / "chunk"
    path.write_bytes(data)
    return path


def test_a_later_attempt_finds_the_chunks(folder: LocalOutputStore, tmp_path: Path) -> None:
    """Names are sorted, contents are what was put, a second put replaces."""
    first = checkpoint(folder, tmp_path)
    first.put("b/2.m4s", chunk(tmp_path, b"two"))
    first.put("a.m4s", chunk(tmp_path, b"one"))
    first.put("a.m4s", chunk(tmp_path, b"uno"))

    second = checkpoint(folder, tmp_path)
    found = second.get("a.m4s")

    assert second.names() == ["a.m4s", "b/2.m4s"]
    assert found is not None
    assert found.read_bytes() == b"uno"
    assert second.get("c") is None


@pytest.mark.parametrize("damage", [b"onE", b"", b"one "])
def test_a_damaged_chunk_is_none(folder: LocalOutputStore, tmp_path: Path, damage: bytes) -> None:
    """A flipped, lost or added byte is noticed."""
    kept = checkpoint(folder, tmp_path)
    kept.put("a", chunk(tmp_path, b"one"))
    (stored,) = (tmp_path / "target").rglob("pieces/a")
    stored.write_bytes(damage)

    assert kept.get("a") is None


def test_a_chunk_without_its_note_does_not_count(folder: LocalOutputStore, tmp_path: Path) -> None:
    """A put that was killed between the chunk and its note has not happened; nor the reverse."""
    kept = checkpoint(folder, tmp_path)
    kept.put("a", chunk(tmp_path, b"one"))
    kept.put("b", chunk(tmp_path, b"two"))
    next((tmp_path / "target").rglob("notes/a.json")).unlink()
    next((tmp_path / "target").rglob("pieces/b")).unlink()

    assert kept.names() == ["b"]
    assert kept.get("a") is None
    assert kept.get("b") is None


def test_a_damaged_note_does_not_count(folder: LocalOutputStore, tmp_path: Path) -> None:
    """A damaged checkpoint at most causes a chunk to be made again."""
    kept = checkpoint(folder, tmp_path)
    kept.put("a", chunk(tmp_path, b"one"))
    next((tmp_path / "target").rglob("notes/a.json")).write_bytes(b"[1")

    assert kept.get("a") is None


def test_other_inputs_and_other_jobs_see_nothing(folder: LocalOutputStore, tmp_path: Path) -> None:
    """The digest and the job's name part what one target holds."""
    checkpoint(folder, tmp_path).put("a", chunk(tmp_path, b"one"))

    assert checkpoint(folder, tmp_path, digest="cd" * 32).names() == []
    assert checkpoint(folder, tmp_path, job="transcode-part-00001").get("a") is None


def test_clearing_forgets_earlier_inputs_too(folder: LocalOutputStore, tmp_path: Path) -> None:
    """After success nothing is left, not even folders; other jobs keep theirs."""
    checkpoint(folder, tmp_path, digest="cd" * 32).put("old", chunk(tmp_path, b"0"))
    checkpoint(folder, tmp_path, job="other").put("a", chunk(tmp_path, b"1"))
    mine = checkpoint(folder, tmp_path)
    mine.put("a", chunk(tmp_path, b"1"))

    mine.clear()

    assert mine.names() == []
    left = tmp_path / "target" / ".checkpoint"
    assert [path.name for path in left.iterdir()] == ["other"]


def test_chunks_cannot_be_called_anything(folder: LocalOutputStore, tmp_path: Path) -> None:
    """A name that climbs out is refused."""
    with pytest.raises(EngineError):
        checkpoint(folder, tmp_path).put("../../x", chunk(tmp_path, b""))
