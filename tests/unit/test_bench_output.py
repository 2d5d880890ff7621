"""What the benchmark prints and writes: tables, page, chart, output."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from defusedxml import ElementTree
from PIL import Image

from tests.unit.bench_results import report
from worker.bench import report as output
from worker.bench.config import LABELS, Key
from worker.bench.page import read_page, write
from worker.domain.errors import InputError


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without its heading and rule."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def test_tables_say_met_and_missed() -> None:
    """Every goal has its word; implementations that were not measured have no row."""
    goal, usual, same, floor, curves, modern, targets = map(rows, output.tables(report()))
    assert {row[0]: row[3] for row in goal}["CPU ÷ floor"] == "MISSED"
    assert goal[-1][3] == "met"
    assert [row[0] for row in usual][2:] == [LABELS[Key.SHARP_USUAL]]
    assert usual[2][1:5] == ["400", "0.50", "90", "1.111"]
    assert same[2][9:] == ["100", "1.00"]
    assert [row[0] for row in floor] == [
        "decode",
        "big webp",
        "one after the other",
        "engine ÷ floor",
    ]
    assert len(output.tables(report(floor=None))) == 6
    assert curves == [
        ["JPEG", "14.1", "20.0", "28.3", "40.0", "", "80.0"],
        ["sharp's JPEG", "17.0", "24.0", "33.9", "48.0", "", "80.0"],
    ]
    assert modern == [
        ["modern, JPEG", "0.1", "76.0", "69.0"],
        ["sharp, JPEG", "0.1", "75.0", "70.0"],
    ]
    assert targets == [["a big webp", "-4.1"], [r"b\|c big jpeg", "+2.0"]]


def test_page_changes_between_its_marks_only() -> None:
    """Prose around the figures stays; what was between the marks is replaced."""
    before = f"# Mine\n\nprose\n{output.BEGIN}\nold figures\n{output.END}\nmore prose\n"
    after = output.updated(before, report(), chart="chart.svg", curves="curves.svg")
    assert after.startswith(f"# Mine\n\nprose\n{output.BEGIN}\n")
    assert after.endswith(f"{output.END}\nmore prose\n")
    assert "old figures" not in after
    assert "![CPU time per photo, by implementation](chart.svg)" in after
    assert "```sh checked\nsafelight bench --rounds 3\n```" in after
    assert "![Bytes against SSIMULACRA2, by format](curves.svg)" in after
    assert output.updated(after, report(), chart="chart.svg", curves="curves.svg") == after


def test_new_page_is_made_and_escapes_names(tmp_path: Path) -> None:
    """Without a page there is a small one; file names cannot break its tables or its text."""
    text = output.updated(read_page(tmp_path / "new.md", (output.BEGIN, output.END)), report())
    assert text.startswith("# Benchmarks\n")
    assert r"left out: a\|b.jpg: is \*empty\*" in text
    assert r"A & B \<fast>" in text
    assert "2 generated pictures" in text
    assert "![" not in text


def test_chart_has_every_bar_and_the_floor(tmp_path: Path) -> None:
    """The SVG is well-formed, and says of each implementation what it took."""
    output.write_chart(tmp_path / "chart.svg", report())
    root = ElementTree.parse(tmp_path / "chart.svg").getroot()
    assert root is not None
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {*(LABELS[one.key] for one in report().figures)} < set(words)
    assert {"200 ms", "400 ms (Safelight: 0.50 of it)", "320 ms (Safelight: 0.62 of it)"} < {*words}
    assert "floor: 90 ms (one decode and the bare encoder calls)" in words
    assert "2 generated pictures, A & B <fast>, one thread, 2026-05-04" in words


def test_curves_have_a_line_for_each_encoder(tmp_path: Path) -> None:
    """The SVG is well-formed and names each encoder and the qualities of the marks."""
    output.write_curves(tmp_path / "curves.svg", report())
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    assert root is not None
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"JPEG", "sharp's JPEG", "Marks are qualities 60, 80"} < set(words)
    assert "WebP" not in words


def test_chart_as_png(tmp_path: Path) -> None:
    """The PNG has pixels for sharp screens; without a floor there is no line."""
    output.write_chart(tmp_path / "chart.png", report(floor=None))
    with Image.open(tmp_path / "chart.png") as drawn:
        assert (drawn.format, drawn.width) == ("PNG", 1840)


def test_report_is_json() -> None:
    """Everything found is machine-readable, and the goals are in it."""
    body = json.loads(json.dumps(asdict(report())))
    assert body["machine"]["cpu"] == "A & B <fast>"
    assert body["figures"][0]["key"] == "engine"
    assert {"name", "goal", "found", "met"} == set(body["checks"][0])


def test_files_that_could_not_be_written_are_refused_first(tmp_path: Path) -> None:
    """A chart of an unknown kind, a missing folder and an unusable page cost no measuring."""
    with pytest.raises(InputError, match=r"\.svg or \.png"):
        output.check_files(None, tmp_path / "curves.gif", None)
    with pytest.raises(InputError, match="there is no folder") as caught:
        output.check_files(None, None, tmp_path / "missing" / "page.md")
    assert caught.value.code == "output_unwritable"
    with pytest.raises(InputError, match="--markdown"):
        read_page(tmp_path, (output.BEGIN, output.END))
    for content, words in ((b"\xff\xfe\xff", "is not text"), (b"# Mine\n", "has no lines")):
        (tmp_path / "page.md").write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_page(tmp_path / "page.md", (output.BEGIN, output.END))


def test_files_are_written_whole(tmp_path: Path) -> None:
    """A file replaces what was there; where it cannot, nothing is left lying about."""
    write(tmp_path / "chart.svg", b"old")
    write(tmp_path / "chart.svg", b"new")
    assert (tmp_path / "chart.svg").read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "folder", b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chart.svg", "folder"]
