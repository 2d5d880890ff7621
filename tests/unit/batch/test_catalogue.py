"""The catalogue of jobs: complete, consistent, and something Batch accepts."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from batch import operations
from batch.arguments import check_parameters, value_of
from batch.catalogue import EXIT_AGAIN, EXIT_BAD_INPUT, EXIT_STOPPED, KINDS, RETRY, JobKind, kind
from batch.inputs import required_bytes
from batch.work import ListedFile
from worker.domain.errors import ProblemsError

ROOT = Path(__file__).parents[3]
NAMES = {
    *("transcode", "transcode-plan", "transcode-part", "transcode-assemble"),
    *("poster", "storyboard", "preview", "audio-waveform", "subtitles", "video-metadata"),
    *("deepzoom", "denoise", "stitch", "hdr-merge", "document", "restore", "background"),
    "batch-process",
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


def test_every_kind_is_there() -> None:
    """The catalogue has the kinds of the documentation and no other."""
    assert set(KINDS) == NAMES


@every_kind
def test_a_kind_has_an_operation(kind: JobKind) -> None:
    """The function that the table of operations names for a kind can be called."""
    assert callable(operations.find(kind.name))


def test_every_operation_is_a_kind() -> None:
    """The table of operations names no kind that the catalogue lacks."""
    assert set(operations.OPERATIONS) == set(KINDS)


def test_every_kind_has_one_line_in_the_documentation() -> None:
    """docs/jobs.md has a table with exactly one row for each kind."""
    page = (ROOT / "docs" / "jobs.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| \S.*\|$", page, re.MULTILINE)

    assert sorted(name for name in rows if name in NAMES) == sorted(NAMES)


@every_kind
def test_resources_are_what_batch_takes(kind: JobKind) -> None:
    """Attempts are 1 to 10, the timeout at least a minute, memory and processors positive."""
    assert 1 <= kind.attempts <= 10
    assert kind.timeout_seconds >= 60
    assert kind.vcpus > 0
    assert kind.memory_mib >= 512
    assert 1 <= kind.inputs[0] <= kind.inputs[1]
    assert kind.command == ("run", kind.name)


@every_kind
def test_defaults_obey_their_own_rules(kind: JobKind) -> None:
    """Every default is a value that could be given."""
    for parameter in kind.parameters:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", parameter.name)
        if parameter.default is None:
            continue
        text = (
            ",".join(parameter.default)
            if isinstance(parameter.default, tuple)
            else str(parameter.default)
        )
        assert value_of(parameter, text) == parameter.default


@every_kind
def test_names_of_parameters_are_unique(kind: JobKind) -> None:
    """No kind has two parameters of one name."""
    names = [parameter.name for parameter in kind.parameters]

    assert len(names) == len(set(names))


@every_kind
def test_a_kind_runs_without_parameters(kind: JobKind) -> None:
    """Defaults alone are valid."""
    assert check_parameters(kind, {})[1] == ()


def test_batch_takes_the_rules_of_retries() -> None:
    """At most five rules; the last one ends; reclaim, 75 and 143 are tried again, 65 is not."""
    by_code = {rule.exit_code: rule.action for rule in RETRY}

    assert len(RETRY) <= 5
    assert RETRY[0].status_reason == "Host EC2*"
    assert by_code[str(EXIT_BAD_INPUT)] == by_code["*"] == "EXIT"
    assert by_code[str(EXIT_AGAIN)] == by_code[str(EXIT_STOPPED)] == "RETRY"
    assert RETRY[-1].exit_code == "*"


@pytest.mark.parametrize("name", ["poster", "storyboard", "subtitles", "video-metadata"])
def test_something_small_of_a_large_video_needs_a_small_disk(name: str) -> None:
    """A video of 20 GB on this machine is read where it lies; only its copy from S3 is as large."""
    video = ListedFile(uri="/videos/long.mov", name="long.mov", bytes=20 * 10**9)
    stored = replace(video, uri="s3://videos/long.mov")

    assert required_bytes([video], KINDS[name].scratch_factor) <= 2 * 10**9
    assert required_bytes([stored], KINDS[name].scratch_factor) >= 20 * 10**9


def test_an_unknown_kind_lists_the_known_ones() -> None:
    """The message for a misspelt kind has the right names in it."""
    with pytest.raises(ProblemsError, match="storyboard") as caught:
        kind("storybord")

    assert caught.value.problems[0].path == "kind"


def test_the_catalogue_needs_no_dependency() -> None:
    """It can be read by a Python without any of ours: the Pulumi program's."""
    code = (
        "import sys; import batch.catalogue, batch.arguments; "
        "extra = {'numpy', 'boto3', 'pyvips', 'click', 'PIL'} & set(sys.modules); "
        "sys.exit(str(sorted(extra)) if extra else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
