"""A copy of this checkout that deploys with Pulumi's engine to an emulator of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.engine.account import Entry
from worker.infra import stack_file
from worker.infra.deployed import StateResource, read_state
from worker.local.emulator import Emulator

ROOT = Path(__file__).parents[2]
_COUNTS = re.compile(r"(\d+) (created|updated|replaced|deleted|unchanged|to \w+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command has said, and how it ended."""

    code: int
    text: str

    @property
    def changes(self) -> Mapping[str, int]:
        """What the engine counted at the end: ``{"created": 3}``."""
        _, _, last = self.text.rpartition("Resources:")
        return {what: int(count) for count, what in _COUNTS.findall(last.partition("Duration")[0])}


class Checkout:
    """Commands of this checkout on a stack, as a person runs them.

    Args:
        folder: an empty one.
        emulator: the account.
    """

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.root = folder.resolve() / "safelight"
        self._folder = folder.resolve()
        self._list = self._folder / "account.json"
        self._copy()
        self._environment = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "PULUMI_HOME": str(self._folder / "pulumi"),
            "PULUMI_CONFIG_PASSPHRASE": "of the tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "ENGINE_TEST_IMAGES": str(self._folder / "images.json"),
            "PYTHONDONTWRITEBYTECODE": "",
            **emulator.environment,
        }
        self._program(self._folder / "bin" / "docker", "tests.engine.images")
        plugins = self._folder / "pulumi" / "plugins"
        self._program(
            plugins / f"resource-aws-v{version('pulumi_aws')}" / "pulumi-resource-aws",
            "tests.engine.provider",
            str(self._list),
        )
        (self._folder / "state").mkdir()
        assert self.run("pulumi", "login", f"file://{self._folder / 'state'}").code == 0

    def _copy(self) -> None:
        listed = subprocess.check_output(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            text=True,
        )
        for name in filter(None, listed.split("\0")):
            source, target = ROOT / name, self.root / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        # The environment of this checkout, as one of the copy, which `make setup` finds ready.
        subprocess.run([ROOT / ".make" / "setup"], check=True)
        venv = self.root / ".venv"
        venv.mkdir()
        for name in ("bin", "include", "lib"):
            (venv / name).symlink_to(ROOT / ".venv" / name)
        shutil.copy(ROOT / ".venv" / "pyvenv.cfg", venv)
        ready = (ROOT / ".venv" / ".ready").read_text().removeprefix(str(ROOT.resolve()))
        (venv / ".ready").write_text(f"{self.root}{ready}")
        for arguments in (
            ("init", "--quiet", "--template="),
            ("add", "."),
            ("commit", "--quiet", "--message", "everything"),
        ):
            subprocess.run(
                ["git", "-c", "user.name=me", "-c", "user.email=me@example.com", *arguments],
                cwd=self.root,
                check=True,
            )

    def _program(self, path: Path, module: str, *arguments: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        words = " ".join(arguments)
        path.write_text(
            f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m {module} {words} "$@"\n'
        )
        path.chmod(0o755)

    def run(self, *command: str, folder: str = "", **environment: str) -> Said:
        """Run a command at the root of the copy, with nobody at its keyboard."""
        done = subprocess.run(
            command,
            cwd=self.root / folder,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        text = _COLOURS.sub("", done.stdout)
        with (self._folder / "said.txt").open("a") as log:
            log.write(f"\n$ {' '.join(command)} {environment or ''}\n{text}[{done.returncode}]\n")
        return Said(done.returncode, text)

    def make(self, target: str, **variables: str) -> Said:
        """``make TARGET STACK=dev ...``."""
        words = [f"{name}={value}" for name, value in variables.items()]
        return self.run("make", "--no-print-directory", target, "STACK=dev", *words)

    def configure(self, **changes: Any) -> None:
        """Change values of ``pulumi/Pulumi.dev.yaml``, as a person edits it."""
        path = self.root / "pulumi" / "Pulumi.dev.yaml"
        path.write_text(stack_file.changed(stack_file.read(path), changes), "utf-8")

    def state(self) -> tuple[StateResource, ...]:
        """What the engine knows of the stack."""
        done = subprocess.run(
            ["pulumi", "stack", "export", "--stack", "dev"],
            cwd=self.root / "pulumi",
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return read_state(json.loads(done.stdout))

    def account(self, token: str = "") -> list[Entry]:
        """What is in the account, of one type or of all."""
        if not self._list.exists():
            return []
        return [
            Entry(one["token"], one["id"], one["properties"])
            for one in json.loads(self._list.read_text())
            if token in ("", one["token"])
        ]
