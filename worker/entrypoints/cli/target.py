"""The target of a command: the local stack in a folder, or a deployment on AWS.

``--data DIR`` means the local stack in DIR. Without it the environment decides: with
SAFELIGHT_TABLE set it is the deployment that the SAFELIGHT_ variables describe, otherwise it is the
local stack in ``.safelight``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from worker.domain.errors import InputError

if TYPE_CHECKING:
    from worker.adapters.aws.logs import Insights
    from worker.bootstrap import Application
    from worker.local.address import Address
    from worker.ports import Jobs, LogStore, TraceStore
    from worker.services.dead_letters import QueuePair

DATA = Path(".safelight")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the local stack.  [default: .safelight, or AWS if SAFELIGHT_TABLE is set]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_Command = TypeVar("_Command", bound=Callable[..., object])


def page_options(what: str) -> Callable[[_Command], _Command]:
    """``--limit`` and ``--cursor`` of a command that lists so-called things page by page."""

    def decorate(command: _Command) -> _Command:
        limit = click.option(
            "--limit",
            type=click.IntRange(1, 1000),
            default=50,
            show_default=True,
            help=f"At most N {what}.",
            metavar="N",
        )
        cursor = click.option(
            "--cursor", metavar="CURSOR", help="Continue where the list that printed CURSOR ended."
        )
        return limit(cursor(command))

    return decorate


def print_cursor(cursor: str | None, *, as_json: bool) -> None:
    """Print the cursor of the next page to standard error, if there is one."""
    if cursor is not None:
        said = json.dumps({"cursor": cursor}) if as_json else f"there are more: --cursor {cursor}"
        click.echo(said, err=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target of a command, with its services."""

    app: Application
    local: Address | None
    """None on AWS."""

    @property
    def jobs(self) -> Jobs:
        """The jobs of the target."""
        if self.local is None:
            from worker.adapters.aws.batch import BatchJobs
            from worker.adapters.aws.clients import AwsClients

            return BatchJobs(AwsClients(), self.app.settings.batch_prefix)
        from worker.local.address import JOBS
        from worker.local.batch.jobs import LocalJobs

        return LocalJobs(self.local.data / JOBS)

    @property
    def traces(self) -> TraceStore:
        """The traces of the target."""
        if self.local is None:
            return self._insights
        from worker.local.records import LocalTraces

        return LocalTraces(data=self.local.data)

    @property
    def logs(self) -> LogStore:
        """The logs of functions and jobs."""
        if self.local is None:
            return self._insights
        from worker.local.records import LocalLogs

        return LocalLogs(data=self.local.data)

    @property
    def _insights(self) -> Insights:
        from worker.adapters.aws.clients import AwsClients
        from worker.adapters.aws.logs import Insights

        return Insights(AwsClients(), self.app.settings.batch_prefix)

    @property
    def queue_pairs(self) -> tuple[QueuePair, ...]:
        """The queues with their dead-letter queues."""
        from worker.services.dead_letters import QueuePair, webhook_pairs

        settings = self.app.settings
        endpoints = webhook_pairs(settings.webhooks)
        if self.local is not None:
            return (*self.local.queue_pairs, *endpoints)
        found = [QueuePair(queue=settings.queue_url, dead_letters=settings.dlq_url)]
        queue, dead = settings.uploads_queue_url, settings.uploads_dlq_url
        if queue is not None and dead is not None and queue != settings.queue_url:
            found.append(QueuePair(queue=queue, dead_letters=dead, direct=False))
        if settings.heavy_dlq_url is not None:
            found.append(QueuePair(queue="", dead_letters=settings.heavy_dlq_url))
        queue, dead = settings.invalidations_queue_url, settings.invalidations_dlq_url
        if queue is not None and dead is not None:
            found.append(QueuePair(queue=queue, dead_letters=dead, events=True))
        if settings.outbox_dlq_url is not None:
            found.append(QueuePair(queue="", dead_letters=settings.outbox_dlq_url, changes=True))
        return (*found, *endpoints)


def find_target(data: Path | None) -> Target:
    """Find Safelight and assemble its services. Makes no request yet.

    Raises:
        InputError: there is no local stack in the folder.
        Unreachable: the local stack is not running.
        SettingsError: the variables of the deployment have mistakes.
    """
    from worker.bootstrap import assemble
    from worker.settings import Settings

    if data is None and "SAFELIGHT_TABLE" in os.environ:
        return Target(app=assemble(Settings.from_environment(os.environ)), local=None)
    from worker.adapters.aws.clients import AwsClients
    from worker.local import address

    local = address.find(data or DATA)
    app = assemble(Settings.from_environment(local.environment), AwsClients(local.environment))
    return Target(app=app, local=local)


def local_only(target: Target, what: str) -> Address:
    """The local stack. Raises ``InputError`` on AWS."""
    if target.local is None:
        raise InputError(f"{what} works on the local stack only; name its folder with --data")
    return target.local
