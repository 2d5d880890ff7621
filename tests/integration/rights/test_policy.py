"""The judge of policies, judged: wildcards, principals, conditions, what it refuses to judge."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.rights.calls import Need, missing, needed, unused
from tests.integration.rights.policy import Grant, allowed, grants


@pytest.mark.parametrize(
    ("action", "resource", "covered"),
    [
        ("s3:GetObject", "arn:aws:s3:::b/a/k", True),
        ("S3:getobject", "arn:aws:s3:::b/", True),
        ("s3:GetObjectVersion", "arn:aws:s3:::b/k", False),
        ("s3:GetObject", "arn:aws:s3:::b", False),
        ("s3:GetObject", "arn:aws:s3:::B/k", False),
        ("s3:GetObject", "arn:aws:s3:::bb/k", False),
        ("s3:GetObject", "arn:aws:s3:::b/line\nbreak", True),
    ],
)
def test_a_grant_covers_its_action_below_its_resource(
    action: str, resource: str, covered: bool
) -> None:
    """A star is anything; actions know no case, ARNs do."""
    assert Grant("s3:GetObject", "arn:aws:s3:::b/*").covers(action, resource) is covered


def test_grants_are_told_one_by_one() -> None:
    """Text and lists alike."""
    document = {
        "Statement": [
            {"Effect": "Allow", "Action": ["a:B", "a:C"], "Resource": ["r", "s"]},
            {"Effect": "Allow", "Action": "a:D", "Resource": "t"},
        ]
    }

    assert [(one.action, one.resource) for one in grants(document)] == [
        *(("a:B", "r"), ("a:B", "s"), ("a:C", "r"), ("a:C", "s"), ("a:D", "t"))
    ]


@pytest.mark.parametrize(
    "more", [{"Effect": "Deny"}, {"Condition": {}}, {"NotAction": "x"}, {"NotResource": "x"}]
)
def test_what_is_no_plain_permission_is_refused(more: dict[str, Any]) -> None:
    """A judge that leaves something out would find rights where there are none."""
    with pytest.raises(ValueError, match="not a plain Allow"):
        list(grants({"Statement": {"Effect": "Allow", "Action": "a", "Resource": "r", **more}}))


STATEMENT = {
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": "q",
    "Condition": {"ArnLike": {"aws:SourceArn": "arn:b*"}, "StringEquals": {"a": ["1", "2"]}},
}
CONTEXT = {"Service": "s3.amazonaws.com", "aws:SourceArn": "arn:bucket", "a": "2"}


@pytest.mark.parametrize(
    "other",
    [
        {"Service": "sns.amazonaws.com"},
        {"aws:SourceArn": "arn:x"},
        {"a": "3"},
    ],
)
def test_a_resources_policy_asks_who_and_on_which_conditions(other: dict[str, str]) -> None:
    """All conditions hold, or the statement does not apply."""
    document = {"Statement": STATEMENT}

    assert allowed(document, "sqs:SendMessage", "q", CONTEXT)
    assert not allowed(document, "sqs:SendMessage", "q", {**CONTEXT, **other})
    assert not allowed(document, "sqs:SendMessage", "r", CONTEXT)
    assert not allowed(document, "sqs:SendMessage", "q", {"Service": "s3.amazonaws.com"})


def test_a_refusal_wins() -> None:
    """Over any permission, in any order."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}

    assert not allowed({"Statement": [STATEMENT, deny]}, "sqs:SendMessage", "q", CONTEXT)


def test_a_condition_of_another_kind_is_refused() -> None:
    """It is not guessed at."""
    statement = {**STATEMENT, "Condition": {"DateLessThan": {"aws:CurrentTime": "2030"}}}

    with pytest.raises(ValueError, match="DateLessThan is not understood"):
        allowed({"Statement": statement}, "sqs:SendMessage", "q", CONTEXT)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("s3", "HeadObject", {"Bucket": "b", "Key": "k"}), [("s3:GetObject", "b/k")]),
        (
            ("s3", "DeleteObject", {"Bucket": "b", "Key": "k", "VersionId": "v"}),
            [("s3:DeleteObjectVersion", "b/k")],
        ),
        (
            (
                "s3",
                "CopyObject",
                {
                    "Bucket": "b",
                    "Key": "k",
                    "CopySource": {"Bucket": "a", "Key": "j", "VersionId": "v"},
                },
            ),
            [("s3:PutObject", "b/k"), ("s3:GetObjectVersion", "a/j")],
        ),
        (("s3", "ListObjectsV2", {"Bucket": "b", "Prefix": "p"}), [("s3:ListBucket", "b")]),
    ],
)
def test_calls_become_actions(call: Any, expected: list[tuple[str, str]]) -> None:
    """As the S3 User Guide lists them."""
    found = [(action, arn.removeprefix("arn:aws:s3:::")) for action, arn in needed(*call)]

    assert found == expected


def test_each_item_of_a_transaction_is_asked_for() -> None:
    """A transaction has no action of its own, a batch has."""
    table = "arn:aws:dynamodb:eu-central-1:000000000000:table/t"
    writes = {"TransactItems": [["Put", "t"], ["ConditionCheck", "t"]]}

    assert list(needed("dynamodb", "TransactWriteItems", writes)) == [
        ("dynamodb:PutItem", table),
        ("dynamodb:ConditionCheckItem", table),
    ]
    assert list(needed("dynamodb", "BatchGetItem", {"RequestItems": ["t"]})) == [
        ("dynamodb:BatchGetItem", table)
    ]


def test_a_call_nobody_has_thought_of_is_refused() -> None:
    """It would be left out of the comparison."""
    with pytest.raises(KeyError):
        list(needed("s3", "PutBucketPolicy", {"Bucket": "b", "Key": "k"}))
    with pytest.raises(KeyError):
        list(needed("kms", "Decrypt", {}))


def test_a_call_without_a_grant_and_a_grant_without_a_call_are_found() -> None:
    """Each by the role whose it is: another role's call or grant is no help."""
    roles = {
        "a": [Grant("s3:GetObject", "b/*"), Grant("s3:PutObject", "b/*")],
        "b": [Grant("s3:GetObject", "b/*")],
    }
    needs = {
        *(Need("a", "s3:GetObject", "b/k"), Need("a", "s3:DeleteObject", "b/k")),
        *(Need("b", "s3:GetObject", "b/k"), Need("b", "s3:PutObject", "b/k")),
    }

    assert missing(needs, roles) == [
        Need("a", "s3:DeleteObject", "b/k"),
        Need("b", "s3:PutObject", "b/k"),
    ]
    assert unused(needs, roles) == [("a", Grant("s3:PutObject", "b/*"))]
