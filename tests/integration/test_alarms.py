"""An alarm on the embedded AWS, from a message that fails to the page that mends it; and the pages'
own commands on a running stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.infra import runbooks
from tests.infra.alarm_math import states
from tests.infra.declared import declare
from tests.integration.running import Running, until
from tests.manual import programs
from worker.entrypoints import cli

Client = Any
MINUTE = 60


def declared(name: str) -> Mapping[str, Any]:
    """An alarm of the Pulumi program."""
    return declare().one("cloudwatch/MetricAlarm", name).inputs


class Topic:
    """A topic of the embedded AWS with somebody who hears it."""

    def __init__(self, make: Any) -> None:
        self.cloudwatch: Client = make("cloudwatch")
        self._sns, self._sqs = make("sns"), make("sqs")
        self.arn = self._sns.create_topic(Name="alarms-of-a-test")["TopicArn"]
        self._url = self._sqs.create_queue(QueueName="who-hears-alarms")["QueueUrl"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        arn = queue["Attributes"]["QueueArn"]
        let_in = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [let_in]})
        self._sqs.set_queue_attributes(QueueUrl=self._url, Attributes={"Policy": policy})
        self._sns.subscribe(TopicArn=self.arn, Protocol="sqs", Endpoint=arn)

    def put(self, name: str, alarm: Mapping[str, Any]) -> None:
        """Make an alarm of a single metric; the emulator evaluates no formulas."""
        (query,) = alarm["metricQueries"]
        metric = query["metric"]
        self.cloudwatch.put_metric_alarm(
            AlarmName=name,
            AlarmDescription=alarm["alarmDescription"],
            Namespace=metric["namespace"],
            MetricName=metric["metricName"],
            Dimensions=[{"Name": key, "Value": one} for key, one in metric["dimensions"].items()],
            Statistic=metric["stat"],
            Period=int(metric["period"]),
            EvaluationPeriods=int(alarm["evaluationPeriods"]),
            DatapointsToAlarm=int(alarm["datapointsToAlarm"]),
            Threshold=float(alarm["threshold"]),
            ComparisonOperator=alarm["comparisonOperator"],
            TreatMissingData=alarm["treatMissingData"],
            AlarmActions=[self.arn],
            OKActions=[self.arn],
        )

    def says(self) -> Mapping[str, Any]:
        """The next message."""
        found: list[Mapping[str, Any]] = []

        def arrived() -> bool:
            got = self._sqs.receive_message(QueueUrl=self._url, WaitTimeSeconds=1)
            for one in got.get("Messages", []):
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=one["ReceiptHandle"])
                found.append(json.loads(json.loads(one["Body"])["Message"]))
            return bool(found)

        until(arrived)
        return found[0]

    def close(self) -> None:
        """Leave the stack as it was."""
        self._sns.delete_topic(TopicArn=self.arn)
        self._sqs.delete_queue(QueueUrl=self._url)


@contextmanager
def topic_of(running: Running) -> Iterator[Topic]:
    """A topic on the emulator of a stack, as the root user has it."""
    who = running.root
    with ExitStack() as closing:

        def make(service: str) -> Client:
            client = boto3.client(
                service,  # type: ignore[call-overload]
                endpoint_url=who["AWS_ENDPOINT_URL"],
                region_name=who["AWS_REGION"],
                aws_access_key_id=who["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=who["AWS_SECRET_ACCESS_KEY"],
            )
            closing.callback(client.close)
            return client

        topic = Topic(make)
        closing.callback(topic.close)
        yield topic


def commands(page: str, tmp_path: Path) -> list[list[str]]:
    """The arguments of `safelight` on a page, as a shell hands them over."""
    script = "".join(runbooks.blocks(runbooks.pages()[page]))
    settings = runbooks.GIVEN | dict.fromkeys(declare().exports["environment"], "set")
    found = programs.recorded(script, tmp_path, settings)
    return [arguments for program, *arguments in found if program == "safelight"]


def test_a_dead_letter_wakes_a_person_whose_page_clears_it(
    running: Running, tmp_path: Path
) -> None:
    """Message, figure, alarm, message to a person, runbook, its commands, and the alarm is over."""
    alarm, app = declared("ordered-dead"), running.app
    with topic_of(running) as topic:
        topic.put("ordered-dead", alarm)
        app.queue.send(running.ready["outputs"]["uploadsQueue"], [("this is no JSON", "", "")])
        until(lambda: app.queue.depth(app.settings.dlq_url) == 1)

        _count(topic, alarm, app.queue.depth(app.settings.dlq_url))
        (made,) = topic.cloudwatch.describe_alarms(AlarmNames=["ordered-dead"])["MetricAlarms"]
        assert made["StateValue"] == "ALARM", made["StateReason"]
        said = topic.says()

        assert (said["AlarmName"], said["NewStateValue"]) == ("ordered-dead", "ALARM")
        _, _, page = said["AlarmDescription"].rpartition(" Runbook: docs/runbooks/")
        for arguments in commands(page.removesuffix(".md"), tmp_path):
            if runbooks.GIVEN["ASSET"] not in arguments:
                running.run(*arguments)
        assert app.queue.depth(app.settings.dlq_url) == 0


def _count(topic: Topic, alarm: Mapping[str, Any], value: float) -> None:
    """What Amazon SQS says about the queue each minute; the emulator says nothing by itself."""
    metric = alarm["metricQueries"][0]["metric"]
    key = (metric["namespace"], metric["metricName"], tuple(metric["dimensions"].items()))
    found = states(alarm, {key: [(0, value)]}, start=MINUTE, end=MINUTE)
    assert found == [(MINUTE, "ALARM" if value else "OK")]
    topic.cloudwatch.put_metric_data(
        Namespace=metric["namespace"],
        MetricData=[
            {
                "MetricName": metric["metricName"],
                "Dimensions": [
                    {"Name": name, "Value": one} for name, one in metric["dimensions"].items()
                ],
                "Value": value,
            }
        ],
    )


UNKNOWN = {runbooks.GIVEN[one] for one in ("ASSET", "JOB", "RUN", "ENDPOINT")}
"""What stands for something that this stack does not have."""
ELSEWHERE = {"infra"}
"""Commands that ask an account."""
OF_FILES = {("recipes", "lint"), ("workflow", "lint")}
"""Commands that need no stack."""


@pytest.mark.timeout(300)
def test_commands_of_all_pages_work_on_a_stack(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that name nothing in particular do what they say; each once."""
    monkeypatch.chdir(runbooks.FOLDER.parents[1])
    found: set[tuple[str, ...]] = set()
    for page in runbooks.pages():
        own = tmp_path / page
        own.mkdir()
        found |= {tuple(one) for one in commands(page, own)}
    general = {one for one in found if UNKNOWN.isdisjoint(one) and one[0] not in ELSEWHERE}

    for arguments in sorted(general):
        if arguments == ("cost", "resume"):
            refused = running.failure(*arguments, code=2)  # nothing pauses on this stack
            assert refused["code"] == "input_day"
        elif arguments[:2] in OF_FILES:
            assert cli.run(arguments) == 0, arguments
        else:
            running.run(*arguments)
    assert {one[0] for one in general} >= {"put", "dlq", "assets", "jobs", "workflow", "webhooks"}
