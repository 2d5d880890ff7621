"""Who is told what: event buses, rules and their targets, topics and who listens to them."""

from __future__ import annotations

from typing import Any

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind, camel_to_pascal


def _bus(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    try:
        arn = aws.events.create_event_bus(
            Name=name,
            Description=declared.inputs["description"],
            Tags=declared.tag_list,
        )["EventBusArn"]
    except aws.events.exceptions.ResourceAlreadyExistsException:
        arn = aws.events.describe_event_bus(Name=name)["Arn"]
    return name, {"name": name, "arn": arn}


def _rule(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    asked = {
        "EventBusName": inputs.get("eventBusName"),
        "EventPattern": inputs.get("eventPattern"),
        "ScheduleExpression": inputs.get("scheduleExpression"),
        "Description": inputs.get("description"),
    }
    arn = aws.events.put_rule(
        Name=name,
        Tags=declared.tag_list,
        **{key: value for key, value in asked.items() if value is not None},
    )["RuleArn"]
    return name, {"name": name, "arn": arn}


def _target(aws: Aws, declared: Declared) -> Created:
    inputs = declared.inputs
    identity = inputs.get("targetId") or declared.name
    # A function is called by the local stack: the embedded AWS would look for its container image.
    if ":lambda:" not in inputs["arn"]:
        same = ("arn", "deadLetterConfig", "retryPolicy", "input", "inputPath", "roleArn")
        given = {key: inputs[key] for key in same if key in inputs}
        asked: Any = {"Id": identity, **camel_to_pascal(given)}
        aws.events.put_targets(
            Rule=inputs["rule"],
            EventBusName=inputs.get("eventBusName") or "default",
            Targets=[asked],
        )
    return identity, {"targetId": identity}


def _topic(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    shown = {"DisplayName": declared.inputs.get("displayName", "")}
    arn = aws.sns.create_topic(Name=name, Attributes=shown, Tags=declared.tag_list)["TopicArn"]
    key = declared.inputs.get("kmsMasterKeyId")
    if key:
        aws.sns.set_topic_attributes(
            TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=key
        )
    return arn, {"name": name, "arn": arn}


def _topic_policy(aws: Aws, declared: Declared) -> Created:
    topic = declared.inputs["arn"]
    aws.sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=declared.inputs["policy"]
    )
    return topic, {}


def _subscription(aws: Aws, declared: Declared) -> Created:
    inputs = declared.inputs
    arn = aws.sns.subscribe(  # the same one again is the same subscription
        TopicArn=inputs["topic"],
        Protocol=inputs["protocol"],
        Endpoint=inputs["endpoint"],
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    return arn, {"arn": arn}


KINDS = {
    "aws:cloudwatch/eventBus:EventBus": Kind(_bus, frozenset({"description", "name", "tags"})),
    "aws:cloudwatch/eventRule:EventRule": Kind(
        _rule,
        frozenset(
            {
                "description",
                "eventBusName",
                "eventPattern",
                "name",
                "scheduleExpression",
                "tags",
            }
        ),
    ),
    "aws:cloudwatch/eventTarget:EventTarget": Kind(
        _target,
        frozenset(
            {
                "arn",
                "deadLetterConfig",
                "eventBusName",
                "input",
                "inputPath",
                "retryPolicy",
                "roleArn",
                "rule",
                "targetId",
            }
        ),
    ),
    "aws:sns/topic:Topic": Kind(
        _topic, frozenset({"displayName", "kmsMasterKeyId", "name", "tags"})
    ),
    "aws:sns/topicPolicy:TopicPolicy": Kind(_topic_policy, frozenset({"arn", "policy"})),
    "aws:sns/topicSubscription:TopicSubscription": Kind(
        _subscription, frozenset({"endpoint", "protocol", "topic"})
    ),
}
