"""``safelight events``."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.reach import data_option, local_only, reach

if TYPE_CHECKING:
    from worker.domain.asset import Event

_REMEMBERED = 10_000
"""Ids of so many events are kept to show one that was sent twice only once."""


@click.group(name="events")
def group() -> None:
    """Follow the events that the pipeline publishes."""


@group.command(name="tail")
@click.option("--all", "from_start", is_flag=True, help="Begin with the oldest event kept.")
@click.option(
    "--type", "kind", metavar="TYPE", help="Only events of this type, like asset.accepted."
)
@click.option("--asset", metavar="ASSET", help="Only events of this asset.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N events.")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
def tail_command(
    *,
    from_start: bool,
    kind: str | None,
    asset: str | None,
    count: int | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Show events as they are published, until Ctrl-C.

    Works on the local stack. On AWS, let a rule on the event bus send them where you want them.
    """
    from worker.adapters.event_log import follow
    from worker.local.address import EVENTS

    local = local_only(reach(data), "events tail")
    seen: OrderedDict[str, None] = OrderedDict()
    if not as_json:
        click.echo("following; Ctrl-C ends", err=True)
    for event in follow(local.data / EVENTS, from_start=from_start):
        if event.id in seen:
            continue
        seen[event.id] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        if kind not in (None, event.type) or asset not in (None, event.asset):
            continue
        if as_json:
            output.print_line(asdict(event))
        else:
            click.echo(output.one_line(_line(event)))
        if count is not None:
            count -= 1
            if count == 0:
                return


def _line(event: Event) -> str:
    renditions, reason = event.detail.get("renditions"), event.detail.get("reason")
    said = [str(event.detail.get("key", ""))]
    if isinstance(renditions, list) and renditions:
        said.append(f"{len(renditions)} renditions")
    if isinstance(reason, dict):
        said.append(f"{reason.get('code')}: {reason.get('message')}")
    return f"{event.time}  {event.type:14}  {event.asset}  {'  '.join(said)}"
