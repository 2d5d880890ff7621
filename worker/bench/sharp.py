"""Finding sharp, the npm package, or saying in one line why it is not measured.

sharp is no dependency of Safelight: where npm is there it is installed into a cache folder that
nothing else uses.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VERSION = "0.35.5"

CACHE = Path(".safelight/bench")
"""Below the folder that the command is run in."""

_INSTALL_SECONDS = 300.0


class Missing(Exception):
    """sharp cannot be measured; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharp:
    """Where to find it."""

    node: str
    """The program."""
    folder: Path
    """Has ``node_modules`` with sharp in it."""


def find(
    folder: Path = CACHE,
    *,
    which: Callable[[str], str | None] = shutil.which,
    notice: Callable[[str], None] = lambda _: None,
) -> Sharp:
    """Look for node and sharp; install sharp if npm is there.

    Args:
        folder: the cache.
        which: finds programs by name.
        notice: is told, in one line, before anything is downloaded.

    Raises:
        Missing: no node, no npm, or the installation failed.
    """
    node = which("node")
    if node is None:
        raise Missing("sharp is not measured: there is no `node` on the PATH")
    if _installed(folder) != VERSION:
        npm = which("npm")
        if npm is None:
            raise Missing(
                f"sharp is not measured: it is not in {folder / 'node_modules'} "
                "and there is no `npm` on the PATH to install it with"
            )
        notice(f"installing sharp {VERSION} with npm into {folder}")
        _install(npm, folder)
    return Sharp(node=node, folder=folder.resolve())


def _installed(folder: Path) -> str | None:
    try:
        text = (folder / "node_modules" / "sharp" / "package.json").read_text(encoding="utf-8")
        return str(json.loads(text)["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _install(npm: str, folder: Path) -> None:
    command = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--no-package-lock"]
    # sharp's compiled parts are packages of their own: none of its scripts needs to run.
    command += ["--ignore-scripts", f"sharp@{VERSION}"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without one, npm would install into the next folder above that has a package.json.
        (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        done = subprocess.run(  # noqa: S603  the npm that was found, fixed arguments
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except OSError as error:
        raise Missing(f"sharp is not measured: {folder}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(
            f"sharp is not measured: npm did not finish within {_INSTALL_SECONDS:g} s"
        ) from error
    if done.returncode != 0 or _installed(folder) != VERSION:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        reason = said[0].strip() if said else f"exit code {done.returncode}"
        raise Missing(f"sharp is not measured: npm install failed: {reason}")
