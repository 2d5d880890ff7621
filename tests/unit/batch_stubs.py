"""An AWS Batch that answers what it is told, for tests of requests."""

from __future__ import annotations

from typing import Any

from botocore.stub import Stubber

from worker.adapters.aws.batch import BatchJobs
from worker.adapters.aws.clients import AwsClients
from worker.domain.job import JobRequest

ARN = "arn:aws:batch:eu-north-1:123456789012"
REQUEST = JobRequest(
    name="transcode-film-0123",
    kind="transcode",
    queue="urgent",
    inputs=("s3://b/film.mp4",),
    output="s3://d/out/",
    parameters={"heights": "720", "codecs": "h264"},
    asset="a1",
    priority=7,
)
QUEUE = "sl-test-urgent-0a1b2c3"
COMMAND = [
    *("run", "transcode", "--input", "s3://b/film.mp4", "--output", "s3://d/out/"),
    *("--param", "codecs=h264", "--param", "heights=720", "--asset", "a1"),
]
SUBMISSION: dict[str, Any] = {
    "jobName": "transcode-film-0123",
    "jobQueue": "sl-test-urgent-0a1b2c3",
    "jobDefinition": "sl-test-transcode-0a1b2c3",
    "containerOverrides": {"command": COMMAND},
    "propagateTags": True,
    "tags": {"safelight:kind": "transcode", "safelight:asset": "a1"},
    "shareIdentifier": "transcode",
    "schedulingPriorityOverride": 7,
}
BY_NAME = {
    "jobQueue": "sl-test-urgent-0a1b2c3",
    "filters": [{"name": "JOB_NAME", "values": ["transcode-film-0123"]}],
    "maxResults": 100,
}
DETAIL: dict[str, Any] = {
    "jobId": "j1",
    "jobName": "transcode-film-0123",
    "jobQueue": f"{ARN}:job-queue/sl-test-urgent-0a1b2c3",
    "jobDefinition": f"{ARN}:job-definition/sl-test-audio-waveform-0a1b2c3:7",
    "status": "RUNNING",
    "startedAt": 1_700_000_001_000,
    "createdAt": 1_700_000_000_000,
    "attempts": [{"container": {"logStreamName": "first", "exitCode": 75}}],
    "container": {"logStreamName": "second", "command": COMMAND},
}


class Stubs:
    """A Batch that answers what it is told, and refuses every other request."""

    def __init__(self) -> None:
        clients = AwsClients(
            {
                "AWS_REGION": "eu-north-1",
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
            }
        )
        self.slept: list[float] = []
        self.group = "/aws/batch/job"
        self.batch, self.logs = Stubber(clients.batch), Stubber(clients.logs)
        self.clients = clients
        self.jobs = BatchJobs(clients, "sl-test", sleep=self.slept.append)

    def queues(self, *names: str) -> None:
        """The account has these queues, and one of somebody else's."""
        rest = {
            "jobQueueArn": "arn",
            "state": "ENABLED",
            "priority": 1,
            "computeEnvironmentOrder": [],
        }
        queues = [{"jobQueueName": name, **rest} for name in ("sl-urgent", *names)]
        self.batch.add_response("describe_job_queues", {"jobQueues": queues}, {})

    def definitions(self, *names: str) -> None:
        """The account has these job definitions."""
        made = [
            {
                "jobDefinitionName": name,
                "jobDefinitionArn": "arn",
                "revision": 1,
                "type": "container",
            }
            for name in names
        ]
        answer = {"jobDefinitions": made}
        self.batch.add_response("describe_job_definitions", answer, {"status": "ACTIVE"})

    def free(self, *definitions: str) -> None:
        """The name of the job is free, and its definition is there."""
        self.queues(QUEUE)
        self.summaries(BY_NAME)
        self.definitions(*(definitions or ("sl-test-transcode-0a1b2c3", "other-transcode")))

    def submitted(self, asked: dict[str, Any], *others: dict[str, Any]) -> None:
        """This submission becomes j1; of its name there are then these jobs as well."""
        name = asked["jobName"]
        self.batch.add_response("submit_job", {"jobName": name, "jobId": "j1"}, asked)
        own = {"jobId": "j1", "jobName": name, "status": "SUBMITTED", "createdAt": 1000}
        self.summaries(BY_NAME, *others, own)

    def detail(self, **changes: Any) -> None:
        """The next describe-jobs answers so."""
        self.batch.add_response(
            "describe_jobs", {"jobs": [{**DETAIL, **changes}]}, {"jobs": ["j1"]}
        )

    def summaries(self, asked: dict[str, Any], *jobs: dict[str, Any], token: str = "") -> None:
        """The next list-jobs answers so."""
        made = [{"jobId": "j0", "jobName": "n", "status": "RUNNING", **job} for job in jobs]
        answer = {"jobSummaryList": made, **({"nextToken": token} if token else {})}
        self.batch.add_response("list_jobs", answer, asked)

    def events(self, asked: dict[str, str], lines: list[str], token: str) -> None:
        """The next get-log-events answers so."""
        self.logs.add_response(
            "get_log_events",
            {"events": [{"message": line} for line in lines], "nextForwardToken": token},
            {"logGroupName": self.group, "startFromHead": True, **asked},
        )
