"""What the presets ask of AWS is held against the service models that botocore ships.

Neither emulator checks enumerations, patterns and lengths as AWS does, and most resources are
created in neither. The models are AWS's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra import presets, requests
from tests.service_models import flaws, operation


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_request_of_a_preset_is_as_its_model_has_it(name: str) -> None:
    """Names, types, enumerations, patterns, lengths and ranges of every request are right."""
    made = requests.of(presets.values(name))

    wrong = {
        f"{what}: {flaw}"
        for what, service, asked, told in made
        for flaw in flaws(service, asked, told)
    }
    assert not wrong, "\n".join(sorted(wrong))
    assert len({what for what, *_ in made}) == sum(
        "/" in one.kind for one in presets.declared(name).resources
    )


def test_the_tables_have_nothing_that_no_preset_has() -> None:
    """Each type in the tables, and each input that goes nowhere, is one of a preset."""
    told = {
        (one.kind, key)
        for name in presets.NAMES
        for one in presets.declared(name).resources
        for key in one.inputs
    }

    left_out = {
        (_short(kind), key) for kind, keys in requests.KEPT.items() for key in keys if kind != "*"
    }
    assert left_out <= told
    assert {_short(kind) for kind in requests.CALLS} <= {kind for kind, _ in told}


def _short(token: str) -> str:
    """``aws:s3/bucket:Bucket`` as declarations have it: ``s3/Bucket``."""
    _, module, name = token.split(":")
    return f"{module.partition('/')[0]}/{name}"


@pytest.mark.parametrize(
    ("service", "asked", "request_", "flaw"),
    [
        ("pipes", "CreatePipe", {"Name": "a", "Source": "a", "Target": "a"}, "Missing required"),
        ("sqs", "CreateQueue", {"QueueName": 1}, "Invalid type"),
        ("ecr", "CreateRepository", {"repositoryName": "AA"}, "pattern"),
        ("ecr", "CreateRepository", {"repositoryName": "a" * 257}, "at most 256"),
        (
            "logs",
            "PutRetentionPolicy",
            {"logGroupName": "a b", "retentionInDays": 3},
            "pattern",
        ),
        (
            "s3",
            "PutBucketAccelerateConfiguration",
            {"Bucket": "a", "AccelerateConfiguration": {"Status": "On"}},
            "not one of Enabled",
        ),
        (
            "lambda",
            "PutFunctionEventInvokeConfig",
            {"FunctionName": "a", "MaximumRetryAttempts": 3},
            "at most 2",
        ),
        (
            "batch",
            "CreateSchedulingPolicy",
            {"name": "a", "tags": {"": "x"}},
            "key",
        ),
    ],
)
def test_what_is_wrong_is_found(
    service: str, asked: str, request_: Mapping[str, Any], flaw: str
) -> None:
    """Each kind of flaw is named, also those that botocore itself lets through."""
    found = flaws(service, asked, request_)

    assert len(found) == 1
    assert flaw in found[0]


def test_an_input_that_no_request_has_is_refused() -> None:
    """A name that the service does not know is no request, and neither is a type without one."""
    with pytest.raises(ValueError, match="colour: CreatePipeRequest has only"):
        list(requests.requests("aws:pipes/pipe:Pipe", "any", {"colour": "red"}))
    with pytest.raises(KeyError):
        list(requests.requests("aws:new/new:New", "any", {}))


def test_terraform_s_forms_become_the_service_s() -> None:
    """Blocks, plurals, maps for tags, text for numbers, and lists that CloudFront counts."""
    shape = operation("cloudfront", "CreateDistributionWithTags").input_shape
    assert shape is not None

    made = requests.fit(
        {
            "distributionConfigWithTags": [
                {
                    "distributionConfig": {"aliases": ["a"], "enabled": "true"},
                    "tags": {"a": "b"},
                }
            ]
        },
        shape,
        {},
    )

    assert made == {
        "DistributionConfigWithTags": {
            "DistributionConfig": {"Aliases": {"Quantity": 1, "Items": ["a"]}, "Enabled": True},
            "Tags": {"Items": [{"Key": "a", "Value": "b"}]},
        }
    }
