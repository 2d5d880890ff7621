"""Workflows: what a file of one says, and what the function that does the stages is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NO_WORKFLOW = "none"
"""An upload of this recipe goes through no workflow."""
MODERATE = "moderate"
"""Only what moderation is uncertain of goes through it."""
APPROVE = "approve"
"""Each upload is closed until a person has approved it."""
VIDEO = "video"
"""The workflow of uploads that are too much for the ingest function, whatever their recipe says."""

END = "end"
"""Stands where the name of a next stage would: nothing follows."""
STALE = "stale"
"""Outcome of every stage that finds another version recorded: the workflow ends, it is done."""
WITHDRAWN = "withdrawn"
"""Outcome of a stage whose question somebody has decided elsewhere: the workflow ends, too."""
QUIET = (STALE, WITHDRAWN)
"""Outcomes of every kind, of which no file says what follows."""


class Starts(StrEnum):
    """Which uploads of a recipe go through a workflow."""

    ALWAYS = "always"
    """Each. If a stage publishes the files they are closed until then, from their first write."""
    ESCALATED = "escalated"
    """Those that moderation is uncertain of, or takes as a sample."""
    HEAVY = "heavy"
    """Those that are too much for the ingest function."""


class StageKind(StrEnum):
    """Kinds of stages."""

    MODERATE = "moderate"
    """Asks the moderation service about the picture. With ``unavailable = true`` it decides without
    the service, by the recipe."""
    LABEL = "label"
    """Asks for labels of the picture."""
    APPROVE = "approve"
    """Asks people, and waits until the deadline."""
    RENDER = "render"
    """Makes the renditions again, as a job."""
    JOB = "job"
    """Runs a kind of job of docs/jobs.md."""
    PUBLISH = "publish"
    """Lets everybody read the files."""
    REJECT = "reject"
    """Rejects the upload: the original goes to quarantine, the files are removed."""
    QUARANTINE = "quarantine"
    """Closes the files and copies the original to quarantine: what a failure leaves is safe."""
    WEBHOOK = "webhook"
    """Sends an event to an endpoint of the deployment."""
    FINISH = "finish"
    """Makes the record of what jobs have left."""
    PARALLEL = "parallel"
    """Runs branches at the same time and waits for all."""
    CHOOSE = "choose"
    """Goes on by a field of the input, ``otherwise`` for all values that ``on`` does not name."""
    FAIL = "fail"
    """Ends the workflow as failed, with a name that an alarm shows."""


OUTCOMES: Mapping[StageKind, tuple[str, ...]] = {
    StageKind.MODERATE: ("pass", "hold", "blur", "reject"),
    StageKind.APPROVE: ("approved", "rejected", "held"),
    StageKind.FINISH: ("accepted", "rejected", "review", "deleted", "failed"),
}
"""Words of kinds after which one of several stages follows; others have one that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage. Which fields count depends on its kind."""

    name: str
    kind: StageKind
    next: str = ""
    """The stage after it, or ``end``."""
    on: Mapping[str, str] = field(default_factory=dict)
    """The stage after it by its outcome; by the field's value for ``choose``."""
    failed: str = ""
    """The stage that follows an error; empty: that of the workflow, if it has one."""
    timeout_seconds: int = 0
    """0 takes that of the kind."""
    attempts: int = 0
    """Tries after what may work later. 0 takes that of the kind."""
    job: str = ""
    """Kind of job."""
    folder: str = ""
    """Below the version's prefix, for what the job makes; empty for the kind's own name."""
    array: str = ""
    """Field of the input with the number of children of an array job."""
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Of the job. A text that begins with ``$`` is a field of the input."""
    branches: Mapping[str, str] = field(default_factory=dict)
    """First stage of each branch, by the branch's name."""
    tolerant: bool = False
    """A branch that fails does not stop the others: the next stage is told (``jobs``)."""
    input: str = ""
    """Field of the input that ``choose`` goes by."""
    otherwise: str = ""
    """The stage for all other values of it."""
    deadline_hours: float = 72
    """People have so long."""
    escalate_hours: float | None = None
    """After so long without a decision the review is escalated."""
    default: str = "hold"
    """The decision at the deadline: approve, reject or hold."""
    people: int = 1
    """How many have to approve."""
    unavailable: bool = False
    """Decide without the moderation service, by the recipe's ``unavailable``."""
    endpoint: str = ""
    """Name of a webhook endpoint of the deployment."""
    error: str = ""
    """Name of the failure, as executions and alarms show it."""
    message: str = ""
    """The action that a person should take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Declared stages, compiled to a state machine."""

    name: str
    version: int
    starts: Starts
    first: str
    """Name of the first stage."""
    stages: Mapping[str, Stage]
    """In the order of the file."""
    description: str = ""
    failed: str = ""
    """The stage that follows an error of any stage that names no other."""

    @property
    def kinds(self) -> frozenset[StageKind]:
        """The kinds of its stages."""
        return frozenset(stage.kind for stage in self.stages.values())

    @property
    def closes(self) -> bool:
        """Whether each upload is closed until a stage publishes it."""
        return self.starts is Starts.ALWAYS and StageKind.PUBLISH in self.kinds


INPUT = frozenset(
    {
        "name",
        "asset",
        "version",
        "workflow",
        "media",
        "divided",
        "groups",
        "source",
        "output",
        "recipe",
        "access",
        "max_seconds",
        "traceparent",
    }
)
"""Fields of the input of every state machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCall:
    """A state machine asks the workflow function to do one stage for one version of an asset.

    The same call may come twice, and after a later one: a stage is safe to repeat.
    """

    task: str
    """The kind of the stage: ``approve``, ``publish`` ..."""
    asset: str
    version: str
    stage: str = ""
    """Its name in the workflow."""
    workflow: str = ""
    execution: str = ""
    """Id of the run."""
    token: str = field(default="", repr=False)
    """Answers a stage that waits; empty for those that answer by themselves. Never logged."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    """All else in the call, as the workflow's file has it."""


class RunState(StrEnum):
    """How a run of a workflow stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ABORTED = "aborted"
    """Somebody has stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a workflow for one version of an asset."""

    id: str
    workflow: str
    name: str
    state: RunState
    started_at: str
    """ISO 8601 UTC."""
    stopped_at: str = ""
    error: str = ""
    """Name of the failure."""
    cause: str = ""
    input: Mapping[str, object] = field(default_factory=dict)
    """Empty in lists."""
    states: tuple[str, ...] = ()
    """Names of the states that it has entered, in order; empty in lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of an execution that has ended."""

    succeeded: bool
    output: object
    """Parsed JSON; None if there is none."""
    failures: tuple[str, ...]
    """Of all tasks that are functions, the retried ones included: error and cause."""
