"""A Jobs port in memory whose jobs end when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from worker.domain.errors import JobMissing, SafelightError
from worker.domain.job import JobRequest, JobState, JobStatus


@dataclass
class FakeJobs:
    """Jobs by their names."""

    requests: dict[str, JobRequest] = field(default_factory=dict)
    statuses: dict[str, JobStatus] = field(default_factory=dict)
    refuses: list[SafelightError] = field(default_factory=list)
    """Raised by the next submissions, one each."""
    stopped: list[str] = field(default_factory=list)
    on_submit: Callable[[JobRequest], JobState] = lambda _request: JobState.RUNNING

    def submit(self, request: JobRequest) -> str:
        """See the port."""
        if self.refuses:
            raise self.refuses.pop(0)
        known = self.statuses.get(request.name)
        if known is None or known.state is JobState.FAILED:
            self.requests[request.name] = request
            self.statuses[request.name] = JobStatus(
                id=request.name, name=request.name, kind=request.kind, state=JobState.RUNNING
            )
            self.end(request.name, self.on_submit(request))
        return request.name

    def end(self, name: str, state: JobState, *, exit_code: int | None = None) -> None:
        """Let a job end."""
        known = self.statuses[name]
        self.statuses[name] = replace(known, state=state, exit_code=exit_code)

    def describe(self, job: str) -> JobStatus:
        """See the port."""
        if job not in self.statuses:
            raise JobMissing(f"there is no job {job}")
        return self.statuses[job]

    def list(self, state: JobState | None = None, *, limit: int = 100) -> Sequence[JobStatus]:
        """See the port."""
        return [one for one in self.statuses.values() if state in (None, one.state)][:limit]

    def children(self, job: str) -> Sequence[JobStatus]:
        """See the port; Step Functions never asks, so the local one must not either."""
        raise NotImplementedError(job)

    def named(self, prefix: str) -> Sequence[JobStatus]:
        """See the port."""
        return [one for one in self.statuses.values() if one.name.startswith(prefix)]

    def stop(self, job: str, reason: str) -> None:
        """See the port."""
        assert reason
        self.stopped.append(job)
        self.end(job, JobState.FAILED)

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """See the port; never asked for, as children are not."""
        raise NotImplementedError(job, follow)
