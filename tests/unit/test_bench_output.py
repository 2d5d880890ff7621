"""What the benchmark prints and writes: tables, page, chart, files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from defusedxml import ElementTree
from PIL import Image

from tests.unit.bench_results import report
from worker.bench import chart, files, page, tables
from worker.bench.lineup import LABELS, Key
from worker.errors import InputError


def test_tables_say_met_and_missed() -> None:
    """Every goal has its word; contenders that were not measured have no row."""
    goal, usual, same, floor = tables.all_of(report())
    assert {row[0]: row[3] for row in goal.rows}["CPU ÷ floor"] == "MISSED"
    assert goal.rows[-1][3] == "met"
    assert [row[0] for row in usual.rows][2:] == [LABELS[Key.SHARP_USUAL]]
    assert usual.rows[2][1:5] == ("400", "0.50", "90", "1.111")
    assert same.rows[2][7:] == ("100", "1.00")
    assert [row[0] for row in floor.rows] == [
        "decode",
        "big webp",
        "one after the other",
        "engine ÷ floor",
    ]
    assert len(tables.all_of(report(floor=None))) == 3


def test_page_changes_between_its_marks_only() -> None:
    """Prose around the figures stays; what was between the marks is replaced."""
    before = f"# Mine\n\nprose\n{page.BEGIN}\nold figures\n{page.END}\nmore prose\n"
    after = page.updated(before, report(), chart="chart.svg")
    assert after.startswith(f"# Mine\n\nprose\n{page.BEGIN}\n")
    assert after.endswith(f"{page.END}\nmore prose\n")
    assert "old figures" not in after
    assert "![CPU time per photo, by contender](chart.svg)" in after
    assert "```sh\nsafelight bench --rounds 3\n```" in after
    assert page.updated(after, report(), chart="chart.svg") == after


def test_new_page_is_made_and_escapes_names() -> None:
    """Without a page there is a small one; file names cannot break its tables or its text."""
    text = page.updated(None, report())
    assert text.startswith("# Benchmarks\n")
    assert r"left out: a\|b.jpg: is \*empty\*" in text
    assert r"A & B \<fast>" in text
    assert "2 generated pictures" in text
    assert "![" not in text


def test_page_without_marks_is_refused() -> None:
    """There is no place for figures in a page that has none."""
    with pytest.raises(InputError, match="has no lines"):
        page.check("# Somebody's own page\n")


def test_chart_is_a_drawing_of_every_bar() -> None:
    """The SVG is well-formed, longer bars are slower, and the floor is a line at its place."""
    root = ElementTree.fromstring(chart.svg(report()))
    names = {"svg": "http://www.w3.org/2000/svg"}
    bars = [float(bar.get("width", "0")) for bar in root.findall("svg:rect", names)[1:]]
    assert [round(bar / bars[0], 2) for bar in bars] == [1.0, 1.05, 2.0, 1.0, 1.05, 1.6]
    (line,) = root.findall("svg:line", names)
    first = root.findall("svg:rect", names)[1]
    assert float(line.get("x1", "0")) - float(first.get("x", "0")) == pytest.approx(
        bars[0] * 90 / 200, abs=0.2
    )
    words = [text.text for text in root.findall("svg:text", names)]
    assert "2 generated pictures, A & B <fast>, one thread, 2026-05-04" in words


def test_chart_as_png() -> None:
    """The PNG is the same drawing at twice the size."""
    drawn = Image.open(io.BytesIO(chart.png(report(floor=None))))
    width = ElementTree.fromstring(chart.svg(report())).get("width")
    assert (drawn.format, drawn.width) == ("PNG", 2 * int(width or 0))


def test_report_is_json() -> None:
    """Everything found is machine-readable, and the goals are in it."""
    body = json.loads(json.dumps(report().as_dict()))
    assert body["machine"]["cpu"] == "A & B <fast>"
    assert body["figures"][0]["key"] == "engine"
    assert {"name", "goal", "found", "met"} == set(body["checks"][0])


def test_files_that_could_not_be_written_are_refused_first(tmp_path: Path) -> None:
    """A chart of an unknown kind, a missing folder and an unreadable page cost no measuring."""
    with pytest.raises(InputError, match=r"\.svg or \.png"):
        files.check(tmp_path / "chart.gif", None)
    with pytest.raises(InputError, match="there is no folder") as caught:
        files.check(None, tmp_path / "missing" / "page.md")
    assert caught.value.code == "output_unwritable"
    with pytest.raises(InputError, match="--markdown"):
        files.read_page(tmp_path)
    (tmp_path / "page.md").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="is not text"):
        files.read_page(tmp_path / "page.md")
    assert files.read_page(tmp_path / "new.md") is None


def test_files_are_written_whole(tmp_path: Path) -> None:
    """A file replaces what was there; where it cannot, nothing is left lying about."""
    (tmp_path / "chart.svg").write_text("old")
    files.write_chart(tmp_path / "chart.svg", report())
    assert "</svg>" in (tmp_path / "chart.svg").read_text(encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        files.write(tmp_path / "folder", b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chart.svg", "folder"]


def test_page_links_to_the_chart_from_where_it_is(tmp_path: Path) -> None:
    """The address is relative to the page's folder."""
    assert files.link(tmp_path / "docs" / "page.md", tmp_path / "docs" / "c.svg") == "c.svg"
    assert files.link(tmp_path / "docs" / "page.md", tmp_path / "c.svg") == "../c.svg"
    assert files.link(tmp_path / "page.md", None) is None
