"""A whole run on a fake engine: publishing, skipping, failing, and processes that die."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit import process_engines as fakes
from tests.unit.pictures import encoded, photo
from worker.domain.errors import InputError, StorageFull
from worker.domain.image import Format, Limits, Probe
from worker.imaging import engine, probe
from worker.job_context import Stop
from worker.services.process_files.output_folder import Entry
from worker.services.process_files.pool import (
    LIMITS,
    Engine,
    FileTask,
    Setup,
    process_file,
    real_engine,
)
from worker.services.process_files.run import RunOptions, RunReport, process_files
from worker.subprocesses import sandbox


class Recorder:
    """A reporter that remembers, and may act on what it hears."""

    def __init__(self, on_done: Callable[[Entry], None] | None = None) -> None:
        """Call ``on_done`` with every finished entry."""
        self.finished: list[str] = []
        self._on_done = on_done

    def begin(self, *, total: int, unchanged: int) -> None:
        """Ignore."""

    def done(self, entry: Entry) -> None:
        """Remember."""
        self.finished.append(Path(entry.source).name)
        if self._on_done is not None:
            self._on_done(entry)


class Bench:
    """An input folder, an output folder and a way to run one into the other."""

    def __init__(self, folder: Path) -> None:
        """Make both below ``folder``."""
        self.inputs = folder / "in"
        self.inputs.mkdir()
        self.out = folder / "out"
        self.recorder = Recorder()

    def put(self, **files: str) -> None:
        """Write input files: the name without ``.jpg``, and the content."""
        for name, content in files.items():
            (self.inputs / f"{name}.jpg").write_text(content)

    def run(
        self, engine: Engine = fakes.ENGINE, recorder: Recorder | None = None, **changes: Any
    ) -> RunReport:
        """Run the folder."""
        self.recorder = recorder or Recorder()
        order = RunOptions(inputs=(self.inputs,), out=self.out, recipe=fakes.RECIPE)
        stop = changes.pop("stop", None) or Stop()
        report = process_files(
            replace(order, **changes), engine=engine, reporter=self.recorder, stop=stop
        )
        stop.close()
        return report

    def manifest(self) -> dict[str, Any]:
        """The manifest's entries by file name."""
        entries = json.loads((self.out / "manifest.json").read_text())
        return {Path(entry["source"]).stem: entry for entry in entries}

    def files(self) -> set[str]:
        """Everything in the output folder, hidden files too."""
        return {
            str(path.relative_to(self.out)) for path in self.out.rglob("*") if not path.is_dir()
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench in a folder of its own."""
    return Bench(tmp_path)


PAGES = {"manifest.json", "index.html"}


@pytest.mark.parametrize(
    ("data", "limits", "code", "probes"),
    [
        (encoded(photo(), "JPEG")[:9_000], Limits(), "truncated", 1),
        (encoded(photo(), "JPEG"), Limits(pixels=1_000), "too_many_pixels", 2),
        (encoded(photo(), "JPEG")[:100], Limits(), "truncated", 1),
    ],
    ids=["in its pixels", "over a limit", "in its header"],
)
def test_a_rejected_picture_is_probed_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    data: bytes,
    limits: Limits,
    code: str,
    probes: int,
) -> None:
    """Its rejection says what it is; a probe that a limit cut short is made again without it."""
    probed: list[int] = []

    def count(content: bytes, *arguments: Any, **options: Any) -> Probe:
        probed.append(len(content))
        return real(content, *arguments, **options)

    real = probe.probe
    monkeypatch.setattr(probe, "probe", count)
    monkeypatch.setattr(engine, "probe", count)
    (tmp_path / "a.jpg").write_bytes(data)
    task = FileTask(number=1, path=tmp_path / "a.jpg", name="a", staging=tmp_path / "new")
    recipe = replace(fakes.RECIPE, formats=frozenset({Format.JPEG}), limits=limits)

    found = process_file(task, Setup(engine=real_engine(), recipe=recipe))

    assert found.cause is not None
    assert (found.cause.code, len(probed)) == (code, probes)
    assert (found.probe is not None) == (len(data) > 100)


def test_accepted_and_rejected(bench: Bench) -> None:
    """Accepted sources get a folder, rejected ones a reason, and nothing else is left."""
    bench.put(good="picture", bad="reject")
    report = bench.run(jobs=2)
    assert (report.accepted, report.rejected, report.interrupted) == (1, 1, False)
    assert bench.files() == PAGES | {"good/small.jpg"}
    entries = bench.manifest()
    assert entries["bad"]["reason"] == {"code": "unknown_format", "message": "not a picture"}
    assert entries["bad"]["probe"]["width"] == 40
    made = entries["good"]["renditions"][0]
    assert made["path"] == "good/small.jpg"
    assert made["bytes"] == (bench.out / made["path"]).stat().st_size


def test_links_that_lead_out_are_left_out(bench: Bench, tmp_path: Path) -> None:
    """They are no rejected sources and in no manifest; alone they are no input."""
    (tmp_path / "secret.jpg").write_text("picture")
    (bench.inputs / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(InputError, match="lead out of their folder") as caught:
        bench.run()
    assert caught.value.code == "input_missing"

    bench.put(good="picture")
    report = bench.run()
    assert (report.total, report.accepted, report.rejected) == (1, 1, 0)
    assert report.left_out == (str(bench.inputs / "link.jpg"),)
    assert set(bench.manifest()) == {"good"}


def test_second_run_does_nothing(bench: Bench) -> None:
    """Unchanged sources are not processed again, whether accepted or rejected."""
    bench.put(good="picture", bad="reject")
    bench.run()
    before = bench.manifest()
    report = bench.run()
    assert (report.unchanged, report.accepted, report.rejected) == (2, 1, 1)
    assert bench.recorder.finished == []
    assert bench.manifest() == before


@pytest.mark.parametrize(
    ("content", "change", "again"),
    [
        ("picture", {}, []),  # touched: a new time on the same bytes
        ("changed", {}, ["good.jpg"]),
        ("picture", {"force": True}, ["good.jpg", "other.jpg"]),
        ("picture", {"recipe": replace(fakes.RECIPE, digest="e" * 64)}, ["good.jpg", "other.jpg"]),
        ("picture", {"engine": replace(fakes.ENGINE, version="fake 2")}, ["good.jpg", "other.jpg"]),
    ],
    ids=["touched", "content", "force", "recipe", "engine"],
)
def test_what_is_done_again(
    bench: Bench, content: str, change: dict[str, Any], again: list[str]
) -> None:
    """New content, another recipe or engine, and ``force``; results of before are replaced."""
    bench.put(good="picture", other="picture")
    bench.run()
    bench.put(good=content)
    bench.run(**change)
    assert bench.recorder.finished == again
    assert (bench.out / "good/small.jpg").read_text() == f"made of {content}"


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_damaged_result_is_made_again(bench: Bench, damage: Callable[[Path], None]) -> None:
    """A result that is gone or has the wrong size is not believed to be there."""
    bench.put(good="picture")
    bench.run()
    damage(bench.out / "good/small.jpg")
    bench.run()
    assert (bench.out / "good/small.jpg").read_bytes() == b"made of picture"


def test_source_that_turns_bad_loses_its_results(bench: Bench) -> None:
    """Renditions of what a source was before do not outlive its rejection."""
    bench.put(good="picture")
    bench.run()
    bench.put(good="reject this")
    bench.run()
    assert bench.files() == PAGES
    assert bench.manifest()["good"]["status"] == "rejected"


def test_earlier_results_stay_listed(bench: Bench, tmp_path: Path) -> None:
    """Another input into the same folder adds to it, even under the same name."""
    bench.put(good="picture")
    bench.run()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "good.jpg").write_text("another")
    report = bench.run(inputs=(tmp_path / "more",))
    assert report.accepted == 1
    assert len(report.entries) == 2
    assert (bench.out / "good/small.jpg").read_bytes() == b"made of picture"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("crash", "decoder_crashed"),
        ("hang", "timed_out"),
        ("exhaust", "out_of_memory"),
        ("defect", "engine_failed"),
    ],
)
def test_poison_does_not_hurt_its_neighbours(bench: Bench, content: str, code: str) -> None:
    """A picture that kills, hangs or exhausts its process is rejected; all others are made."""
    bench.put(a="picture", b=content, c="picture", d="picture")
    report = bench.run(limits=replace(LIMITS, wall_seconds=1.0))
    assert (report.accepted, report.rejected) == (3, 1)
    assert bench.manifest()["b"]["reason"]["code"] == code
    assert bench.files() == PAGES | {f"{name}/small.jpg" for name in "acd"}


def test_the_processes_have_no_credentials(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that takes its process over finds no credentials in the environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    bench.put(a="spy")
    assert bench.run().accepted == 1


def test_second_try_may_succeed(bench: Bench, tmp_path: Path) -> None:
    """A picture whose process died for another reason is made in the sandbox."""
    bench.put(a=f"once {tmp_path / 'marker'}")
    assert bench.run().accepted == 1


def test_sandbox_that_dies_is_survived(bench: Bench) -> None:
    """A process that dies even around the sandbox is a rejection, not an endless loop."""
    bench.put(a="crash", b="picture")
    report = bench.run(engine=replace(fakes.ENGINE, run_sandboxed=fakes.die))
    assert (report.accepted, report.rejected) == (1, 1)
    assert bench.manifest()["a"]["reason"]["code"] == "decoder_crashed"


@pytest.mark.parametrize(
    ("content", "code", "seconds"), [("crash", "out_of_memory", 60.0), ("hang", "timed_out", 2.0)]
)
def test_real_sandbox_says_what_happened(
    bench: Bench, content: str, code: str, seconds: float
) -> None:
    """The second try runs in the real sandbox; a process killed by nobody we know ran out of
    memory."""
    bench.put(a=content, b="picture")
    report = bench.run(
        engine=replace(fakes.ENGINE, run_sandboxed=sandbox.run),
        limits=replace(LIMITS, wall_seconds=seconds),
    )
    assert (report.accepted, report.rejected) == (1, 1)
    entry = bench.manifest()["a"]
    assert entry["reason"]["code"] == code
    # A limit that ends a hang may end an interpreter that starts on a busy machine, too.
    assert seconds < 10 or entry["probe"]["width"] == 40


def test_bytes_are_checked_before_reading(bench: Bench) -> None:
    """A file over the recipe's limit is rejected without being read."""
    bench.put(large="picture, too large")
    recipe = replace(fakes.RECIPE, limits=Limits(bytes=4))
    bench.run(recipe=recipe)
    entry = bench.manifest()["large"]
    assert entry["reason"]["code"] == "too_many_bytes"
    assert entry["input"]["sha256"] is None


def test_full_disk_keeps_what_is_finished(bench: Bench) -> None:
    """No space left stops the run with its own error; earlier pictures stay, nothing is partial."""
    bench.put(a="picture", b="too much", c="picture")
    report = bench.run(write=fakes.write_full)
    assert isinstance(report.failure, StorageFull)
    assert bench.files() == PAGES | {"a/small.jpg"}
    assert set(bench.manifest()) == {"a"}
    assert bench.run().unchanged == 1


def test_stop_keeps_what_is_finished(bench: Bench) -> None:
    """After a stop, manifest and gallery list what is finished, and a run continues."""
    bench.put(**{f"p{n}": "picture" for n in range(4)})
    stop = Stop()
    report = bench.run(stop=stop, recorder=Recorder(lambda _entry: stop.request()))
    assert report.interrupted
    assert bench.files() == PAGES | {"p0/small.jpg"}
    assert set(bench.manifest()) == {"p0"}
    report = bench.run()
    assert (report.accepted, report.unchanged) == (4, 1)


def test_killed_run_is_cleaned_up(bench: Bench) -> None:
    """Leftovers and the journal of a run that was killed are used and removed by the next."""

    class Killed(BaseException):
        """Ends the run as a kill would: nothing below catches it."""

    def kill(_entry: Entry) -> None:
        raise Killed

    bench.put(a="picture", b="picture")
    with pytest.raises(Killed):
        bench.run(recorder=Recorder(kill))
    (bench.out / ".tmp-safelight-b").mkdir()
    (bench.out / ".tmp-safelight-b" / "small.jpg").write_bytes(b"half")
    with (bench.out / ".safelight-journal").open("a") as journal:
        journal.write('\n{"source": "cut sho')
    report = bench.run()
    assert (report.accepted, report.unchanged) == (2, 1)
    assert bench.files() == PAGES | {"a/small.jpg", "b/small.jpg"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.html", "<h1>My own page</h1>"),
        ("manifest.json", '{"name": "My own app"}'),
        ("manifest.json", '[{"source": '),
    ],
)
def test_foreign_files_are_not_replaced(bench: Bench, name: str, content: str) -> None:
    """A page or manifest of somebody else's stops the run before it writes anything."""
    bench.put(a="picture")
    bench.out.mkdir()
    (bench.out / name).write_text(content)
    with pytest.raises(InputError, match="not written by Safelight") as caught:
        bench.run()
    assert caught.value.code == "output_unwritable"
    assert (bench.out / name).read_text() == content


def test_foreign_folder_is_not_replaced(bench: Bench) -> None:
    """A folder of somebody else's that has a picture's name stays as it is."""
    bench.put(a="picture")
    (bench.out / "a").mkdir(parents=True)
    (bench.out / "a" / "diary.txt").write_text("mine")
    report = bench.run()
    assert report.accepted == 1
    assert (bench.out / "a" / "diary.txt").read_text() == "mine"


def test_manifest_cannot_lead_out_of_the_folder(bench: Bench, tmp_path: Path) -> None:
    """A manifest that names a folder elsewhere does not get that folder replaced."""
    bench.put(a="picture")
    bench.run()
    path = bench.out / "manifest.json"
    path.write_text(path.read_text().replace('"name": "a"', '"name": "../victim"'))
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "diary.txt").write_text("mine")
    bench.run(force=True)
    assert (tmp_path / "victim" / "diary.txt").read_text() == "mine"


def test_two_runs_do_not_share_a_folder(bench: Bench) -> None:
    """A second run into a folder that one is writing to is refused."""

    def intrude(_entry: Entry) -> None:
        other = Stop()
        order = RunOptions(inputs=(bench.inputs,), out=bench.out, recipe=fakes.RECIPE)
        with pytest.raises(InputError, match="another run") as caught:
            process_files(order, engine=fakes.ENGINE, reporter=Recorder(), stop=other)
        assert caught.value.code == "output_busy"
        other.close()

    bench.put(a="picture")
    assert bench.run(recorder=Recorder(intrude)).accepted == 1
