"""Measuring in containers: the Runtime API, the engine's words, and what becomes of samples."""

from __future__ import annotations

import json
import stat
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.bench import tuning
from worker.bench.tuning import RuntimeApi
from worker.domain.errors import ConfigurationError, InputError, TuningFailed
from worker.services.tune import Photo

NEXT = "/2018-06-01/runtime/invocation/next"


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    """The Runtime API of one function."""
    made = RuntimeApi()
    yield made
    made.close()


def function(api: RuntimeApi, path: str = "response", answer: bytes = b"{}") -> threading.Thread:
    """A function that answers one event, with what it has got in it."""

    def work() -> None:
        with urllib.request.urlopen(f"http://{api.address}{NEXT}", timeout=20) as got:
            identity = got.headers["Lambda-Runtime-Aws-Request-Id"]
            assert int(got.headers["Lambda-Runtime-Deadline-Ms"]) > 0
            json.loads(got.read())
        url = f"http://{api.address}/2018-06-01/runtime/invocation/{identity}/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=answer), timeout=20) as done:
            assert done.status == 202

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_function_is_timed_from_its_event_to_its_answer(api: RuntimeApi) -> None:
    """INIT ends when it asks for the first event; the answer comes back parsed."""
    thread = function(api, answer=b'{"batchItemFailures": []}')
    assert api.ready.wait(20)

    found = api.invoke({"Records": []}, lambda: "")

    thread.join()
    assert found.body == {"batchItemFailures": []}
    assert not found.failed
    assert found.seconds > 0
    assert api.ready_at > 0


def test_an_error_of_the_function_is_told_from_an_answer(api: RuntimeApi) -> None:
    """A response posted to the error path counts as a failure, whatever its content."""
    thread = function(api, "error", b'{"errorType": "SettingsError"}')

    found = api.invoke({}, lambda: "")

    thread.join()
    assert (found.failed, found.body) == (True, {"errorType": "SettingsError"})


@pytest.mark.parametrize("answer", [b"{", b"\xff"])
def test_an_answer_that_is_no_json_has_failed(api: RuntimeApi, answer: bytes) -> None:
    """Garbage is no measurement, and no defect here."""
    thread = function(api, answer=answer)

    found = api.invoke({}, lambda: "")

    thread.join()
    assert found.failed


def test_a_function_that_has_ended_is_not_waited_for(api: RuntimeApi) -> None:
    """Its end is the reason that is given."""
    with pytest.raises(TuningFailed, match="out_of_memory"):
        api.invoke({}, lambda: "out_of_memory")


def test_limits_are_those_of_lambda() -> None:
    """1,769 MB are one processor: a quota of the whole period; half of it half."""
    assert tuning.limits(1769) == [
        *("--cpu-period", "20000", "--cpu-quota", "20000"),
        *("--memory", "1769m", "--memory-swap", "1769m"),
    ]
    assert tuning.limits(3538)[3] == "40000"
    assert tuning.limits(512)[3] == "5789"


def engine(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program in the engine's place."""
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def measured(**options: Any) -> Any:
    """A measurement of two sizes."""
    given: dict[str, Any] = {"rounds": 1, "batch": 1, "recipe": "default", "today": "2026-11-30"}
    photo = Photo(name="a.jpg", data=b"")
    return tuning.measure("safelight:latest", [photo], **{"sizes": (512, 1024), **given, **options})


def test_without_an_engine_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear error with a code, before anything is started."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match="docker is not installed") as caught:
        measured()

    assert caught.value.code == "program_missing"


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        ("Error: No such image: safelight:latest", "input_missing", "`make build` makes it"),
        ("Cannot connect to the Docker daemon", "configuration_invalid", "Cannot connect"),
    ],
)
def test_what_the_engine_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: str, text: str
) -> None:
    """No image, or a daemon that does not run."""
    engine(tmp_path, monkeypatch, f"echo '{said}' >&2; exit 1")

    with pytest.raises(ConfigurationError, match=text) as caught:
        measured()

    assert caught.value.code == code


def test_more_processors_than_there_are_cannot_be_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit above the machine's processors would be no limit."""
    monkeypatch.setattr(tuning, "processors", lambda: 2)

    with pytest.raises(InputError, match=r"the most that can be measured here is 3538 MB"):
        measured(sizes=(1024, 3539))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("true false 0", ""),
        ("false true 137", "out_of_memory"),
        ("false false 1", "the function ended with code 1"),
    ],
)
def test_why_a_container_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, said: str
) -> None:
    """The kernel's kill is told from an exit."""
    engine(tmp_path, monkeypatch, f"echo {state}")

    assert tuning.gone("name") == said


def test_the_peak_is_that_of_the_largest_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In megabytes; None where it cannot be read."""
    engine(tmp_path, monkeypatch, "echo 'VmHWM:  2048 kB'; echo 'VmHWM:	204800 kB'")
    assert tuning.peak("name") == 200
    engine(tmp_path, monkeypatch, "exit 1")
    assert tuning.peak("name") is None


@pytest.mark.parametrize(
    ("script", "seconds"),
    [
        ("echo 1500000000", 1.5),
        ("echo usage_usec 2500000; echo user_usec 1", 2.5),
        ("echo", None),
        ("echo nonsense", None),
        ("exit 1", None),
    ],
)
def test_processor_time_is_read_from_either_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, seconds: float | None
) -> None:
    """Both versions of the kernel's control groups; None where there is neither."""
    engine(tmp_path, monkeypatch, script)

    assert tuning.cpu_seconds("name") == seconds


def test_a_start_is_read_to_the_nanosecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's form has nine digits, or fewer."""
    engine(tmp_path, monkeypatch, "echo 2026-11-30T03:00:00.123456789Z")
    assert tuning.started_at("name") == pytest.approx(1_796_007_600.123456789)
    engine(tmp_path, monkeypatch, "echo 2026-11-30T03:00:00Z")
    assert tuning.started_at("name") == 1_796_007_600.0
