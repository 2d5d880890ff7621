"""The commands of heavy work: submit, jobs, chaos; on a stack that is only an address, and here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from worker.domain.job import JobRequest, JobState, JobStatus
from worker.entrypoints.cli import run
from worker.entrypoints.cli.jobs import exit_code, log_json, log_text, standing, state_text
from worker.local import address
from worker.local.batch.jobs import LocalJobs
from worker.services.process_files.wording import age_text

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "SAFELIGHT_TABLE": "t",
    "SAFELIGHT_INTAKE_BUCKET": "intake",
    "SAFELIGHT_DELIVERY_BUCKET": "delivery",
    "SAFELIGHT_QUARANTINE_BUCKET": "quarantine",
    "SAFELIGHT_EVENT_BUS": "bus",
    "SAFELIGHT_QUEUE_URL": "http://127.0.0.1:9/1/q",
    "SAFELIGHT_DLQ_URL": "http://127.0.0.1:9/1/d",
    "AWS_REGION": "eu-north-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}


class Stack:
    """An address that commands take for a running stack, and its jobs."""

    def __init__(self, data: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self.jobs = LocalJobs(data / address.JOBS)
        self._capture = capture

    def run(self, *words: str, code: int = 0) -> Any:
        """The JSON that a command prints; a list of its lines, unless there is one."""
        assert run([*words, "--data", str(self.data), "--json"]) == code
        said = self._capture.readouterr()
        try:
            return json.loads(said.out or said.err)
        except ValueError:
            return [json.loads(line) for line in said.out.splitlines()]

    def submit(self, name: str = "job", size: int | None = None) -> str:
        """A job that nobody runs."""
        request = JobRequest(name=name, kind="poster", inputs=("f",), output="o", array_size=size)
        return self.jobs.submit(request)

    def change(self, statement: str) -> None:
        """What a runner would write."""
        import sqlite3

        database = sqlite3.connect(self.data / address.JOBS / "jobs.sqlite", isolation_level=None)
        database.execute(statement)
        database.close()


@pytest.fixture
def stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Stack]:
    """A stack whose folder is owned, as by a running one."""
    data = tmp_path / "data"
    with address.owned(data):
        address.write(
            address.Address(
                data=data, endpoint="http://127.0.0.1:9", outputs={}, environment=ENVIRONMENT
            )
        )
        yield Stack(data, capsys)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A file that begins like a video; nobody reads on."""
    file = tmp_path / "video.mp4"
    file.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isommp42")
    return file


def test_a_file_is_submitted_once(stack: Stack, video: Path) -> None:
    """To the local stack; the second time the same job is shown."""
    first = stack.run("submit", "transcode", str(video), "--param", "hls=no", "--priority")
    again = stack.run("submit", "transcode", str(video), "--param", "hls=no", "--priority")

    assert (first["state"], first["queue"], first["kind"]) == ("SUBMITTED", "urgent", "transcode")
    assert first["output"].startswith("s3://delivery/")
    assert again["id"] == first["id"]
    assert stack.run("submit", "transcode", str(video), "--again")["id"] != first["id"]


def test_mistakes_are_named_and_nothing_is_submitted(stack: Stack, video: Path) -> None:
    """Each problem with the parameter it is in."""
    error = stack.run("submit", "transcode", str(video), "--param", "hls=perhaps", code=2)["error"]

    assert error["code"] == "parameters_invalid"
    assert error["problems"][0]["path"] == "--param hls"
    assert list(stack.jobs.list()) == []


def test_jobs_are_listed_newest_first_and_by_state(stack: Stack) -> None:
    """Empty lists are lists."""
    assert stack.run("jobs", "list") == []
    one, two = stack.submit("one"), stack.submit("two")
    stack.jobs.stop(one, "enough")

    assert [job["id"] for job in stack.run("jobs", "list")] == [two, one]
    assert [job["id"] for job in stack.run("jobs", "list", "--state", "failed")] == [one]
    assert len(stack.run("jobs", "list", "--limit", "1")) == 1


def test_a_job_is_shown_with_its_children(stack: Stack) -> None:
    """The parent counts them."""
    job = stack.submit(size=2)

    shown = stack.run("jobs", "show", job)

    assert [child["id"] for child in shown["children"]] == [f"{job}:0", f"{job}:1"]
    assert shown["array_counts"] == {"SUBMITTED": 2}


def test_people_see_the_same_in_words(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """No JSON, no control characters."""
    job = stack.submit("holiday")
    child = stack.submit("many", size=2)
    for words in (["list"], ["show", job], ["show", child], ["logs", job], ["stop", job]):
        assert run(["jobs", *words, "--data", str(stack.data)]) == 0

    said = capsys.readouterr().out
    assert "holiday" in said
    assert "FAILED - stopped by a person" in said
    assert "(2 SUBMITTED)" in said


def test_the_lines_of_a_job_are_shown(stack: Stack) -> None:
    """Of every attempt."""
    job = stack.submit()
    stack.change("UPDATE jobs SET attempts = 2, state = 'FAILED'")
    folder = stack.data / address.JOBS / "logs" / job
    folder.mkdir(parents=True)
    (folder / "1.log").write_text("one\n")
    (folder / "2.log").write_text("two\n")

    assert stack.run("jobs", "logs", job) == [{"line": "one"}, {"line": "two"}]
    assert stack.run("jobs", "logs", job, "--follow") == [{"line": "one"}, {"line": "two"}]


def test_people_read_sentences_and_programs_the_events(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an array, too: metrics are left out for people, and no line breaks out of its own."""
    job = stack.submit(size=2)
    stack.change("UPDATE jobs SET attempts = 1, state = 'FAILED' WHERE parent IS NOT NULL")
    common = {"time": "2026-01-02T03:04:05.678Z", "kind": "poster", "job": "j", "attempt": 1}
    events = [
        {**common, "event": "started", "output": "s3://o/p/"},
        {**common, "event": "progress", "percent": 12.5, "doing": "a\x1b[2Jb", "seconds_left": 61},
        {**common, "event": "rejected", "code": "truncated", "message": "it ends early"},
        {"_aws": {}, "Jobs": 1},
    ]
    log = stack.data / address.JOBS / "logs" / job / "1" / "1.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(each) + "\n" for each in events) + '[3] plain\n{"a": 1}\n')

    said = stack.run("jobs", "logs", job)
    assert said == [*events, {"line": "[1] [3] plain"}, {"line": '[1] {"a": 1}'}]
    assert run(["jobs", "logs", job, "--data", str(stack.data)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2026-01-02 03:04:05  [1]  poster started, attempt 1 -> s3://o/p/",
        "2026-01-02 03:04:05  [1]   12.5 %  a\\x1b[2Jb, 61.0 s left",
        "2026-01-02 03:04:05  [1]  rejected: truncated: it ends early",
        "[1] [3] plain",
        '[1] {"a": 1}',
    ]


def test_a_list_has_a_header_the_kind_and_the_age(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a job in a pipe, whatever it is called."""
    assert run(["jobs", "list", "--data", str(stack.data)]) == 0
    assert capsys.readouterr().out == "no jobs\n"
    job = stack.submit("n" * 120)
    hours = (datetime.now(UTC) - timedelta(hours=3, minutes=1)).isoformat()
    stack.change(f"UPDATE jobs SET created = '{hours}'")

    assert run(["jobs", "list", "--data", str(stack.data)]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["state", "kind", "age", "job", "name"]
    assert line.split("  ") == ["SUBMITTED", "poster", "3 h", job, "n" * 120]


def test_a_narrow_terminal_gets_two_lines_a_job(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id can still be copied whole."""
    job = stack.submit("holiday")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")

    assert run(["jobs", "list", "--data", str(stack.data)]) == 0
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert lines[2].startswith("SUBMITTED  poster  ")
    assert lines[3] == f"  {job}  holiday"


def test_a_running_job_is_asked_to_stop(stack: Stack) -> None:
    """Its runner does the rest."""
    job = stack.submit()
    stack.change("UPDATE jobs SET attempts = 1, state = 'RUNNING'")

    assert stack.run("jobs", "stop", job)["state"] == "RUNNING"


@pytest.mark.parametrize("words", [("show",), ("logs",), ("stop",)], ids=" ".join)
def test_a_job_that_is_not_there_is_an_error(stack: Stack, words: tuple[str, ...]) -> None:
    """With its code."""
    assert stack.run("jobs", *words, "nobody", code=2)["error"]["code"] == "job_missing"


def test_chaos_reclaims_what_runs(stack: Stack) -> None:
    """With the probability that was given; each job once at a time."""
    stack.submit("waits")
    job = stack.submit("runs")
    stack.change("UPDATE jobs SET attempts = 1, state = 'RUNNING' WHERE name = 'runs'")

    none = stack.run("chaos", "spot", "--probability", "0")
    assert none == {"reclaimed": [], "running": 1}
    twice = stack.run("chaos", "spot", "--probability", "1", "--every", "0.1", "--times", "2")
    assert [line["reclaimed"] for line in twice] == [[job], []]


@pytest.mark.parametrize(
    "words",
    [
        ("chaos", "spot"),
        ("chaos", "spot", "--probability", "1.5"),
        ("chaos", "spot", "--probability", "1", "--times", "2"),
        ("chaos", "spot", "--probability", "1", "--notice", "121"),
        ("submit", "transcode"),
        ("submit", "transcode", "f", "--container"),
        ("submit", "transcode", "f", "--local", "--data", "d"),
        ("jobs", "list", "--state", "gone"),
        ("jobs", "stop"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_told(words: tuple[str, ...], stack: Stack) -> None:
    """Before anything is looked for."""
    given = [] if "--data" in words else ["--data", str(stack.data)]
    assert run([*words, *given, "--json"]) == 2


@pytest.mark.parametrize("words", [("jobs", "list"), ("chaos", "spot", "--probability", "1")])
def test_without_a_stack_they_say_how_to_start_one(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every command of the stack does."""
    assert run([*words, "--data", str(tmp_path / "none"), "--json"]) == 2
    assert "safelight up" in json.loads(capsys.readouterr().err)["error"]["message"]


# --- here -------------------------------------------------------------------------------------


def state_home(tmp_path: Path) -> Path:
    """Where the logs of jobs are: beside, so that it is seen what a command leaves."""
    return tmp_path.with_name(f"{tmp_path.name}-state")


def here(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    """A command that runs jobs itself, in a folder where nothing of ours is."""
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "submit", *words, "--local", "--json"],
        cwd=tmp_path,
        env={
            **{"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            "XDG_STATE_HOME": str(state_home(tmp_path)),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def picture(path: Path) -> Path:
    """A small photograph, as far as a program can tell."""
    Image.effect_noise((64, 48), 40).convert("RGB").save(path, "PNG")
    return path


def test_a_job_runs_here_without_anything_else(tmp_path: Path) -> None:
    """Its results are where it was told; nothing else is left behind; again is unchanged."""
    source = picture(tmp_path / "night.png")
    running = here(tmp_path, "denoise", str(source), "--out", "out", "--follow")
    said, lines = running.communicate(timeout=100)

    job = json.loads(said)
    assert (running.returncode, job["state"]) == (0, "SUCCEEDED"), lines
    assert '"event": "started"' in lines
    assert job["output"] == str(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["kind"] == "denoise"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night.png", "out"]
    assert list((state_home(tmp_path) / "safelight" / "jobs").iterdir()) == []


def test_what_can_never_succeed_is_told(tmp_path: Path) -> None:
    """With the job's own words, and exit code 1; one bad input does not stop the others."""
    picture(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    picture(tmp_path / "night.png")
    running = here(tmp_path, "denoise", "cut.png", "night.png", "--out", "out")
    said, _ = running.communicate(timeout=100)

    bad, good = (json.loads(line) for line in said.splitlines())
    assert running.returncode == 1
    assert (bad["state"], bad["exit_code"], bad["attempts"]) == ("FAILED", 65, 1)
    assert bad["trouble"].startswith("truncated: ")
    runs = state_home(tmp_path) / "safelight" / "jobs"
    assert Path(bad["log"]).is_relative_to(runs)
    assert "truncated" in Path(bad["log"]).read_text()
    assert good["state"] == "SUCCEEDED"
    assert (tmp_path / "out" / "night" / "result.json").exists()


def test_what_a_kind_cannot_take_is_not_even_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and no job of the others either."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter.png").write_text("no picture at all")
    picture(tmp_path / "night.png")
    names = ("letter.png", "night.png", "nowhere.png")

    assert run(["submit", "denoise", *names, "--out", "out", "--local", "--json"]) == 2
    problems = json.loads(capsys.readouterr().err)["error"]["problems"]
    assert [problem["code"] for problem in problems] == ["unknown_format", "input_missing"]
    assert not (tmp_path / "out").exists()


def test_a_stop_leaves_no_process_and_no_table(tmp_path: Path) -> None:
    """Ctrl-C: the job is asked to end, and the command ends after it."""
    source = tmp_path / "big.png"
    Image.effect_noise((3000, 2000), 40).convert("RGB").save(source, "PNG", compress_level=1)
    running = here(tmp_path, "denoise", str(source), "--out", "out", "--follow")
    assert running.stderr is not None
    while '"started"' not in running.stderr.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    running.communicate(timeout=100)

    assert running.returncode == 130
    assert time.monotonic() - began < 60
    assert list((state_home(tmp_path) / "safelight" / "jobs").iterdir()) == []


def test_containers_need_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reported before anything is started."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    source, out = str(picture(tmp_path / "night.png")), str(tmp_path / "out")

    words = ["submit", "denoise", source, "--out", out, "--local", "--container", "--json"]
    assert run(words) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "program_missing"


# --- jobs as text --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"), [(65, 1), (1, 70), (2, 2), (75, 75), (137, 75), (None, 75)]
)
def test_the_exit_code_of_a_job_is_translated(code: int | None, expected: int) -> None:
    """Rejected, a defect, wrong use, try again."""
    failed = JobStatus(id="j", name="n", kind="k", state=JobState.FAILED, exit_code=code)
    good = JobStatus(id="g", name="n", kind="k", state=JobState.SUCCEEDED, exit_code=0)

    assert exit_code([good, failed]) == expected
    assert exit_code([good]) == 0


def test_an_output_folder_that_cannot_be_written_is_no_defect() -> None:
    """The same exit code as for every other command."""
    trouble = "output_unwritable: /proc/x: No such file or directory"
    failed = JobStatus(
        id="j", name="n", kind="k", state=JobState.FAILED, exit_code=1, trouble=trouble
    )

    assert exit_code([failed]) == 3


def test_why_a_job_failed_is_told_by_who_knows() -> None:
    """The job itself, unless it was stopped: then whoever stopped it."""
    common: dict[str, Any] = {"id": "j", "name": "n", "kind": "k", "state": JobState.FAILED}

    said = JobStatus(**common, reason="exited", trouble="truncated: it ends early")
    stopped = JobStatus(**common, reason="no longer wanted", trouble="stopped: by SIGTERM")
    silent = JobStatus(**common, reason="exited")

    assert [state_text(job) for job in (said, stopped, silent)] == [
        "FAILED - truncated: it ends early",
        "FAILED - no longer wanted",
        "FAILED - exited",
    ]
    assert standing(said) == "truncated: it ends early"
    assert standing(replace(said, attempts=2)) == "attempt 2: truncated: it ends early"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "done", "seconds": 3.21, "outputs": 4}, "done in 3.2 s, files: 4"),
        ({"event": "unchanged", "seconds": 0.1}, "done before, nothing to do in 100 ms"),
        ({"event": "heartbeat", "percent": 50.0, "doing": "waiting"}, " 50.0 %  waiting"),
        (
            {"event": "stopped", "code": "stopped", "message": "SIGTERM"},
            "stopped: SIGTERM",
        ),
        ({"event": "failed", "code": "engine_failed", "message": "x", "at": "run.py:3"}, None),
        ({"event": "news of a later version"}, "news of a later version: "),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_every_event_is_a_sentence(event: dict[str, Any], said: str | None) -> None:
    """Those of docs/jobs.md, and one that nobody knows yet."""
    line = json.dumps({"time": "2026-01-02T03:04:05.678Z", **event})
    expected = "failed: engine_failed: x (run.py:3)" if said is None else said

    assert log_text(line) == f"2026-01-02 03:04:05  {expected}"
    assert log_json(line) == json.loads(line)


@pytest.mark.parametrize("line", ["", "plain", "{", '{"a": 1}', "[1, 2]", "[3] x", "{" * 3000])
def test_what_is_no_event_stays_as_it_is(line: str) -> None:
    """Programs write lines of their own."""
    assert log_text(line) == line
    assert log_json(line) == {"line": line}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((-5, "0 s"), (0, "0 s"), (99, "99 s"), (100, "1 min"), (5999, "99 min")),
        *((6000, "1 h"), (172_799, "47 h"), (172_800, "2 d"), (86_400 * 1500, "1,500 d")),
    ],
)
def test_an_age_is_a_number_and_a_unit(seconds: int, said: str) -> None:
    """Rounded down; a clock that is ahead makes nothing younger than now."""
    now = datetime(2026, 1, 2, tzinfo=UTC)

    assert age_text((now - timedelta(seconds=seconds)).isoformat(), now) == said


@pytest.mark.parametrize("time", ["", "soon", "2026-01-01T00:00:00"])
def test_an_unknown_time_has_no_age(time: str) -> None:
    """A time without a zone has no age."""
    assert age_text(time, datetime(2026, 1, 2, tzinfo=UTC)) == ""
