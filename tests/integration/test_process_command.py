"""``safelight process`` and its sisters as real processes on real pictures.

Pictures are made here. A full disk is played by the kernel's limit on the size of a file, which
fails a write half-way as a full disk does, without a file system of its own.
"""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import pyvips

from worker.entrypoints import cli

COMMAND = (sys.executable, "-m", "worker")
PAGES = {"manifest.json", "index.html"}


def picture(width: int = 320, height: int = 240, *, seed: int = 1) -> bytes:
    """A JPEG that does not compress to nothing."""
    noise = pyvips.Image.perlin(width, height, cell_size=32, seed=seed)
    image = noise.bandjoin(noise.rot180()).bandjoin(noise.fliphor()).linear([100.0], [128.0])
    data: bytes = image.cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=90)
    return data


def safelight(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment(),
    )


def environment() -> dict[str, str]:
    """The environment of a user who has the project installed."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root}


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command in a session of its own, as a terminal does."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )


def wait_for_first(running: subprocess.Popen[str]) -> None:
    """Read what a run says until its first picture is finished."""
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("accepted"):
            return
    raise AssertionError("no picture was accepted")


def manifest(out: Path) -> list[dict[str, Any]]:
    """The entries of a manifest."""
    entries: list[dict[str, Any]] = json.loads((out / "manifest.json").read_text())
    return entries


def check_valid(out: Path) -> None:
    """Every file that is listed is whole, and no other file is there."""
    listed = {
        rendition["path"]: rendition["bytes"]
        for entry in manifest(out)
        for rendition in entry["renditions"]
    }
    present = {
        str(path.relative_to(out)): path.stat().st_size
        for path in out.rglob("*")
        if not path.is_dir()
    }
    assert {name: present.pop(name, None) for name in listed} == listed
    assert set(present) == PAGES
    assert (out / "index.html").read_text().endswith("</html>")


PICTURES = 14


def many(folder: Path, count: int = PICTURES) -> Path:
    """A folder of pictures that takes a second or two."""
    folder.mkdir()
    data = picture(1100, 800)
    for number in range(count):
        (folder / f"p{number:02}.jpg").write_bytes(data)
    return folder


def test_hostile_folder(tmp_path: Path) -> None:
    """Names of every kind, pictures of every kind: all have a verdict, nothing has a traceback."""
    folder = tmp_path / "in"
    (folder / "a" / "b").mkdir(parents=True)
    good = picture()
    names = [
        "plain.jpg",
        "plain.png",
        "a/plain.jpg",
        "a/b/plain.jpg",
        "Été 日本.jpg",
        "line\nbreak.jpg",
        "-leading.jpg",
        "...dots...jpg",
        '"><script>alert(1)</script>.jpg'.replace("/", "\u2215"),
        "%2e%2e%2f?#.jpg",
        "x" * 250 + ".jpg",
        "manifest.json.jpg",
        "no ending",
    ]
    names = [name.removeprefix("...") for name in names]
    for name in names:
        (folder / name).write_bytes(good)
    bad = {"empty.jpg": b"", "text.jpg": b"hello", "cut.jpg": good[: len(good) // 2]}
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "passwd.jpg").symlink_to("/etc/passwd")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    out = tmp_path / "out"
    done = safelight("process", folder, "--out", out, "--json")
    assert done.returncode == 1
    assert done.stderr == ""
    assert json.loads(done.stdout) == manifest(out)
    reasons = {
        Path(entry["source"]).name: entry["reason"]["code"]
        for entry in manifest(out)
        if entry["status"] == "rejected"
    }
    assert reasons == {
        "empty.jpg": "empty",
        "text.jpg": "unknown_format",
        "cut.jpg": "truncated",
        "gone.jpg": "input_unreadable",
    }
    accepted = [entry for entry in manifest(out) if entry["status"] == "accepted"]
    assert len(accepted) == len(names)
    assert len({entry["name"].lower() for entry in accepted}) == len(names)
    check_valid(out)


def test_results_do_not_depend_on_order_or_jobs(tmp_path: Path) -> None:
    """The same inputs in another order, by one process or two, give the same names and bytes."""
    for name in ("a/photo.jpg", "b/photo.jpg", "b/other.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(seed=len(name)))
    results = []
    for number, order in enumerate((["a", "b"], ["b", "a"])):
        done = safelight(
            "process", *order, "--out", f"out{number}", "--jobs", str(number + 1), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        results.append(
            [
                (entry["source"], entry["name"], [r["sha256"] for r in entry["renditions"]])
                for entry in manifest(tmp_path / f"out{number}")
            ]
        )
    assert results[0] == results[1]


def test_leading_dash_and_working_folder(tmp_path: Path) -> None:
    """Relative inputs work, behind ``--`` also those that look like options."""
    (tmp_path / "-x.jpg").write_bytes(picture())
    done = safelight("process", "--out", "out", "--", "-x.jpg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("gallery: out/index.html\n")
    (entry,) = manifest(tmp_path / "out")
    assert (entry["source"], entry["name"]) == ("-x.jpg", "x")


def test_a_run_that_is_stopped_or_killed_continues(tmp_path: Path) -> None:
    """Ctrl-C, to the whole group as a terminal sends it, and SIGTERM leave a valid folder, SIGKILL
    no final name that is partial; the next run does only the rest and cleans up.
    """
    folder, out, before = many(tmp_path / "in"), tmp_path / "out", list[dict[str, Any]]()
    for number in (signal.SIGINT, signal.SIGTERM):
        running = start("process", folder, "--out", out, "--jobs", "2")
        wait_for_first(running)
        os.killpg(running.pid, number)
        _, said = running.communicate()
        assert running.returncode == 130
        assert "Traceback" not in said
        check_valid(out)
        finished = manifest(out)
        assert len(before) < len(finished) < PICTURES
        assert [entry for entry in finished if entry in before] == before
        before = finished
    running = start("process", folder, "--out", out, "--jobs", "2")
    wait_for_first(running)
    running.kill()
    running.communicate()  # to the end of the pipes: the worker processes are gone too

    done = safelight("process", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    unchanged = re.search(r", (\d+) unchanged;", done.stdout)
    assert unchanged is not None
    assert int(unchanged[1]) >= len(before)
    assert len(manifest(out)) == PICTURES
    assert [entry for entry in manifest(out) if entry in before] == before
    check_valid(out)


def test_full_disk(tmp_path: Path) -> None:
    """A write that finds no space ends with its own code and leaves only whole files."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(picture(120, 90))
    (folder / "z.jpg").write_bytes(picture(2200, 1600))
    limit = 60_000  # bytes: more than any page or small picture, less than the large one's files
    code = (
        "import os, resource, sys;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND, "process", folder, "--out", out, "--jobs", "1"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 3
    assert "error[storage_full]: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [Path(entry["source"]).name for entry in manifest(out)] == ["a.jpg"]
    check_valid(out)


@pytest.mark.parametrize("place", ["file", "file/out"])
def test_unwritable_output(tmp_path: Path, place: str) -> None:
    """An output folder that cannot be made is found before any work."""
    (tmp_path / "a.jpg").write_bytes(picture())
    (tmp_path / "file").write_bytes(b"")
    done = safelight("process", tmp_path / "a.jpg", "--out", tmp_path / place, "--json")
    assert done.returncode == 3
    assert done.stdout == ""
    assert json.loads(done.stderr)["error"]["code"] == "output_unwritable"


def test_broken_pipe_is_quiet(tmp_path: Path) -> None:
    """A reader that goes away early is no reason to complain."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "recipes", "show", "default"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        env=environment(),
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 141


def test_terminal_gets_a_bar(tmp_path: Path) -> None:
    """On a terminal there is a progress bar, and standard output still holds only JSON."""
    (tmp_path / "a.jpg").write_bytes(picture())
    master, terminal = pty.openpty()
    running = subprocess.Popen(
        [*COMMAND, "process", tmp_path / "a.jpg", "--out", tmp_path / "out", "--json"],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**environment(), "TERM": "xterm"},
    )
    os.close(terminal)
    drawn = read_terminal(master)
    printed, _ = running.communicate()
    assert running.returncode == 0
    assert json.loads(printed) == manifest(tmp_path / "out")
    assert b"1/1" in drawn


def read_terminal(master: int) -> bytes:
    """Everything written to a terminal until its last writer has gone."""
    drawn = b""
    try:
        while chunk := os.read(master, 65536):
            drawn += chunk
    except OSError as error:
        if error.errno != errno.EIO:  # how Linux says that the other side is closed
            raise
    finally:
        os.close(master)
    return drawn


def said(*arguments: str | Path, code: int = 0) -> str:
    """Run a command in this process; its output. What follows starts no process of its own."""
    output = io.StringIO()
    with redirect_stdout(output):
        assert cli.run([*map(str, arguments)]) == code
    return output.getvalue()


def test_inspect(tmp_path: Path) -> None:
    """``inspect`` tells probe and metadata, as a table and as JSON."""
    path = tmp_path / "a.jpg"
    path.write_bytes(picture())
    found = json.loads(said("inspect", path, "--json"))
    assert (found["probe"]["width"], found["probe"]["height"]) == (320, 240)
    assert len(found["metadata"]["sha256"]) == 64
    assert "320 x 240" in said("inspect", path)


def test_inspect_of_a_broken_picture(tmp_path: Path) -> None:
    """A picture that cannot be decoded is rejected, and its header told all the same."""
    path = tmp_path / "a.jpg"
    path.write_bytes(picture()[:3000])
    found = json.loads(said("inspect", path, "--json", code=1))
    assert found["reason"]["code"] == "truncated"
    assert found["probe"]["width"] == 320


def test_plan(tmp_path: Path) -> None:
    """``plan`` prints each file that would be made; its hash is the manifest's."""
    path = tmp_path / "a.jpg"
    path.write_bytes(picture())
    plan = json.loads(said("plan", path, "--json"))
    assert plan["hash"] in said("plan", path)
    safelight("process", path, "--out", tmp_path / "out")
    assert manifest(tmp_path / "out")[0]["plan"] == plan["hash"]


def test_compare(tmp_path: Path) -> None:
    """``compare`` gives 1 for equal pictures and says when sizes differ."""
    first, second = tmp_path / "a.jpg", tmp_path / "b.jpg"
    first.write_bytes(picture(320, 240))
    second.write_bytes(picture(160, 120))
    found = json.loads(said("compare", first, first, "--json"))
    assert found["ssim"] == pytest.approx(1.0)
    assert not found["resized"]
    assert "B resized to A's size" in said("compare", first, second)
