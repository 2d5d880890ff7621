"""The command line: ``safelight``.

The list of commands, and the one place where errors become exit codes. Each topic has a file that
is imported when one of its commands is used: ``--help`` starts without the engine.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

import click

import worker
from worker.domain.errors import CheckoutMissing, SafelightError
from worker.entrypoints.cli import output
from worker.entrypoints.interrupts import interrupting

_EPILOG = """\b
Exit codes
  0    done; every input was accepted
  1    done; an input was rejected, or a recipe has mistakes
  2    wrong use: an option, a missing input, a recipe with mistakes
  3    the output folder cannot be written, is in use or is full
  70   a defect in Safelight (SAFELIGHT_DEBUG=1 shows the traceback)
  75   could not be done now; try again
  130  stopped by Ctrl-C or SIGTERM; what was finished is kept
  141  the reader of the output stopped reading

With --json, results are JSON on standard output and errors a JSON object on standard error.
"""

_COMMANDS = {
    "process": ("process:command", "Process images and folders into an output folder."),
    "inspect": ("images:inspect_command", "Show the format, colours and metadata of an image."),
    "plan": ("images:plan_command", "Show what would be made of an image, without making it."),
    "compare": ("images:compare_command", "Compare two images: similarity, bytes, size."),
    "repack": ("images:repack_command", "Pack a JPEG as JPEG XL without loss, or unpack it."),
    "recipes": ("recipes:group", "List, show and check recipes."),
    "cost": ("cost:group", "Price the bill of a month, a recipe, or escalation."),
    "simulate": ("simulate:command", "Simulate a deployment under a load, without AWS."),
    "samples": ("images:samples_command", "Write sample images to try things on."),
    "up": ("stack:up_command", "Run the whole pipeline on this machine."),
    "put": ("put:command", "Upload files into the intake bucket."),
    "assets": ("assets:group", "List, show, tag and remove assets of the catalog."),
    "workflow": ("workflow:group", "Check and compile workflows; look at runs, resume them."),
    "review": ("review:group", "List, show and decide what waits for people."),
    "api": ("api:group", "Make tokens for the API; print its OpenAPI document."),
    "deliver": ("deliver:group", "Show which file a client gets for a URL, and why."),
    "trace": ("trace:trace_command", "Show what was done about an asset, step by step, in time."),
    "logs": ("trace:logs_command", "Print every log line about an asset."),
    "events": ("events:events_group", "Follow events, send them again, print their schemas."),
    "check": ("check:command", "Check that records, files, lists, events and caches agree."),
    "dlq": ("dlq:group", "List messages that failed too often; send them back or drop them."),
    "webhooks": ("webhooks:group", "Show and try the endpoints that events are sent to."),
    "upgrades": ("upgrades:command", "Encode what is viewed often at a higher effort, if it pays."),
    "backfill": ("backfill:command", "Ingest objects that are already in the bucket."),
    "submit": ("submit:command", "Submit heavy work: videos, huge images, whole libraries."),
    "jobs": ("jobs:group", "List, show, follow and stop jobs."),
    "metrics": ("metrics:command", "Show what the local stack has counted."),
    "infra": ("infra:group", "Show what is declared for AWS; work on a deployed stack."),
    "chaos": ("chaos:chaos_group", "Let things go wrong in a local stack, on purpose."),
    "bench": ("bench:command", "Measure speed against Pillow, sharp and the floor."),
    "load": ("load:command", "Upload as many clients do, to any deployment; check each outcome."),
    "tune": ("tune:command", "Measure the ingest function by its memory; recommend a size."),
}
CHECKOUT = frozenset(
    {"samples", "up", "deliver", "events", "metrics", "infra", "chaos", "bench", "simulate", "tune"}
)
"""Commands that need the ``DEVELOPMENT`` packages."""
DEVELOPMENT = frozenset(
    {
        *("worker.bench", "worker.console", "worker.infra", "worker.local", "worker.samples"),
        "worker.simulation",
    }
)
"""Packages that only a checkout has: wheels and images are built without them (pyproject.toml)."""


class LazyGroup(click.Group):
    """A group whose commands are named by where they are.

    Args:
        commands_at: for each command ``module:attribute`` and its line in the help.
        checkout: names of the commands that need a checkout; the help lists them apart.
    """

    def __init__(
        self,
        *args: Any,
        commands_at: Mapping[str, tuple[str, str]],
        checkout: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at
        self.checkout = checkout

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order they were given."""
        return list(self.commands_at)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.commands_at:
            return None
        found = resolve_name(self.commands_at[cmd_name][0])
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of these arguments; a mistyped one gets a suggestion."""
        name = args[0]
        if name not in self.commands_at and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.commands_at, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the lists of commands without importing them."""
        texts = {name: text for name, (_, text) in self.commands_at.items()}
        with formatter.section("Commands"):
            formatter.write_dl([row for row in texts.items() if row[0] not in self.checkout])
        if self.checkout:
            with formatter.section("Commands that need a checkout of Safelight"):
                formatter.write_dl([row for row in texts.items() if row[0] in self.checkout])


@click.group(
    cls=LazyGroup,
    commands_at={
        name: (f"{__name__}.{module}", text) for name, (module, text) in _COMMANDS.items()
    },
    checkout=CHECKOUT,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(worker.__version__, message="safelight %(version)s")
def cli() -> None:
    """Turn images that people upload into renditions that a web page or an app can show."""


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
        # The reader is gone. Python would fail again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return output.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - what is left is a defect
        return _defect(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def _not_here(error: ModuleNotFoundError, arguments: Sequence[str], *, as_json: bool) -> int:
    """Report that a command needs a checkout; any other missing module is a defect."""
    if error.name not in DEVELOPMENT:
        return _defect(error, as_json=as_json)
    command = next((one for one in arguments if not one.startswith("-")), "")
    text = (
        f"safelight {command}: this needs a checkout of Safelight. A package or a container image "
        "has no local stack, samples, benchmarks or infrastructure; it processes files and works "
        "on the AWS deployment that the SAFELIGHT_ variables name"
    )
    missing = CheckoutMissing(text)
    output.print_error(missing, as_json=as_json)
    return output.exit_code(missing)


def _defect(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("SAFELIGHT_DEBUG"):
        raise error
    output.print_error(output.unexpected(error), as_json=as_json)
    return output.DEFECT
