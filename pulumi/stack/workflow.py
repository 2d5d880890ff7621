"""The state machine that heavy uploads go through, and the function at its two ends.

``asset.processing`` on the bus -> function (starts the machine, once an upload) -> state machine
-> jobs
-> function (reads what they left, commits the record, tells the bus).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_aws as aws
from pulumi_aws import cloudwatch, iam, lambda_, sfn, sqs

from batch import workflows
from stack import policies
from stack.catalog import CatalogTable
from stack.config import VISIBILITY_FACTOR, Config, RekognitionConfig
from stack.events import AssetEventBus
from stack.functions import Image, LambdaFunction, Unattended
from stack.heavy import HeavyJobs
from stack.intake import Intake
from stack.queues import DEAD_RETENTION
from stack.scope import Scope
from stack.storage import Buckets
from worker.adapters.aws.dynamodb import schema
from worker.settings import PREFIX

COMPONENT = "workflow"
ENTRY_POINT = "worker.entrypoints.lambda_workflow.handler"
DEFINITION = Path(workflows.__file__).with_name("video.asl.json")
SOURCE = "safelight"
MEMORY = 512
TIMEOUT = 60
_NAME = re.compile(r"\$\{(\w+)\}")
RETRIES = 2
"""Most that Lambda makes; starting a machine twice starts it once."""


class StateMachines(pulumi.ComponentResource):
    """State machine, function and the rule that brings the two together."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        buckets: Buckets,
        catalog: CatalogTable,
        events: AssetEventBus,
        intake: Intake,
        heavy: HeavyJobs,
    ) -> None:
        super().__init__("safelight:workflow:StateMachines", scope.name(COMPONENT))
        self._scope = scope
        self._config = config
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = scope.tags(COMPONENT)
        self._region = aws.get_region().region
        # Function and machine name each other. The machine's name is fixed to break the circle.
        machine_name = scope.name("heavy")
        machine_arn = self._arn(f"states:{self._region}", f"stateMachine:{machine_name}")
        self.dead_letters = sqs.Queue(
            scope.name("heavy-dead"),
            message_retention_seconds=DEAD_RETENTION,
            visibility_timeout_seconds=VISIBILITY_FACTOR * TIMEOUT,
            sqs_managed_sse_enabled=True,
            tags=self._tags,
            opts=self._own,
        )
        """Events that could not be handed to the function, or that it failed on."""
        self.function = LambdaFunction(
            scope.name("workflow"),
            scope,
            component=COMPONENT,
            description="Starts the work on heavy uploads and records how it ended",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=MEMORY,
            timeout=TIMEOUT,
            log_retention_days=config.heavy.log_retention_days,
            statements=[
                *_rights(buckets, catalog, events, machine_arn),
                *_asking(config.rekognition, buckets, catalog),
            ],
            tracing=config.tracing,
            # The bus does not wait for it, the state machine does.
            unattended=Unattended(failures=self.dead_letters.arn, retries=RETRIES),
            environment={
                **intake.environment,
                f"{PREFIX}HEAVY_WORKFLOW": machine_arn,
                f"{PREFIX}REKOGNITION_RATE": str(config.rekognition.rate),
            },
            opts=self._own,
        )
        self.machine = self._machine(machine_name, heavy)
        self.timeout = TIMEOUT
        self._listen(events)
        self.register_outputs({})

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._scope.account}:{resource}"

    def _machine(self, name: str, heavy: HeavyJobs) -> sfn.StateMachine:
        log_group = cloudwatch.LogGroup(
            name,
            # Step Functions writes to groups of this prefix without a longer resource policy.
            name_prefix=f"/aws/vendedlogs/states/{name}-",
            retention_in_days=self._config.heavy.log_retention_days,
            tags=self._tags,
            opts=self._own,
        )
        role = iam.Role(
            name,
            description="Heavy uploads: submit jobs, wait for them, call the function",
            assume_role_policy=policies.trust("states.amazonaws.com", account=self._scope.account),
            tags=self._tags,
            opts=self._own,
        )
        rights = iam.RolePolicy(
            name,
            role=role.name,
            policy=policies.document(self._machine_rights(heavy)),
            opts=self._own,
        )
        return sfn.StateMachine(
            name,
            name=name,
            type="STANDARD",  # a job may run for hours
            role_arn=role.arn,
            definition=pulumi.Output.all(
                Queue=heavy.queues["standard"],
                WorkflowFunction=self.function.arn,
                **{
                    _name_in_definition(kind): definition.arn
                    for kind, definition in heavy.definitions.items()
                },
            ).apply(filled),
            logging_configuration=sfn.StateMachineLoggingConfigurationArgs(
                level="ERROR",
                include_execution_data=False,  # keys of uploads are private
                log_destination=pulumi.Output.concat(log_group.arn, ":*"),
            ),
            tracing_configuration=sfn.StateMachineTracingConfigurationArgs(
                enabled=self._config.tracing
            ),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[rights]),
        )

    def _machine_rights(self, heavy: HeavyJobs) -> Sequence[policies.Statement]:
        # Most kinds of jobs are for people to submit; the machine submits those that it names.
        named = _NAME.findall(DEFINITION.read_text("utf-8"))
        definitions = [
            one.arn for kind, one in heavy.definitions.items() if _name_in_definition(kind) in named
        ]
        return [
            policies.allow(["batch:SubmitJob"], [*definitions, heavy.queues["standard"]]),
            # Jobs have numbers for names, unknown before they are submitted.
            policies.allow(["batch:TerminateJob"], [self._arn(f"batch:{self._region}", "job/*")]),
            policies.allow(["batch:DescribeJobs"], ["*"]),  # knows no resources
            # How the service hears of a job's end (Step Functions Developer Guide, "Batch").
            policies.allow(
                ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
                [
                    self._arn(
                        f"events:{self._region}", "rule/StepFunctionsGetEventsForBatchJobsRule"
                    )
                ],
            ),
            policies.allow(["lambda:InvokeFunction"], [self.function.arn]),
            # Delivery of logs and traces is granted for the account, not for a resource.
            policies.allow(
                [
                    "logs:CreateLogDelivery",
                    "logs:GetLogDelivery",
                    "logs:UpdateLogDelivery",
                    "logs:DeleteLogDelivery",
                    "logs:ListLogDeliveries",
                    "logs:PutResourcePolicy",
                    "logs:DescribeResourcePolicies",
                    "logs:DescribeLogGroups",
                    "xray:PutTraceSegments",
                    "xray:PutTelemetryRecords",
                    "xray:GetSamplingRules",
                    "xray:GetSamplingTargets",
                ],
                ["*"],
            ),
        ]

    def _listen(self, events: AssetEventBus) -> None:
        name = self._scope.name("heavy")
        rule = cloudwatch.EventRule(
            name,
            description="Uploads that wait for heavy work",
            event_bus_name=events.name,
            event_pattern=json.dumps({"source": [SOURCE], "detail-type": ["asset.processing"]}),
            tags=self._tags,
            opts=self._own,
        )
        sqs.QueuePolicy(
            f"{name}-dead",
            queue_url=self.dead_letters.url,
            policy=policies.may_send(
                self.dead_letters.arn,
                service="events.amazonaws.com",
                source=rule.arn,
                account=self._scope.account,
            ),
            opts=self._own,
        )
        allowed = lambda_.Permission(
            name,
            action="lambda:InvokeFunction",
            function=self.function.name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=self._own,
        )
        cloudwatch.EventTarget(
            name,
            rule=rule.name,
            event_bus_name=events.name,
            arn=self.function.arn,
            dead_letter_config=cloudwatch.EventTargetDeadLetterConfigArgs(
                arn=self.dead_letters.arn
            ),
            retry_policy=cloudwatch.EventTargetRetryPolicyArgs(
                maximum_event_age_in_seconds=24 * 3600, maximum_retry_attempts=185
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )


def _name_in_definition(kind: str) -> str:
    """The name in the definition that stands for the ARN of a kind: ``JobTranscodePart``."""
    return "Job" + kind.title().replace("-", "")


def filled(names: Mapping[str, str]) -> str:
    """The definition with its ``${Name}``s filled in; a forgotten one is an error here."""
    text = DEFINITION.read_text("utf-8")
    missing = sorted({*_NAME.findall(text)} - {*names})
    if missing:
        raise ValueError(f"{DEFINITION.name} wants names that are not given: {', '.join(missing)}")
    text = _NAME.sub(lambda found: json.dumps(names[found[1]])[1:-1], text)
    return json.dumps(json.loads(text), sort_keys=True)


def _rights(
    buckets: Buckets, catalog: CatalogTable, events: AssetEventBus, machine: str
) -> Sequence[policies.Statement]:
    """What the start and the end of the work on a heavy upload call."""
    return [
        policies.allow(["states:StartExecution"], [machine]),
        policies.allow(
            ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"],
            [buckets.intake.objects],
        ),
        policies.allow(["s3:ListBucket"], [buckets.intake.arn, buckets.delivery.arn]),
        # Of what is rejected, or of an upload that was replaced meanwhile, nothing stays.
        # What waits for a person is closed by a tag.
        policies.allow(
            [
                "s3:GetObject",
                "s3:DeleteObject",
                "s3:PutObjectTagging",
                "s3:DeleteObjectTagging",
            ],
            [buckets.delivery.objects],
        ),
        # What is larger than 5 GB is copied there in parts, and those of a failed copy are removed.
        policies.allow(["s3:PutObject", "s3:AbortMultipartUpload"], [buckets.quarantine.objects]),
        policies.allow(["dynamodb:GetItem", "dynamodb:PutItem"], [catalog.arn]),
        # What jobs recorded of an asset that was erased while they were at work.
        policies.allow(["dynamodb:Query", "dynamodb:BatchWriteItem"], [catalog.arn]),
        policies.allow(["events:PutEvents"], [events.arn]),
    ]


def _asking(
    config: RekognitionConfig, buckets: Buckets, catalog: CatalogTable
) -> Sequence[policies.Statement]:
    """What the stages call that ask Rekognition; nothing where none does."""
    actions = {
        "rekognition:DetectModerationLabels": config.moderation,
        "rekognition:DetectLabels": config.labels,
    }
    asked = [action for action, used in actions.items() if used]
    if not asked:
        return []
    statements = [
        # Neither operation knows resources.
        policies.allow(asked, ["*"]),
        # Requests are counted in the catalog's table.
        policies.allow(["dynamodb:UpdateItem"], [catalog.arn]),
    ]
    if config.moderation:
        statements += [
            # Earlier verdicts, of large pictures and videos.
            policies.allow(["dynamodb:Query"], [catalog.index(one) for one in schema.INDEXES]),
            policies.allow(["dynamodb:BatchGetItem"], [catalog.arn]),
            # What is shown blurred meanwhile.
            policies.allow(["s3:PutObject"], [buckets.delivery.objects]),
        ]
    return statements
