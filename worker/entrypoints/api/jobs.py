"""Jobs on assets, for their owners: submit, show and stop. The kinds are those of ``batch``.

A job is addressed together with its asset: a caller who may read the asset may read the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.bootstrap import Application
from worker.domain import trace
from worker.domain.asset import PUBLIC, AssetRecord, JobRecord, Status
from worker.domain.errors import (
    Conflict,
    JobMissing,
    ParameterError,
    Problem,
    Unreachable,
)
from worker.domain.job import JobStatus
from worker.domain.keys import jobs_prefix
from worker.ports import Jobs
from worker.services.breaker import OptionalWork
from worker.services.owned_assets import Caller, require_owned

_NO_ORIGINAL = frozenset({Status.WAITING, Status.REJECTED, Status.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetJobs:
    """The jobs of assets.

    Args:
        jobs: runs jobs; None if the deployment runs none.
    """

    app: Application
    jobs: Jobs | None

    def submit(
        self,
        caller: Caller,
        kind: str,
        assets: Sequence[str],
        *,
        parameters: Mapping[str, str],
        urgent: bool,
    ) -> tuple[JobRecord, JobStatus | None]:
        """Submit a job on the originals of some assets, listed with the first of them.

        A repeated request is the same job, unless that has failed.

        Raises:
            AssetMissing: one of the assets is not the caller's.
            ParameterError: with every mistake.
            Conflict: ``original_missing``: there is no original (any more).
        """
        from batch import catalogue
        from batch.submit import JobSpec, SubmitContext, requests

        records = [require_owned(self.app.catalog, caller, one) for one in assets]
        chosen = catalogue.kind(kind)
        problems = []
        if kind not in catalogue.OFFERED or chosen.lazy:
            problems.append(Problem("kind", f"{kind} is no work on assets"))
        if len({record.asset for record in records}) < len(records):
            problems.append(Problem("assets", "names an asset twice"))
        if len(records) > 1 and chosen.inputs[1] == 1:
            problems.append(Problem("assets", f"{kind} takes one, not {len(records)}"))
        if "/" in parameters.get("recipe", "") or parameters.get("recipe", "").endswith(".toml"):
            # A path would be read on the machine that runs the job.
            problems.append(Problem("parameters.recipe", "is the name of a shipped recipe"))
        if problems:
            raise ParameterError(f"job {kind}", tuple(problems))
        for record in records:
            if record.status in _NO_ORIGINAL:
                said = f"asset {record.asset} is {record.status.value}: it has no original"
                raise Conflict(said, code="original_missing")
        spec = JobSpec(
            kind=kind,
            inputs=tuple(f"s3://{one.source.bucket}/{one.source.key}" for one in records),
            parameters=parameters,
            urgent=urgent,
            asset=records[0].asset,
            closed=any(record.status not in PUBLIC for record in records),
        )
        # Below the asset's prefix: results have URLs and the cache tag of the asset, and are
        # deleted with it.
        outputs = f"s3://{self.app.settings.delivery_bucket}/{jobs_prefix(records[0])}"
        context = SubmitContext(files=False, outputs=outputs, store=self.app.store)
        try:
            (request,) = requests(spec, context)
        except ParameterError as error:
            ids = {text: one.asset for text, one in zip(spec.inputs, records, strict=True)}
            problems = [_of_the_body(one, ids) for one in error.problems]
            raise ParameterError(f"job {kind}", tuple(problems)) from None
        if not urgent:
            self.app.breaker.require(OptionalWork.JOB)
        traced = replace(request, traceparent=records[0].source.trace)
        id_ = self._running().submit(traced)
        return self._listed(records[0], id_, kind, request.output), None

    def show(self, caller: Caller, job: str) -> tuple[JobRecord, JobStatus | None]:
        """A job, with the status from its runner if the runner still knows it.

        Raises:
            JobMissing: the caller has no such job.
        """
        record = self._owned(caller, job)
        try:
            return record, self._running().describe(record.id)
        except JobMissing:  # ended long ago
            return record, None

    def stop(self, caller: Caller, job: str) -> None:
        """Ask a job to stop.

        Raises:
            JobMissing: the caller has no such job.
        """
        record = self._owned(caller, job)
        self._running().stop(record.id, "stopped by its owner")

    def _owned(self, caller: Caller, job: str) -> JobRecord:
        asset, _, id_ = job.partition(".")
        record = self.app.catalog.get(asset.lower())
        if record is not None and caller.owns(record):
            for known in self.app.catalog.jobs(record.asset):
                if known.id == id_:
                    return known
        raise JobMissing(f"there is no job {job}")

    def _listed(self, record: AssetRecord, id_: str, kind: str, output: str) -> JobRecord:
        """List the job with its asset, where the job later reports its progress."""
        for known in self.app.catalog.jobs(record.asset):
            if known.id == id_:
                return known
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made = JobRecord(
            asset=record.asset,
            id=id_,
            kind=kind,
            state="SUBMITTED",
            created_at=now,
            updated_at=now,
            detail={"output": output, trace.NAME: record.source.trace},
        )
        self.app.catalog.put_job(made)
        return made

    def _running(self) -> Jobs:
        if self.jobs is None:
            raise Unreachable("this deployment runs no jobs")
        return self.jobs


def _of_the_body(problem: Problem, ids: Mapping[str, str]) -> Problem:
    """Reword a problem that names a command-line option or a path for the API."""
    kind, _, name = problem.path.partition(" ")
    path = {"INPUT": "assets", "--param": f"parameters.{name.strip(chr(39))}"}.get(kind, kind)
    said = problem.message
    for address, asset in ids.items():
        said = said.replace(address, asset)
    return replace(problem, path=path, message=said)
