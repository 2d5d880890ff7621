"""The short form of ``make fuzz``, and that the fuzzer would notice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import corpus, videos
from tests.fuzz.campaign import Budget, fuzz
from tests.fuzz.mutations import mutant
from tests.fuzz.targets import Target, WrongAnswer
from worker.domain.errors import EngineError, InputError

ROOT = Path(__file__).parents[2]


def planted(call: Callable[[bytes], None]) -> Target:
    """A target with a defect."""
    return Target(
        name="planted",
        about="",
        call=call,
        seeds=lambda: (b"good", b"other"),
        refuses=(InputError, EngineError),
    )


@pytest.mark.timeout(300)
def test_a_short_run_of_every_target_fails_nowhere(tmp_path: Path) -> None:
    """A fixed seed and number of runs: the same inputs wherever atheris is the same."""
    command = [sys.executable, "-m", "tests.fuzz", "--runs", "100", "--folder", str(tmp_path)]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count(" runs ") >= 25


@pytest.mark.timeout(300)
def test_damaged_samples_get_a_code_and_leak_nothing(tmp_path: Path) -> None:
    """Through the sandbox, twice in one child."""
    (found,) = corpus.attack(1, 1, tmp_path)
    assert found.defects == ()
    assert found.codes.total() == corpus.BATCH
    assert found.codes[corpus.MADE] < corpus.BATCH


@pytest.mark.ffmpeg
@pytest.mark.timeout(300)
def test_damaged_videos_get_a_code(tmp_path: Path) -> None:
    """Through the real ffprobe, and ffmpeg where that accepts them."""
    (found,) = videos.attack(1, 1, tmp_path)
    assert found.defects == ()
    assert found.codes.total() == videos.BATCH
    assert found.codes[corpus.MADE] < videos.BATCH


def test_what_a_target_must_not_raise_is_found_and_kept(tmp_path: Path) -> None:
    """The input that failed is in the folder and fails again; the exception is in the result."""

    def call(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError("planted")

    found = fuzz(planted(call), Budget(seed=1, runs=500), tmp_path, guided=False)
    assert found.failure == "KeyError: 'planted'"
    (kept,) = found.kept
    with pytest.raises(KeyError):
        planted(call).attack(kept.read_bytes())


@pytest.mark.parametrize(
    "error",
    [
        EngineError("a defect"),
        InputError("x", code="No Code"),
        InputError("x" * 9000),
        InputError("\ud800"),
    ],
)
def test_a_refusal_of_no_use_is_a_failure(error: Exception) -> None:
    """A defect, a code that is none, and messages that no log can hold."""

    def call(_data: bytes) -> None:
        raise error

    with pytest.raises(WrongAnswer):
        planted(call).attack(b"")


def test_the_same_seed_damages_alike() -> None:
    """Mutants follow from the seed and the originals."""
    import random

    originals = (bytes(range(256)), b"other file")
    one, same, other = (
        [mutant(originals, chance) for _ in range(20)]
        for chance in (random.Random(1), random.Random(1), random.Random(2))
    )
    assert one == same != other
