"""``python -m worker.infra COMMAND``: answers for the scripts behind ``make deploy`` and ``make
destroy``. People use ``safelight infra``.

An answer is lines on standard output: assignments that a shell may evaluate, or ``word value``.
Exit codes: 0 done, 1 something is wrong, 2 the configuration must be edited. The reason is on
standard error.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError, SafelightError

MISTAKEN = 2
"""Exit code when the configuration must be edited."""


def main(arguments: Sequence[str]) -> int:
    """Answer one question and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker.infra")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (answer, says, wants) in _COMMANDS.items():
        command = commands.add_parser(name, help=says)
        for argument in wants:
            command.add_argument(argument)
        command.set_defaults(answer=answer)
    given = parser.parse_args(arguments)
    try:
        given.answer(given)
    except SafelightError as error:
        print(error, file=sys.stderr)  # noqa: T201 - its parent shows it
        return MISTAKEN if isinstance(error, ConfigurationError) else 1
    return 0


def _facts(given: argparse.Namespace) -> None:
    from worker.infra import stack_file

    found = stack_file.deploy_facts(stack_file.of_stack(given.stack))
    _say(f"own_registry={'yes' if found.own_registry else ''}")
    _say(f"images_named={'yes' if found.images_named else ''}")
    _say(f"function_arch={found.function}")
    _say(f"batch_arch={found.batch}")
    _say(f"aws_profile={shlex.quote(found.profile)}")


def _check(given: argparse.Namespace) -> None:
    from worker.infra import program, stack_file

    file = stack_file.of_stack(given.stack)
    if file.encrypted:
        _say("not checked: it has encrypted values, which only pulumi can read")
        return
    program.declare(given.stack, file.config, region=file.region)
    _say("no mistakes")


def _preflight(given: argparse.Namespace) -> None:
    from worker.infra import preflight, stack_file

    file = stack_file.of_stack(given.stack)
    if file.encrypted:
        _say("not checked: it has encrypted values, which only pulumi can read")
        return
    found = preflight.of_stack(given.stack, file)
    wrong = [one for one in found if one.state is preflight.State.WRONG]
    for line in preflight.lines(one for one in found if one.state is not preflight.State.FINE):
        _say(line)
    if wrong:
        raise ConfigurationError(" ".join(one.message for one in wrong))


def _first(given: argparse.Namespace) -> None:
    from worker.infra import stack_file

    text = stack_file.for_repositories(stack_file.of_stack(given.stack))
    Path(given.out).write_text(text, "utf-8")


def _placeholders(given: argparse.Namespace) -> None:
    from worker.infra import stack_file

    file = stack_file.of_stack(given.stack)
    text = stack_file.changed(file, stack_file.missing_images(file.config))
    Path(given.out).write_text(text, "utf-8")


def _repositories(given: argparse.Namespace) -> None:
    from worker.infra import deployed

    resources = deployed.read_state(_json(Path(given.state)))
    lambdas, batch = deployed.repositories(resources, given.stack)
    _say(f"function_repository={shlex.quote(lambdas)}")
    _say(f"batch_repository={shlex.quote(batch)}")


def _destroy(given: argparse.Namespace) -> None:
    from worker.infra import deployed

    resources = deployed.read_state(_json(Path(given.state)))
    kept = deployed.originals(resources, given.stack)
    excluded: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    if given.originals == "keep":
        deployed.require_known(kept, resources, given.stack)
        excluded = deployed.with_all_above(kept, resources)
    else:
        released = tuple(one.urn for one in kept if one.protected)
    going = deployed.deleted(resources, without=excluded)
    answers = {
        "bucket": [one.id for one in kept[:1]],
        "exclude": excluded,
        "unprotect": released,
        "refuses": deployed.refusals(resources, without=excluded, released=released),
        "deletes": [one.name for one in going if not one.retained],
        "retains": [one.name for one in going if one.retained],
    }
    for word, found in answers.items():
        for value in found:
            _say(f"{word} {value}")


_COMMANDS = {
    "facts": (_facts, "architectures, registry and images of a stack", ("stack",)),
    "check": (_check, "run the program on a stack's configuration", ("stack",)),
    "preflight": (_preflight, "read the quotas of the account", ("stack",)),
    "first": (_first, "write the configuration that makes the repositories", ("stack", "out")),
    "placeholders": (_placeholders, "write one with placeholders for images", ("stack", "out")),
    "repositories": (_repositories, "read a stack's state", ("stack", "state")),
    "destroy": (_destroy, "read a stack's state", ("stack", "originals", "state")),
}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is no JSON from pulumi: {error}") from error


def _say(line: str) -> None:
    print(line)  # noqa: T201 - a script reads it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
