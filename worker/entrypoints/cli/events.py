"""``safelight events``: follow what is told to others, send it again, and print its schemas."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import ConfigurationError, InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option, local_only

if TYPE_CHECKING:
    from worker.domain.events import Event
    from worker.entrypoints.cli.target import Target

_REMEMBERED = 10_000
"""Ids of events that are remembered, so that one sent twice is shown once."""
_TOGETHER = 100
"""Events that are sent again by one call of the port."""


@click.group(name="events")
def events_group() -> None:
    """Follow the events that the pipeline publishes, and send them again."""


_type_option = click.option(
    "--type", "kind", metavar="TYPE", help="Only events of this type, like asset.accepted."
)
_asset_option = click.option("--asset", metavar="ASSET", help="Only events of this asset.")


@events_group.command(name="tail")
@click.option("--all", "from_start", is_flag=True, help="Start with the oldest event that is kept.")
@_type_option
@_asset_option
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

    Works on the local stack. On AWS, add a rule to the event bus that sends them on.
    """
    from worker.adapters.event_log import follow
    from worker.domain.events import cloud_event
    from worker.local.address import EVENTS

    _require_known(kind)
    local = local_only(find_target(data), "events tail")
    if not as_json:
        click.echo("following; Ctrl-C ends", err=True)
    for event in _distinct(follow(local.data / EVENTS, from_start=from_start)):
        if kind not in (None, event.type) or asset not in (None, event.asset):
            continue
        if as_json:
            output.print_line(cloud_event(event))
        else:
            click.echo(output.one_line(_event_text(event)))
        if count is not None:
            count -= 1
            if count == 0:
                return


def _distinct(events: Iterator[Event]) -> Iterator[Event]:
    """Each event once, as far as ids are remembered."""
    seen: OrderedDict[str, None] = OrderedDict()
    for event in events:
        if event.id in seen:
            continue
        seen[event.id] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        yield event


def _event_text(event: Event) -> str:
    renditions, reason = event.detail.get("renditions"), event.detail.get("reason")
    said = [str(event.detail.get("key", event.detail.get("kind", "")))]
    if isinstance(renditions, list) and renditions:
        said.append(f"{len(renditions)} renditions")
    if isinstance(reason, dict):
        said.append(f"{reason.get('code')}: {reason.get('message')}")
    return f"{event.time}  {event.type:17}  {event.asset}  {'  '.join(said)}"


def _require_known(kind: str | None) -> None:
    from worker.domain.events import TYPES

    if kind is not None and kind not in TYPES:
        raise InputError(f"there is no type {kind}; there are: {', '.join(sorted(TYPES))}")


# --- replay -------------------------------------------------------------------------------------


@events_group.command(name="replay")
@click.option("--since", metavar="TIME", required=True, help="ISO 8601: 2026-11-29T20:00Z.")
@click.option("--until", metavar="TIME", help="ISO 8601.  [default: now]")
@_type_option
@_asset_option
@click.option(
    "--rule", "rules", multiple=True, metavar="RULE", help="On AWS: only to this rule of the bus."
)
@data_option
@json_option
def replay_command(
    *,
    since: str,
    until: str | None,
    kind: str | None,
    asset: str | None,
    rules: tuple[str, ...],
    data: Path | None,
    as_json: bool,
) -> None:
    """Send events of a span of time again, with the ids that they had.

    The local stack sends what its log has. On AWS this begins a replay of the archive
    (SAFELIGHT_EVENT_ARCHIVE), which EventBridge carries out: all types and assets, to all rules or
    to those that are named.
    """
    _require_known(kind)
    target = find_target(data)
    first, last = _moment(since, "--since"), _moment(until, "--until") or datetime.now(UTC)
    assert first is not None
    if last <= first:
        raise InputError("--until must be after --since")
    begin = _replay_archive if target.local is None else _replay_log
    found = begin(target, _Wanted(first, last, kind, asset, rules))
    if as_json:
        output.print_json(found)
    else:
        click.echo("  ".join(f"{name} {value}" for name, value in found.items()))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events are sent again, and where to."""

    first: datetime
    last: datetime
    kind: str | None
    asset: str | None
    rules: tuple[str, ...]

    def takes(self, event: Event) -> bool:
        """Whether it is one of them."""
        if self.kind not in (None, event.type) or self.asset not in (None, event.asset):
            return False
        try:
            time = _moment(event.time, "time")
        except InputError:
            return False  # a line of somebody else
        return time is not None and self.first <= time <= self.last


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{option}: {text!r} is no time: 2026-11-29T20:00Z is one") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _replay_log(target: Target, wanted: _Wanted) -> dict[str, object]:
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.eventbridge import EventBridgeEvents
    from worker.adapters.event_log import follow
    from worker.local.address import EVENTS

    if wanted.rules:
        raise InputError("--rule works on AWS: the local stack sends to every rule")
    local = local_only(target, "events replay")
    bus = EventBridgeEvents(AwsClients(local.environment), target.app.settings.event_bus)
    log = follow(local.data / EVENTS, from_start=True, wait=lambda: False)
    found = [event for event in _distinct(log) if wanted.takes(event)]
    for start in range(0, len(found), _TOGETHER):
        bus.publish(found[start : start + _TOGETHER])
    return {"sent": len(found)}


def _replay_archive(target: Target, wanted: _Wanted) -> dict[str, object]:
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.eventbridge import replay

    if wanted.kind or wanted.asset:
        raise InputError("on AWS a replay has every event: leave out --type and --asset")
    archive = target.app.settings.event_archive
    if archive is None:
        raise ConfigurationError(
            "no archive is named: set SAFELIGHT_EVENT_ARCHIVE to the output eventArchive"
        )
    return replay(
        AwsClients(),
        archive,
        target.app.settings.event_bus,
        first=wanted.first,
        last=wanted.last,
        rules=wanted.rules,
    )


# --- schemas ------------------------------------------------------------------------------------


@events_group.command(name="schema")
@click.argument("kind", metavar="[TYPE]", required=False)
@click.option(
    "--write",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the schema of each type into a file.",
)
@json_option
def schema_command(*, kind: str | None, write: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of a type of event; without TYPE list the types.

    With --json print an array of whole schemas, of TYPE or of all.
    """
    from worker.adapters.disk_errors import disk_call
    from worker.domain.event_schemas import file_of, schema, schemas

    _require_known(kind)
    if write is not None:
        with disk_call(write):
            write.mkdir(parents=True, exist_ok=True)
            for name, found in schemas():
                (write / file_of(name)).write_text(_text(found), "utf-8")
    elif as_json:
        output.print_json([found for name, found in schemas() if kind in (None, name)])
    elif kind is not None:
        click.echo(_text(schema(kind)), nl=False)
    else:
        for name, found in schemas():
            click.echo(f"{name:17}  {found['$id']}  {found['description']}")


def _text(schema: object) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
