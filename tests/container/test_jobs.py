"""Heavy jobs in the Batch image, confined like the rest: done for real, stopped, gone on with."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.container.engine import BATCH, Engine, mount
from tests.container.test_stop import stopped, wait_for
from tests.unit.pictures import photo

pytestmark = pytest.mark.timeout(300)

AGAIN = 75
BAD_INPUT = 65


def job(kind: str, source: str, *parameters: str) -> list[str]:
    """A command line on the shared folder, which is all that can be written."""
    words = ["run", kind, "--input", f"/data/{source}", "--output", "/data/out"]
    words += [word for one in parameters for word in ("--param", one)]
    return [*words, "--scratch", "/data/scratch"]


def video(engine: Engine, shared: Path, seconds: int, size: str) -> str:
    """A video with audio, made by the image's own ffmpeg; its name."""
    words = ["-v", "error", "-f", "lavfi", "-i", f"testsrc2=d={seconds}:s={size}:r=25"]
    words += ["-f", "lavfi", "-i", f"sine=d={seconds}:f=330", "-c:v", "libx264", "-preset"]
    words += ["ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "/data/film.mp4"]
    made = engine.run(BATCH, *words, entrypoint=["ffmpeg"], volumes=mount(shared))
    assert made.code == 0, made.errors
    return "film.mp4"


def result(shared: Path) -> dict[str, Any]:
    """The record of success, once everything it names is there with its content, and no more is."""
    out = shared / "out"
    found: dict[str, Any] = json.loads((out / "result.json").read_text())
    promised = {one["name"]: one["sha256"] for one in found["outputs"]}
    there = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    del there["result.json"]
    assert set(there) == set(promised)
    for name, digest in promised.items():
        assert hashlib.sha256(there[name].read_bytes()).hexdigest() == digest
    assert list((shared / "scratch").iterdir()) == []
    return found


def test_a_picture_loses_its_noise(engine: Engine, shared: Path) -> None:
    """`denoise`, and the same again, which has nothing left to do."""
    clean = np.asarray(photo(640, 480), dtype=float)
    noise = np.random.default_rng(1).normal(0, 12, clean.shape)
    noisy = Image.fromarray(np.clip(clean + noise, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    noisy.save(file, "PNG")
    (shared / "noisy.png").write_bytes(file.getvalue())
    command = job("denoise", "noisy.png")

    first = engine.run(BATCH, *command, volumes=mount(shared))
    assert first.code == 0, first.output + first.errors
    details = result(shared)["details"]
    again = engine.run(BATCH, *command, volumes=mount(shared))

    assert details["removed"]["brightness"] > 3
    assert again.code == 0
    assert '"unchanged"' in again.output


def test_a_video_becomes_a_ladder(engine: Engine, shared: Path) -> None:
    """`transcode` with the image's ffmpeg; what it made can be decoded to the end."""
    command = job("transcode", video(engine, shared, 3, "320x180"), "preset=ultrafast")

    done = engine.run(BATCH, *command, volumes=mount(shared))

    assert done.code == 0, done.output + done.errors
    names = {one["name"] for one in result(shared)["outputs"]}
    assert {Path(name).suffix for name in names} >= {".m3u8", ".m4s", ".mp4"}
    (whole,) = (name for name in names if name.endswith(".mp4") and "/" not in name)
    words = ["-v", "error", "-xerror", "-i", f"/data/out/{whole}", "-f", "null", "-"]
    decoded = engine.run(BATCH, *words, entrypoint=["ffmpeg"], volumes=mount(shared))
    assert (decoded.code, decoded.errors) == (0, "")


def test_what_is_no_video_is_rejected(engine: Engine, shared: Path) -> None:
    """By a code of its own and a record of the verdict; Batch does not try that again."""
    (shared / "film.mp4").write_bytes(b"no video" * 1000)

    done = engine.run(BATCH, *job("transcode", "film.mp4"), volumes=mount(shared))

    assert done.code == BAD_INPUT, done.output + done.errors
    assert [path.name for path in (shared / "out").iterdir()] == ["rejected.json"]
    assert "Traceback" not in done.output + done.errors


def test_a_video_that_is_mostly_gone_is_rejected(engine: Engine, shared: Path) -> None:
    """The image's ffmpeg ends with 0 all the same: what it has decoded is counted."""
    data = (shared / video(engine, shared, 4, "320x180")).read_bytes()
    start = data.index(b"mdat") + 4
    first, last = (start + (data.index(b"moov") - 4 - start) * share // 10 for share in (2, 8))
    (shared / "gone.mp4").write_bytes(data[:first] + bytes(last - first) + data[last:])

    done = engine.run(BATCH, *job("transcode", "gone.mp4"), volumes=mount(shared))

    assert done.code == BAD_INPUT, done.output + done.errors
    assert json.loads((shared / "out" / "rejected.json").read_text())["code"] == "corrupt"


def test_a_turn_that_is_not_by_quarters_is_not_made(engine: Engine, shared: Path) -> None:
    """The image's ffmpeg takes no value for the option that says so."""
    data = bytearray((shared / video(engine, shared, 1, "320x180")).read_bytes())
    # The matrix of the track header (ISO/IEC 14496-12, 8.3.2): by 30 degrees.
    across, along = round(0.866 * (1 << 16)), 1 << 15
    matrix = struct.pack(">9i", across, along, 0, -along, across, 0, 0, 0, 1 << 30)
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + len(matrix)] = matrix
    (shared / "turned.mp4").write_bytes(data)

    done = engine.run(BATCH, *job("transcode", "turned.mp4"), volumes=mount(shared))

    assert done.code == 0, done.output + done.errors
    (rung, *_) = result(shared)["details"]["rungs"]
    assert (rung["width"], rung["height"]) == (320, 180)


def test_a_stopped_video_is_gone_on_with(engine: Engine, shared: Path) -> None:
    """Stopped in the middle: finished pieces are kept, nothing has a final name, nothing runs."""
    name = video(engine, shared, 60, "640x360")
    command = job("transcode", name, "preset=medium", "segment_seconds=2", "heights=360,240")
    container = engine.start(BATCH, *command, volumes=mount(shared))
    out = shared / "out"
    wait_for(lambda: len(list(out.glob(".checkpoint/**/notes/**/*.json"))) > 1, container, 120)

    code = stopped(container)

    assert code == AGAIN, container.logs().decode()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    pieces = {path: time for path, time in kept.items() if "pieces" in path.parts}
    assert len(pieces) > 1
    assert {path.relative_to(out).parts[0] for path in kept} == {".checkpoint"}
    assert not [path for path in kept if ".partial-" in path.name]
    assert list((shared / "scratch").iterdir()) == []

    going_on = engine.start(BATCH, *command, volumes=mount(shared))
    wait_for(
        lambda: len(list(out.glob(".checkpoint/**/notes/**/*.json"))) > len(pieces), going_on, 120
    )
    # What the first attempt had finished is not made again.
    assert {path: path.stat().st_mtime_ns for path in pieces} == pieces
    assert int(going_on.wait(timeout=240)["StatusCode"]) == 0, going_on.logs().decode()
    assert result(shared)["outputs"]
    assert not re.search("Traceback", going_on.logs().decode())
