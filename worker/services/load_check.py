"""The check at the end of a load test: no upload is lost or doubled, and each verdict is as the mix
expects.

It reads each asset with its timeline from the API, and each file from delivery. If events can be
read, each outcome must have exactly one event.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import httpx2

from worker.client import ApiError, AsyncClient
from worker.domain.errors import SafelightError
from worker.domain.load import FINAL, REJECTED, WAITING, Flaw, LoadFinding, UploadOutcome

if TYPE_CHECKING:
    from worker.domain.events import Event

READERS = 8
"""Assets that are read in parallel."""
BLIND = frozenset({"unreachable", "token_expired", "token_invalid", "token_missing", "not_allowed"})
"""Codes after which no further asset can be read."""
EVENT_SECONDS = 10.0
"""Longest delay of an event after its record."""
_PAUSE = 0.5
_OPEN = frozenset({"accepted", "published"})

Told = defaultdict[str, set[tuple[str, str]]]
"""Types and ids of events, by asset."""
Files = frozenset[tuple[str, str, int, int, int]]
"""Of an asset: name, format, width, height, bytes."""


class Checker:
    """Checks the outcomes of a run.

    Args:
        outcomes: outcomes by number.
        tag: tag of all assets of the run.
        client: client of the API.
        http: reads files.
        events: returns the events so far; None if they cannot be read.
        give_up: seconds to wait for a file or an event.
    """

    def __init__(
        self,
        *,
        outcomes: Mapping[int, UploadOutcome],
        tag: str,
        client: AsyncClient,
        http: httpx2.AsyncClient,
        events: Callable[[], Iterable[Event]] | None,
        give_up: float,
    ) -> None:
        self._outcomes = dict(outcomes)
        self._tag, self._client, self._http = tag, client, http
        self._events, self._give_up = events, give_up
        self._findings: list[LoadFinding] = []
        self._files: dict[int, Files] = {}
        self._blind = ""
        self.files = 0
        """That were read."""
        self.events_read: int | None = None
        """Of the run's assets."""

    @property
    def outcomes(self) -> tuple[UploadOutcome, ...]:
        """The final outcomes."""
        return tuple(self._outcomes.values())

    async def run(self) -> tuple[LoadFinding, ...]:
        """Return all findings."""
        for one in self._outcomes.values():
            if one.error and one.error not in {"stopped", "left"}:
                self._add(Flaw.REFUSED, f"the client has given up: {one.error}", one)
            elif one.abandoned and one.error not in {"left", "stopped"}:
                self._add(Flaw.VERDICT, "its client had left, and yet all bytes arrived", one)
        await self._read_all()
        await self._check_list()
        self._compare_files()
        await self._check_events()
        order = list(Flaw)
        return tuple(
            sorted(
                self._findings,
                key=lambda one: (order.index(one.flaw), -1 if one.number is None else one.number),
            )
        )

    def _add(
        self, flaw: Flaw, text: str, one: UploadOutcome | None = None, asset: str = ""
    ) -> None:
        self._findings.append(
            LoadFinding(
                flaw=flaw,
                text=text,
                number=None if one is None else one.number,
                asset=asset or ("" if one is None else one.asset),
            )
        )

    # --- each asset -----------------------------------------------------------------------------

    async def _read_all(self) -> None:
        left = iter([one for one in self._outcomes.values() if one.asset])

        async def reader() -> None:
            for one in left:
                await self._read(one)

        async with anyio.create_task_group() as tasks:
            for _ in range(READERS):
                tasks.start_soon(reader)

    async def _read(self, one: UploadOutcome) -> None:
        if self._blind:
            self._add(Flaw.UNCHECKED, f"the API could not be read: {self._blind}", one)
            return
        try:
            shown = await self._client.get(one.asset)
            await self._check(one, shown)
        except (ApiError, SafelightError) as error:  # ours: the file of the token cannot be read
            if error.code in {"asset_missing", "asset_erased"}:
                # An upload that was refused or abandoned may have left nothing behind.
                if one.uploaded is not None:
                    self._add(Flaw.LOST, f"its record is gone: {error.code}", one)
                return
            if error.code in BLIND or isinstance(error, SafelightError):
                self._blind = error.code
            self._add(Flaw.UNCHECKED, f"the API could not be read: {error.code}", one)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._add(Flaw.UNCHECKED, f"the API's answer is not as documented: {error!r}", one)

    async def _check(self, one: UploadOutcome, shown: Mapping[str, Any]) -> None:
        status = str(shown["status"])
        code = str((shown.get("verdict") or {}).get("code", ""))
        one = self._outcomes[one.number] = replace(one, status=status, code=code)
        self._check_outcome(one, shown)
        kinds = Counter(
            entry["kind"] for entry in shown["timeline"] if entry["kind"] in FINAL | {WAITING}
        )
        for kind, count in kinds.items():
            if count > 1:
                self._add(Flaw.DOUBLED, f"its timeline says {kind} {count} times", one)
        if status in _OPEN:
            await self._check_files(one, shown["renditions"])

    def _check_outcome(self, one: UploadOutcome, shown: Mapping[str, Any]) -> None:
        status, code = one.status, one.code
        if one.uploaded is None and not one.abandoned:
            # The client does not know whether its bytes have arrived: all or none are right, half
            # is not.
            if status not in FINAL and status != WAITING:
                self._add(Flaw.LOST, f"is {status}, not final", one)
            return
        if status not in FINAL and not one.abandoned:
            self._add(Flaw.LOST, f"is {status}, not final", one)
            return
        right = one.expect in (status, code) or (one.expect == REJECTED and status == REJECTED)
        if not right:
            said = f"{status}, {code}" if code else status
            self._add(Flaw.VERDICT, f"is {said}; the mix expects {one.expect}", one)
        stored = (shown.get("original") or {}).get("bytes")
        if one.uploaded is not None and stored != one.bytes:
            self._add(Flaw.FILES, f"its original has {stored} bytes, not {one.bytes}", one)

    async def _check_files(
        self, one: UploadOutcome, renditions: Iterable[Mapping[str, Any]]
    ) -> None:
        found = [
            (str(r["name"]), str(r["format"]), int(r["width"]), int(r["height"]), int(r["bytes"]))
            for r in renditions
        ]
        for (name, form), count in Counter((each[0], each[1]) for each in found).items():
            if count > 1:
                self._add(Flaw.DOUBLED, f"has {count} renditions {name}.{form}", one)
        self._files[one.number] = frozenset(found)
        for rendition in renditions:
            problem = await self._file_problem(rendition)
            self.files += 1
            if problem:
                name = f"{rendition['name']}.{rendition['format']}"
                self._add(Flaw.FILES, f"rendition {name} {problem}", one)

    async def _file_problem(self, rendition: Mapping[str, Any]) -> str:
        """The defect of a file that a viewer reads; empty if it is right."""
        end, pause = anyio.current_time() + self._give_up, _PAUSE
        while True:
            problem = await self._read_file(rendition)
            if not problem or anyio.current_time() + pause > end:
                return problem
            await anyio.sleep(pause)
            pause *= 2

    async def _read_file(self, rendition: Mapping[str, Any]) -> str:
        url, headers = str(rendition["url"]), {"accept": str(rendition["media_type"])}
        try:
            answer = await self._http.get(url, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return f"cannot be read: {type(error).__name__}"
        if answer.status_code != 200:
            return f"is answered with {answer.status_code}"
        if len(answer.content) != rendition["bytes"]:
            return f"has {len(answer.content)} bytes, not {rendition['bytes']}"
        return ""

    # --- all of them ----------------------------------------------------------------------------

    async def _check_list(self) -> None:
        """Check that the run's assets are exactly those of its uploads."""
        if self._blind:
            self._add(Flaw.UNCHECKED, f"the list of assets could not be read: {self._blind}")
            return
        known = {one.asset for one in self._outcomes.values()}
        listed: Counter[str] = Counter()
        try:
            async for shown in self._client.list(tag=self._tag, limit="200"):
                listed[str(shown["id"])] += 1
        except (ApiError, SafelightError, KeyError, TypeError) as error:
            code = getattr(error, "code", "") or repr(error)
            self._add(Flaw.UNCHECKED, f"the list of assets could not be read: {code}")
            return
        unfinished = sum(not one.asset for one in self._outcomes.values())
        strangers = [asset for asset in listed if asset not in known]
        # If the response to a client that gave up was lost, its waiting asset exists.
        for asset in strangers[unfinished:]:
            self._add(Flaw.DOUBLED, "is a record that no upload has made", asset=asset)
        for one in self._outcomes.values():
            if one.uploaded is not None and one.asset not in listed:
                self._add(Flaw.LOST, "is not in the list of the run's assets", one)
            if listed[one.asset] > 1:
                self._add(Flaw.DOUBLED, f"is listed {listed[one.asset]} times", one)

    def _compare_files(self) -> None:
        """Check that equal bytes have equal files, and that all uploads of a file of the mix have
        the same sizes."""
        sets: defaultdict[str, Counter[frozenset[tuple[str, str, int, int]]]] = defaultdict(Counter)
        for number, found in self._files.items():
            shape = frozenset(each[:4] for each in found)
            sets[self._outcomes[number].file][shape] += 1
        for number, found in self._files.items():
            one = self._outcomes[number]
            usual = sets[one.file].most_common(1)[0][0]
            if frozenset(each[:4] for each in found) != usual:
                said = f"has {len(found)} renditions, others of {one.file} have {len(usual)}"
                self._add(Flaw.FILES, f"{said}, or of other sizes", one)
            first = None if one.duplicate_of is None else self._files.get(one.duplicate_of)
            if first is not None and first != found:
                self._add(
                    Flaw.FILES,
                    f"has other files than upload {one.duplicate_of}, of the same bytes",
                    one,
                )

    # --- events ---------------------------------------------------------------------------------

    async def _check_events(self) -> None:
        """Check that each outcome has one event. An event may be delivered twice with the same
        id."""
        if self._events is None:
            return
        wanted = {one.asset: one for one in self._outcomes.values() if one.status in FINAL}
        end = anyio.current_time() + EVENT_SECONDS
        while True:
            told = await anyio.to_thread.run_sync(self._told, self._events)
            missing = [
                one
                for asset, one in wanted.items()
                if not any(kind == f"asset.{_told_as(one.status)}" for kind, _ in told[asset])
            ]
            if not missing or anyio.current_time() > end:
                break
            await anyio.sleep(_PAUSE)
        self.events_read = sum(map(len, told.values()))
        for one in missing:
            self._add(Flaw.LOST, f"no event tells that it is {one.status}", one)
        for one in self._outcomes.values():
            kinds = Counter(kind for kind, _ in told.get(one.asset, ()))
            finals = sum(kinds[f"asset.{status}"] for status in ("accepted", "rejected", "held"))
            if finals > 1:
                self._add(Flaw.DOUBLED, f"{finals} different events tell its outcome", one)

    def _told(self, events: Callable[[], Iterable[Event]]) -> Told:
        own = {one.asset for one in self._outcomes.values() if one.asset}
        told: Told = defaultdict(set)
        for event in events():
            if event.asset in own:
                told[event.asset].add((event.type, event.id))
        return told


def _told_as(status: str) -> str:
    """The event type of a status (docs/events.md)."""
    return "held" if status == "review" else status
