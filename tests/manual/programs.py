"""Whether a program takes a command, without running it: for commands that need AWS.

A block of commands is run by bash with programs that only write down what they are told, so that
quotes, variables and pipes are those that a person gets. Each line is then held against what its
program takes: ours against the command line and the configuration, AWS's against the models that
botocore ships.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import click
from botocore import xform_name
from botocore.model import OperationModel

from stack.config import SECTIONS, read
from tests.infra.configs import camel, switched
from tests.infra.declared import IMAGES, declare
from worker.entrypoints import cli

ROOT = Path(__file__).parents[2]
EVERYWHERE = {"--query", "--output", "--region", "--max-items"}
"""Options of the AWS CLI itself."""
OWN_COMMANDS = {
    ("logs", "tail"): {"--since", "--filter-pattern", "--follow", "--format"},
    ("cloudfront", "create-invalidation"): {"--distribution-id", "--paths"},
    ("s3", "cp"): {"--recursive"},
    ("s3", "sync"): {"--dryrun"},
}
"""Commands that the AWS CLI does not take from the model of a service (its reference)."""
_RECORD = """#!/usr/bin/env bash
{ printf '%s\\0' "$(basename "$0")" "$@"; printf '\\n'; } >> "$RECORD"
[ "$(basename "$0") $1 $2" = "safelight infra env" ] || echo answer
"""


def recorded(script: str, folder: Path, given: Mapping[str, str]) -> list[list[str]]:
    """Each command of a script with its arguments.

    Args:
        script: blocks of a page, one after another: a person has one shell.
        folder: for the programs and their record.
        given: variables that the reader fills in, or that ``safelight infra env`` sets.

    Raises:
        AssertionError: bash does not take it, or a variable is given by nobody.
    """
    programs = folder / "bin"
    programs.mkdir()
    for name in CHECKS:
        (programs / name).write_text(_RECORD)
        (programs / name).chmod(0o755)
    record = folder / "record"
    record.touch()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": f"{programs}:/usr/bin:/bin", "RECORD": str(record), **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return [line.split("\0")[:-1] for line in record.read_text("utf-8").splitlines()]


def check(commands: Sequence[Sequence[str]]) -> None:
    """Hold each command against its program.

    Raises:
        AssertionError, click.ClickException: a program does not take it.
    """
    for program, *arguments in commands:
        CHECKS[program](arguments)


@cache
def exported() -> Mapping[str, str]:
    """Variables that `safelight infra env` sets for a stack with everything."""
    (told,) = [one for one in [declare(switched(on=True)).exports["environment"]] if one]
    return dict.fromkeys(told, "set")


def _safelight(arguments: list[str]) -> None:
    command: click.Command = cli.cli
    context: click.Context | None = None
    while isinstance(command, click.Group):
        if arguments[:1] == ["--help"]:
            return
        context = click.Context(command, parent=context, info_name="safelight")
        found = command.get_command(context, arguments[0]) if arguments else None
        if found is None and command.invoke_without_command:
            break
        assert found is not None, arguments
        command, arguments = found, arguments[1:]
    command.make_context(command.name, list(arguments), parent=context)


@cache
def _operations(service: str) -> dict[str, OperationModel]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}


def _aws(arguments: list[str]) -> None:
    service, operation, *rest = arguments
    service = {"s3api": "s3"}.get(service, service)
    given = {one.partition("=")[0] for one in rest if one.startswith("--")}
    own = OWN_COMMANDS.get((service, operation))
    if own is not None:
        assert given <= own | EVERYWHERE, arguments
        return
    model: Any = _operations(service)[operation].input_shape
    members = {} if model is None else model.members
    known = {f"--{xform_name(name, '-')}": shape for name, shape in members.items()}
    switches = {
        option.replace("--", "--no-", 1)
        for option, shape in known.items()
        if shape.type_name == "boolean"
    }
    assert given <= {*known} | switches | EVERYWHERE, arguments
    required = () if model is None else model.required_members
    assert {f"--{xform_name(name, '-')}" for name in required} <= given, arguments


def _pulumi(arguments: list[str]) -> None:
    """Outputs that there are, and values that the program accepts."""
    match arguments:
        case ["stack", "output", name, *_]:
            assert name in declare(switched(on=True)).exports
        case ["config", "set", "--path", path, value, *_]:
            section, _, key = path.removeprefix("safelight:").partition(".")
            assert section in SECTIONS
            images = {} if (section, key) == ("registry", "only") else IMAGES
            assert read({**images, section: {key: value}}, stack="prod")
        case ["config", "set", path, value, *_] if path in {"aws:region", "safelight:recipe"}:
            assert value
        case ["config", "set", "safelight:image" | "safelight:batchImage", image]:
            assert "@sha256:" in image
        case ["config", "rm", "--path", path]:
            section, _, key = path.removeprefix("safelight:").partition(".")
            assert key in {camel(one.name) for one in fields(SECTIONS[section])}
        case ["login", *_] | ["up"] | ["preview"] | ["stack", "init" | "select", _] | ["whoami"]:
            return
        case ["stack", "history" | "export" | "import", *_]:
            return
        case _:
            raise AssertionError(arguments)


def _make(arguments: list[str]) -> None:
    """Targets that there are; values of variables that the Makefile or its scripts read."""
    text = (ROOT / "Makefile").read_text("utf-8")
    scripts = text + "".join(
        path.read_text("utf-8") for path in (ROOT / ".make").iterdir() if path.is_file()
    )
    if arguments[:1] == ["-C"]:
        arguments = arguments[2:]
    assert arguments
    for one in arguments:
        name, equals, _ = one.partition("=")
        if equals:
            assert re.search(rf"\b{name}\b", scripts), arguments
        else:
            assert f"\n{name}: " in text, arguments


def _curl(arguments: list[str]) -> None:
    assert any(one.startswith(("http://", "https://")) for one in arguments), arguments


def _git(arguments: list[str]) -> None:
    assert arguments[0] in {"clone", "revert"}, arguments


def _docker(arguments: list[str]) -> None:
    command, *rest = arguments
    assert command == "run"
    if "safelight" in rest and "--entrypoint" not in rest:
        _safelight(rest[rest.index("safelight") + 1 :])


CHECKS: Mapping[str, Callable[[list[str]], None]] = {
    "aws": _aws,
    "curl": _curl,
    "docker": _docker,
    "git": _git,
    "make": _make,
    "pulumi": _pulumi,
    "safelight": _safelight,
}
