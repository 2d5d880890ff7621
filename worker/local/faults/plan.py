"""Plans of faults: what goes wrong, when, and where. Values, which are written and read as TOML.

A plan names its seed, from which the traffic and all dice of a run come. The same plan does the
same to the same traffic at the same times; what the processes make of it also depends on the
machine.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from worker.domain.errors import InputError


class FaultKind(StrEnum):
    """What can go wrong."""

    KILL = "kill"
    """SIGKILL. Target: a process of the stack, ``NAME/child`` for a child of it, or ``stack`` for
    everything at once, which is then started again."""
    STALL = "stall"
    """SIGSTOP for ``seconds``: a machine that hangs and comes back."""
    RESTART = "restart"
    """SIGTERM: a process that ends in order and is started again."""
    RECLAIM = "reclaim"
    """Each running job loses its machine with probability ``share``, as on Spot; ``amount`` is the
    notice in seconds."""
    DISK = "disk"
    """The disk under the stack is full for ``seconds``."""
    CLOCK = "clock"
    """The clock of a process goes ``amount`` seconds ahead (behind if negative) for ``seconds``."""
    THROTTLE = "throttle"
    """A service refuses a ``share`` of the requests, for ``seconds``. Target: ``s3``, ``dynamodb``,
    ``sqs`` ... or ``*``."""
    ERROR_BEFORE = "error_before"
    """A service answers a ``share`` of the requests with an error of its own, undone."""
    ERROR_AFTER = "error_after"
    """A service does what is asked, and a ``share`` of the answers is lost or an error."""
    SLOW = "slow"
    """A ``share`` of the requests to a service takes ``amount`` seconds longer."""
    LATE = "late"
    """Messages are not shown to a ``share`` of those who ask for some."""
    TWICE = "twice"
    """A ``share`` of the messages comes again: its deletion is lost, or it is sent twice, the
    second time after ``amount`` seconds."""
    SHUFFLE = "shuffle"
    """Messages that come together are shuffled, and a ``share`` of them comes later."""


WIRE = frozenset(
    {
        *(FaultKind.THROTTLE, FaultKind.ERROR_BEFORE, FaultKind.ERROR_AFTER, FaultKind.SLOW),
        *(FaultKind.LATE, FaultKind.TWICE, FaultKind.SHUFFLE),
    }
)
"""Faults between a process and AWS; the others are of processes and machines."""
MESSAGES = frozenset({FaultKind.LATE, FaultKind.TWICE, FaultKind.SHUFFLE})
"""Those of queues, whose target is ``sqs``."""
SERVICES = ("s3", "dynamodb", "sqs", "streams", "states", "events", "*")
LONGEST = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """One thing that goes wrong."""

    at: float
    """Seconds since the start of the traffic."""
    kind: FaultKind
    target: str = ""
    seconds: float = 0.0
    """How long it lasts; 0 where it is a moment."""
    share: float = 1.0
    amount: float = 0.0

    def __str__(self) -> str:
        """In a few words."""
        words = [f"{self.at:6.1f} s  {self.kind.value:<12}", self.target or "jobs"]
        if self.seconds:
            words.append(f"for {self.seconds:g} s")
        if self.share < 1:
            words.append(f"share {self.share:g}")
        if self.amount:
            words.append(f"amount {self.amount:g}")
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """All that goes wrong in a run."""

    seed: int
    seconds: float
    """Length of the traffic; afterwards the stack is left alone until it has settled."""
    faults: tuple[PlannedFault, ...] = ()
    """In the order of time."""

    def only(self, faults: Sequence[PlannedFault]) -> FaultPlan:
        """The same with these faults alone."""
        return replace(self, faults=tuple(faults))


# --- text -------------------------------------------------------------------------------------


def dumps(plan: FaultPlan) -> str:
    """The plan as TOML, as :func:`loads` reads it."""
    lines = [f"seed = {plan.seed}", f"seconds = {plan.seconds:g}"]
    for fault in plan.faults:
        lines += ["", "[[fault]]"]
        for name, value in asdict(fault).items():
            default = _DEFAULTS.get(name)
            if value != default:
                text = f'"{value}"' if isinstance(value, str) else f"{value:g}"
                lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"


_DEFAULTS: Mapping[str, object] = {"target": "", "seconds": 0.0, "share": 1.0, "amount": 0.0}
_NAMES = frozenset(field.name for field in fields(PlannedFault))


def load(path: Path) -> FaultPlan:
    """Read a plan. Raises ``InputError``: it cannot be read, or has a mistake."""
    try:
        return loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file", code="input_missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", code="input_unreadable") from error
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def loads(text: str) -> FaultPlan:
    """Read a plan from TOML. Raises ``InputError`` with the first mistake."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"no TOML: {error}") from error
    unknown = value.keys() - {"seed", "seconds", "fault"}
    if unknown:
        raise InputError(f"unknown: {', '.join(sorted(unknown))}")
    listed = value.get("fault", [])
    if not isinstance(listed, list):
        raise InputError("fault: must be [[fault]] tables")
    return FaultPlan(
        seed=int(_number(value, "seed", -(2**63), 2**63 - 1)),
        seconds=_number(value, "seconds", 1, LONGEST),
        faults=tuple(
            sorted((_fault(one, number) for number, one in enumerate(listed, 1)), key=_at)
        ),
    )


def _at(fault: PlannedFault) -> float:
    return fault.at


def _number(value: Mapping[str, Any], name: str, least: float, most: float) -> float:
    if name not in value:
        raise InputError(f"{name}: is missing")
    found = value[name]
    if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
        raise InputError(f"{name}: must be a number from {least:g} to {most:g}, not {found!r}")
    return found


def _fault(value: object, number: int) -> PlannedFault:
    if not isinstance(value, dict):
        raise InputError(f"fault {number}: must be a table")
    try:
        unknown = value.keys() - _NAMES
        if unknown:
            raise InputError(f"unknown: {', '.join(sorted(unknown))}")
        kinds = {kind.value: kind for kind in FaultKind}
        if value.get("kind") not in kinds:
            raise InputError(f"kind: {value.get('kind')!r} is none of {', '.join(kinds)}")
        full = {**_DEFAULTS, **value}
        made = PlannedFault(
            at=_number(full, "at", 0, LONGEST),
            kind=kinds[full["kind"]],
            target=str(full["target"]),
            seconds=_number(full, "seconds", 0, LONGEST),
            share=_number(full, "share", 0, 1),
            amount=_number(full, "amount", -86_400, 86_400),
        )
        if made.kind in WIRE and made.target not in SERVICES:
            raise InputError(f"target: {made.target!r} is none of {', '.join(SERVICES)}")
    except InputError as error:
        raise InputError(f"fault {number}: {error.message}") from error
    return made


# --- chance -----------------------------------------------------------------------------------


def random_plan(seed: int, seconds: float, *, workers: int = 1, every: float = 8.0) -> FaultPlan:
    """A plan by chance: the same arguments give the same plan.

    Every kind occurs, if there is time; one fault begins every ``every`` seconds on average, and
    none in the last fifth, so that what it has delayed is under way when the traffic ends.
    """
    dice = random.Random(f"{seed} faults")
    processes = [
        *("emulator", "services", "api", "delivery"),
        *(f"worker-{number + 1}" for number in range(workers)),
    ]
    kinds = list(FaultKind)
    faults: list[PlannedFault] = []
    at, bag = dice.uniform(0.5, 1.5) * every / 2, list[FaultKind]()
    while at < seconds * 0.8:
        if not bag:
            bag = dice.sample(kinds, len(kinds))
        faults.append(_random(dice, bag.pop(), round(at, 1), processes))
        at += dice.uniform(0.3, 1.7) * every
    return FaultPlan(seed=seed, seconds=seconds, faults=tuple(faults))


def _random(
    dice: random.Random, kind: FaultKind, at: float, processes: Sequence[str]
) -> PlannedFault:
    seconds = round(dice.uniform(2, 8), 1)
    share = round(dice.uniform(0.05, 0.3), 2)
    match kind:
        case FaultKind.KILL:
            target = dice.choice([*processes, "worker-1/child", "services/child", "stack"])
            return PlannedFault(at=at, kind=kind, target=target)
        case FaultKind.STALL:
            # Long enough now and then for a lease to end (10 s): another one gets the message.
            seconds = round(dice.choice([dice.uniform(1, 5), dice.uniform(12, 20)]), 1)
            return PlannedFault(at=at, kind=kind, target=dice.choice(processes), seconds=seconds)
        case FaultKind.RESTART:
            return PlannedFault(at=at, kind=kind, target=dice.choice(["emulator", *processes]))
        case FaultKind.RECLAIM:
            notice = dice.choice([0.0, 2.0])
            return PlannedFault(
                at=at, kind=kind, share=round(dice.uniform(0.3, 1), 2), amount=notice
            )
        case FaultKind.DISK:
            return PlannedFault(at=at, kind=kind, seconds=seconds)
        case FaultKind.CLOCK:
            target = dice.choice([one for one in processes if one != "emulator"])
            skew = dice.choice([-120.0, -5.0, 5.0, 120.0])
            return PlannedFault(at=at, kind=kind, target=target, seconds=4 * seconds, amount=skew)
        case FaultKind.LATE | FaultKind.TWICE | FaultKind.SHUFFLE:
            share = round(dice.uniform(0.2, 0.8), 2)
            amount = round(dice.uniform(1, 10), 1) if kind is FaultKind.TWICE else 0.0
            return PlannedFault(
                at=at, kind=kind, target="sqs", seconds=2 * seconds, share=share, amount=amount
            )
        case _:
            service = dice.choice(SERVICES)
            amount = round(dice.uniform(0.1, 2), 2) if kind is FaultKind.SLOW else 0.0
            return PlannedFault(
                at=at, kind=kind, target=service, seconds=seconds, share=share, amount=amount
            )
