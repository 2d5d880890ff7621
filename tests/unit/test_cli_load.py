"""``safelight load``: what it refuses before anything is sent, and how a report is printed."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from worker import atomic
from worker.codec import plain
from worker.domain.load import Flaw, LoadFinding, LoadReport, Mix, MixFile, UploadOutcome
from worker.entrypoints.cli import run

RUN = ("load", "--rate", "1", "--for", "1s")


def outcome(number: int, **more: Any) -> UploadOutcome:
    """An upload that was accepted after two seconds."""
    given = {
        "at": float(number),
        "file": "a.jpg",
        "expect": "accepted",
        "bytes": 1_000_000,
        "asset": f"asset-{number}",
        "begun": float(number),
        "uploaded": number + 1.0,
        "accepted": number + 2.0,
        "served": number + 3.0,
        "status": "accepted",
    }
    return UploadOutcome(number=number, **{**given, **more})


def report(path: Path, *findings: LoadFinding, **more: Any) -> Path:
    """A report of ten uploads as ``--out`` writes it."""
    made = LoadReport(
        mix=Mix(files=(MixFile(name="a.jpg", share=1),)),
        rate=1,
        seconds=10,
        seed=1,
        tag="load-1",
        started="2026-11-30T08:00:00.000Z",
        elapsed=15,
        outcomes=tuple(outcome(number) for number in range(10)),
        findings=findings,
        renditions=60,
        **more,
    )
    path.write_text(json.dumps(plain(made, defaults=True)))
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("load",), 2, "say --rate and --for, or --from a report"),
        (("load", "--rate", "0", "--for", "1s"), 2, "--rate"),
        (("load", "--rate", "-1", "--for", "1s"), 2, "--rate"),
        (("load", "--rate", "nan", "--for", "1s"), 2, "is not a number"),
        (("load", "--rate", "1e99", "--for", "1s"), 2, "--rate"),
        (("load", "--rate", "1", "--for", "0"), 2, "is not above 0 and at most 7 days"),
        (("load", "--rate", "1", "--for", "99999h"), 2, "is not above 0 and at most 7 days"),
        (("load", "--rate", "1", "--for", "soon"), 2, "is no duration"),
        (("load", "--rate", "9999", "--for", "24h"), 2, "are more than 1,000,000"),
        ((*RUN, "--mix", "gone.toml"), 2, "mix gone.toml"),
        ((*RUN, "--mix", "mix.txt"), 2, "mix files end in .toml"),
        ((*RUN, "--svg", "load.gif"), 2, "must end in .svg or .png"),
        ((*RUN, "--svg", "gone/load.svg"), 3, "there is no folder gone"),
        ((*RUN, "--out", "gone/load.json"), 3, "there is no folder gone"),
        ((*RUN, "--out", "/proc/load.json"), 3, "no file can be made in /proc"),
        ((*RUN, "--api", "https://api.example.com"), 2, "needs a token"),
        ((*RUN, "--token-file", "token"), 2, "--token-file is for --api"),
        (
            (*RUN, "--api", "https://api.example.com", "--token-file", "gone"),
            2,
            "--token-file gone",
        ),
        ((*RUN, "--data", "empty"), 2, "no local stack"),
        (("load", "--from", "gone.json"), 2, "there is no such file"),
        (("load", "--from", "mix.toml"), 2, "is no report"),
        (("load", "--from", "other.json"), 2, "is no report of the form safelight.load/1"),
        (("load", "--from", "damaged.json"), 2, "is no report"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_sent(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Numbers out of range, files that are missing or something else, no token."""
    monkeypatch.chdir(tmp_path)
    for name in ("SAFELIGHT_API", "SAFELIGHT_TOKEN", "SAFELIGHT_TABLE"):
        monkeypatch.delenv(name, raising=False)
    Path("mix.toml").write_text('[[files]]\npath = "a.jpg"\nshare = 1')
    Path("a.jpg").write_bytes(b"a")
    Path("mix.txt").write_text("")
    Path("other.json").write_text('{"schema": "other"}')
    Path("damaged.json").write_text('{"schema": "safelight.load/1", "outcomes": 1}')
    given = arguments
    if "--rate" in arguments and "--mix" not in arguments:
        given = (*arguments, "--mix", "mix.toml")

    assert run(list(given)) == code
    assert said in capsys.readouterr().err
    assert not Path(".safelight").exists()


def test_a_report_is_printed_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each stage, and that nothing is wrong."""
    assert run(["load", "--from", str(report(tmp_path / "load.json", events=30))]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "10 uploads at 1 a second for 10 s (seed 1, tag load-1); 10 MB arrived; 15 s with the check"
    )
    assert lines[1].split() == [
        "stage",
        "uploads",
        "a",
        "second",
        "p50",
        "p90",
        "p95",
        "p99",
        "longest",
    ]
    assert lines[3].split()[:4] == ["accepted", "10", "0.91", "2.000"]
    assert lines[-1] == "nothing lost, nothing doubled: 60 files and 30 events read again"


def test_a_report_that_cannot_be_written_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run may have taken an hour: a disk that is full by then takes only the file."""
    source = report(tmp_path / "load.json")

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "atomic_write", full)
    assert run(["load", "--from", str(source), "--out", str(tmp_path / "again.json")]) == 3
    said = capsys.readouterr()
    assert "nothing lost, nothing doubled" in said.out
    assert "error[storage_full]: --out" in said.err


def test_findings_are_listed_and_many_of_one_kind_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first ten of a kind; a name that would move the cursor is shown as text."""
    lost = [
        LoadFinding(flaw=Flaw.LOST, text="is waiting\x1b[2J", number=n, asset=f"asset-{n}")
        for n in range(12)
    ]
    strange = LoadFinding(flaw=Flaw.DOUBLED, text="is a record of no upload", asset="b")
    whole = LoadFinding(flaw=Flaw.UNCHECKED, text="the list could not be read")
    path = report(tmp_path / "load.json", *lost, strange, whole)

    run(["load", "--from", str(path)])

    text = capsys.readouterr().out
    assert "14 findings; 60 files read again" in text
    assert "  lost: upload 9 asset-9: is waiting\\x1b[2J" in text
    assert "upload 10 " not in text
    assert "  lost: and 2 more (--out has all)" in text
    assert "  doubled: b: is a record of no upload" in text
    assert "  unchecked: the list could not be read" in text


def test_a_report_is_drawn_also_one_of_nothing(tmp_path: Path) -> None:
    """The same report gives the same bytes; the ending of the name chooses the form."""
    full, empty = tmp_path / "full.json", tmp_path / "empty.json"
    value = json.loads(report(full).read_text())
    empty.write_text(json.dumps(value | {"outcomes": []}))

    drawn = []
    for source, name in ((full, "a.svg"), (full, "b.svg"), (empty, "c.png")):
        assert run(["load", "--from", str(source), "--svg", str(tmp_path / name)]) == 0
        drawn.append((tmp_path / name).read_bytes())

    assert drawn[0] == drawn[1]
    assert drawn[0].startswith(b"<?xml")
    assert drawn[2].startswith(b"\x89PNG")
