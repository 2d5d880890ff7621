"""Who works with whose rights in the local stack, before any embedded AWS is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.unit.memory_queue import MemoryQueue
from worker.domain.errors import AccessDenied, EmulatorError
from worker.local import services
from worker.local.deploy import ROLE_HOLDERS, emulator_patches
from worker.local.iam_simulator import IamSimulator
from worker.local.roles import RoleHolder, Roles, RootClients

ROLE = "arn:aws:iam::000000000000:role/safelight-local-heavy"
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "eu-central-1",
}


def policy(*statements: dict[str, Any]) -> str:
    """A document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statements(document: str) -> list[dict[str, Any]]:
    """Of a document."""
    found: list[dict[str, Any]] = json.loads(document)["Statement"]
    return found


# --- policies that the emulator gets ----------------------------------------------------------


def test_the_root_user_may_take_a_role() -> None:
    """Beside the service that takes it on AWS, whose statement stays as it is."""
    service = {"Effect": "Allow", "Principal": {"Service": "x"}, "Action": "sts:AssumeRole"}

    first, second = statements(emulator_patches.trust(policy(service), "000000000000"))

    assert first == service
    assert second["Principal"] == {"AWS": "arn:aws:iam::000000000000:root"}


def test_batch_operations_follow_from_single_ones() -> None:
    """Only those of what is allowed: a batch of what is not stays refused."""
    given = {"Effect": "Allow", "Action": ["sqs:SendMessage", "s3:GetObject"], "Resource": ["a"]}

    (changed,) = statements(emulator_patches.rights(policy(given)))

    assert changed == {
        **given,
        "Action": ["sqs:SendMessage", "s3:GetObject", "sqs:SendMessageBatch"],
    }


def test_only_demands_on_the_transport_leave_out_loopback() -> None:
    """Another refusal, and what is allowed, stay as they are."""
    tls = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    other = {"Effect": "Deny", "Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}
    allow = {"Effect": "Allow", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}

    first, *rest = statements(
        emulator_patches.bucket(policy(tls, other, allow, {"Effect": "Deny"}))
    )

    assert first["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"},
        "NotIpAddress": {"aws:SourceIp": "127.0.0.1/32"},
    }
    assert rest == [other, allow, {"Effect": "Deny"}]


# --- actors -----------------------------------------------------------------------------------


def declared_role(kind: str, name: str, **more: str) -> dict[str, str]:
    """As a deploy leaves it."""
    role = f"arn:aws:iam::000000000000:role/{name}"
    return {
        **{"type": kind, "name": name, "arn": f"arn:{name}", "role": role},
        **{"code": "", "enrichment": "", **more},
    }


def test_roles_are_found_by_what_they_are() -> None:
    """A function by its code, the enrichment by its ARN, the rest by their kind."""
    ingest = declared_role("Function", "ingest", code="worker.entrypoints.lambda_ingest.handler")
    found = Roles.of(
        {
            ROLE_HOLDERS: [
                ingest,
                declared_role("Function", "order", code="ordering.handler"),
                declared_role("Pipe", "order-pipe", enrichment="arn:order"),
                declared_role("StateMachine", "heavy"),
                *(declared_role("JobDefinition", "job") for _ in range(3)),
            ]
        }
    )

    assert found.function("worker.entrypoints.lambda_ingest:handler") == RoleHolder(**ingest)
    assert [one.name for one in found.pipe()] == ["order-pipe", "order"]
    assert found.machine("heavy").profile == "heavy"
    assert found.jobs().profile == "job"


def test_what_is_not_declared_once_is_said() -> None:
    """None, or two: the local stack does not guess."""
    with pytest.raises(EmulatorError, match="0 of StateMachine"):
        Roles.of({ROLE_HOLDERS: []}).machine("heavy")
    jobs = [declared_role("JobDefinition", "a"), declared_role("JobDefinition", "b")]
    with pytest.raises(EmulatorError, match="several roles"):
        Roles.of({ROLE_HOLDERS: jobs}).jobs()


# --- permits ----------------------------------------------------------------------------------


def asking(decision: str, *, times: int) -> tuple[IamSimulator, Stubber]:
    """IamSimulator whose embedded AWS decides so, as often as told."""
    clients = RootClients(ENVIRONMENT)
    iam = Stubber(clients.iam)
    for _ in range(times):
        iam.add_response(
            "simulate_principal_policy",
            {
                "EvaluationResults": [
                    {"EvalActionName": "batch:SubmitJob", "EvalDecision": decision}
                ]
            },
            {
                "PolicySourceArn": ROLE,
                "ActionNames": ["batch:SubmitJob"],
                "ResourceArns": ["arn:job"],
            },
        )
    iam.activate()
    return IamSimulator(clients, ROLE), iam


def test_a_yes_is_asked_for_once() -> None:
    """Every second job would pay for it."""
    permits, iam = asking("allowed", times=1)

    for _ in range(3):
        permits.require("batch:SubmitJob", "arn:job")

    iam.assert_no_pending_responses()


def test_a_no_is_an_error_that_names_the_right() -> None:
    """Explicit or not; asked again, because somebody may deploy meanwhile."""
    permits, iam = asking("implicitDeny", times=2)

    for _ in range(2):
        with pytest.raises(AccessDenied, match="safelight-local-heavy may not batch:SubmitJob"):
            permits.require("batch:SubmitJob", "arn:job")

    iam.assert_no_pending_responses()


class Allowing:
    """IamSimulator some, remembers all that was asked."""

    def __init__(self, *actions: str) -> None:
        self.actions, self.asked = actions, list[tuple[str, str]]()

    def __call__(self, action: str, resource: str) -> None:
        """See ``Require``."""
        self.asked.append((action, resource))
        if action not in self.actions:
            raise AccessDenied(f"may not {action}")


def test_the_pipe_asks_before_it_calls_the_function() -> None:
    """Without the right nothing goes on, and nothing is lost."""
    queue = MemoryQueue()
    queue.send("uploads", [("{}", "", "")])
    messages = queue.receive("uploads", limit=10, wait=0, visibility=30)
    require = Allowing()

    with pytest.raises(AccessDenied):
        services.move(
            messages,
            queue,
            source="uploads",
            target="work.fifo",
            enrichment=services.Enrichment("arn:order", require),
        )

    assert require.asked == [("lambda:InvokeFunction", "arn:order")]
    assert (len(queue.bodies("uploads")), queue.bodies("work.fifo")) == (1, [])
