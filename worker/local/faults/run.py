"""Runs a plan of faults on a loaded local stack, and watches what must be true.

While the faults happen, the rules of ``invariants.ALWAYS`` are checked again and again. Afterwards
the stack is left alone: once nothing has happened for ``SETTLE_SECONDS`` every rule must hold, and
everything that a store has answered must be so.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.event_log import read_all
from worker.adapters.served_files import looking_at
from worker.bootstrap import Application, assemble
from worker.domain.asset import DECISIONS, TRANSITIONS, AssetRecord, Status
from worker.domain.errors import SafelightError
from worker.domain.load import Flaw, Mix, MixFile
from worker.job_context import Stop
from worker.local import address
from worker.local.batch.jobs import LocalJobs
from worker.local.emulator import client_environment
from worker.local.faults import clock
from worker.local.faults.machine import Machine
from worker.local.faults.plan import WIRE, FaultKind, FaultPlan, PlannedFault
from worker.local.faults.proxy import FaultProxy
from worker.local.faults.traffic import UserTraffic, picture
from worker.local.roles import RootClients
from worker.services import load
from worker.services.invariants import ALWAYS, Invariant, Invariants, Look, Violation
from worker.services.load import LoadOptions
from worker.services.load_mix import FilledMix
from worker.settings import Settings

SETTLE_SECONDS = 240.0
"""Longest time without an event after which everything must agree: leases, hidden messages and
retries with growing waits have ended by then, and dead letters would be there."""
LONGEST_SETTLE = 1800.0
WATCH_SECONDS = 4.0
WATCHED = 100
"""Newest assets that are looked at while faults happen."""
_LOOK_SECONDS = 2.0
MIX = FilledMix(
    mix=Mix(
        files=(
            MixFile(name="photo", share=0.9),
            MixFile(name="broken", share=0.1, expect="rejected"),
        ),
        duplicates=0.1,
        abandoned=0.05,
        cut=0.1,
        slow=0.05,
    ),
    contents={"photo": picture(1), "broken": picture(2)[: len(picture(2)) // 2]},
)
"""What clients of the API upload: small, because one machine does all the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRunOptions:
    """How a plan is run."""

    plan: FaultPlan
    rate: float = 2.0
    """Deeds of people a second."""
    load: float = 0.5
    """Uploads a second by clients of the API (``worker.services.load``); 0 for none."""
    workers: int = 1
    settle: float = SETTLE_SECONDS
    videos: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """What has happened."""

    plan: FaultPlan
    uploads: int
    """That the store has answered for."""
    refused: int
    """Deeds that failed: the store did not answer, or said no."""
    clients: int
    """Uploads by clients of the API that the store has answered for."""
    happened: tuple[str, ...]
    """The faults, each with what it struck."""
    hits: Mapping[str, int]
    """Requests that were struck, by kind and service."""
    checks: int
    """How often the rules were looked at while faults happened."""
    statuses: Mapping[str, int]
    """Assets by status, at the end."""
    settled: float
    """Seconds from the end of the traffic until everything agreed, or until that was given up."""
    violations: tuple[Violation, ...]
    """During the run and at the end; empty if all is well."""


class FaultRun:
    """One run.

    Args:
        folder: the stack, its logs and its state stay in it.
        say: called with a sentence about each thing that happens.
    """

    def __init__(
        self,
        options: FaultRunOptions,
        folder: Path,
        *,
        say: Callable[[str], None] = lambda _: None,
        machine: Machine | None = None,
    ) -> None:
        self._options, self._say, self._folder = options, say, folder
        self.machine = machine or Machine(folder, workers=options.workers, say=say)
        self._happened: list[str] = []
        self._dice = random.Random(f"{options.plan.seed} run")
        self._live: dict[tuple[str, str, str], Violation] = {}
        self._checks = self._clients_done = 0
        self._over = threading.Event()

    def run(self, stop: Stop) -> FaultReport:
        """Start the stack, let everything happen, settle, check, stop the stack.

        Raises:
            EmulatorError: the stack does not start.
        """
        machine, plan = self.machine, self._options.plan
        with ExitStack() as stack:
            stack.enter_context(machine.mounted())
            self._proxy = FaultProxy(
                f"http://127.0.0.1:{machine.behind}", seed=plan.seed, send_again=self._again
            )
            stack.enter_context(self._proxy.serving(machine.port))
            stack.callback(machine.stop)
            machine.start()
            self._clients = AwsClients(machine.environment)
            stack.callback(self._clients.close)
            self._app = self._application()
            traffic = UserTraffic(
                self._app,
                seed=plan.seed,
                seconds=plan.seconds,
                rate=self._options.rate,
                folder=self._folder,
                videos=self._options.videos,
            )
            watch = threading.Thread(target=self._watch, args=(traffic,), daemon=True)
            watch.start()
            traffic.start()
            clients = threading.Thread(target=self._load, args=(stop,), daemon=True)
            clients.start()
            try:
                self._let_happen(stop)
            finally:
                traffic.stop()
                self._over.set()
                watch.join()
            self._say(f"{traffic.uploads} uploads were answered for; the stack may settle now")
            clients.join()
            return self._settle(stop, traffic)

    def _application(self) -> Application:
        environment = self.machine.environment
        settings = replace(Settings.from_environment(environment), trace_to=None)
        return assemble(settings, self._clients)

    # --- faults -----------------------------------------------------------------------------

    def _let_happen(self, stop: Stop) -> None:
        """Begin and end each fault at its time; nothing is left of any when this returns."""
        plan, began = self._options.plan, time.monotonic()
        agenda: list[tuple[float, int, Callable[[], None]]] = []
        ends: list[Callable[[], None]] = []
        number = 0
        for fault in plan.faults:
            agenda.append((fault.at, number, lambda fault=fault: ends_of(fault)))  # type: ignore[misc]
            number += 1

        def ends_of(fault: PlannedFault) -> None:
            nonlocal number
            end = self._begin(fault)
            if end is None:
                return
            ends.append(end)
            number += 1
            agenda.append((fault.at + fault.seconds, number, lambda: finish(end)))
            agenda.sort(key=lambda one: one[:2])

        def finish(end: Callable[[], None]) -> None:
            if end in ends:
                ends.remove(end)
                end()

        try:
            while not stop.requested:
                now = time.monotonic() - began
                if not agenda and now >= plan.seconds:
                    return
                if agenda and agenda[0][0] <= now:
                    agenda.pop(0)[2]()
                    continue
                due = agenda[0][0] if agenda else plan.seconds
                stop.wait(max(0.0, min(due - now, 1.0)))
        finally:
            for end in list(ends):
                finish(end)

    def _begin(self, fault: PlannedFault) -> Callable[[], None] | None:
        """Let a fault begin; returns what ends it, if it lasts."""
        if fault.kind in WIRE:
            self._note(fault, "")
            self._proxy.begin(fault)
            return lambda: self._proxy.end(fault)
        return {
            FaultKind.KILL: self._kill,
            FaultKind.STALL: self._stall,
            FaultKind.RESTART: self._restart,
            FaultKind.RECLAIM: self._reclaim,
            FaultKind.DISK: self._disk,
            FaultKind.CLOCK: self._clock,
        }[fault.kind](fault)

    def _note(self, fault: PlannedFault, what: str) -> None:
        line = f"{fault}{': ' if what else ''}{what}"
        self._happened.append(line)
        self._say(line)

    def _kill(self, fault: PlannedFault) -> None:
        if fault.target != "stack":
            hit = self.machine.send(fault.target, signal.SIGKILL)
            self._note(fault, f"{len(hit)} processes")
            return
        self._note(fault, "everything")
        self.machine.kill_all()
        self.machine.start()

    def _stall(self, fault: PlannedFault) -> Callable[[], None]:
        pids = self.machine.send(fault.target, signal.SIGSTOP)
        self._note(fault, f"{len(pids)} processes")

        def go_on() -> None:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        return go_on

    def _restart(self, fault: PlannedFault) -> None:
        hit = self.machine.send(fault.target, signal.SIGTERM)
        self._note(fault, f"{len(hit)} processes")

    def _reclaim(self, fault: PlannedFault) -> None:
        jobs = LocalJobs(self.machine.data / address.JOBS)
        hit: Sequence[str] = ()
        with suppress(SafelightError):
            hit = jobs.reclaim(fault.share, chance=self._dice, notice_seconds=fault.amount)
        self._note(fault, f"{len(hit)} jobs")

    def _disk(self, fault: PlannedFault) -> Callable[[], None] | None:
        if not self.machine.disk:
            self._note(fault, "left out: only root may mount a disk for it")
            return None
        self._note(fault, f"{self.machine.fill():,} bytes")
        return self.machine.empty

    def _clock(self, fault: PlannedFault) -> Callable[[], None]:
        def choose(seconds: float) -> None:
            clock.write(self.machine.data, fault.target, seconds)
            self.machine.send(fault.target, signal.SIGKILL)  # its next start reads it

        choose(fault.amount)
        self._note(fault, "")
        return lambda: choose(0.0)

    def _again(self, url: str, entries: Sequence[Mapping[str, Any]], seconds: float) -> None:
        """Send messages to a FIFO queue a second time, later, as if they were others: S3 may send
        an event again when the queue has forgotten it (after 5 minutes)."""
        names = ("Id", "MessageBody", "MessageGroupId", "MessageAttributes")

        def send() -> None:
            again = [{name: one[name] for name in names if name in one} for one in entries]
            for one in again:
                one["MessageDeduplicationId"] = f"again-{random.getrandbits(64):x}"
            clients = RootClients(client_environment(f"http://127.0.0.1:{self.machine.behind}"))
            with suppress(Exception):
                clients.sqs.send_message_batch(QueueUrl=url, Entries=again)  # type: ignore[arg-type]
            clients.close()

        timer = threading.Timer(seconds, send)
        timer.daemon = True
        timer.start()

    def _load(self, stop: Stop) -> None:
        """Clients of the API, and what they find wrong."""
        options = self._options
        if not options.load:
            return
        address = self.machine.address
        wanted = LoadOptions(
            api=address.api,
            token=address.token,
            filled=MIX,
            rate=options.load,
            seconds=options.plan.seconds,
            seed=options.plan.seed,
            give_up=options.settle,
        )
        try:
            report = load.run(wanted, stop=stop)
        except SafelightError as error:
            self._say(f"no clients: {error.message}")
            return
        self._clients_done = sum(one.uploaded is not None for one in report.outcomes)
        for one in report.findings:
            # Whoever is refused, or cannot look, knows it.
            if one.flaw not in (Flaw.REFUSED, Flaw.UNCHECKED):
                text = f"clients of the API: {one.flaw.value}: {one.text}"
                self._found(Violation(rule=Invariant.LOST, subject=one.asset, message=text))

    # --- rules ------------------------------------------------------------------------------

    def _watch(self, traffic: UserTraffic) -> None:
        """Look at the newest assets again and again."""
        before: dict[str, AssetRecord] = {}
        while not self._over.wait(WATCH_SECONDS):
            checks = Invariants(
                catalog=self._app.catalog,
                store=self._app.store,
                settings=self._app.settings,
                quiet=timedelta(days=1000),
                rules=ALWAYS,
            )
            with suppress(SafelightError):  # it may be down
                erasing = traffic.erasing()
                found = checks.check(newest=WATCHED).violations
                erasing |= traffic.erasing()
                for one in found:
                    if one.subject in erasing:
                        continue
                    self._found(replace(one, message=f"during the run: {one.message}"))
                for record in self._app.catalog.list_assets(limit=WATCHED).records:
                    self._follow(before.get(record.asset), record)
                    before[record.asset] = record
                self._checks += 1

    def _follow(self, old: AssetRecord | None, new: AssetRecord) -> None:
        """No record may take a step back."""
        if old is None or old.revision == new.revision:
            return
        same = old.version == new.version and old.source.sequencer == new.source.sequencer
        fits = (
            new.status is old.status
            or new.status in TRANSITIONS[old.status]
            or old.status in DECISIONS.get(new.status, ())
        )
        if new.revision < old.revision or (same and not fits):
            text = (
                f"during the run: {old.status.value} (revision {old.revision}) became "
                f"{new.status.value} (revision {new.revision})"
            )
            self._found(Violation(rule=Invariant.STATE, subject=new.asset, message=text))

    def _found(self, one: Violation) -> None:
        if (one.rule, one.subject, one.message) not in self._live:
            self._say(f"VIOLATION {one.rule}  {one.subject}: {one.message}")
            self._live[one.rule, one.subject, one.message] = one

    def _settle(self, stop: Stop, traffic: UserTraffic) -> FaultReport:
        """Wait until everything agrees, or until it is clear that it never will."""
        began = moved = time.monotonic()
        log, size = self.machine.data / address.EVENTS, -1
        statuses: Mapping[str, int] = {}
        left: list[Violation] = []
        told = 0
        while True:
            left = []
            try:
                traffic.complete()
                if self._busy():
                    raise _NotYetError
                with looking_at(self.machine.address.delivery) as look:
                    report = self._checker(look).check()
            except (SafelightError, _NotYetError) as error:
                kind = "the stack still works" if isinstance(error, _NotYetError) else str(error)
                left = [Violation(rule=Invariant.STATE, subject="stack", message=kind)]
            else:
                statuses, left = report.statuses, list(report.violations)
                for asset, text in traffic.wrong():
                    left.append(Violation(rule=Invariant.LOST, subject=asset, message=text))
            waited = time.monotonic() - began
            if log.exists() and log.stat().st_size != size:  # a slow machine works on its backlog
                moved, size = time.monotonic(), log.stat().st_size
            still = time.monotonic() - moved > self._options.settle or waited > LONGEST_SETTLE
            if not left or still or stop.requested:
                break
            if len(left) != told:
                told = len(left)
                self._say(f"after {waited:.0f} s: {told} violations, {left[0].message}")
            stop.wait(_LOOK_SECONDS)
        return FaultReport(
            plan=self._options.plan,
            uploads=traffic.uploads,
            refused=traffic.refused,
            clients=self._clients_done,
            happened=tuple(self._happened),
            hits=dict(sorted(self._proxy.hits.items())),
            checks=self._checks,
            statuses=statuses,
            settled=round(waited, 1),
            violations=(*self._live.values(), *left),
        )

    def _busy(self) -> bool:
        """Whether messages wait, or uploads."""
        app = self._app
        urls = [one.queue for one in self.machine.address.queue_pairs if one.queue]
        if any(app.queue.depth(url) for url in urls):
            return True
        open_ = (Status.UPLOADED, Status.PROCESSING)
        return any(app.catalog.by_status(status, limit=1).records for status in open_)

    def _checker(self, look: Look) -> Invariants:
        app, machine = self._app, self.machine
        log = machine.data / address.EVENTS
        return Invariants(
            catalog=app.catalog,
            store=app.store,
            settings=app.settings,
            queue=app.queue,
            dead_letters=tuple(one.dead_letters for one in machine.address.queue_pairs),
            events=lambda: read_all([log.with_name(f"{log.name}.1"), log]),
            look=look,
            quiet=timedelta(0),
            # A clock of the stack may have been wrong.
            now=lambda: datetime.now(UTC) + timedelta(minutes=10),
        )


class _NotYetError(Exception):
    """The stack still works."""
