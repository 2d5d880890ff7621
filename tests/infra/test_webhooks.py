"""From an event to endpoints and a topic: rules, queues, the function and its rights."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from stack.config import read
from tests.infra.configs import CHOSEN
from tests.infra.declared import IMAGES, Declaration, declare
from worker.domain.errors import ProblemsError
from worker.settings import Settings

ENDPOINTS: dict[str, Any] = {
    "shop": {"url": "https://shop.example/hook", "events": ["asset.accepted", "asset.rejected"]},
    "crm": {"url": "https://crm.example/", "events": ["job.*"]},
}


@cache
def declared() -> Declaration:
    """A stack with two endpoints, a topic and everything that has to do with them."""
    return declare(
        {
            "webhooks": {"endpoints": ENDPOINTS, "topic": ["asset.*"], "maximumConcurrency": 7},
            "heavy": {"enabled": True},
        }
    )


def test_without_endpoints_there_is_nothing(ordered: Declaration) -> None:
    """No queue is polled and no function made for nobody."""
    assert not [one for one in ordered.resources if "webhook" in f"{one.kind} {one.name}".lower()]
    assert {"webhooks", "eventTopic"}.isdisjoint(ordered.exports)


def test_each_endpoint_has_a_queue_with_events_of_its_types() -> None:
    """The bus chooses, so that nothing is queued that nobody wants."""
    patterns = {
        name: declared().one("cloudwatch/EventRule", f"webhook-{name}").document("eventPattern")
        for name in ENDPOINTS
    }
    assert patterns == {
        "shop": {"source": ["safelight"], "detail-type": ["asset.accepted", "asset.rejected"]},
        "crm": {"source": ["safelight"], "detail-type": [{"prefix": "job."}]},
    }
    for name in ENDPOINTS:
        queue = f"arn:aws:sqs:safelight-test-webhook-{name}"
        target = declared().one("cloudwatch/EventTarget", f"webhook-{name}").inputs
        assert target["arn"] == queue
        assert target["deadLetterConfig"] == {"arn": f"{queue}-dead"}
        mapping = declared().one("lambda/EventSourceMapping", f"webhook-{name}").inputs
        assert mapping["eventSourceArn"] == queue
        assert mapping["batchSize"] == 10
        assert mapping["scalingConfig"] == {"maximumConcurrency": 7}
        policy = declared().one("sqs/Queue", f"webhook-{name}").document("redrivePolicy")
        assert policy == {"deadLetterTargetArn": f"{queue}-dead", "maxReceiveCount": 12}


def test_every_type_needs_no_filter() -> None:
    """A star means each event of ours."""
    everything = declare(
        {"webhooks": {"endpoints": {"all": {"url": "https://a.example/", "events": ["*"]}}}}
    )
    rule = everything.one("cloudwatch/EventRule", "webhook-all")
    assert rule.document("eventPattern") == {"source": ["safelight"]}


def test_the_function_may_read_its_queues_and_secrets_and_nothing_else() -> None:
    """It may also put undeliverable events into the dead-letter queue, with the reason."""
    queues = [f"arn:aws:sqs:safelight-test-webhook-{name}" for name in ENDPOINTS]
    path = "arn:aws:ssm:eu-central-1:123456789012:parameter/safelight-test-webhooks"
    rights = {
        action: one["Resource"]
        for one in declared().one("iam/RolePolicy", "webhook").statements()
        for action in one["Action"]
        if not action.startswith(("logs:", "xray:"))
    }
    assert rights.pop("sqs:SendMessage") == [f"{one}-dead" for one in queues]
    assert rights.pop("ssm:GetParameter") == [f"{path}/{name}" for name in ENDPOINTS]
    assert rights == dict.fromkeys(
        (
            *("sqs:ReceiveMessage", "sqs:DeleteMessage"),
            *("sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"),
        ),
        queues,
    )


def test_workflows_may_put_events_into_the_queues() -> None:
    """A stage sends to an endpoint by its queue; it reads no secret."""
    statements = declared().one("iam/RolePolicy", "workflow").statements()
    rights = [(action, one["Resource"]) for one in statements for action in one["Action"]]
    queues = [f"arn:aws:sqs:safelight-test-webhook-{name}" for name in ENDPOINTS]
    assert ("sqs:SendMessage", queues) in rights
    assert not [action for action, _ in rights if action.startswith("ssm:")]


@pytest.mark.parametrize("function", ["webhook", "workflow"])
def test_functions_are_told_the_endpoints(function: str) -> None:
    """Settings reads what the program writes; no secret is among it."""
    variables = declared().one("lambda/Function", function).inputs["environment"]["variables"]
    settings = Settings.from_environment(
        {name: text for name, text in variables.items() if name.startswith("SAFELIGHT_")}
    )
    (shop, _) = settings.webhooks
    assert (shop.name, shop.url) == ("shop", "https://shop.example/hook")
    assert shop.queue == "https://aws:sqs/safelight-test-webhook-shop"
    assert shop.dead_letters == "https://aws:sqs/safelight-test-webhook-shop-dead"
    assert settings.webhook_secrets == "/safelight-test-webhooks"
    assert settings.webhook_networks == ()
    told = Settings.from_environment(declared().exports["environment"])
    assert told.webhooks == settings.webhooks


def test_the_topic_gets_the_event_itself() -> None:
    """Only the rule may publish, and a subscriber gets what an endpoint gets."""
    rule = declared().one("cloudwatch/EventRule", "topic")
    assert rule.document("eventPattern")["detail-type"] == [{"prefix": "asset."}]
    target = declared().one("cloudwatch/EventTarget", "topic")
    assert target.inputs["inputPath"] == "$.detail"
    assert ("sns/TopicPolicy", "topic") in target.waits_for
    (may,) = declared().one("sns/TopicPolicy", "topic").statements()
    assert may["Principal"] == {"Service": "events.amazonaws.com"}
    assert may["Condition"]["ArnLike"] == {
        "aws:SourceArn": "arn:aws:cloudwatch:safelight-test-topic"
    }
    assert declared().exports["eventTopic"] == "arn:aws:sns:safelight-test-topic"


def test_each_endpoint_has_alarms() -> None:
    """Events that wait for the function, and dead letters."""
    alarms = {one.name: one.inputs for one in declared().of("cloudwatch/MetricAlarm")}
    for name in ENDPOINTS:
        assert alarms[f"webhook-{name}-waiting"]["threshold"] == 1800
        assert alarms[f"webhook-{name}-dead"]["threshold"] == 0
    assert {"webhook-errors", "webhook-throttled", "webhook-slow", "webhook-defects"} <= {*alarms}


@pytest.mark.parametrize(
    ("endpoints", "said"),
    [
        ([], "map of names"),
        ({"Shop": {}}, "1 to 16 small letters"),
        ({"a-very-long-name-": {}}, "1 to 16 small letters"),
        ({"shop": "https://a.example/"}, "must have url and events"),
        ({"shop": {"url": "https://a.example/"}}, "must have url and events"),
        ({"shop": {"url": "http://a.example/", "events": ["*"]}}, "must have an https URL"),
        ({"shop": {"url": "http://10.0.0.1/", "events": ["*"]}}, "must have an https URL"),
        ({"shop": {"url": "https://a:b@a.example/", "events": ["*"]}}, "no user"),
        ({"shop": {"url": "https://a.example/", "events": []}}, "list of types"),
        ({"shop": {"url": "https://a.example/", "events": "*"}}, "list of types"),
        ({"shop": {"url": "https://a.example/", "events": ["accepted"]}}, "types of events like"),
        (
            {"shop": {"url": "https://a.example/", "events": ["asset.acepted"]}},
            "did you mean asset.accepted?",
        ),
        ({"shop": {"url": "https://a.example/", "events": ["assets.*"]}}, "assets.* is none"),
        (
            {
                f"e{number}": {"url": f"https://a.example/{'x' * 150}", "events": ["*"]}
                for number in range(10)
            },
            "must be fewer",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_made(endpoints: Any, said: str) -> None:
    """Each names the key and what is wrong."""
    with pytest.raises(ProblemsError) as caught:
        read({**IMAGES, "webhooks": {"endpoints": endpoints}}, stack="test")
    assert "webhooks.endpoints" in caught.value.message
    assert said in caught.value.message


def test_the_most_endpoints_fit_into_the_variables_of_a_function() -> None:
    """The largest configuration that passes the check stays below Lambda's limit of 4 KB."""
    most = {
        f"endpoint-number{number}": {"url": f"https://a.example/{'x' * 50}", "events": ["asset.*"]}
        for number in range(7)
    }
    made = declare({**CHOSEN, "webhooks": {"endpoints": most}})
    for name in ("webhook", "workflow"):
        variables = made.one("lambda/Function", name).inputs["environment"]["variables"]
        # URLs of the mocks are shorter than those of SQS, two for each endpoint.
        size = sum(len(key) + len(str(text)) for key, text in variables.items())
        assert size + 7 * 2 * 70 < 4096, json.dumps(variables)
