"""Signals: heard whatever the main thread does, in order if possible, by force at last."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch.catalogue import EXIT_AGAIN, EXIT_STOPPED
from worker.domain.errors import Stopped
from worker.job_context import Stop

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
    """The operation ends, its pieces are kept, scratch is empty, and the code says: again."""
    with working("orderly", tmp_path, grace=60) as process:
        process.send_signal(number)
        assert process.wait(60) == EXIT_AGAIN

    assert list((tmp_path / "disk").iterdir()) == []
    assert next((tmp_path / "out" / ".checkpoint").rglob("pieces/piece")).read_text() == "done"
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_stop_by_force_is_143(tmp_path: Path) -> None:
    """An operation that is deaf in a library is ended after the grace; scratch is empty too."""
    with working("deaf", tmp_path, grace=0.1) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == EXIT_STOPPED

    assert list((tmp_path / "disk").iterdir()) == []


def test_a_second_signal_waits_no_longer(tmp_path: Path) -> None:
    """Whoever asks twice does not want to wait for the grace."""
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
