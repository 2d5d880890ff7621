"""The command line: ``safelight``.

What lives here: the list of commands and the one place where errors become exit codes. Each
group of commands has a file, imported when it is used: ``--help`` starts without the engine.
What may not: work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import worker
from worker.domain.errors import CheckoutMissing, SafelightError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.lazy import LazyGroup
from worker.entrypoints.interrupts import interrupting

_EPILOG = """\b
Exit codes
  0    done; every input was accepted
  1    done; an input was rejected, or a recipe has mistakes
  2    wrong use: an option, a missing input, a recipe that cannot be used
  3    the output folder cannot be written, is in use or is full
  70   a defect in Safelight (SAFELIGHT_DEBUG=1 shows the traceback)
  75   could not be done now; try again
  130  stopped by Ctrl-C or SIGTERM; what was finished is kept
  141  whoever read the output stopped reading

With --json, results are JSON on standard output and errors a JSON object on standard error.
"""

_COMMANDS = {
    "process": ("process:command", "Process pictures and folders into an output folder."),
    "inspect": ("inspect:command", "Show what a picture is and what is known about it."),
    "plan": ("plan:command", "Show what would be made of a picture, without making it."),
    "compare": ("compare:command", "Compare two pictures: similarity, bytes, size."),
    "recipes": ("recipes:group", "List, show and check recipes."),
    "samples": ("samples:command", "Write sample pictures to try things on."),
    "up": ("up:command", "Run the whole pipeline on this machine."),
    "put": ("put:command", "Upload files into the intake bucket."),
    "assets": ("assets:group", "List, show, tag and remove what the catalog knows."),
    "events": ("events:group", "Follow the events that the pipeline publishes."),
    "dlq": ("dlq:group", "Look at messages that failed too often; send them back or drop them."),
    "backfill": ("backfill:command", "Ingest objects that are in the bucket already."),
    "submit": ("submit:command", "Submit heavy work: videos, huge pictures, whole libraries."),
    "jobs": ("jobs:group", "List, show, follow and stop the jobs of heavy work."),
    "infra": ("infra:group", "Show and draw what is declared for AWS; reach a deployed stack."),
    "chaos": ("chaos:group", "Take machines away from jobs of the local stack."),
    "bench": ("bench:command", "Measure speed against Pillow, sharp and the floor."),
}
CHECKOUT = frozenset({"samples", "up", "events", "infra", "chaos", "bench"})
"""Commands that need ``DEVELOPMENT``."""
DEVELOPMENT = frozenset({"worker.bench", "worker.infra", "worker.local", "worker.samples"})
"""Packages that a checkout alone has: wheels and images are built without them (pyproject.toml)."""


@click.group(
    cls=LazyGroup,
    commands_at={
        name: (place if "." in place else f"{__name__}.{place}", text)
        for name, (place, text) in _COMMANDS.items()
    },
    checkout=CHECKOUT,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(worker.__version__, message="safelight %(version)s")
def cli() -> None:
    """Turn pictures that people upload into what a web page or an app can show."""


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns: its exit code. Raises nothing, and prints no traceback unless SAFELIGHT_DEBUG is set.
    """
    as_json = "--json" in arguments
    try:
        # Not click's own main(): it ends a broken pipe with 1, which here means "rejected".
        with interrupting(), cli.make_context("safelight", list(arguments)) as context:
            code = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:  # --help, --version
        return done.exit_code
    except SafelightError as error:
        output.print_error(error, as_json=as_json)
        return output.exit_code(error)
    except click.ClickException as error:
        return output.print_usage(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        return output.INTERRUPTED
    except ModuleNotFoundError as error:
        return _not_here(error, arguments, as_json=as_json)
    except BrokenPipeError:
        # Nobody reads any more. Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return output.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - what is left is a defect
        return _defect(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def _not_here(error: ModuleNotFoundError, arguments: Sequence[str], *, as_json: bool) -> int:
    """Say that a command, or what it was asked to do, needs a checkout; else it is a defect."""
    if error.name not in DEVELOPMENT:
        return _defect(error, as_json=as_json)
    command = next((one for one in arguments if not one.startswith("-")), "")
    text = (
        f"safelight {command}: this needs a checkout of Safelight. A package or a container image "
        "has no local stack, samples, benchmarks or infrastructure; it processes files, and works "
        "on the deployment on AWS that SAFELIGHT_TABLE and its like name"
    )
    missing = CheckoutMissing(text)
    output.print_error(missing, as_json=as_json)
    return output.exit_code(missing)


def _defect(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("SAFELIGHT_DEBUG"):
        raise error
    output.print_error(output.unexpected(error), as_json=as_json)
    return output.DEFECT
