"""Jobs on AWS Batch, with their logs in CloudWatch Logs.

The resources of a kind (processors, timeout, retries) are in its job definition, not in the
request.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code
from worker.adapters.timestamps import utc_text
from worker.domain.errors import ConfigurationError, JobMissing, JobRejected
from worker.domain.job import JobRequest, JobState, JobStatus, command_line

if TYPE_CHECKING:
    from types_boto3_batch.type_defs import JobDetailTypeDef, JobSummaryTypeDef

QUEUES = ("urgent", "standard", "bulk")
SUBMITS_A_SECOND = 40.0
"""Rate limit of this process. SubmitJob allows 50 a second to the whole account (AWS Batch User
Guide, "Service quotas"); the rest is left for state machines."""
LOG_GROUP = "/aws/batch/job"
"""Default log group of Batch's log driver."""
COMMAND_BYTES = 20_000
"""Longest command: a whole SubmitJob request may have 30 kB (the same)."""
FOLLOW_SECONDS = 2.0
_PAGE = 100
_LIVE = tuple(state for state in JobState if state is not JobState.FAILED)


class BatchJobs:
    """``ports.Jobs`` on AWS Batch.

    Args:
        prefix: prefix of the names of queues and definitions.
        sleep: sleeps between two polls while logs are followed.
    """

    def __init__(
        self,
        clients: AwsClients,
        prefix: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clients = clients
        self._names = BatchNames(clients, prefix)
        self._pace = Pace(SUBMITS_A_SECOND)
        self._sleep = sleep

    def submit(self, request: JobRequest) -> str:
        """See ``Jobs.submit``.

        Batch allows several jobs with one name, so this method lists jobs of the name before and
        after it submits. If several were submitted in the same second (or by an attempt whose
        response was lost), the oldest stays and the submitters of the others stop them. Batch
        forgets ended jobs after seven days, and their names.

        Raises:
            JobRejected: too long a command, or refused by Batch.
        """
        command = command_line(request)
        size = sum(len(word.encode()) for word in command)
        if size > COMMAND_BYTES:
            text = f"{request.name} has a command of {size} bytes; {COMMAND_BYTES} is the most"
            raise JobRejected(f"{text}: name a prefix instead of many inputs")
        found = self._named(request)
        if found is not None:
            return found
        self._pace.wait()
        submission = self._submission(request, command)
        with _batch_call(f"submit {request.name}"):
            made = self._clients.batch.submit_job(**submission)["jobId"]
        oldest = self._named(request) or made  # the list may lag behind
        if oldest != made:
            self.stop(made, f"the same job was submitted before: {oldest}")
        return oldest

    def describe(self, job: str) -> JobStatus:
        """See ``Jobs.describe``."""
        return self._status(self._detail(job))

    def list(self, state: JobState | None = None, *, limit: int = 100) -> Sequence[JobStatus]:
        """See ``Jobs.list``."""
        found: list[JobStatus] = []
        for queue in QUEUES:
            # A filter makes Batch list every state at once, newest first.
            values = ["0"]
            chosen = (
                {"jobStatus": state.value}
                if state is not None
                else {"filters": [{"name": "AFTER_CREATED_AT", "values": values}]}
            )
            pages = self._pages({"jobQueue": self._names.queue(queue), **chosen})
            found += [
                self._summary(each, queue) for each, _ in zip(pages, range(limit), strict=False)
            ]
        found.sort(key=lambda each: each.created_at, reverse=True)
        return tuple(found[:limit])

    def children(self, job: str) -> Sequence[JobStatus]:
        """See ``Jobs.children``. Batch lists children by state: a child that changes its state
        meanwhile is listed once, with its last seen state."""
        parent = self._detail(job)
        if "size" not in parent.get("arrayProperties", {}):
            return ()
        queue = self._names.meant(parent["jobQueue"])
        found = {}
        for state in JobState:
            for each in self._pages({"arrayJobId": job, "jobStatus": state.value}):
                found[each.get("arrayProperties", {}).get("index", 0)] = self._summary(each, queue)
        return tuple(found[index] for index in sorted(found))

    def named(self, prefix: str) -> Sequence[JobStatus]:
        """See ``Jobs.named``. Batch forgets ended jobs after seven days."""
        return tuple(
            self._summary(each, queue)
            for queue in QUEUES
            for each in self._pages(
                {
                    "jobQueue": self._names.queue(queue),
                    "filters": [{"name": "JOB_NAME", "values": [f"{prefix}*"]}],
                }
            )
            # Names are compared without regard to case.
            if each["jobName"].startswith(prefix)
        )

    def stop(self, job: str, reason: str) -> None:
        """See ``Jobs.stop``. Batch sends SIGTERM, and SIGKILL 30 s later."""
        self._detail(job)  # Batch accepts any id without an error
        with _batch_call(f"stop {job}"):
            self._clients.batch.terminate_job(jobId=job, reason=(reason or "stopped")[:1024])

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """See ``Jobs.logs``. Lines of all attempts in order; of an array child after child."""
        detail = self._detail(job)
        size = detail.get("arrayProperties", {}).get("size")
        if size is not None:
            for n in range(size):
                yield from (f"[{n}] {line}" for line in self.logs(f"{job}:{n}", follow=follow))
            return
        tokens: dict[str, str] = {}
        while True:
            group = _log_group(detail)
            for stream in _streams(detail):
                yield from self._lines(group, stream, tokens)
            if JobState(detail["status"]).ended or not follow:
                return
            self._sleep(FOLLOW_SECONDS)
            # The state is read before the log, so that all lines written before the end are read.
            detail = self._detail(job)

    # --- answers ---------------------------------------------------------------------------------

    def _status(self, detail: JobDetailTypeDef) -> JobStatus:
        array, container = detail.get("arrayProperties", {}), detail.get("container", {})
        state = JobState(detail["status"])
        streams = _streams(detail)
        counts = array.get("statusSummary", {})
        command = container.get("command", [])
        at = command.index("--output") + 1 if "--output" in command else len(command)
        # ``attempts`` has those that have ended; the running one is in ``container``.
        made = len(detail.get("attempts", [])) + (state in {JobState.STARTING, JobState.RUNNING})
        return JobStatus(
            id=detail["jobId"],
            name=detail["jobName"],
            kind=self._names.meant(detail["jobDefinition"]),
            state=state,
            queue=self._names.meant(detail["jobQueue"]),
            reason=detail.get("statusReason", ""),
            exit_code=container.get("exitCode"),
            attempts=made,
            created_at=_time(detail.get("createdAt")),
            started_at=_time(detail.get("startedAt")),
            stopped_at=_time(detail.get("stoppedAt")),
            array_size=array.get("size"),
            array_counts={JobState(name): count for name, count in counts.items() if count},
            log=streams[-1] if streams else "",
            output=command[at] if at < len(command) else "",
            progress=1.0 if state is JobState.SUCCEEDED else None,
        )

    def _summary(self, each: JobSummaryTypeDef, queue: str) -> JobStatus:
        return JobStatus(
            id=each["jobId"],
            name=each["jobName"],
            kind=self._names.meant(each.get("jobDefinition", "")),
            state=JobState(each["status"]),
            queue=queue,
            reason=each.get("statusReason", ""),
            exit_code=each.get("container", {}).get("exitCode"),
            created_at=_time(each.get("createdAt")),
            started_at=_time(each.get("startedAt")),
            stopped_at=_time(each.get("stoppedAt")),
            array_size=each.get("arrayProperties", {}).get("size"),
        )

    # --- requests -----------------------------------------------------------------------------

    def _submission(self, request: JobRequest, command: Sequence[str]) -> Any:
        # The queues have a scheduling policy, which requires a share identifier and enables
        # priorities. Each kind is one share, so that a thousand transcodes do not delay a poster.
        # Letters and digits only.
        parameters: dict[str, Any] = {
            "jobName": request.name,
            "jobQueue": self._names.queue(request.queue),
            "jobDefinition": self._names.definition(request.kind),
            "containerOverrides": {"command": [*command]},
            "propagateTags": True,
            "tags": {"safelight:kind": request.kind},
            "shareIdentifier": "".join(c for c in request.kind if c.isalnum()),
            "schedulingPriorityOverride": request.priority,
        }
        if request.asset is not None:
            parameters["tags"]["safelight:asset"] = request.asset
        if request.array_size is not None:
            parameters["arrayProperties"] = {"size": request.array_size}
        return parameters

    def _named(self, request: JobRequest) -> str | None:
        """The oldest job of this name that has not failed, if Batch still lists one."""
        pages = self._pages(
            {
                "jobQueue": self._names.queue(request.queue),
                "filters": [{"name": "JOB_NAME", "values": [request.name]}],
            }
        )
        alive = {state.value for state in _LIVE}
        found = [
            (each.get("createdAt", 0), each["jobId"])
            for each in pages
            # Names are compared without regard to case.
            if each["jobName"] == request.name and each.get("status") in alive
            if not each.get("isTerminated") and not each.get("isCancelled")
        ]
        return min(found)[1] if found else None

    def _pages(self, parameters: Mapping[str, Any]) -> Iterator[JobSummaryTypeDef]:
        token: dict[str, Any] = {}
        while True:
            with _batch_call("list jobs"):
                answer = self._clients.batch.list_jobs(**parameters, **token, maxResults=_PAGE)
            yield from answer["jobSummaryList"]
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}

    def _detail(self, job: str) -> JobDetailTypeDef:
        with _batch_call(f"describe {job}"):
            found = self._clients.batch.describe_jobs(jobs=[job])["jobs"]
        if not found:
            raise JobMissing(f"there is no job {job}, or AWS Batch has forgotten it")
        return found[0]

    def _lines(self, group: str, stream: str, tokens: dict[str, str]) -> Iterator[str]:
        """New lines of a stream since the last call."""
        while True:
            parameters: dict[str, Any] = {"startFromHead": True}
            if stream in tokens:
                parameters["nextToken"] = tokens[stream]
            with aws_call(f"read the log {stream}"):
                try:
                    answer = self._clients.logs.get_log_events(
                        logGroupName=group, logStreamName=stream, **parameters
                    )
                except ClientError as error:
                    if error_code(error) == "ResourceNotFoundException":
                        return  # the container has written nothing yet, or its log has expired
                    raise
            yield from (event["message"].rstrip("\n") for event in answer["events"])
            # At the end of a stream the response repeats the request's token.
            if answer["nextForwardToken"] == tokens.get(stream):
                return
            tokens[stream] = answer["nextForwardToken"]


@contextmanager
def _batch_call(what: str) -> Iterator[None]:
    """``aws_call`` that also maps Batch's ``ClientException`` to ``JobRejected``."""
    with aws_call(what):
        try:
            yield
        except ClientError as error:
            # Batch's only code for all invalid requests.
            if error_code(error) == "ClientException":
                said = error.response.get("Error", {}).get("Message", "no message")
                raise JobRejected(f"{what}: {' '.join(said.split())}") from error
            raise


def _streams(detail: JobDetailTypeDef) -> list[str]:
    """Log streams of all attempts, the running one last."""
    ended = [each.get("container", {}).get("logStreamName") for each in detail.get("attempts", [])]
    now = detail.get("container", {}).get("logStreamName")
    return list(dict.fromkeys(stream for stream in (*ended, now) if stream))


def _log_group(detail: JobDetailTypeDef) -> str:
    options = detail.get("container", {}).get("logConfiguration", {}).get("options", {})
    return options.get("awslogs-group", LOG_GROUP)


def _time(milliseconds: int | None) -> str:
    return utc_text(datetime.fromtimestamp(milliseconds / 1000, UTC)) if milliseconds else ""


# --- names of queues and definitions ----------------------------------------------------------

_SUFFIX = re.compile(r"-[0-9a-f]{7}")


class BatchNames:
    """The names of one deployment.

    Args:
        prefix: prefix of all names: ``safelight-prod``.
    """

    def __init__(self, clients: AwsClients, prefix: str) -> None:
        self._clients = clients
        self._prefix = prefix
        self._queues: dict[str, str] = {}
        self._definitions: dict[str, str] = {}

    def queue(self, name: str) -> str:
        """The name of the queue ``urgent``, ``standard`` or ``bulk``. Raises
        ``ConfigurationError``."""
        if not self._queues:
            with aws_call("list job queues"):
                pages = self._clients.batch.get_paginator("describe_job_queues").paginate()
                self._queues = self._ours(
                    queue["jobQueueName"] for page in pages for queue in page["jobQueues"]
                )
        return self._found(self._queues, name, "job queue")

    def definition(self, kind: str) -> str:
        """The definition of a kind, without a revision: Batch takes the newest. Raises
        ``ConfigurationError``."""
        if not self._definitions:
            with aws_call("list job definitions"):
                pages = self._clients.batch.get_paginator("describe_job_definitions").paginate(
                    status="ACTIVE"
                )
                self._definitions = self._ours(
                    one["jobDefinitionName"] for page in pages for one in page["jobDefinitions"]
                )
        return self._found(self._definitions, kind, "job definition")

    def meant(self, name: str) -> str:
        """The short name behind a name or an ARN:
        ``...:job-definition/safelight-prod-poster-1a2b3c4:7`` is ``poster``."""
        bare = name.rpartition("/")[2].partition(":")[0]
        what = bare.removeprefix(f"{self._prefix}-")
        end = _SUFFIX.search(what, max(0, len(what) - 8))
        return what[: end.start()] if end and end.end() == len(what) else what

    def _ours(self, names: Iterable[str]) -> dict[str, str]:
        return {self.meant(name): name for name in names if name.startswith(f"{self._prefix}-")}

    def _found(self, known: dict[str, str], what: str, kind: str) -> str:
        found = known.get(what)
        if found is None:
            text = f"AWS Batch has no {kind} {self._prefix}-{what} in this account and region"
            raise ConfigurationError(f"{text}; SAFELIGHT_BATCH_PREFIX says what names begin with")
        return found


# --- limit of requests a second ---------------------------------------------------------------


class Pace:
    """A token bucket: at most ``rate`` calls a second, with a burst of one second. Thread-safe.

    Args:
        rate: calls a second.
        clock: seconds, monotonic.
        sleep: waits.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = rate
        self._at = clock()

    def wait(self) -> None:
        """Take a token; wait for it if there is none."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            # May be negative: the next caller waits behind this one.
            owed = -self._tokens / self._rate
        if owed > 0:
            self._sleep(owed)
