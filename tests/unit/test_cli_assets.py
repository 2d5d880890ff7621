"""``assets list``: pages without a filter, keys, uploads that wait."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.cli_pipeline import Pipeline, pipeline
from tests.unit.memory_ledger import counted
from worker.domain.asset import AssetRecord, JobRecord, LogEntry, Status
from worker.domain.label import Label
from worker.services import find_assets


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline without assets."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as made:
        yield made


def keys(world: Pipeline, *words: object) -> list[str]:
    """Keys of the assets that are listed, in their order."""
    return [each["source"]["key"] for each in world.json("assets", "list", *words)]


def job(
    record: AssetRecord, kind: str, state: str, percent: str, *, version: str = ""
) -> JobRecord:
    """A job as its runner records it."""
    place = f"s3://delivery/00/{record.asset}/{version or record.version}/{kind}"
    return JobRecord(
        asset=record.asset,
        id=f"id-of-{kind}-{version}",
        kind=kind,
        state=state,
        created_at=record.updated_at,
        updated_at=record.updated_at,
        detail={"output": place, "percent": percent},
    )


def test_pages_without_a_filter_have_every_asset_once(world: Pipeline) -> None:
    """Newest first, of all statuses; each page names the way to the next."""
    statuses = (Status.ACCEPTED, Status.REJECTED, Status.PROCESSING)
    for number in range(7):
        status = statuses[number % 3]
        code = "" if status is Status.ACCEPTED else "video"
        world.record(f"uploads/{number}.jpg", status, code=code, second=number)
    found: list[str] = []
    words: tuple[str, ...] = ("--limit", "3")
    for size in (3, 3, 1):
        out, err = world.run("assets", "list", *words, "--json")
        page = json.loads(out)
        assert len(page) == size
        found += [each["source"]["key"] for each in page]
        if size == 3:
            words = ("--limit", "3", "--cursor", json.loads(err)["cursor"])

    assert err == ""
    assert found == [f"uploads/{number}.jpg" for number in reversed(range(7))]


def test_people_get_a_header_ages_and_the_next_page(world: Pipeline) -> None:
    """The list on standard output, how to go on beside it."""
    assert world.run("assets", "list") == ("no assets\n", "")
    for number in range(3):
        world.record(f"uploads/{number}.jpg", second=number)

    out, err = world.run("assets", "list", "--limit", 2)
    header, first, _second = out.splitlines()
    assert header.split() == ["status", "age", "picture", "renditions", "asset", "key"]
    assert first.split()[0] == "accepted"
    assert first.endswith("uploads/2.jpg")
    assert " d " in first
    cursor = err.removeprefix("there are more: --cursor ").strip()
    assert world.run("assets", "list", "--cursor", cursor)[0].count("uploads/") == 1


def test_a_cursor_of_another_list_is_refused(world: Pipeline) -> None:
    """With its code."""
    assert world.error("assets", "list", "--cursor", "c")["code"] == "input_cursor"


def test_a_key_finds_its_asset(world: Pipeline) -> None:
    """Exactly, or with stars for any text; beside another choice both must hold."""
    world.record("uploads/a.jpg", second=1, owner="zoe", tags=frozenset({"sea"}))
    world.record("uploads/b.jpg", Status.REJECTED, code="empty", second=2)
    world.record("uploads/deep/a[1].jpg", second=3)

    assert keys(world, "--key", "uploads/a.jpg") == ["uploads/a.jpg"]
    assert keys(world, "--key", "a.jpg") == []
    assert keys(world, "--key", "uploads/*.jpg", "--status", "accepted") == [
        "uploads/deep/a[1].jpg",
        "uploads/a.jpg",
    ]
    assert keys(world, "--key", "*a[1]*") == ["uploads/deep/a[1].jpg"]
    assert keys(world, "--key", "uploads/a.jpg", "--tag", "sea") == ["uploads/a.jpg"]
    assert keys(world, "--key", "uploads/a.jpg", "--owner", "max") == []
    assert keys(world, "--key", "uploads/b.jpg", "--status", "accepted") == []


def test_a_label_finds_its_assets(world: Pipeline) -> None:
    """By its tag, and only those that the model was certain enough of."""
    dog = Label(name="Dog", confidence=98.5)
    tags = frozenset({dog.tag})
    sure = world.record("uploads/sure.jpg", second=1, tags=tags, labels=(dog,))
    unsure = replace(dog, confidence=61.0)
    world.record("uploads/unsure.jpg", second=2, tags=tags, labels=(unsure,))

    assert keys(world, "--tag", "label:dog") == ["uploads/unsure.jpg", "uploads/sure.jpg"]
    assert keys(world, "--tag", "label:dog", "--confidence", 90) == ["uploads/sure.jpg"]
    for words in (("--confidence", "90"), ("--tag", "label:dog", "--confidence", "nan")):
        assert world.error("assets", "list", *words)["code"] == "usage"
    assert "Dog 98 %" in " ".join(world.run("assets", "show", sure.asset)[0].split())


def test_a_search_has_pages_and_an_end(world: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither passes anything over, wherever a page ends."""
    for number in range(20):
        world.record(f"{'even' if number % 2 == 0 else 'odd'}/{number}.jpg", second=number)
    monkeypatch.setattr(find_assets, "SEARCH_PAGE", 3)
    monkeypatch.setattr(find_assets, "MOST_LOOKED_AT", 9)
    found: list[str] = []
    words: tuple[str, ...] = ()
    for _ in range(20):
        out, err = world.run("assets", "list", "--key", "even/*", "--limit", 2, "--json", *words)
        page = json.loads(out)
        assert len(page) <= 2
        found += [each["source"]["key"] for each in page]
        if not err:
            break
        words = ("--cursor", json.loads(err)["cursor"])

    assert found == [f"even/{number}.jpg" for number in reversed(range(0, 20, 2))]


def test_what_waits_says_for_what(world: Pipeline) -> None:
    """The jobs of this version, done and under way; a person; nothing yet."""
    video = world.record("video.mp4", Status.PROCESSING, code="video", second=2)
    world.record("other.mp4", Status.PROCESSING, code="video", second=1)
    world.record("odd.jpg", Status.REVIEW, code="moderation", second=0)
    world.catalog.put_job(job(video, "poster", "SUCCEEDED", "100.0"))
    world.catalog.put_job(job(video, "transcode", "RUNNING", "41.7"))
    world.catalog.put_job(job(video, "preview", "FAILED", ""))
    world.catalog.put_job(job(video, "storyboard", "RUNNING", "1", version="0123456789abcdef"))

    out, _ = world.run("assets", "list")
    lines = out.splitlines()[1:]
    assert lines[0].endswith("waits for jobs (video): 1 done, preview failed, transcode at 42 %")
    assert lines[1].endswith("waits for jobs (video): none has started")
    assert lines[2].endswith("waits for a person (moderation)")
    first, second, third = world.json("assets", "list")
    assert [(each["kind"], each["state"], each["percent"]) for each in first["waits_for"]] == [
        ("poster", "SUCCEEDED", 100.0),
        ("preview", "FAILED", None),
        ("transcode", "RUNNING", 41.7),
    ]
    assert (second["waits_for"], third["waits_for"]) == ([], None)


def test_uploads_that_are_not_recorded_yet_are_counted(world: Pipeline) -> None:
    """Those in the queues, also those that a worker has taken."""
    work = "http://127.0.0.1:9/1/work.fifo"
    world.queue.send(work, [("one", "g", "1"), ("two", "h", "2")])
    world.queue.receive(work, limit=1)

    assert world.run("assets", "list")[1] == "about 2 uploads are not recorded yet\n"
    assert world.run("assets", "list", "--status", "processing")[1] == ""


def test_removing_prints_each_asset(world: Pipeline) -> None:
    """An object a line, as it goes; one that is not there ends it."""
    one, two = world.record("1.jpg"), world.record("2.jpg")
    out, _ = world.run("assets", "rm", one.asset, two.asset, "--json")

    assert [json.loads(line)["asset"] for line in out.splitlines()] == [one.asset, two.asset]
    assert world.error("assets", "rm", one.asset)["code"] == "asset_missing"


def test_a_note_is_never_of_another_record(world: Pipeline) -> None:
    """The code of a rejection, or the tags."""
    record = world.record("a.jpg", tags=frozenset({"sea", "air"}))
    assert record == replace(record)
    world.record("b.jpg", Status.REJECTED, code="empty", second=1)

    lines = world.run("assets", "list")[0].splitlines()
    assert lines[1].endswith("b.jpg  empty")
    assert lines[2].endswith("a.jpg  air, sea")


def test_a_timeline_says_nothing_of_traces(world: Pipeline) -> None:
    """`safelight trace` does; with --json the line is whole."""
    record = world.record("a.jpg")
    detail = {"outcome": "duplicate", "traceparent": record.source.trace}
    entry = LogEntry(time=record.updated_at, kind="duplicate", id="1", detail=detail)
    world.catalog.log(record.asset, entry)

    said, _ = world.run("assets", "show", record.asset)

    assert "outcome duplicate" in said
    assert "traceparent" not in said
    lines = world.json("assets", "show", record.asset)["timeline"]
    assert [line["detail"] for line in lines if line["kind"] == "duplicate"] == [detail]


def test_a_person_is_erased(world: Pipeline) -> None:
    """All assets of an owner, more than a page has, and the name in the ledger; sums stay."""
    for number in range(103):
        world.record(f"{number}.jpg", owner="anna")
    kept = world.record("kept.jpg", owner="ben")
    now = datetime.now(UTC)
    times = [(now - timedelta(days=back)).isoformat() for back in (61, 1, 0)]
    world.ledger.add("s", [counted(number, time=time) for number, time in enumerate(times, 1)])
    before = world.json("cost", "report")["usd"]

    out, _ = world.run("assets", "rm", "--owner", "anna", "--yes", "--json")

    *removed, last = [json.loads(line) for line in out.splitlines()]
    assert len({one["asset"] for one in removed}) == 103
    assert last == {"owner": "anna", "ledger_lines": 3}
    assert [one["asset"] for one in world.json("assets", "list")] == [kept.asset]
    assert world.json("cost", "report", "--owner", "anna")["names"] == []
    assert world.json("cost", "report")["usd"] == before
    out, _ = world.run("assets", "rm", "--owner", "anna", "--yes")
    assert out == "removed anna from 0 lines of the ledger\n"


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        """A person is there."""
        return True


def test_a_person_is_erased_only_on_purpose(
    world: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal the name must be typed again; a script needs --yes."""
    kept = world.record("1.jpg", owner="anna")
    rm = ("assets", "rm", "--owner", "anna")

    assert world.error(*rm)["code"] == "usage"
    monkeypatch.setattr(sys, "stdin", Terminal("ann\n"))
    assert "nothing was removed" in world.run(*rm, code=2)[1]
    assert world.catalog.get(kept.asset) is not None
    monkeypatch.setattr(sys, "stdin", Terminal("anna\n"))
    world.run(*rm)
    assert world.catalog.get(kept.asset) is None


@pytest.mark.parametrize("words", [(), ("--owner", ""), ("some-id", "--owner", "anna")])
def test_what_to_remove_is_said_once(world: Pipeline, words: tuple[str, ...]) -> None:
    """Ids or a name; an empty one would be everybody who has none."""
    assert world.error("assets", "rm", *words)["code"] == "usage"
