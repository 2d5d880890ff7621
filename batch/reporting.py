"""How a job tells others how it gets on: JSON lines in the log, metrics, the asset's record.

One line is one JSON object with ``time``, ``event``, ``kind``, ``job`` and ``attempt``. Events:
``started``, ``progress``, ``heartbeat``, ``done``, ``unchanged``, ``rejected``, ``stopped``,
``failed``, ``warning``; docs/jobs.md has their fields. Metrics are lines in CloudWatch's embedded
metric format in the same log. What may not be here: work, exit codes.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from worker.domain.asset import JobRecord
from worker.domain.errors import SafelightError
from worker.ports import Catalog

LOG_SECONDS = 2.0
"""Least time between two lines of progress."""
CATALOG_SECONDS = 15.0
"""Least time between two writes to the catalog: a write unit each."""
RECORD_SECONDS = 3.0
"""Longest wait for an earlier write to the catalog before the last one is given up."""
HEARTBEAT_SECONDS = 30.0
"""Without progress for so long a line says that the job is alive."""
NAMESPACE = "Safelight"
_NUMBERS = re.compile(r"\d+")
_UNITS = {"Seconds": "Seconds", "InputBytes": "Bytes", "OutputBytes": "Bytes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose lines they are."""

    kind: str
    job: str
    """Batch's id (``uuid:3`` for a child); elsewhere a name that follows from the request."""
    attempt: int = 1
    asset: str | None = None
    output: str = ""
    traceparent: str = ""


@dataclass(slots=True)
class _Course:
    """Where the job stands."""

    share: float = 0.0
    doing: str = ""
    began: float = 0.0
    from_share: float = 0.0
    logged: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


def _step(doing: str) -> str:
    """What is done, without its numbers: "encoding, 2 of 12 parts done" is one step to its end."""
    return _NUMBERS.sub("", doing)


class JobReporter:
    """Tells the log, and the catalog if there is one, in the background.

    A catalog that does not answer never fails a job: that is one warning in the log.

    Args:
        log: lines are written to it whole and flushed.
        catalog: None for a job that belongs to no asset.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        identity: Identity,
        log: TextIO,
        *,
        catalog: Callable[[], Catalog] | None = None,
        clock: Callable[[], float] = time.monotonic,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._identity = identity
        self._log = log
        self._catalog = catalog if identity.asset else None
        self._clock = clock
        self._heartbeat = heartbeat
        self._course = _Course(began=clock())
        self._writing = threading.Lock()
        self._created = ""
        self._recording = threading.Lock()
        self._settled = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> JobReporter:
        self.event("started", output=self._identity.output)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        # Not for ever: the catalog may be what it waits for, and a stop has little time.
        self._thread.join(timeout=1.0)

    def progress(self, share: float, doing: str) -> None:
        """See ``Work.progress``. Safe from any thread; never waits for the catalog."""
        course, now = self._course, self._clock()
        share = min(1.0, max(0.0, share))
        with course.lock:
            another = _step(doing) != _step(course.doing)
            if not course.doing:
                course.began, course.from_share = now, share
            elif another:
                # What a step begins with was there before: a checkpoint tells nothing of the speed.
                course.from_share += max(0.0, share - course.share)
            news = another or share >= 1.0 > course.share
            course.share, course.doing = share, doing
            due = news or now - course.logged >= LOG_SECONDS
            if due:
                course.logged = now
        if due:
            self.event("progress", **self._standing())

    def event(self, name: str, **fields: object) -> None:
        """Write one line."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "event": name,
            "kind": self._identity.kind,
            "job": self._identity.job,
            "attempt": self._identity.attempt,
            **({"traceparent": self._identity.traceparent} if self._identity.traceparent else {}),
            **fields,
        }
        self._line(line)

    def metrics(self, outcome: str, **values: float) -> None:
        """Write one line of metrics: ``Jobs`` by kind and outcome, and the values by kind."""
        names = [{"Name": name, "Unit": _UNITS.get(name, "None")} for name in values]
        self._line(
            {
                "_aws": {
                    "Timestamp": int(time.time() * 1000),
                    "CloudWatchMetrics": [
                        {
                            "Namespace": NAMESPACE,
                            "Dimensions": [["service", "kind", "outcome"]],
                            "Metrics": [{"Name": "Jobs", "Unit": "Count"}, *names],
                        }
                    ],
                },
                "service": "batch",
                "kind": self._identity.kind,
                "outcome": outcome,
                "Jobs": 1,
                **values,
            }
        )

    def record(self, state: str, **detail: object) -> None:
        """Write the job into its asset's record now; a failure is a warning.

        Anything but ``RUNNING`` is the last word: a write in the background that comes after it
        is not made.
        """
        if self._catalog is None or self._identity.asset is None:
            return
        if not self._recording.acquire(timeout=RECORD_SECONDS):
            self.event("warning", code="unreachable", message="the catalog does not answer")
            return
        try:
            if not self._settled:
                self._settled = state != "RUNNING"
                self._put(self._catalog(), self._identity.asset, state, detail)
        except SafelightError as error:
            self.event("warning", code=error.code, message=error.message)
        finally:
            self._recording.release()

    def _put(self, catalog: Catalog, asset: str, state: str, detail: Mapping[str, object]) -> None:
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if not self._created:
            known = {job.id: job for job in catalog.jobs(asset)}.get(self._identity.job)
            self._created = known.created_at if known else moment
        said = {"attempt": self._identity.attempt, "output": self._identity.output}
        everything = {**said, **self._standing(), **detail}
        catalog.put_job(
            JobRecord(
                asset=asset,
                id=self._identity.job,
                kind=self._identity.kind,
                state=state,
                created_at=self._created,
                updated_at=moment,
                detail={name: str(value) for name, value in everything.items()},
            )
        )

    def _standing(self) -> Mapping[str, object]:
        course = self._course
        with course.lock:
            spent = self._clock() - course.began
            made = course.share - course.from_share
            standing: dict[str, object] = {
                "percent": round(course.share * 100, 1),
                "doing": course.doing,
            }
            if made > 0 and spent > 0:
                standing["percent_per_second"] = round(made * 100 / spent, 3)
                standing["seconds_left"] = round((1 - course.share) * spent / made, 1)
            return standing

    def _beat(self) -> None:
        """In the background: the catalog may be slow, and progress must not wait for it."""
        quiet = self._clock()
        recorded = float("-inf")
        while True:
            now = self._clock()
            if now - recorded >= CATALOG_SECONDS:
                recorded = now
                self.record("RUNNING")
            if self._ended.wait(min(self._heartbeat, CATALOG_SECONDS)):
                return
            with self._course.lock:
                quiet = max(quiet, self._course.logged)
            if self._clock() - quiet >= self._heartbeat:
                quiet = self._clock()
                self.event("heartbeat", **self._standing())

    def _line(self, content: Mapping[str, object]) -> None:
        text = json.dumps(content, ensure_ascii=False, default=str)
        # Names that are no UTF-8 have lone surrogates: escaped, JSON reads them as the same.
        text = text.encode(errors="backslashreplace").decode()
        with self._writing:
            try:
                self._log.write(f"{text}\n")
                self._log.flush()
            except (OSError, ValueError):  # nobody listens any more; the work goes on
                return
