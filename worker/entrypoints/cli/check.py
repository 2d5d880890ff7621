"""``safelight check``: whether records, files, lists, events and caches agree."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import Target, data_option, find_target, json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from worker.domain.events import Event
    from worker.services.invariants import CheckReport, Invariants

_EPILOG = """\b
Exit codes
  0    everything agrees
  1    something does not; each line names the rule
  75   a store does not answer
"""


@click.command(name="check", epilog=_EPILOG)
@click.option(
    "--quiet-for",
    type=Number(0, 31_536_000),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="Judge what has not changed for so long; messages may be hidden for some minutes.",
)
@click.option(
    "--newest",
    type=click.IntRange(min=1),
    metavar="N",
    help="Look at the N newest assets only, and at no lists and buckets.",
)
@click.option(
    "--events",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Events as `events tail` prints them.  [default: the log of the local stack]",
)
@click.option(
    "--served/--no-served", default=True, help="Ask the distribution for each file (HEAD)."
)
@data_option
@json_option
def command(
    *,
    quiet_for: float,
    newest: int | None,
    events: Path | None,
    served: bool,
    data: Path | None,
    as_json: bool,
) -> int:
    """Check that records, files, lists, events and caches agree. Changes nothing.

    It reads each file's header and tags: two requests a file, and one more of the distribution.
    """
    target = find_target(data)
    with ExitStack() as stack:
        checks = invariants(target, stack, quiet=quiet_for, events=events, served=served)
        report = checks.check(newest=newest)
    if as_json:
        output.print_json(as_dict(report))
    else:
        _print(report)
    return output.REJECTED if report.violations else 0


def invariants(
    target: Target, stack: ExitStack, *, quiet: float, events: Path | None, served: bool
) -> Invariants:
    """The consistency check of a deployment, usable until the exit stack closes."""
    from worker.adapters.served_files import looking_at
    from worker.services.invariants import Invariants

    app, settings = target.app, target.app.settings
    url = settings.delivery_url
    return Invariants(
        catalog=app.catalog,
        store=app.store,
        settings=settings,
        queue=app.queue,
        dead_letters=tuple(one.dead_letters for one in target.queue_pairs),
        events=_events(target, events),
        look=stack.enter_context(looking_at(url)) if served and url else None,
        running=app.runs.running,
        quiet=timedelta(seconds=quiet),
    )


def _events(target: Target, named: Path | None) -> Callable[[], Iterable[Event]] | None:
    from worker.adapters.event_log import read_all

    if named is not None:

        def read() -> Iterable[Event]:
            found = list(read_all([named]))
            if not found and named.stat().st_size:
                raise InputError(f"--events {named}: no line of it is an event")
            return found

        return read
    if target.local is None:
        return None
    from worker.local.address import EVENTS

    # A long log is renamed when the stack starts.
    log = target.local.data / EVENTS
    return lambda: read_all([log.with_name(f"{EVENTS}.1"), log])


def as_dict(report: CheckReport) -> dict[str, object]:
    """The report as JSON."""
    return {"assets": report.assets, **asdict(report)}


def _print(report: CheckReport) -> None:
    statuses = ", ".join(f"{count:,} {name}" for name, count in report.statuses.items())
    click.echo(f"{report.assets:,} assets ({statuses or 'none'})")
    click.echo(f"{report.files:,} files of theirs, {report.objects:,} objects in the buckets")
    if report.events is None:
        click.echo("no events: nothing keeps them here; --events names a file")
    else:
        click.echo(f"{report.events:,} events of outcomes")
    if report.busy:
        click.echo(f"{report.busy:,} assets have changed a moment ago, and are not judged")
    for one in report.violations:
        click.echo(f"{one.rule}  {output.one_line(one.subject)}: {output.one_line(one.message)}")
    if not report.violations:
        click.echo("everything agrees")
        return
    click.echo(output.violations_text(report.violations))
