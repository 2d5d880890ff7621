"""One attempt: its exit code and what it leaves, odd names, changing inputs, scratch, signals."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batch.arguments import read_arguments
from batch.catalogue import EXIT_AGAIN, EXIT_STOPPED
from batch.runner import SCRATCH_PREFIX, Scratch, perform
from batch.work import Operation, Work
from tests.unit.batch.attempts import MemoryServices, attempt
from worker.domain.asset import JobRecord
from worker.domain.errors import (
    AccessDenied,
    DamagedInput,
    EngineError,
    InputError,
    ObjectChanged,
    ParameterError,
    Reason,
    SafelightError,
    ScratchFull,
    Stopped,
    Throttled,
    Unreachable,
)
from worker.job_context import Stop

ASSET = "7b6b3b1c-2f6e-4a57-9c55-0d1d5ad1c001"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """An input; no operation here looks at what it is."""
    path = tmp_path / "video.mp4"
    path.write_bytes(b"data" * 1000)
    return path


@pytest.fixture
def usual(video: Path, tmp_path: Path) -> list[str]:
    """A command line."""
    (tmp_path / "disk").mkdir()
    return [
        *("poster", "--input", str(video), "--output", str(tmp_path / "out")),
        *("--scratch", str(tmp_path / "disk"), "--param", "width=64"),
    ]


def sized(work: Work) -> Mapping[str, object]:
    """An operation: stores the size of its input."""
    made = work.scratch / "made"
    made.write_text(str(work.inputs[0].stat().st_size))
    work.progress(0.5, "measuring")
    work.outputs.file(made, "size.txt")
    return {"width": work.parameters["width"], "index": work.index, "size": work.size}


def fails_with(error: BaseException) -> Operation:
    """An operation that leaves something in scratch and raises."""

    def operation(work: Work) -> Mapping[str, object]:
        (work.scratch / "half").write_bytes(b"x")
        raise error

    return operation


def content(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_bytes())


def test_success_leaves_results_and_a_record(usual: list[str], tmp_path: Path, video: Path) -> None:
    """Exit 0; result.json vouches for inputs and outputs with digests; scratch is empty."""
    ended = attempt(*usual, operation=sized)

    result = content(tmp_path / "out" / "result.json")
    (source,) = result["inputs"]
    assert ended.code == 0
    assert (tmp_path / "out" / "size.txt").read_text() == "4000"
    assert result["kind"] == "poster"
    assert result["parameters"]["width"] == 64
    assert result["details"] == {"width": 64, "index": None, "size": 1}
    assert (source["uri"], source["bytes"]) == (str(video), 4000)
    assert source["sha256"] == hashlib.sha256(video.read_bytes()).hexdigest()
    assert result["outputs"] == [
        {
            "name": "size.txt",
            "bytes": 4,
            "sha256": hashlib.sha256(b"4000").hexdigest(),
            "content_type": "text/plain; charset=utf-8",
        }
    ]
    assert list((tmp_path / "disk").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["result.json", "size.txt"]


def test_a_job_that_is_done_is_not_done_again(usual: list[str], video: Path) -> None:
    """The same request does nothing; --force, other parameters or other content do it again."""
    attempt(*usual, operation=sized)
    never = fails_with(EngineError("it ran"))

    assert attempt(*usual, operation=never).events("unchanged")
    assert attempt(*usual, "--force", operation=never).code == 1
    assert attempt(*usual, operation=sized).code == 0
    assert attempt(*usual, "--param", "quality=10", operation=never).code == 1
    assert attempt(*usual, operation=sized).code == 0
    video.write_bytes(b"another")
    assert attempt(*usual, operation=never).code == 1


def test_the_same_content_elsewhere_is_the_same_job(usual: list[str], video: Path) -> None:
    """A touched or moved file with equal bytes needs no second run."""
    attempt(*usual, operation=sized)
    moved = video.rename(video.with_name("moved.mp4"))
    usual[2] = str(moved)

    assert attempt(*usual, operation=fails_with(EngineError("it ran"))).events("unchanged")


def test_a_failed_job_is_not_vouched_for(usual: list[str], tmp_path: Path) -> None:
    """A record of success does not survive the start of a different job in the same output."""
    attempt(*usual, operation=sized)
    attempt(*usual, "--force", operation=fails_with(EngineError("x")))

    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize(
    ("error", "code", "event"),
    [
        (DamagedInput(Reason.TRUNCATED, "ends early"), 65, "rejected"),
        (MemoryError(), 65, "rejected"),
        (Throttled("slowly"), 75, "failed"),
        (Unreachable("away"), 75, "failed"),
        (OSError(28, "No space left on device"), 75, "failed"),
        (KeyboardInterrupt(), 75, "stopped"),
        (EngineError("defect"), 1, "failed"),
        (AccessDenied("no right"), 1, "failed"),
        (ZeroDivisionError("defect"), 1, "failed"),
        (ParameterError("x", ()), 2, "failed"),
    ],
)
def test_every_failure_has_its_exit_code(
    usual: list[str], tmp_path: Path, error: BaseException, code: int, event: str
) -> None:
    """The code follows from the error; no result is recorded and scratch is empty."""
    ended = attempt(*usual, operation=fails_with(error))

    (line,) = ended.events(event)
    assert ended.code == line["exit_code"] == code
    assert line["code"].replace("_", "").isalnum()
    assert "Traceback" not in json.dumps(ended.lines)
    assert not (tmp_path / "out" / "result.json").exists()
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_verdict_is_written_beside_the_results(usual: list[str], tmp_path: Path) -> None:
    """rejected.json has the code, the sentence and the kind; a later success removes it."""
    attempt(*usual, operation=fails_with(DamagedInput(Reason.TRUNCATED, "ends early")))
    verdict = content(tmp_path / "out" / "rejected.json")

    assert (verdict["kind"], verdict["code"], verdict["message"]) == (
        "poster",
        "truncated",
        "ends early",
    )
    attempt(*usual, operation=sized)
    assert not (tmp_path / "out" / "rejected.json").exists()


def test_an_input_that_is_not_there_is_bad_input(usual: list[str], tmp_path: Path) -> None:
    """A missing file, a folder and a missing object end with 65 and a verdict."""
    for source, code in (
        (str(tmp_path / "none"), "input_missing"),
        (str(tmp_path), "input_unreadable"),
        ("s3://bucket/none.mp4", "object_missing"),
        ("s3://bucket/prefix/", "input_invalid"),
    ):
        usual[2] = source
        assert attempt(*usual, operation=sized).code == 65
        assert content(tmp_path / "out" / "rejected.json")["code"] == code


def test_everything_that_is_said_wrongly_is_listed_at_once() -> None:
    """Kind, inputs, output, parameters and numbers are checked before anything is touched."""
    with pytest.raises(ParameterError) as caught:
        read_arguments(
            [
                *("poster", "--output", "http://x/", "--param", "width=x", "--param", "wdth=3"),
                *("--param", "fast"),
                *("--input", "ftp://a", "--input", "b", "--index", "3", "--threads", "-1"),
            ],
            {},
        )

    paths = [problem.path for problem in caught.value.problems]
    assert {
        "--input",
        "--output",
        "--index",
        "--size",
        "--threads",
        "width",
        "'wdth'",
        "'fast'",
    } <= set(paths)


@pytest.mark.parametrize("line", [[], ["poster"], ["none", "--output", "x"], ["poster", "--bogus"]])
def test_a_wrong_command_line_is_an_error_of_ours(line: list[str]) -> None:
    """argparse never ends the process by itself."""
    with pytest.raises(ParameterError):
        read_arguments(line, {})


def test_an_output_that_is_a_whole_bucket_is_refused() -> None:
    """Results at the top of a bucket would be beside everything else."""
    with pytest.raises(ParameterError, match="prefix"):
        read_arguments(["poster", "--input", "a", "--output", "s3://bucket"], {})


def test_checkpoints_outlive_a_failed_attempt(usual: list[str], tmp_path: Path) -> None:
    """The next attempt finds the checkpoints, which are removed after success."""
    made: list[str] = []

    def operation(work: Work) -> Mapping[str, object]:
        for name in ("1", "2", "3"):
            if work.checkpoint.get(name) is None:
                path = work.scratch / name
                path.write_text(name)
                made.append(name)
                work.checkpoint.put(name, path)
            if len(made) == 2:
                made.append("stop")
                raise Unreachable("reclaimed")
        return {}

    assert attempt(*usual, operation=operation).code == 75
    assert attempt(*usual, operation=operation).code == 0
    assert made == ["1", "2", "stop", "3"]
    assert not (tmp_path / "out" / ".checkpoint").exists()


def test_a_stop_ends_in_order(usual: list[str], tmp_path: Path) -> None:
    """A stop while it works is 75 and ``stopped``, whatever error the operation makes of it."""
    for error in (None, EngineError("the child program was killed")):
        stop = Stop()

        def operation(
            work: Work, stop: Stop = stop, error: SafelightError | None = error
        ) -> Mapping[str, object]:
            stop.request("reclaimed")
            if error is not None:
                raise error
            work.stop.check()
            return {}

        ended = attempt(*usual, operation=operation, stop=stop)
        assert ended.code == 75
        assert ended.events("stopped")[0]["code"] == "stopped"
        assert list((tmp_path / "disk").iterdir()) == []


def test_a_verdict_counts_even_when_a_stop_comes(usual: list[str]) -> None:
    """A verdict on the input is stored even if the job is stopped."""
    stop = Stop()

    def operation(work: Work) -> Mapping[str, object]:
        stop.request("reclaimed")
        raise DamagedInput(Reason.CORRUPT, "no")

    assert attempt(*usual, operation=operation, stop=stop).code == 65


def test_a_full_scratch_disk_is_found_before_fetching(
    usual: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt ends with 75 and ``scratch_full`` and names both figures; nothing is fetched."""
    services = MemoryServices()
    services.memory.upload("bucket", "video.mp4", b"x" * 100)
    usual[2] = "s3://bucket/video.mp4"
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    ended = attempt(*usual, operation=sized, services=services)

    assert ended.code == 75
    (line,) = ended.events("failed")
    assert line["code"] == "scratch_full"
    assert "1 MB are free" in line["message"]


def test_inputs_and_outputs_may_be_in_s3(usual: list[str], tmp_path: Path) -> None:
    """An object is fetched under a harmless name with its ending; results are put back."""
    services = MemoryServices()
    services.memory.upload("intake", "ab/-rf *;x.MP4", b"12345")
    usual[2], usual[4] = "s3://intake/ab/-rf *;x.MP4", "s3://delivery/aa/asset/"
    seen: list[str] = []

    def operation(work: Work) -> Mapping[str, object]:
        seen.append(work.inputs[0].name)
        return sized(work)

    assert attempt(*usual, operation=operation, services=services).code == 0
    assert seen == ["input.mp4"]
    assert services.memory.keys("delivery") == {"aa/asset/size.txt", "aa/asset/result.json"}
    never = fails_with(EngineError("it ran"))
    assert attempt(*usual, operation=never, services=services).events("unchanged")


def test_progress_goes_to_the_log(usual: list[str]) -> None:
    """Percent never falls behind what is fetched nor reaches 100 before the record is written."""
    ended = attempt(*usual, operation=sized)

    percents = [line["percent"] for line in ended.events("progress")]
    assert percents == sorted(percents)
    assert percents[-1] == 100.0
    assert {line["doing"] for line in ended.events("progress")} == {"measuring", "done"}
    assert next(line["event"] for line in ended.lines if "event" in line) == "started"
    (metrics,) = [line for line in ended.lines if "_aws" in line]
    assert (metrics["kind"], metrics["outcome"], metrics["Jobs"]) == ("poster", "done", 1)
    assert metrics["JobBytesIn"] == 4000


def test_the_assets_record_lists_the_job(
    usual: list[str], monkeypatch: pytest.MonkeyPatch, video: Path
) -> None:
    """With an asset and a table the job is there with its state; created_at stays."""
    monkeypatch.setenv("SAFELIGHT_TABLE", "catalog")
    services, batch = MemoryServices(), {"AWS_BATCH_JOB_ID": "job-1", "AWS_BATCH_JOB_ATTEMPT": "2"}
    line = [*usual, "--asset", ASSET]

    attempt(*line, operation=fails_with(Unreachable("x")), services=services, environment=batch)
    attempt(*line, operation=sized, services=services, environment=batch)

    first, last = (job for job in services.assets.written if job.state != "RUNNING")
    # RUNNING is written in the background, if there is time for it, and never after the end.
    states = [job.state for job in services.assets.written]
    assert [state for state in states if state != "RUNNING"] == ["RUNNABLE", "SUCCEEDED"]
    assert states[-1] == "SUCCEEDED"
    assert (last.id, last.kind, last.asset) == ("job-1", "poster", ASSET)
    assert last.created_at == first.created_at
    assert last.detail["percent"] == "100.0"
    assert first.detail["code"] == "unreachable"


def test_a_catalog_that_fails_does_not_fail_the_job(
    usual: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning in the log."""
    monkeypatch.setenv("SAFELIGHT_TABLE", "catalog")
    services = MemoryServices()

    def away(job: JobRecord) -> None:
        raise Unreachable("away")

    monkeypatch.setattr(services.assets, "put_job", away)
    ended = attempt(*usual, "--asset", ASSET, operation=sized, services=services)

    assert ended.code == 0
    assert ended.events("warning")[0]["code"] == "unreachable"


def test_children_of_an_array_have_records_of_their_own(video: Path, tmp_path: Path) -> None:
    """Index and size come from Batch's variables; results do not overwrite each other."""
    line = ["transcode-part", "--input", str(video), "--output", str(tmp_path / "out")]

    def operation(work: Work) -> Mapping[str, object]:
        return {"index": work.index, "size": work.size}

    for index in range(2):
        environment = {"AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JOB_ARRAY_SIZE": "2"}
        assert attempt(*line, operation=operation, environment=environment).code == 0

    names = sorted(path.name for path in (tmp_path / "out" / "results").iterdir())
    assert names == ["00000.part.result.json", "00001.part.result.json"]
    assert content(tmp_path / "out" / "results" / names[1])["details"] == {"index": 1, "size": 2}


# --- names of files ---------------------------------------------------------------------------


NAMES = (
    # As macOS names screen recordings: a narrow no-break space.
    "Recording at 9.41.00\u202fAM.mov",
    "\U0001f469\u200d\U0001f467.mp4",
    "two\nlines.mp4",
    "-o.mp4",
    "%03d 'quoted', [0:v];.mp4",
    # A byte that is no UTF-8.
    "\udcff.mp4",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_can_be_called_anything(name: str, tmp_path: Path) -> None:
    """It is done, its record can be read and names it, and it is known again."""
    video, out = tmp_path / name, tmp_path / "out"
    video.write_bytes(b"data")
    words = ("poster", "--input", str(video), "--output", str(out))
    done = attempt(*words, operation=sized)

    (source,) = json.loads((out / "result.json").read_bytes())["inputs"]
    assert done.code == 0
    assert source["uri"] == str(video)
    assert attempt(*words, operation=sized).events("unchanged")


def test_programs_see_none_of_these_names(tmp_path: Path) -> None:
    """The runner names the local inputs, and keeps only the extension of the file."""
    seen: list[str] = []

    def looked(work: Work) -> Mapping[str, object]:
        seen.append(work.inputs[0].name)
        assert work.inputs[0].read_bytes() == b"data"
        return {}

    for number, name in enumerate((*NAMES, "video.mp4")):
        (tmp_path / name).write_bytes(b"data")
        words = ("--input", str(tmp_path / name), "--output", str(tmp_path / f"out-{number}"))
        assert attempt("poster", *words, operation=looked).code == 0
    assert set(seen) == {"input.mov", "input.mp4"}


def test_an_object_can_be_called_anything(tmp_path: Path) -> None:
    """Any key in UTF-8 is accepted."""
    services = MemoryServices()
    for number, name in enumerate(NAMES[:-1]):
        services.memory.upload("intake", f"uploads/{name}", b"data")
        results = str(tmp_path / str(number))
        words = ("poster", "--input", f"s3://intake/uploads/{name}", "--output", results)
        assert attempt(*words, operation=sized, services=services).code == 0


def test_lines_about_a_name_that_is_no_text_are_written(tmp_path: Path) -> None:
    """A log in UTF-8 refuses lone surrogates; a line must not be lost for that."""
    video, out = tmp_path / "video.mp4", tmp_path / "out\udcff"
    video.write_bytes(b"data")
    written = io.BytesIO()
    order = read_arguments(["poster", "--input", str(video), "--output", str(out)], {})
    with io.TextIOWrapper(written, "utf-8") as log:
        perform(order, services=MemoryServices(), stop=Stop(), log=log, operation=sized)
        lines = [json.loads(line) for line in written.getvalue().splitlines()]

    assert [line["output"] for line in lines if line.get("event") == "started"] == [str(out)]


# --- inputs that change -----------------------------------------------------------------------


def test_an_object_that_changes_meanwhile_is_not_worked_on(
    usual: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The fetched object must be the one that was described."""
    services = MemoryServices()
    services.memory.upload("intake", "video.mp4", b"12345")
    usual[2] = "s3://intake/video.mp4"

    def changed(*_: object, **__: object) -> None:
        raise ObjectChanged("replaced")

    monkeypatch.setattr("tests.unit.batch.attempts.MemoryTransfers.download", changed)

    assert attempt(*usual, operation=lambda _: {}, services=services).code == 65
    assert content(tmp_path / "out" / "rejected.json")["code"] == "object_changed"


def test_a_verdict_on_a_file_that_changes_meanwhile_names_that(
    usual: list[str], tmp_path: Path, video: Path
) -> None:
    """Half a copy looks damaged; that it was written to is what helps."""

    def operation(work: Work) -> Mapping[str, object]:
        work.inputs[0].write_bytes(b"cut")
        raise DamagedInput(Reason.TRUNCATED, "ends early")

    assert attempt(*usual, operation=operation).code == 65
    assert content(tmp_path / "out" / "rejected.json")["code"] == "object_changed"


@pytest.mark.parametrize("change", ["written", "gone", "touched"])
def test_a_file_that_changes_meanwhile_is_not_vouched_for(
    usual: list[str], tmp_path: Path, video: Path, change: str
) -> None:
    """Results may be of either content, or both: a verdict, no record. A new time is no change."""

    def operation(work: Work) -> Mapping[str, object]:
        work.checkpoint.put("piece", video)
        if change == "written":
            video.write_bytes(b"cut")
        elif change == "gone":
            video.unlink()
        else:
            os.utime(video, ns=(1, 1))
        return {}

    codes = {"written": "object_changed", "gone": "input_missing"}
    out = tmp_path / "out"
    assert attempt(*usual, operation=operation).code == (65 if change in codes else 0)
    assert (out / "result.json").exists() == (change not in codes)
    if change in codes:
        assert content(out / "rejected.json")["code"] == codes[change]
    assert not (out / ".checkpoint").exists()


def test_what_was_stored_before_a_verdict_goes_with_it(
    usual: list[str], tmp_path: Path, video: Path
) -> None:
    """A file that is gone when all is done: no result of it stays without a record."""

    def operation(work: Work) -> Mapping[str, object]:
        made = work.scratch / "made"
        made.write_bytes(b"poster")
        work.outputs.file(made, "deep/poster.jpg")
        video.unlink()
        return {}

    assert attempt(*usual, operation=operation).code == 65
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejected.json"]


def test_a_defect_on_a_file_that_changes_meanwhile_names_that(
    usual: list[str], tmp_path: Path, video: Path
) -> None:
    """Programs say strange things of a file that ends under them."""

    def operation(work: Work) -> Mapping[str, object]:
        video.write_bytes(b"fi")
        raise EngineError("ffmpeg ended with status 1")

    assert attempt(*usual, operation=operation).code == 65
    assert content(tmp_path / "out" / "rejected.json")["code"] == "object_changed"


# --- outputs that cannot be used --------------------------------------------------------------


def never(_: Work) -> Mapping[str, object]:
    """An operation that is not to be begun."""
    raise AssertionError("it was begun")


def test_results_that_cannot_be_written_is_found_before_the_work(
    video: Path, tmp_path: Path
) -> None:
    """A file where the folder should be, or above it."""
    for results in (video, video / "below"):
        ended = attempt("poster", "--input", str(video), "--output", str(results), operation=never)
        (failed,) = ended.events("failed")
        assert (ended.code, failed["code"]) == (1, "output_unwritable")


def test_a_second_job_with_the_same_output_is_told(video: Path, tmp_path: Path) -> None:
    """Two that work there at the same time would leave files of both under one record."""
    words = ("poster", "--input", str(video), "--output", str(tmp_path / "out"))
    second: list[tuple[int, object]] = []

    def first(_: Work) -> Mapping[str, object]:
        ended = attempt(*words, operation=never)
        second.append((ended.code, ended.events("failed")[0]["code"]))
        return {}

    assert attempt(*words, operation=first).code == 0
    assert second == [(1, "output_busy")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.json"]


# --- scratch ----------------------------------------------------------------------------------


def test_what_a_killed_attempt_has_left_is_removed(tmp_path: Path) -> None:
    """A folder whose lock is free goes; one that is held, or nobody's, stays."""
    dead, other = tmp_path / f"{SCRATCH_PREFIX}dead", tmp_path / "other"
    for folder in (dead, other):
        folder.mkdir()
        (folder / "lock").write_bytes(b"")

    with Scratch(tmp_path) as alive, Scratch(tmp_path) as second:
        assert {path.name for path in tmp_path.iterdir()} == {
            *("other", alive.root.name, second.root.name)
        }

    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    """Without a lock it is young, or it is an hour old and nobody's."""
    young, old = tmp_path / f"{SCRATCH_PREFIX}young", tmp_path / f"{SCRATCH_PREFIX}old"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (0, 0))

    with Scratch(tmp_path):
        assert young.exists()
        assert not old.exists()


def test_a_lock_is_never_seen_before_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that starts at the same moment would take the folder for a dead one's."""
    seen: list[list[str]] = []
    lock = fcntl.flock

    def looked(file: int, operation: int) -> None:
        seen.append([path.name for path in tmp_path.glob("*/lock")])
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", looked)
    with Scratch(tmp_path) as scratch:
        assert (scratch.root / "lock").is_file()

    assert seen == [[]]


def test_folders_are_empty_and_gone_even_after_an_error(tmp_path: Path) -> None:
    """All files in the folder are removed when the attempt ends."""

    def fail(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "half").write_bytes(b"x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Scratch(tmp_path) as scratch:
        fail(scratch.work)

    assert list(tmp_path.iterdir()) == []


def test_more_than_there_is_cannot_be_had(tmp_path: Path) -> None:
    """Too little room is ``scratch_full``; an output for no folder is the person's mistake."""
    with Scratch(tmp_path) as scratch, pytest.raises(ScratchFull, match="are free"):
        scratch.check_room(2**62)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError), Scratch(tmp_path / "file"):
        pass


# --- signals ----------------------------------------------------------------------------------


ROOT = Path(__file__).parents[3]


@contextmanager
def working(mode: str, tmp_path: Path, *, grace: float) -> Iterator[subprocess.Popen[str]]:
    """A job as a real process, once it works."""
    command = [sys.executable, "-m", "tests.unit.batch.stubborn", mode]
    command += [str(tmp_path / "disk"), str(tmp_path / "out"), str(grace)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while json.loads(process.stdout.readline()).get("doing") != "working":
                pass
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_order_is_75(tmp_path: Path, number: int) -> None:
    """The operation ends, its chunks are kept, scratch is empty, and the code says: again."""
    with working("orderly", tmp_path, grace=60) as process:
        process.send_signal(number)
        assert process.wait(60) == EXIT_AGAIN

    assert list((tmp_path / "disk").iterdir()) == []
    assert next((tmp_path / "out" / ".checkpoint").rglob("pieces/chunk")).read_text() == "done"
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_stop_by_force_is_143(tmp_path: Path) -> None:
    """An operation that is deaf in a library is ended after the grace; scratch is empty too."""
    with working("deaf", tmp_path, grace=0.1) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == EXIT_STOPPED

    assert list((tmp_path / "disk").iterdir()) == []


def test_a_second_signal_waits_no_longer(tmp_path: Path) -> None:
    """A second signal ends the job without the grace period."""
    with working("deaf", tmp_path, grace=3600) as process:
        process.send_signal(signal.SIGTERM)
        # Two pending signals of one number are one; another number is a second one.
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == EXIT_STOPPED


def test_a_flag_calls_back_once() -> None:
    """Callbacks run when asked, at once if it has happened, and not after being taken back."""
    stop, heard = Stop(), []
    stop.add_callback(lambda: heard.append("first"))
    take_back = stop.add_callback(lambda: heard.append("taken back"))
    take_back()
    stop.check()

    stop.request("one")
    stop.request("two")
    stop.add_callback(lambda: heard.append("late"))()

    assert heard == ["first", "late"]
    assert stop.requested
    with pytest.raises(Stopped, match="one"):
        stop.check()
