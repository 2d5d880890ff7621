"""A small checkout with the scripts of .make/, and programs on its PATH that answer by rules.

Every call of a program is written down, in order. A rule says what a program answers to arguments
that match, once something else was called before, or always; a call that no rule foresees fails.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
SYSTEM = (
    *("awk", "cat", "cp", "date", "dirname", "env", "git", "grep", "mkdir", "mktemp", "rm", "sed"),
    *("sh", "tee", "tr", "uname", "wc"),
)
"""What the scripts need of a system."""
UNEXPECTED = 99

_CALL = """\
function called(pattern, at) {
    for (at = 1; at <= count; at++) if (calls[at] ~ pattern) return 1
    return 0
}
BEGIN {
    name = ARGV[1]
    for (at = 2; at < ARGC; at++) said = said (at > 2 ? " " : "") ARGV[at]
    while ((getline line < log_file) > 0) calls[++count] = line
    close(log_file)
    print name " " said >> log_file
"""
"""How each program begins. In awk, which starts in a tenth of the time of a Python: a deployment
calls some thirty programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a program does when its arguments match."""

    program: str
    match: str
    """Regular expression, looked for in the arguments joined by spaces."""
    out: str = ""
    err: str = ""
    code: int = 0
    after: str = ""
    """Only once a line of the calls so far matches this."""
    writes: dict[str, str] = field(default_factory=dict)
    """Files it leaves, relative to where it is called."""

    def in_awk(self) -> str:
        """A statement that answers and ends the program, if the rule is for this call."""
        after = f" && called({_text(self.after)})" if self.after else ""
        answers = [
            f'printf "%s", {_text(text)} > {_text(path)}' for path, text in self.writes.items()
        ]
        answers += [f'printf "%s", {_text(self.out)}'] * bool(self.out)
        answers += [f'printf "%s", {_text(self.err)} > "/dev/stderr"'] * bool(self.err)
        return (
            f"    if (name == {_text(self.program)} && said ~ {_text(self.match)}{after}) "
            f"{{ {'; '.join([*answers, f'exit {self.code}'])} }}\n"
        )


def rule(program: str, match: str, out: str = "", **more: object) -> Rule:
    """A rule, short."""
    return Rule(program=program, match=match, out=out, **more)  # type: ignore[arg-type]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # awk's escapes are the same


class Rig:
    """The checkout and its programs.

    Args:
        folder: an empty one.
        without: programs of the rules that are not installed.
    """

    def __init__(self, folder: Path, rules: Sequence[Rule], without: Sequence[str] = ()) -> None:
        self.root = folder / "checkout"
        self._folder = folder
        (self.root / "pulumi").mkdir(parents=True)
        (self.root / "worker").mkdir()
        shutil.copytree(ROOT / ".make", self.root / ".make")
        shutil.copy(ROOT / "worker" / "__init__.py", self.root / "worker")
        (self.root / ".gitignore").write_text("build/\n.venv/\n")
        (self.root / "pulumi" / "Pulumi.dev.yaml").write_text("config: {}\n")
        self._git("init", "--quiet", "--template=")
        self._git("add", ".")
        self._git("commit", "--quiet", "--message", "everything")
        self.commit = self._git("rev-parse", "HEAD")
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name in SYSTEM:
            (self._bin / name).symlink_to(str(shutil.which(name)))
        self.rules(rules)
        for name in sorted({one.program for one in rules} - {"python", *without}):
            self._install(self._bin / name, name)
        self._install(self.root / ".venv" / "bin" / "python", "python")
        self._install(self.root / ".venv" / "bin" / "safelight", "safelight")

    def rules(self, rules: Sequence[Rule]) -> None:
        """From now on these."""
        text = _CALL.replace("log_file", _text(str(self._folder / "calls")))
        text += "".join(one.in_awk() for one in rules)
        text += f'    print "no rule for: " name " " said > "/dev/stderr"; exit {UNEXPECTED}\n}}\n'
        (self._folder / "rules.awk").write_text(text, "utf-8")

    def make(
        self, script: str, *arguments: str, answers: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script.

        Args:
            answers: what a person types; None if nobody is there.
            environment: its variables.
        """
        command = [str(self.root / ".make" / script), *arguments]
        given = {"PATH": str(self._bin), "HOME": str(self._folder), "OWN_ARCH": "amd64"}
        given |= environment
        if answers is None:
            return subprocess.run(
                command,
                env=given,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        keyboard, terminal = pty.openpty()
        try:
            os.write(keyboard, answers.encode())
            return subprocess.run(
                command, env=given, stdin=terminal, capture_output=True, text=True, check=False
            )
        finally:
            os.close(keyboard)
            os.close(terminal)

    def really_ask(self) -> None:
        """From now on the script's questions to our own code are answered by it."""
        python = self.root / ".venv" / "bin" / "python"
        python.rename(python.with_name("pretended"))
        # Safe path: the checkout here has a worker package of one file.
        python.write_text(
            f'#!/bin/sh\n[ "$1" != -m ] || PYTHONPATH={ROOT} exec {sys.executable} -P "$@"\n'
            'exec "$(dirname "$0")/pretended" "$@"\n'
        )
        python.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """Every call of a program so far: its name and arguments."""
        log = self._folder / "calls"
        return log.read_text("utf-8").splitlines() if log.exists() else []

    def forget(self) -> None:
        """Start a new list of calls."""
        (self._folder / "calls").unlink()

    def calls_of(self, program: str) -> list[str]:
        """The arguments of every call of one program."""
        return [line.partition(" ")[2] for line in self.calls if line.split()[0] == program]

    def write(self, path: str, text: str) -> None:
        """A file in the checkout."""
        (self.root / path).write_text(text, "utf-8")

    def _install(self, path: Path, name: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'#!/bin/sh\nexec awk -f "{self._folder}/rules.awk" -- {name} "$@"\n', "utf-8"
        )
        path.chmod(0o755)

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=me", "-c", "user.email=me@example.com", *arguments],
            cwd=self.root,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()
