"""From an event to the endpoints that ask for its type, and to a topic.

event -> rule of an endpoint -> its queue -> function -> endpoint

Every endpoint has a queue: one that is slow or gone holds back no other. One function sends for
all, fed by a mapping for each queue. A stack without endpoints has none of these resources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi_aws import cloudwatch, lambda_, sns

from stack import policies
from stack.config import VISIBILITY_FACTOR, Config
from stack.events import AssetEventBus, of_types
from stack.functions import Image, LambdaFunction
from stack.intake import Intake
from stack.queues import QueueWithDeadLetters
from stack.scope import Scope
from worker.services.webhooks import ATTEMPTS
from worker.settings import PREFIX

COMPONENT = "webhooks"
ENTRY_POINT = "worker.entrypoints.lambda_webhook.handler"
MEMORY = 256
"""Megabytes."""
TIMEOUT = 60
"""Seconds. Ten requests at the same time take 20 at most; then messages are hidden one by one."""
BATCH = 10


class WebhookEndpoints(pulumi.ComponentResource):
    """Rules, queues and the function."""

    def __init__(
        self, scope: Scope, config: Config, *, events: AssetEventBus, intake: Intake
    ) -> None:
        super().__init__("safelight:webhooks:WebhookEndpoints", scope.name(COMPONENT))
        own = pulumi.ResourceOptions(parent=self)
        tags = scope.tags(COMPONENT)
        self.timeout = TIMEOUT
        self.queues: Mapping[str, QueueWithDeadLetters] = {
            one.name: QueueWithDeadLetters(
                scope.name(f"webhook-{one.name}"),
                scope,
                component=COMPONENT,
                fifo=False,
                visibility=VISIBILITY_FACTOR * TIMEOUT,
                maximum_receives=ATTEMPTS,
                opts=own,
            )
            for one in config.webhooks.endpoints
        }
        """By endpoint."""
        # The path is a name of this stack: a role of another stack cannot read below it.
        secrets = f"/{scope.name(COMPONENT)}"
        self.environment: Mapping[str, pulumi.Input[str]] = {
            f"{PREFIX}WEBHOOKS": pulumi.Output.json_dumps(
                {
                    one.name: {
                        "url": one.url,
                        "events": list(one.events),
                        "queue": self.queues[one.name].url,
                        "dead_letters": self.queues[one.name].dead_letters.url,
                    }
                    for one in config.webhooks.endpoints
                },
                separators=(",", ":"),
            ),
            f"{PREFIX}WEBHOOK_SECRETS": secrets,
        }
        """For every function that sends webhooks, and for the command line."""
        self.function = LambdaFunction(
            scope.name("webhook"),
            scope,
            component=COMPONENT,
            description="Sends events to the endpoints of webhooks",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=MEMORY,
            timeout=TIMEOUT,
            log_retention_days=config.webhooks.log_retention_days,
            statements=_rights(scope, list(self.queues.items()), secrets),
            tracing=config.tracing,
            environment={**intake.environment, **self.environment},
            opts=own,
        )
        for one in config.webhooks.endpoints:
            name, queue = scope.name(f"webhook-{one.name}"), self.queues[one.name]
            lambda_.EventSourceMapping(
                name,
                event_source_arn=queue.arn,
                function_name=self.function.arn,
                batch_size=BATCH,
                function_response_types=["ReportBatchItemFailures"],
                scaling_config=lambda_.EventSourceMappingScalingConfigArgs(
                    maximum_concurrency=config.webhooks.maximum_concurrency
                ),
                tags=tags,
                # Lambda tries the role on the queue when the mapping is made.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.function.rights]),
            )
            events.to_queue(
                name,
                scope,
                description=f"Events for the webhook endpoint {one.name}",
                pattern=of_types(one.events),
                queue=queue,
                tags=tags,
                parent=self,
            )
        self.register_outputs({})

    @property
    def sending(self) -> Sequence[policies.Statement]:
        """Permissions of a function that puts events into the queues itself."""
        return [policies.allow(["sqs:SendMessage"], [one.arn for one in self.queues.values()])]


def _rights(
    scope: Scope, queues: Sequence[tuple[str, QueueWithDeadLetters]], secrets: str
) -> Sequence[policies.Statement]:
    """Exactly what it calls. The key ``aws/ssm`` decrypts for everybody of the account who may read
    a parameter (AWS Key Management Service Developer Guide, "How AWS Systems Manager Parameter
    Store uses AWS KMS")."""
    region = aws.get_region().region
    parameters = [
        f"arn:aws:ssm:{region}:{scope.account}:parameter{secrets}/{name}" for name, _ in queues
    ]
    return [
        policies.allow(
            [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ChangeMessageVisibility",  # growing waits between tries
            ],
            [queue.arn for _, queue in queues],
        ),
        policies.allow(["sqs:SendMessage"], [queue.dead_letters.arn for _, queue in queues]),
        policies.allow(["ssm:GetParameter"], parameters),
    ]


class EventTopic(pulumi.ComponentResource):
    """A topic that gets events of some types, for subscribers that SNS knows: queues, functions and
    addresses of other accounts and regions."""

    def __init__(self, scope: Scope, config: Config, *, events: AssetEventBus) -> None:
        super().__init__("safelight:webhooks:EventTopic", scope.name("event-topic"))
        own = pulumi.ResourceOptions(parent=self)
        tags = scope.tags(COMPONENT)
        name = scope.name("topic")
        topic = sns.Topic(
            name, display_name=f"Events of Safelight {scope.stack}", tags=tags, opts=own
        )
        rule = events.rule(
            name,
            description="Events for the topic",
            pattern=of_types(config.webhooks.topic),
            tags=tags,
            opts=own,
        )
        allowed = sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=policies.may_publish(
                topic.arn, {"events.amazonaws.com": rule.arn}, account=scope.account
            ),
            opts=own,
        )
        cloudwatch.EventTarget(
            name,
            rule=rule.name,
            event_bus_name=events.name,
            arn=topic.arn,
            # The event itself, without the envelope of the bus: what endpoints get, too.
            input_path="$.detail",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        self.arn = topic.arn
        self.register_outputs({"arn": self.arn})
