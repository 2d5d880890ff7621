"""The one topic on which people are told: by alarms, by Batch, and by what watches the money."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_aws import sns

from stack import policies
from stack.scope import Scope

COMPONENT = "observability"


class AlarmTopic(pulumi.ComponentResource):
    """A topic that only named services may publish to, and an address that hears it."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        *,
        email: str,
        publishers: Mapping[str, pulumi.Input[str] | None],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:notifications:AlarmTopic", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        topic = sns.Topic(
            name,
            display_name=f"Safelight {scope.stack}",
            tags=scope.tags(COMPONENT),
            opts=own,
        )
        self.arn = topic.arn
        self.allowed = sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=policies.may_publish(topic.arn, publishers, account=scope.account),
            opts=own,
        )
        """Wait for this before a service is told to publish here."""
        if email:
            sns.TopicSubscription(name, topic=topic.arn, protocol="email", endpoint=email, opts=own)
        self.register_outputs({"arn": self.arn})
