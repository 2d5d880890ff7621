"""Runs of workflows: start the one that an upload has to go through, look at them, resume them.

Safe to repeat: a run has its name from the asset and the version, so that an event that comes twice
starts it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from math import ceil

from worker.domain import trace
from worker.domain.asset import PUBLIC, AssetRecord, Status, medium_of
from worker.domain.errors import ConfigurationError, Conflict, RunMissing
from worker.domain.keys import version_prefix
from worker.domain.workflow import VIDEO, Run, RunState
from worker.ports import Catalog, Executions
from worker.recipes import DeploymentRecipes

MOST_GROUPS = 32
"""Parts that a large video is divided into at most."""
MOST_ATTEMPTS = 50
"""Names that a resumed run tries."""
_MOST_RUNNING = 10_000
"""Open runs that are searched for a later run of a version."""

FailedStage = Callable[[Sequence[str]], str]
"""The stage that a run has failed in, by the states that it has entered; empty if in none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPolicy:
    """Configuration of the service."""

    delivery_bucket: str
    video_seconds: int
    """Longest video, seconds."""
    video_array_bytes: int
    """Bytes from which a video is divided among several machines."""
    recipes: DeploymentRecipes


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRuns:
    """The use cases."""

    catalog: Catalog
    policy: RunPolicy
    workflows: Executions | None
    """None if the settings name no state machine."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """For the names of runs that are started again; nothing is ordered by it."""

    def start(self, asset: str, version: str, *, attempt: int = 1) -> str | None:
        """Start the workflow that a version of an asset has to go through, once.

        Args:
            asset: its id.
            version: which upload of it.
            attempt: a higher number starts again what has failed.

        Returns:
            The id of the run; None if this version has to go through none (any more).

        Raises:
            ConfigurationError: the settings name no such state machine.
            TransientError: catalog or state machine do not answer.
        """
        record = self.catalog.get(asset)
        if record is None or record.version != version:
            return None
        workflow = waits_for(record)
        if not workflow:
            return None
        name = run_name(record)
        run = name if attempt == 1 else f"{name}-{attempt}"
        return self._machines().start(workflow, run, self.payload(record, workflow))

    def restart(self, asset: str, version: str) -> str | None:
        """Start the jobs of a heavy upload again; None if it waits for none.

        Raises:
            ConfigurationError, TransientError: see ``start``.
        """
        record = self.catalog.get(asset)
        if record is None or record.status is not Status.PROCESSING:
            return None
        # A number that was not used before: a run's name starts one run only.
        return self.start(asset, version, attempt=int(self.now().timestamp() * 1000))

    def redrive(self, asset: str, version: str) -> str | None:
        """Start a run that was never started, or the jobs of a heavy upload again.

        Raises:
            ConfigurationError, TransientError: see ``start``.
        """
        return self.restart(asset, version) or self.start(asset, version)

    def payload(self, record: AssetRecord, workflow: str) -> dict[str, object]:
        """The input of a state machine: all values that its stages get."""
        policy, source = self.policy, record.source
        # Half the size that is not divided at all: then no part is smaller than a whole one's half.
        groups = ceil(2 * source.size / policy.video_array_bytes)
        recipe = policy.recipes.load(record.chosen_recipe)
        heavy = record.status is Status.PROCESSING
        is_open = not (recipe.approval or recipe.moderation) if heavy else record.status in PUBLIC
        return {
            "name": run_name(record),
            "asset": record.asset,
            "version": record.version,
            "workflow": workflow,
            "media": medium_of(record).value,
            "divided": source.size >= policy.video_array_bytes,
            "groups": max(2, min(MOST_GROUPS, groups)),
            "source": f"s3://{source.bucket}/{source.key}",
            "output": f"s3://{policy.delivery_bucket}/{version_prefix(record)[:-1]}",
            "recipe": policy.recipes.source(record.chosen_recipe),
            # Files that wait for a person are closed from the first write.
            "access": "open" if is_open else "closed",
            "max_seconds": policy.video_seconds,
            # Results of branches for the stage finish; a resumed run has none.
            "jobs": [],
            trace.NAME: source.trace,
        }

    # --- look and resume --------------------------------------------------------------------

    def listed(
        self, workflow: str, state: RunState | None = None, *, limit: int = 50
    ) -> Iterable[Run]:
        """Runs of a workflow, newest first.

        Raises:
            ConfigurationError, TransientError: see ``start``.
        """
        return self._machines().runs(workflow, state, limit=limit)

    def run(self, workflow: str, name: str) -> Run:
        """A run with its input and the states that it has been in.

        Raises:
            RunMissing: there is none of this name.
        """
        found = self._machines().run(workflow, name)
        if found is None:
            raise RunMissing(f"there is no run {name} of the workflow {workflow}")
        return found

    def running(self, record: AssetRecord) -> bool:
        """Whether a run for this version of an asset has not ended; False without state machines.

        Raises:
            TransientError: see ``start``.
        """
        workflow, name = waits_for(record), run_name(record)
        if self.workflows is None or not workflow:
            return False
        first = self.workflows.run(workflow, name)
        if first is not None and first.state is RunState.RUNNING:
            return True
        # Later runs of the version have the same name with a number behind it.
        open_ = self.workflows.runs(workflow, RunState.RUNNING, limit=_MOST_RUNNING)
        return any(run.name.startswith(f"{name}-") for run in open_)

    def resume(
        self, workflow: str, name: str, failed_stage: FailedStage, *, stage: str = ""
    ) -> Run:
        """Start a failed run again from the stage that failed.

        The input is that of the failed run, and the definition is the one that is deployed by now.

        Args:
            workflow: its name.
            name: of the run.
            failed_stage: knows the workflow's stages.
            stage: to begin with, in place of the one that failed.

        Returns:
            The new run, without its states.

        Raises:
            RunMissing: there is none of this name.
            Conflict: ``run_not_failed``; ``run_superseded``: another version is recorded, or it
                waits for this workflow no more.
            ConfigurationError, TransientError: see ``start``.
        """
        failed = self.run(workflow, name)
        if failed.state in (RunState.RUNNING, RunState.SUCCEEDED):
            said = f"the run {name} has not failed: it is {failed.state.value}"
            raise Conflict(said, code="run_not_failed")
        record = self.catalog.get(str(failed.input.get("asset", "")))
        version = failed.input.get("version")
        if record is None or record.version != version or waits_for(record) != workflow:
            said = f"the run {name} is of a version that does not wait for {workflow} any more"
            raise Conflict(said, code="run_superseded")
        begin = stage or failed_stage(failed.states)
        payload = {key: value for key, value in failed.input.items() if key != "resume"}
        if begin:
            payload["resume"] = begin
        fresh = self._fresh_name(workflow, run_name(record))
        self._machines().start(workflow, fresh, payload)
        return self.run(workflow, fresh)

    def _fresh_name(self, workflow: str, name: str) -> str:
        for attempt in count(2):
            fresh = f"{name}-{attempt}"
            if self._machines().run(workflow, fresh) is None:
                return fresh
            if attempt > MOST_ATTEMPTS:
                raise Conflict(f"{name} was resumed {attempt} times", code="run_superseded")
        raise AssertionError("count never ends")

    def _machines(self) -> Executions:
        if self.workflows is None:
            raise ConfigurationError("no state machine is named: set SAFELIGHT_WORKFLOWS")
        return self.workflows


def waits_for(record: AssetRecord) -> str:
    """The workflow that a version has to go through; empty for none."""
    # Records of before there were several have no name of it.
    return record.workflow or (VIDEO if record.status is Status.PROCESSING else "")


def run_name(record: AssetRecord) -> str:
    """The name of the first run of a version."""
    return f"{record.asset}-{record.version}"
