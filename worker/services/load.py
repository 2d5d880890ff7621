"""Load test: many clients upload to a deployment, and the outcome of each upload is recorded.

The load is open: a client begins at its planned time, regardless of how many others wait
(Schroeder, Wierman, Harchol-Balter: Open Versus Closed: A Cautionary Tale, NSDI 2006). The clients
are those of ``worker.client``. All outcomes are read from the API and from delivery, so any
deployment can be tested with its address and a token.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio
import httpx2

from worker.client import ATTEMPTS, FIRST_PAUSE, TIMEOUT, ApiError, AsyncClient, Token
from worker.domain.errors import SafelightError
from worker.domain.load import (
    FINAL,
    LoadFinding,
    LoadReport,
    PlannedUpload,
    UploadOutcome,
    schedule,
)
from worker.job_context import Stop
from worker.services.load_lines import CONNECTION, ClientConnection, ClientLeft, LoadTransport
from worker.services.load_mix import FilledMix, marked

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from worker.domain.events import Event

GIVE_UP_SECONDS = 60.0
"""Seconds without progress after which unfinished uploads count as lost."""
LOOK_SECONDS = 0.5
"""Least interval between two polls of the outcomes; a poll may take longer."""
LOOKED_AT = 4
"""Uploads that a poll reads one by one: 8 requests a second, of the 50 that an owner has."""
VIEWERS = 64
"""Renditions that are read in parallel."""
VIEW_PAUSE = 0.25
SAY_SECONDS = 5.0
STOPPED, GIVEN_UP, LEFT, NO_SPACE = "stopped", "given_up", "left", "client_disk"
"""Codes of uploads that this process ended, without a response."""
LIST_LOOKS = 10
"""Number of polls of the oldest uploads after which the list is read, because these may be
stuck."""
_PAGE = "200"
_NO_ANSWER = (ApiError, SafelightError, AttributeError, KeyError, TypeError, ValueError)
"""Errors of a poll without information: refusals, no token, a response that is not this API's."""

Opened = Callable[[], httpx2.AsyncBaseTransport]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """Options of a run."""

    api: str
    """Address of the API."""
    token: Token
    filled: FilledMix
    rate: float
    """Uploads a second, on average."""
    seconds: float
    seed: int = 1
    give_up: float = GIVE_UP_SECONDS
    look: float = LOOK_SECONDS
    tag: str = field(default_factory=lambda: f"load-{secrets.token_hex(4)}")
    """Tag of all assets of the run."""


@dataclass(slots=True)
class WatchedUpload:
    """An upload during the run."""

    outcome: UploadOutcome
    connection: ClientConnection
    open: bool = True
    """Whether its client is still running."""
    created: str = ""
    """Creation of its record, ISO 8601."""
    viewer: str | None = None
    """URL that its first viewer reads; empty if there is none."""
    ended: float | None = None
    """Time of its final record, in seconds of the deployment's clock."""
    found: float | None = None
    """Time when the final status was seen, in seconds of the run."""

    @property
    def pending(self) -> bool:
        """Whether the upload is unfinished."""
        if self.open:
            return True
        one = self.outcome
        if one.uploaded is None:
            return False
        if one.status in SERVABLE:
            return self.viewer is None or (self.viewer != "" and one.served is None)
        return one.status not in FINAL


SERVABLE = frozenset({"accepted", "published"})


class LoadRun:
    """One run.

    Args:
        say: called every few seconds with a sentence about the progress.
        stop: ends sending; sent uploads are still checked.
        events: returns the events of the deployment so far, if they can be read.
        transport: makes the HTTP transport; for tests.
    """

    def __init__(
        self,
        options: LoadOptions,
        *,
        say: Callable[[str], None] = lambda _: None,
        stop: Stop | None = None,
        events: Callable[[], Iterable[Event]] | None = None,
        transport: Opened | None = None,
    ) -> None:
        self._options, self._say, self._stop = options, say, stop or Stop()
        self._events = events
        # Each client has separate connections: none is reused by the next client.
        alone = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = transport or (lambda: httpx2.AsyncHTTPTransport(limits=alone))
        self._reading = transport or httpx2.AsyncHTTPTransport
        self._started = 0.0
        self._began_at = datetime.now(UTC)
        self._uploads: dict[int, WatchedUpload] = {}
        self._by_asset: dict[str, WatchedUpload] = {}
        self._progress = 0.0
        self._looks = 0
        """Complete polls since the last progress."""
        self._offsets = _Clock()

    async def run(self) -> LoadReport:
        """Send the load, wait for the outcomes, check them.

        Raises:
            ApiError: the API does not answer at the start, or refuses the token.
        """
        from worker.services.load_check import Checker

        options = self._options
        async with self._clients() as (uploader, reader):
            await self._require_api(reader)
            self._began_at = datetime.now(UTC)
            self._started = time.monotonic()
            with TemporaryDirectory(prefix="safelight-load-") as folder:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._watch, reader, tasks)
                    tasks.start_soon(self._tell)
                    await self._send(uploader, Path(folder), tasks)
                    await self._await_outcomes()
                    tasks.cancel_scope.cancel()
            self._set_times()
            outcomes = {number: seen.outcome for number, seen in self._uploads.items()}
            self._say(f"checking {len(outcomes)} uploads")
            # The delays between these attempts add up to about that time.
            attempts = min(max(int(math.log2(options.give_up / FIRST_PAUSE)) + 2, 2), ATTEMPTS)
            checker = Checker(
                outcomes=outcomes,
                tag=options.tag,
                client=AsyncClient(options.api, options.token, http=reader, attempts=attempts),
                http=reader,
                events=self._events,
                give_up=min(options.give_up, 30.0),
            )
            findings = await checker.run()
        return self._report(checker.outcomes, findings, checker.files, checker.events_read)

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
        """HTTP clients: one for the simulated clients, one for this process."""
        transport = LoadTransport(self._transport(), self._options.api)
        async with (
            httpx2.AsyncClient(transport=transport, timeout=TIMEOUT) as uploader,
            httpx2.AsyncClient(transport=self._reading(), timeout=TIMEOUT) as reader,
        ):
            yield uploader, reader

    async def _require_api(self, http: httpx2.AsyncClient) -> None:
        client = AsyncClient(self._options.api, self._options.token, http=http, attempts=3)
        await anext(client.list(tag=self._options.tag, limit="1"), None)

    # --- sending --------------------------------------------------------------------------------

    async def _send(self, http: httpx2.AsyncClient, folder: Path, tasks: TaskGroup) -> None:
        options = self._options
        plan = schedule(
            options.filled.mix, rate=options.rate, seconds=options.seconds, seed=options.seed
        )
        for planned in plan:
            await self._sleep_until(planned.at)
            if self._stop.requested:
                break
            seen = self._begin(planned)
            tasks.start_soon(self._upload, seen, http, folder)
        else:
            await self._sleep_until(options.seconds)
        self._note_progress()

    async def _sleep_until(self, at: float) -> None:
        """Sleep, and wake up early if the run is stopped."""
        while (left := at - self._now()) > 0 and not self._stop.requested:
            await anyio.sleep(min(left, 0.2))

    def _begin(self, planned: PlannedUpload) -> WatchedUpload:
        outcome = UploadOutcome(
            number=planned.number,
            at=planned.at,
            file=planned.file.name,
            expect=planned.expect,
            bytes=0,
            duplicate_of=planned.duplicate_of,
            abandoned=planned.abandoned,
            cut=planned.cut,
            slow=planned.bytes_per_second is not None,
        )
        seen = WatchedUpload(outcome, ClientConnection(planned))
        self._uploads[planned.number] = seen
        return seen

    async def _upload(self, seen: WatchedUpload, http: httpx2.AsyncClient, folder: Path) -> None:
        options, connection = self._options, seen.connection
        planned = connection.planned
        CONNECTION.set(connection)
        name = PurePosixPath(planned.file.name.partition("@")[0])
        first = planned.number if planned.duplicate_of is None else planned.duplicate_of
        data = marked(options.filled.contents[planned.file.name], f"{options.tag} {first}")
        path = folder / f"{planned.number}{name.suffix}"
        begun, uploaded, code = self._now(), None, ""
        client = AsyncClient(options.api, options.token, http=http)
        more: dict[str, Any] = {
            key: text
            for key, text in (("method", planned.file.method), ("recipe", planned.file.recipe))
            if text
        }
        try:
            path.write_bytes(data)
            await client.upload(
                path, name=f"{name.stem}-{planned.number}{name.suffix}", tags=[options.tag], **more
            )
            uploaded = self._now()
        except (ApiError, SafelightError) as error:  # a local error: the token file cannot be read
            code = error.code
        except OSError:
            code = NO_SPACE
        except ClientLeft:
            code = LEFT
        except anyio.get_cancelled_exc_class():
            code = STOPPED if self._stop.requested else GIVEN_UP
            raise
        finally:
            path.unlink(missing_ok=True)
            self._end(seen, begun=begun, uploaded=uploaded, code=code, size=len(data))

    def _end(
        self, seen: WatchedUpload, *, begun: float, uploaded: float | None, code: str, size: int
    ) -> None:
        connection = seen.connection
        ticket = connection.ticket
        seen.outcome = replace(
            seen.outcome,
            bytes=size,
            asset=connection.asset,
            begun=begun,
            ticket=None if ticket is None else ticket - self._started,
            uploaded=uploaded,
            error=code,
            retries=connection.failed,
        )
        seen.open = False
        if connection.asset:
            self._by_asset[connection.asset] = seen
        self._note_progress()

    # --- watching -------------------------------------------------------------------------------

    async def _await_outcomes(self) -> None:
        """Wait until all uploads are finished, or until there is no progress."""
        give_up = self._options.give_up
        while any(seen.pending for seen in self._uploads.values()):
            if self._stop.requested:
                # Uploads in transit are abandoned; uploads that have arrived get a moment more.
                give_up = min(give_up, 10.0)
                if not any(not one.open and one.pending for one in self._uploads.values()):
                    return
            # A slow API must not turn slow uploads into lost ones: each was polled in this time.
            if self._now() - self._progress > give_up and self._looks > 1:
                return
            await anyio.sleep(0.1)

    async def _watch(self, http: httpx2.AsyncClient, tasks: TaskGroup) -> None:
        """Poll the outcomes: of the uploads that have waited longest and, if most of those are
        decided or after some polls, of all. A list costs as much as reading each of its assets."""
        client = AsyncClient(self._options.api, self._options.token, http=http, attempts=1)
        limiter = anyio.CapacityLimiter(VIEWERS)

        def look(seen: WatchedUpload, shown: Mapping[str, Any]) -> None:
            self._look(seen, shown, http, limiter, tasks)

        async def look_at(seen: WatchedUpload) -> None:
            with suppress(*_NO_ANSWER):
                look(seen, await client.get(seen.outcome.asset))

        next_list = 0.0
        while True:
            looked = time.monotonic()
            waiting = [
                seen
                for seen in self._uploads.values()
                if seen.outcome.uploaded is not None and seen.outcome.status not in FINAL
            ]
            oldest = sorted(waiting, key=lambda seen: seen.outcome.uploaded or 0.0)[:LOOKED_AT]
            async with anyio.create_task_group() as looks:
                for seen in oldest:
                    looks.start_soon(look_at, seen)
            decided = sum(seen.outcome.status in FINAL for seen in oldest)
            if len(waiting) <= LOOKED_AT:
                self._looks += 1
            elif 2 * decided > LOOKED_AT or looked >= next_list:
                began = time.monotonic()
                await self._look_at_all(client, look)
                self._looks += 1
                ended = time.monotonic()
                next_list = ended + max(LIST_LOOKS * self._options.look, 3 * (ended - began))
            await anyio.sleep(max(self._options.look, time.monotonic() - looked))

    async def _look_at_all(
        self, client: AsyncClient, look: Callable[[WatchedUpload, Mapping[str, Any]], None]
    ) -> None:
        """Read the list of the run's assets, from the oldest undecided asset on."""
        created = [one.created for one in self._uploads.values() if one.created and one.pending]
        since = min(created, default=None)
        with suppress(*_NO_ANSWER):  # a later poll or the final check will tell
            async for shown in client.list(tag=self._options.tag, since=since, limit=_PAGE):
                seen = self._by_asset.get(str(shown.get("id")))
                if seen is not None:
                    look(seen, shown)

    def _look(
        self,
        seen: WatchedUpload,
        shown: Mapping[str, Any],
        http: httpx2.AsyncClient,
        limiter: anyio.CapacityLimiter,
        tasks: TaskGroup,
    ) -> None:
        seen.created = str(shown.get("created_at", ""))
        status, verdict = str(shown.get("status", "")), shown.get("verdict") or {}
        if seen.outcome.status not in FINAL and status in FINAL:
            seen.found = self._now()
            self._note_progress()
            seen.ended = _seconds(shown.get("updated_at"))
        seen.outcome = replace(
            seen.outcome, status=status, code=str(verdict.get("code", "")) if verdict else ""
        )
        if status in SERVABLE and seen.viewer is None:
            url = seen.viewer = first_url(shown) or ""
            if url:
                tasks.start_soon(self._view, seen, url, http, limiter)

    async def _view(
        self,
        seen: WatchedUpload,
        url: str,
        http: httpx2.AsyncClient,
        limiter: anyio.CapacityLimiter,
    ) -> None:
        """Read a rendition like its first viewer, until it exists."""
        pause = VIEW_PAUSE
        async with limiter:
            while True:
                try:
                    answer = await http.get(url)
                except httpx2.HTTPError:
                    answer = None
                if answer is not None and answer.status_code == 200:
                    break
                await anyio.sleep(pause)
                pause = min(2 * pause, 5.0)
        self._note_progress()
        seen.outcome = replace(seen.outcome, served=self._now())

    async def _tell(self) -> None:
        while True:
            await anyio.sleep(SAY_SECONDS)
            ones = [seen.outcome for seen in self._uploads.values()]
            self._say(
                f"{self._now():.0f} s: {len(ones)} begun,"
                f" {sum(one.uploaded is not None for one in ones)} uploaded,"
                f" {sum(one.status in FINAL for one in ones)} decided,"
                f" {sum(one.served is not None for one in ones)} served"
            )

    def _note_progress(self) -> None:
        self._progress, self._looks = self._now(), 0

    def _now(self) -> float:
        return time.monotonic() - self._started

    # --- the end --------------------------------------------------------------------------------

    def _set_times(self) -> None:
        """Convert times of the deployment to times of the run."""
        began = self._began_at.timestamp()
        for seen in self._uploads.values():
            connection, created = seen.connection, _seconds(seen.created)
            if created is not None and connection.asked is not None and connection.ticket:
                self._offsets.add(
                    created - (began + connection.ticket - self._started),
                    created - (began + connection.asked - self._started),
                )
        ahead = self._offsets.difference
        for seen in self._uploads.values():
            if seen.found is None:
                continue
            told = None if seen.ended is None else seen.ended - began - ahead
            # Clamped between the client's start and the time when it was seen.
            accepted = seen.found if told is None else min(told, seen.found)
            seen.outcome = replace(
                seen.outcome, accepted=max(accepted, seen.outcome.begun or seen.outcome.at)
            )

    def _report(
        self,
        outcomes: Iterable[UploadOutcome],
        findings: tuple[LoadFinding, ...],
        files: int,
        events: int | None,
    ) -> LoadReport:
        options = self._options
        return LoadReport(
            mix=options.filled.mix,
            rate=options.rate,
            seconds=options.seconds,
            seed=options.seed,
            tag=options.tag,
            started=self._began_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            elapsed=self._now(),
            outcomes=tuple(sorted(outcomes, key=lambda one: one.number)),
            findings=findings,
            stopped=self._stop.requested,
            clock_difference=self._offsets.difference,
            renditions=files,
            events=events,
        )


@dataclass(slots=True)
class _Clock:
    """The offset of the deployment's clock from this one, bounded by the times of requests and
    responses (as RFC 5905 bounds an offset by the round trip)."""

    least: float = float("-inf")
    most: float = float("inf")
    middles: list[float] = field(default_factory=list)

    def add(self, least: float, most: float) -> None:
        """Add bounds of the difference, assuming that the clocks run evenly."""
        self.least, self.most = max(self.least, least), min(self.most, most)
        self.middles.append((least + most) / 2)

    @property
    def difference(self) -> float:
        """Seconds; 0 if that is within all bounds."""
        if self.least <= self.most:
            if self.least <= 0 <= self.most or not self.middles:
                return 0.0
            return (self.least + self.most) / 2
        return sorted(self.middles)[len(self.middles) // 2]


def run(
    options: LoadOptions,
    *,
    say: Callable[[str], None] = lambda _: None,
    stop: Stop | None = None,
    events: Callable[[], Iterable[Event]] | None = None,
) -> LoadReport:
    """Run a load and return its report. See ``LoadRun``."""
    return anyio.run(LoadRun(options, say=say, stop=stop, events=events).run)


def first_url(shown: Mapping[str, Any]) -> str | None:
    """The URL of an asset's first file that a viewer may read; None if there is none."""
    for listed in (shown.get("renditions"), shown.get("first_view")):
        for one in listed or ():
            if isinstance(one, Mapping) and isinstance(one.get("url"), str):
                return str(one["url"])
    return None


_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)")


def _seconds(text: object) -> float | None:
    """A time of the API in seconds since 1970; None if it is invalid."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
