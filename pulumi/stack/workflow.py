"""The state machines that uploads are escalated to, and the function that does their stages.

An event whose ``data`` has a ``workflow`` -> function (starts that machine, once an upload) ->
state machine -> jobs, and the function again for each stage. One machine a workflow; none costs
anything while nothing is escalated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi_aws import cloudwatch, iam, lambda_, sfn, sqs

from batch.catalogue import KINDS
from batch.workflows.compiler import compiled, job_placeholder
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
from stack.webhooks import WebhookEndpoints
from worker.adapters.aws.dynamodb import schema
from worker.domain.asset import Status
from worker.domain.review import FOLLOWED
from worker.domain.workflow import VIDEO, StageKind, Starts, Workflow
from worker.recipes.workflow import load
from worker.settings import PREFIX

COMPONENT = "workflow"
ENTRY_POINT = "worker.entrypoints.lambda_workflow.handler"
SOURCE = "safelight"
MEMORY = 512
TIMEOUT = 60
_NAME = re.compile(r"\$\{(\w+)\}")
PATTERN = {
    "source": [SOURCE],
    "$or": [
        {"detail": {"data": {"workflow": [{"exists": True}]}}},
        {"detail-type": list(FOLLOWED)},
        # Events after which a review is void: the asset was replaced, deleted or decided otherwise.
        {"detail": {"data": {"was": [Status.REVIEW.value]}}},
        {"detail": {"data": {"replaced": [Status.REVIEW.value]}}},
    ],
}
"""Of the events that the function gets: none of an ordinary upload."""
RETRIES = 2
"""Most that Lambda makes; starting a machine twice starts it once."""


class StateMachines(pulumi.ComponentResource):
    """State machines, function and the rule that brings them together."""

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
        webhooks: WebhookEndpoints | None,
    ) -> None:
        super().__init__("safelight:workflow:StateMachines", scope.name(COMPONENT))
        self._scope = scope
        self._config = config
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = scope.tags(COMPONENT)
        self._region = aws.get_region().region
        self.workflows = used(config.heavy.workflows)
        # Function and machines name each other. The machines' names are fixed to break the circle.
        self.arns = {
            name: self._arn(f"states:{self._region}", f"stateMachine:{scope.name(name)}")
            for name in self.workflows
        }
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
            description="Starts the workflows of uploads and does their stages",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=MEMORY,
            timeout=TIMEOUT,
            log_retention_days=config.heavy.log_retention_days,
            statements=[
                *_rights(buckets, catalog, [*self.arns.values()]),
                *self._answering(),
                *_asking(config.rekognition, buckets, catalog, intake),
                *(webhooks.sending if webhooks is not None else ()),
            ],
            tracing=config.tracing,
            # The bus does not wait for it, the state machine does.
            unattended=Unattended(failures=self.dead_letters.arn, retries=RETRIES),
            environment={
                **intake.environment,
                **(webhooks.environment if webhooks is not None else {}),
                f"{PREFIX}WORKFLOWS": self.setting(),
                f"{PREFIX}REKOGNITION_RATE": str(config.rekognition.rate),
            },
            opts=self._own,
        )
        self.machines = {
            name: self._machine(workflow, heavy) for name, workflow in self.workflows.items()
        }
        self.timeout = TIMEOUT
        self._listen(events)
        self.register_outputs({})

    def setting(self, starts: Starts | None = None) -> str:
        """The machines as the setting names them; only those of one start, if it is given."""
        return ",".join(f"{name}={arn}" for name, arn in self.started(starts).items())

    def started(self, starts: Starts | None = None) -> Mapping[str, str]:
        """ARNs by name; only those of one start, if it is given."""
        return {
            name: arn
            for name, arn in self.arns.items()
            if starts in (None, self.workflows[name].starts)
        }

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._scope.account}:{resource}"

    def _machine(self, workflow: Workflow, heavy: HeavyJobs) -> sfn.StateMachine:
        name, machine = self._scope.name(workflow.name), compiled(workflow)
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
            description=f"The workflow {workflow.name}: call the function, submit jobs",
            assume_role_policy=policies.trust("states.amazonaws.com", account=self._scope.account),
            tags=self._tags,
            opts=self._own,
        )
        rights = iam.RolePolicy(
            name,
            role=role.name,
            policy=policies.document(self._machine_rights(machine, heavy)),
            opts=self._own,
        )
        return sfn.StateMachine(
            name,
            name=name,
            type="STANDARD",  # a job may run for hours, a review waits for days
            role_arn=role.arn,
            definition=pulumi.Output.all(
                Queue=heavy.queues["standard"],
                WorkflowFunction=self.function.arn,
                **{
                    job_placeholder(kind): definition.arn
                    for kind, definition in heavy.definitions.items()
                },
            ).apply(lambda names: filled(machine, names)),
            logging_configuration=sfn.StateMachineLoggingConfigurationArgs(
                level="ERROR",
                include_execution_data=False,  # keys of uploads are private
                log_destination=pulumi.Output.concat(log_group.arn, ":*"),
            ),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[rights]),
        )

    def _answering(self) -> Sequence[policies.Statement]:
        """The right to tell machines what people have decided, if one asks people.

        The token names the execution. IAM knows no resource of this action.
        """
        asks = any(StageKind.APPROVE in workflow.kinds for workflow in self.workflows.values())
        return [policies.allow(["states:SendTaskSuccess"], ["*"])] if asks else []

    def _machine_rights(
        self, machine: Mapping[str, Any], heavy: HeavyJobs
    ) -> Sequence[policies.Statement]:
        # Most kinds of jobs are for people to submit; a machine submits those that it names.
        named = {*_NAME.findall(json.dumps(machine))}
        definitions = [
            one.arn for kind, one in heavy.definitions.items() if job_placeholder(kind) in named
        ]
        jobs = self._arn(f"batch:{self._region}", "job/*")
        found = [
            # Jobs have numbers for names, unknown before they are submitted.
            policies.allow(["batch:SubmitJob"], [*definitions, heavy.queues["standard"], jobs]),
            policies.allow(["batch:TerminateJob"], [jobs]),
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
        ]
        return [
            *(found if definitions else ()),
            policies.allow(["lambda:InvokeFunction"], [self.function.arn]),
            # Delivery of logs is granted for the account, not for a resource.
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
                ],
                ["*"],
            ),
        ]

    def _listen(self, events: AssetEventBus) -> None:
        name = self._scope.name(COMPONENT)
        rule = cloudwatch.EventRule(
            name,
            description="Assets that have to go through a workflow, or that people decide about",
            event_bus_name=events.name,
            event_pattern=json.dumps(PATTERN),
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


def used(named: Sequence[str]) -> Mapping[str, Workflow]:
    """The workflows of a deployment by their names: that of heavy uploads, and those it names.

    Raises:
        WorkflowError: a file has mistakes.
        ValueError: two have one name.
    """
    found: dict[str, Workflow] = {}
    for one in dict.fromkeys((VIDEO, *named)):
        workflow = load(one, jobs=KINDS)
        if workflow.name in found:
            raise ValueError(f"heavy.workflows has two workflows with the name {workflow.name}")
        found[workflow.name] = workflow
    return found


def filled(machine: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """A definition with its ``${Name}``s filled in; a forgotten one is an error here."""
    text = json.dumps(machine, sort_keys=True)
    missing = sorted({*_NAME.findall(text)} - {*names})
    if missing:
        raise ValueError(f"the definition wants names that are not given: {', '.join(missing)}")
    text = _NAME.sub(lambda found: json.dumps(names[found[1]])[1:-1], text)
    return json.dumps(json.loads(text), sort_keys=True)


def _rights(
    buckets: Buckets, catalog: CatalogTable, machines: Sequence[str]
) -> Sequence[policies.Statement]:
    """Permissions to start a workflow and to run its stages."""
    return [
        policies.allow(["states:StartExecution"], machines),
        policies.allow(
            ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"],
            [buckets.intake.objects],
        ),
        policies.allow(["s3:ListBucket"], [buckets.intake.arn, buckets.delivery.arn]),
        # Of what is rejected, or of an upload that was replaced meanwhile, nothing stays.
        # Files that wait for a person are closed by a tag.
        policies.allow(
            [
                "s3:GetObject",
                "s3:DeleteObject",
                "s3:PutObjectTagging",
                "s3:DeleteObjectTagging",
            ],
            [buckets.delivery.objects],
        ),
        # Objects larger than 5 GB are copied in parts, and parts of a failed copy are removed.
        policies.allow(["s3:PutObject", "s3:AbortMultipartUpload"], [buckets.quarantine.objects]),
        policies.allow(["dynamodb:GetItem", "dynamodb:PutItem"], [catalog.arn]),
        # Results of jobs of an asset that was erased while they ran.
        policies.allow(["dynamodb:Query", "dynamodb:BatchWriteItem"], [catalog.arn]),
    ]


def _asking(
    config: RekognitionConfig, buckets: Buckets, catalog: CatalogTable, intake: Intake
) -> Sequence[policies.Statement]:
    """Permissions of the stages that call Rekognition; empty if none does."""
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
            # The blurred picture that is served meanwhile.
            policies.allow(["s3:PutObject"], [buckets.delivery.objects]),
        ]
    if config.labels:
        statements += [
            # Labels of identical bytes; removal of tags of labels.
            policies.allow(["dynamodb:Query"], [catalog.index(schema.CONTENT_INDEX)]),
            policies.allow(["dynamodb:BatchGetItem", "dynamodb:DeleteItem"], [catalog.arn]),
            # An asset whose crops change is announced again.
            policies.allow(["sqs:SendMessage"], [intake.work.arn]),
        ]
    return statements
