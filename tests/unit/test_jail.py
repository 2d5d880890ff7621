"""The jail: what a process in it can no longer do, what it still can, and where there is none."""

from __future__ import annotations

import ctypes
import socket
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.unit import sandbox_targets as targets
from tests.unit.specimens import SPECIMENS, specimen
from worker.domain.image import Encoding, Format, Recipe, RenditionSpec
from worker.subprocesses import sandbox
from worker.subprocesses.jail import landlock_version
from worker.subprocesses.sandbox import SandboxLimits, run

ROOMY = SandboxLimits(cpu_seconds=60, wall_seconds=100, memory_bytes=1 << 30)


@cache
def no_walls() -> str:
    """Why there is no jail on this machine; nothing if there is one."""
    if sys.platform != "linux":
        return "only Linux has Landlock and seccomp"
    try:
        landlock_version(ctypes.CDLL(None, use_errno=True))
        ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        return f"this machine has no Landlock or no libseccomp: {error}"
    return ""


walled = pytest.mark.skipif("no_walls()", reason=no_walls())


@walled
def test_nothing_outside_can_be_reached(tmp_path: Path) -> None:
    """The kernel refuses files, sockets, programs, other processes and other identities, and what
    was there is unchanged."""
    (tmp_path / "secret").write_bytes(b"unread")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        said = run(targets.tries, tmp_path, limits=ROOMY)
    assert {
        name: answer for name, answer in said.items() if answer not in ("EACCES", "EPERM")
    } == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "socket"]
    assert (tmp_path / "secret").read_bytes() == b"unread"


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux has such a flag")
@pytest.mark.parametrize(
    "child", ["worker.subprocesses.sandbox_child", "tests.unit.unjailed_child"]
)
def test_no_privileges_are_gained(monkeypatch: pytest.MonkeyPatch, child: str) -> None:
    """No program that it starts gains rights, with walls and without."""
    monkeypatch.setattr(sandbox, "_CHILD", child)
    assert run(targets.no_new_privileges, limits=ROOMY) == "1"


def test_what_a_decoder_needs() -> None:
    """It has a temporary folder, threads and the standard library."""
    assert run(targets.uses_its_own, limits=ROOMY) == "pixels wave True"


def test_every_format_gives_the_same_bytes() -> None:
    """A picture of every format is decoded and encoded as outside of the jail."""
    names = {name.partition("-")[0]: name for name in reversed(SPECIMENS)}
    pictures = {names[kind]: specimen(names[kind]) for kind in Format}
    size = RenditionSpec(
        name="it",
        width=64,
        height=64,
        encodings=tuple(Encoding(format=one) for one in (Format.JPEG, Format.PNG, Format.WEBP)),
    )
    recipe = Recipe(name="test", version=1, renditions=(size,), formats=frozenset(Format))
    made = run(targets.digests, pictures, recipe, limits=ROOMY)
    assert made == targets.digests(pictures, recipe)
    assert all(len(file) == 64 for files in made.values() for file in files)


def test_temporary_folder_goes_with_the_call() -> None:
    """What a child leaves in its folder is gone, and the folder too."""
    folder = Path(run(targets.temporary_folder, limits=ROOMY))
    assert not folder.exists()
    assert folder.parent.exists()


def test_work_goes_on_without_walls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel refuses both walls the call works as before, and files can be read."""
    (tmp_path / "secret").write_bytes(b"read")
    monkeypatch.setattr(sandbox, "_CHILD", "tests.unit.unjailed_child")
    assert run(targets.add, 40, 2, limits=ROOMY) == 42
    assert run(targets.length_of, tmp_path / "secret", limits=ROOMY) == 4
