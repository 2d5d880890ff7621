"""How a job reports: JSON lines in the log, metrics, and the asset's record.

One line is one JSON object with ``time``, ``event``, ``kind``, ``job`` and ``attempt``. Events:
``started``, ``progress``, ``heartbeat``, ``done``, ``unchanged``, ``rejected``, ``stopped``,
``failed``, ``warning``; docs/jobs.md has their fields. Metrics are lines in CloudWatch's embedded
metric format in the same log (``worker.adapters.emf``).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from batch import catalogue
from worker.adapters import emf
from worker.domain import metrics, redaction, trace
from worker.domain.asset import JobRecord
from worker.domain.errors import SafelightError
from worker.domain.ledger import VCPU_SECONDS
from worker.ports import Catalog

LOG_SECONDS = 2.0
"""Least time between two progress lines."""
CATALOG_SECONDS = 15.0
"""Least time between two writes to the catalog: each costs a write unit."""
RECORD_SECONDS = 3.0
"""Longest wait for an earlier write to the catalog before the last one is skipped."""
HEARTBEAT_SECONDS = 30.0
"""After this long without progress, a line says that the job is alive."""
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The job that the lines are about."""

    kind: str
    job: str
    """Batch's id (``uuid:3`` for a child); elsewhere a name that follows from the request."""
    attempt: int = 1
    asset: str | None = None
    output: str = ""
    traceparent: str = ""


@dataclass(slots=True)
class _ProgressState:
    """The progress so far."""

    share: float = 0.0
    doing: str = ""
    began: float = 0.0
    from_share: float = 0.0
    logged: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


def _step(doing: str) -> str:
    """The text without its numbers: "encoding, 2 of 12 parts done" stays the same step."""
    return _NUMBERS.sub("", doing)


def _seconds(known: JobRecord | None) -> float:
    """vCPU seconds of the attempts before this one, as the last of them has written them."""
    try:
        return float(known.detail.get(VCPU_SECONDS, "0")) if known is not None else 0.0
    except ValueError:
        return 0.0


class JobReporter:
    """Writes to the log, and to the catalog if there is one, in the background.

    A catalog that does not answer never fails a job: it is one warning in the log.

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
        kind = catalogue.KINDS.get(identity.kind)
        self._vcpus = kind.vcpus if kind is not None else 1.0
        self._state = _ProgressState(began=clock())
        self._writing = threading.Lock()
        self._created = ""
        self._began, self._spent_before = clock(), 0.0
        self._recording = threading.Lock()
        self._final = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> JobReporter:
        self.event("started", output=self._identity.output)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # Not without limit: the thread may wait for the catalog, and a stop has little time.
        self._thread.join(timeout=1.0)

    def progress(self, share: float, doing: str) -> None:
        """See ``Work.progress``. Safe from any thread; never waits for the catalog."""
        state, now = self._state, self._clock()
        share = min(1.0, max(0.0, share))
        with state.lock:
            next_step = _step(doing) != _step(state.doing)
            if not state.doing:
                state.began, state.from_share = now, share
            elif next_step:
                # Progress that a step starts with says nothing about its speed.
                state.from_share += max(0.0, share - state.share)
            changed = next_step or share >= 1.0 > state.share
            state.share, state.doing = share, doing
            due = changed or now - state.logged >= LOG_SECONDS
            if due:
                state.logged = now
        if due:
            self.event("progress", **self._figures())

    def event(self, name: str, **fields: object) -> None:
        """Write one line."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "event": name,
            "kind": self._identity.kind,
            "job": self._identity.job,
            "attempt": self._identity.attempt,
            **({"asset": self._identity.asset} if self._identity.asset else {}),
            **({trace.NAME: self._identity.traceparent} if self._identity.traceparent else {}),
            # Where results go is chosen by whoever runs the job; an input is named by its uploader.
            **redaction.line({name: one for name, one in fields.items() if name != "output"}),
            **({"output": fields["output"]} if "output" in fields else {}),
        }
        self._line(line)

    def metrics(self, outcome: str, *, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """Write the metrics of the attempt, and all that its operation has counted."""
        kind = self._identity.kind
        metrics.add(metrics.JOBS, kind=kind, outcome=outcome)
        metrics.add(metrics.JOB_SECONDS, seconds, kind=kind)
        metrics.add(metrics.JOB_BYTES_IN, bytes_in, kind=kind)
        metrics.add(metrics.JOB_BYTES_OUT, bytes_out, kind=kind)
        about = {"job": self._identity.job, "attempt": self._identity.attempt}
        lines = emf.lines(
            metrics.take(), "batch", emf.namespace(), now=time.time(), properties=about
        )
        for line in lines:
            self._line(line)

    def record(self, state: str, **detail: object) -> None:
        """Write the job into its asset's record now; a failure is a warning.

        Any state but ``RUNNING`` is final: later writes of the background thread are dropped.
        """
        if self._catalog is None or self._identity.asset is None:
            return
        if not self._recording.acquire(timeout=RECORD_SECONDS):
            self.event("warning", code="unreachable", message="the catalog does not answer")
            return
        try:
            if not self._final:
                self._final = state != "RUNNING"
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
            self._spent_before = _seconds(known)
        spent = self._spent_before + self._vcpus * (self._clock() - self._began)
        fields: dict[str, object] = {
            "attempt": self._identity.attempt,
            "output": self._identity.output,
            VCPU_SECONDS: round(spent, 1),
        }
        if self._identity.traceparent:
            fields[trace.NAME] = self._identity.traceparent
        everything = {**fields, **self._figures(), **detail}
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

    def _figures(self) -> Mapping[str, object]:
        state = self._state
        with state.lock:
            spent = self._clock() - state.began
            made = state.share - state.from_share
            figures: dict[str, object] = {
                "percent": round(state.share * 100, 1),
                "doing": state.doing,
            }
            if made > 0 and spent > 0:
                figures["percent_per_second"] = round(made * 100 / spent, 3)
                figures["seconds_left"] = round((1 - state.share) * spent / made, 1)
            return figures

    def _beat(self) -> None:
        """Record and report in the background: progress must not wait for a slow catalog."""
        quiet = self._clock()
        recorded = float("-inf")
        while True:
            now = self._clock()
            if now - recorded >= CATALOG_SECONDS:
                recorded = now
                self.record("RUNNING")
            if self._ended.wait(min(self._heartbeat, CATALOG_SECONDS)):
                return
            with self._state.lock:
                quiet = max(quiet, self._state.logged)
            if self._clock() - quiet >= self._heartbeat:
                quiet = self._clock()
                self.event("heartbeat", **self._figures())

    def _line(self, content: Mapping[str, object]) -> None:
        text = json.dumps(content, ensure_ascii=False, default=str)
        # Names that are not UTF-8 have lone surrogates: escaped, JSON reads them as the same.
        text = text.encode(errors="backslashreplace").decode()
        with self._writing:
            try:
                self._log.write(f"{text}\n")
                self._log.flush()
            except (OSError, ValueError):  # the log has no reader left; the work continues
                return
