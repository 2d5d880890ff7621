"""The benchmark's implementations as processes: the protocol, the turns, and what goes wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.unit.pictures import encoded, photo
from worker.bench.compare import (
    SHARP_VERSION,
    Broken,
    ImplementationProcess,
    Refused,
    SharpMissing,
    compare,
    find_sharp,
)
from worker.bench.config import BenchSize, Key, Workload
from worker.domain.errors import EngineError, InputError
from worker.entrypoints.cli.bench import command
from worker.imaging import libjxl

WORK = Workload(
    sizes=(
        BenchSize(name="small", width=32, height=32, cover=True),
        BenchSize(name="big", width=100, height=100, cover=False),
    ),
    jpeg_quality=80,
    webp_quality=80,
    webp_effort=0,
)

FAKE = """
import itertools, json, sys
from pathlib import Path
name, diary = sys.argv[1:3]
costs = itertools.chain([9, 3, 6, 4, 7, 5, 8, 2, 6], itertools.repeat(9))
print(json.dumps({"versions": {"fake": 1}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    photo = Path(request["photo"])
    with open(diary, "a") as file:
        file.write(f"{name} {photo.name}\\n")
    if photo.read_text() == f"not for {name}":
        answer = {"error": "ValueError: no"}
    elif photo.read_text() == f"kills {name}":
        raise SystemExit("Error: shot")
    else:
        answer = {"seconds": {"total": next(costs)}, "files": []}
    print(json.dumps(answer), flush=True)
"""
"""An implementation that does nothing, says what it cost, and keeps a diary."""


def python(code: str, *arguments: str) -> tuple[str, ...]:
    """A command that runs some code."""
    return (sys.executable, "-c", code, *arguments)


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    """Two tiny photos."""
    made = {}
    for name, size in (("wide.jpg", (120, 80)), ("tall.jpg", (60, 90))):
        made[name] = tmp_path / name
        made[name].write_bytes(encoded(photo(*size), "JPEG"))
    return made


@pytest.mark.parametrize("mode", ["per-output", "once"])
def test_pillow_does_two_pictures(tmp_path: Path, pictures: dict[str, Path], mode: str) -> None:
    """Both ways give all files at the sizes of the recipe, never enlarged, and CPU seconds."""
    run = (sys.executable, "-m", "worker.bench.implementations", "pillow", mode, WORK.dumps())
    sizes = {}
    with ImplementationProcess(run, tmp_path / "log") as running:
        assert "Pillow" in running.versions
        for name, path in pictures.items():
            out = tmp_path / f"out-{name}"
            out.mkdir()
            seconds, files = running.ask(path, out)
            assert seconds["total"] > 0
            for file in files:
                with Image.open(file.path) as image:
                    sizes[name, file.name, file.format] = image.size
                    assert image.format == file.format.upper()
    formats = ("jpeg", "webp")
    assert sizes == {
        **{("wide.jpg", "small", form): (32, 32) for form in formats},
        **{("wide.jpg", "big", form): (100, 67) for form in formats},
        **{("tall.jpg", "small", form): (32, 32) for form in formats},
        **{("tall.jpg", "big", form): (60, 90) for form in formats},
    }


def test_floor_measures_every_step_by_every_library(
    tmp_path: Path, pictures: dict[str, Path]
) -> None:
    """Decoding and each file are measured apart; the files of all libraries are there to weigh."""
    run = (sys.executable, "-m", "worker.bench.implementations", "floor", "all", WORK.dumps())
    with ImplementationProcess(run, tmp_path / "log") as running:
        seconds, files = running.ask(pictures["wide.jpg"], tmp_path)
    steps = {part.partition("/")[0] for part in seconds}
    assert steps == {"decode", "small jpeg", "small webp", "big jpeg", "big webp"}
    for library in ("pillow RGB", "pillow RGBX", "pyvips"):
        assert {f"big jpeg/{library}", f"big webp/{library}"} <= set(seconds)
    assert {"decode/pillow", "decode/pyvips", "decode/simplejpeg"} <= set(seconds)
    assert {file.name for file in files} >= {"small pillow RGB", "big pyvips"}


@pytest.mark.parametrize("mode", ["render", "process", "modern", "target"])
def test_engine_does_the_shipped_recipe(
    tmp_path: Path, pictures: dict[str, Path], mode: str
) -> None:
    """The engine's entries speak the protocol, refuse what is no picture, and go on after it."""
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    run = (sys.executable, "-m", "worker.bench.implementations", "engine", mode, WORK.dumps())
    with ImplementationProcess(run, tmp_path / "log") as one:
        with pytest.raises(Refused, match=r"\w+: \w+"):
            one.ask(bad)
        seconds, files = one.ask(pictures["wide.jpg"], tmp_path)
    assert ("large", "jpeg") in {(file.name, file.format) for file in files}
    assert (mode == "modern") == any(file.format == "jxl" for file in files)
    assert set(seconds) == {"total"}


def test_repacking_measures_the_decode_apart(tmp_path: Path, pictures: dict[str, Path]) -> None:
    """The packed original gives back the JPEG; its decode is a part of its own."""
    run = (sys.executable, "-m", "worker.bench.implementations", "repack", "all", WORK.dumps())
    with ImplementationProcess(run, tmp_path / "log") as one:
        seconds, (file,) = one.ask(pictures["wide.jpg"], tmp_path)
    assert libjxl.unpack(file.path.read_bytes()) == pictures["wide.jpg"].read_bytes()
    assert set(seconds) == {"decode", "total"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (python("print('hello')"), "instead of JSON"),
        (python("print('[1]')"), "instead of an object"),
        (python(""), "ended early: exit code 0"),
        (python("raise SystemExit('Error: no library')"), "ended early: Error: no library"),
        (("/no-such-program",), "/no-such-program cannot be run"),
    ],
)
def test_child_that_does_not_start_says_why(
    tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    """A child that dies or says something else is broken, in one line with its last words."""
    with pytest.raises(Broken, match=words):
        ImplementationProcess(command, tmp_path / "log")


def test_child_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """The time limit ends; the child is ended with it."""
    with pytest.raises(Broken, match="no answer within 0 s"):
        ImplementationProcess(python("import sys; sys.stdin.read()"), tmp_path / "log", timeout=0)


def test_answer_without_figures_is_no_answer(tmp_path: Path) -> None:
    """An object with other keys than the protocol's is a broken process."""
    code = "print('{}', flush=True); input(); print('{\"seconds\": 3}', flush=True); input()"
    with (
        ImplementationProcess(python(code), tmp_path / "log") as running,
        pytest.raises(Broken, match="without seconds and files"),
    ):
        running.ask(tmp_path / "any.jpg")


def test_printing_library_does_not_break_the_protocol(tmp_path: Path) -> None:
    """Output of a library goes to the log, and the results still arrive."""
    code = (
        "from worker.bench.implementations import measure, serve\n"
        "def work(data, seconds):\n"
        "    print('a library says hello')\n"
        "    with measure(seconds): pass\n"
        "    return [('n', 'jpeg', data)]\n"
        "serve(work, {})\n"
    )
    original = tmp_path / "a.jpg"
    original.write_bytes(b"bytes")
    with ImplementationProcess(python(code), tmp_path / "log") as running:
        _, (file,) = running.ask(original, tmp_path)
    assert file.path.read_bytes() == b"bytes"


def fakes(diary: Path, *keys: Key) -> dict[Key, tuple[str, ...]]:
    """Implementations that only keep a diary."""
    return {key: python(FAKE, key, str(diary)) for key in keys}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """An empty folder for the files of a comparison."""
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def texts(folder: Path, **contents: str) -> dict[str, Path]:
    """Stand-ins for photos, which the fakes can read."""
    made = {name: folder / name for name in contents}
    for name, text in contents.items():
        made[name].write_text(text)
    return made


def test_implementations_take_turns(tmp_path: Path, scratch: Path) -> None:
    """After one unmeasured photo each they alternate, two runs a turn; the least counts."""
    diary = tmp_path / "diary"
    said: list[str] = []
    found = compare(
        fakes(diary, Key.ENGINE, Key.FLOOR),
        texts(tmp_path, a="", b=""),
        scratch,
        rounds=2,
        progress=said.append,
    )
    warm = [*["engine a"] * 3, *["floor a"] * 3]
    turns = [f"{key} {name}" for name in "bab" for key in ("engine", "floor") for _ in range(2)]
    assert diary.read_text().splitlines() == warm + turns
    # Costs are 9 (not counted), then a 3 and 6, b 4 and 7, a 5 and 8, b 2 and 6.
    assert found.measured[Key.ENGINE].least(["total"]) == 2.5
    assert said[-1] == "round 2 of 2: b"


def test_photo_that_one_cannot_do_counts_for_nobody(tmp_path: Path, scratch: Path) -> None:
    """It is out of all figures, with the reason, and not tried again."""
    diary = tmp_path / "diary"
    photos = texts(tmp_path, a="", b="not for floor")
    found = compare(fakes(diary, Key.ENGINE, Key.FLOOR), photos, scratch, rounds=3)
    assert found.refused == {"b": "floor could not do it: ValueError: no"}
    assert all(set(one.runs) == {"a"} for one in found.measured.values())
    assert diary.read_text().splitlines().count("floor b") == 1


def test_broken_corpus_is_an_error_of_the_input(tmp_path: Path, scratch: Path) -> None:
    """If no photo is left there is nothing to report but why."""
    photos = texts(tmp_path, a="not for engine")
    with pytest.raises(InputError, match="no picture in it can be measured"):
        compare(fakes(tmp_path / "diary", Key.ENGINE), photos, scratch, rounds=1)


def test_who_does_not_start_is_left_out(tmp_path: Path, scratch: Path) -> None:
    """A rival that does not start is named; without the engine there is no benchmark."""
    dead = python("raise SystemExit('Error: no sharp')")
    programs = {**fakes(tmp_path / "diary", Key.ENGINE), Key.SHARP_USUAL: dead}
    found = compare(programs, texts(tmp_path, a=""), scratch, rounds=1)
    assert found.absent == ("sharp-usual is not measured: it ended early: Error: no sharp",)
    assert set(found.measured) == {Key.ENGINE}
    with pytest.raises(EngineError, match="engine did not start"):
        compare({Key.ENGINE: dead}, texts(tmp_path, a=""), tmp_path, rounds=1)


def test_who_dies_on_the_way_ends_the_run(tmp_path: Path, scratch: Path) -> None:
    """Half a comparison is none: the implementation, the photo and its last words are named."""
    photos = texts(tmp_path, a="kills floor")
    with pytest.raises(EngineError, match="floor on a: ended early: Error: shot"):
        compare(fakes(tmp_path / "diary", Key.ENGINE, Key.FLOOR), photos, scratch, rounds=1)


def program(path: Path, script: str) -> str:
    """A shell script that stands in for npm."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_sharp_without_node_or_npm_is_missing(tmp_path: Path) -> None:
    """Each missing program is named in one line."""
    with pytest.raises(SharpMissing, match="no `node` on the PATH"):
        find_sharp(tmp_path, which=lambda _: None)
    with pytest.raises(SharpMissing, match="no `npm` on the PATH"):
        find_sharp(tmp_path, which={"node": "/bin/node"}.get)


def test_sharp_is_installed_once(tmp_path: Path) -> None:
    """The first time npm is asked, and that is told; the second time it is not."""
    package = json.dumps({"version": SHARP_VERSION})
    npm = program(
        tmp_path / "npm",
        f"mkdir -p node_modules/sharp; echo '{package}' > node_modules/sharp/package.json",
    )
    programs = {"node": "/bin/node", "npm": npm}
    told: list[str] = []
    for _ in range(2):
        found = find_sharp(tmp_path / "cache", which=programs.get, notice=told.append)
    assert (found[0], found[2]) == ("/bin/node", str((tmp_path / "cache").resolve()))
    assert len(told) == 1
    assert SHARP_VERSION in told[0]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'npm error network' >&2; exit 1", "npm error network"),
        ("exit 0", "did not install it"),
    ],
)
def test_failed_installation_is_said(tmp_path: Path, script: str, words: str) -> None:
    """The message of npm, or its lack of effect, is the reason why sharp is not measured."""
    programs = {"node": "/bin/node", "npm": program(tmp_path / "npm", script)}
    with pytest.raises(SharpMissing, match=words):
        find_sharp(tmp_path / "cache", which=programs.get)


def test_whole_run_without_node(tmp_path: Path, pictures: dict[str, Path]) -> None:
    """The command measures a folder, says that sharp is missing, and writes chart and page."""
    corpus = tmp_path / "photos"
    corpus.mkdir()
    pictures["wide.jpg"].rename(corpus / "wide.jpg")
    chart, page = tmp_path / "chart.svg", tmp_path / "page.md"
    options = ["--corpus", str(corpus), "--rounds", "1", "--json"]
    curves = tmp_path / "curves.svg"
    options += ["--chart", str(chart), "--curves", str(curves), "--markdown", str(page)]
    done = CliRunner().invoke(command, options, env={"PATH": ""}, catch_exceptions=False)
    assert done.exit_code == 0
    body = json.loads(done.stdout)
    assert body["absent"] == ["sharp is not measured: there is no `node` on the PATH"]
    assert [one["key"] for one in body["figures"]] == [
        "engine",
        "engine-full",
        "pillow-usual",
        "pillow-once",
    ]
    assert body["command"] == (
        "safelight bench --corpus ~/photos --rounds 1 --chart chart.svg --curves curves.svg"
        " --markdown page.md"
    )
    assert 0.9 < body["figures"][0]["ssim"] <= 1
    assert "</svg>" in chart.read_text(encoding="utf-8")
    labels = [one["label"] for one in body["formats"]["curves"]]
    assert labels == ["JPEG", "WebP", "AVIF", "JPEG XL"]
    assert body["formats"]["pairs"] == []
    assert body["formats"]["target"]["files"] == 6
    assert 0 < body["formats"]["repacked"]["bytes"] < 2
    assert "</svg>" in curves.read_text(encoding="utf-8")
    assert "[CPU time per photo, by implementation](chart.svg)" in page.read_text(encoding="utf-8")
    assert "bench: sharp is not measured" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--corpus", "missing", "no such folder"),
        ("--chart", "chart.gif", "must end in"),
        ("--curves", "curves.gif", "must end in"),
        ("--markdown", "no/page.md", "there is no folder"),
    ],
)
def test_command_refuses_before_measuring(
    tmp_path: Path, option: str, value: str, words: str
) -> None:
    """Mistakes in options are found at once, not after the run."""
    with pytest.raises(InputError, match=words):
        CliRunner().invoke(
            command, [option, str(tmp_path / value)], env={"PATH": ""}, catch_exceptions=False
        )
