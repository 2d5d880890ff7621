"""Both images with nothing they do not need: no network, no rights, no root to write to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.container.engine import BATCH, LAMBDA, STRANGER, Engine, mount
from tests.unit.pictures import encoded, photo
from worker.imaging.engine import process
from worker.recipes import load
from worker.samples import write

IMAGES = pytest.mark.parametrize("image", [LAMBDA, BATCH])


def contents(out: Path) -> dict[str, str]:
    """Digests of all renditions below a folder of results."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.glob("*/*"))
        if path.is_file()
    }


@IMAGES
def test_a_folder_is_processed_by_a_user_nobody_knows(
    engine: Engine, shared: Path, image: str
) -> None:
    """The command of images/README.md, read-only root, no network, a user id of its own."""
    for number in range(3):
        data = encoded(photo(640, 480, seed=number), "JPEG")
        (shared / "in").mkdir(exist_ok=True)
        (shared / "in" / f"{number}.jpg").write_bytes(data)

    done = engine.run(image, "process", "/data/in", "--out", "/data/out", volumes=mount(shared))

    assert done.code == 0, done.errors
    assert len(contents(shared / "out")) == 18
    assert (shared / "out" / "index.html").stat().st_uid == int(STRANGER.split(":")[0])


def test_the_image_makes_what_the_host_makes(engine: Engine, shared: Path) -> None:
    """The same samples, the same library versions: the same bytes, metadata included."""
    pictures = shared / "in"
    write(pictures)

    done = engine.run(
        LAMBDA, "process", "/data/in", "--out", "/data/out", "--json", volumes=mount(shared)
    )

    assert done.code == 1, done.errors  # some samples are broken on purpose
    compared = 0
    for entry in json.loads((shared / "out" / "manifest.json").read_text()):
        if not entry.get("renditions"):
            continue
        here = process(
            (pictures / Path(entry["source"]).relative_to("/data/in")).read_bytes(), load("default")
        )
        wanted = sorted(hashlib.sha256(one.data).hexdigest() for one in here.renditions)
        assert sorted(one["sha256"] for one in entry["renditions"]) == wanted, entry["source"]
        compared += 1
    assert compared >= 15


STARVE = """
import operator
from worker.domain.errors import PoisonInput
from worker.subprocesses.sandbox import SandboxLimits, run
from worker.imaging import engine
from worker import recipes
limits = SandboxLimits(cpu_seconds=30, wall_seconds=30, memory_bytes=16_000_000_000)
try:
    run(operator.mul, b"x", 4_000_000_000, limits=limits)
except PoisonInput as error:
    print(error.code)
print(len(run(operator.mul, b"x", 1000, limits=limits)))
"""


@IMAGES
def test_memory_runs_out_in_the_child_alone(engine: Engine, image: str) -> None:
    """The kernel kills the sandboxed child at the container's limit; the container goes on."""
    done = engine.python(image, STARVE, mem_limit="300m", memswap_limit="300m")

    assert done.code == 0, done.errors
    assert done.output.split() == ["out_of_memory", "1000"]


ORPHANS = """
import os, sys, time
from worker.entrypoints.container import contain

def work():
    for _ in range(20):
        if os.fork() == 0:
            if os.fork():
                os._exit(0)       # its child is an orphan now
            os._exit(0)
        os.wait()
    deadline = time.monotonic() + 5
    def state(pid):
        try:
            return open(f"/proc/{pid}/stat").read().split(")")[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""             # reaped since it was listed
    def zombies():
        return [state(pid) for pid in os.listdir("/proc") if pid.isdigit()].count("Z")
    while zombies() and time.monotonic() < deadline:
        time.sleep(0.01)
    print(zombies())
    return 7

sys.exit(contain(work))
"""


@IMAGES
def test_process_one_reaps_orphans_and_passes_the_code_on(engine: Engine, image: str) -> None:
    """Without it every orphan stays a zombie and counts against the limit of processes."""
    done = engine.python(image, ORPHANS)

    assert done.output.split() == ["0"], done.errors
    assert done.code == 7


@IMAGES
def test_wrong_use_and_defects_keep_their_codes(engine: Engine, image: str) -> None:
    """Exit codes come through process 1; a handler without Lambda is explained."""
    assert engine.run(image, "--version").output.startswith("safelight ")
    assert engine.run(image, "nonsense").code == 2
    alone = engine.run(image)

    assert alone.code == (2 if image == LAMBDA else 0)
    assert "Traceback" not in alone.errors


@IMAGES
@pytest.mark.parametrize(
    "command",
    ["up", "samples /data", "bench", "infra plan", "chaos spot --probability 1", "simulate"],
)
def test_commands_say_that_they_need_a_checkout(engine: Engine, image: str, command: str) -> None:
    """Before they try to write anything, by a code of its own."""
    done = engine.run(image, *command.split(), "--json")

    assert done.code == 2
    assert json.loads(done.errors)["error"]["code"] == "checkout_missing"
