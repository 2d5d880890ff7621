"""How many resources of which kind there are, whose they are, and what is exported."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from batch.catalogue import KINDS
from tests.golden import Golden
from tests.infra.declared import ANSWERS, BATCH_IMAGE, IMAGE, Declaration, declare
from worker.infra import program
from worker.settings import Settings


def counts(declared: Declaration) -> dict[str, int]:
    """How many of each kind. Files of the console are as many as there are."""
    kinds = [one.kind for one in declared.resources]
    return dict(Counter(kind for kind in kinds if kind != "s3/BucketObject"))


@pytest.mark.parametrize("name", ["standard", "ordered", "full", "bare"])
def test_a_configuration_is_exactly_these_resources(
    name: str, golden: Golden, request: pytest.FixtureRequest
) -> None:
    """An option adds exactly its own resources."""
    golden.check_part("counts", name, counts(request.getfixturevalue(name)))


def test_what_an_option_adds_is_listed(golden: Golden) -> None:
    """Order is two queues, a pipe and the function that names groups; each job has a definition."""
    known = golden.read("counts")
    bare, standard, ordered = (Counter(known[one]) for one in ("bare", "standard", "ordered"))

    assert {"sqs/Queue": 2, "pipes/Pipe": 1, "lambda/Function": 1}.items() <= (
        ordered - standard
    ).items()
    assert standard["batch/JobDefinition"] == len(KINDS)
    assert (bare["s3/Bucket"], bare["dynamodb/Table"], bare["lambda/Function"]) == (3, 1, 3)
    assert bare["sqs/Queue"] == 3


def test_what_is_switched_off_is_not_exported(bare: Declaration) -> None:
    """Three buckets, a table, a queue, two functions: what everything else stands on."""
    assert not {"registry", "jobQueues", "workflows", "alarmTopic"} & {*bare.exports}


def test_a_new_stack_has_repositories_alone() -> None:
    """They come before the images, and everything else after them."""
    first = declare({"registry": {"only": True}}, images={})

    assert counts(first) == {
        "safelight:registry:Registry": 1,
        "ecr/Repository": 2,
        "ecr/LifecyclePolicy": 2,
        "ecr/RepositoryPolicy": 1,
    }
    assert {*first.exports} == {"registry", "repositories"}


def test_every_resource_has_a_component_for_a_parent(ordered: Declaration) -> None:
    """Only the components of the program itself hang on the stack."""
    on_stack = {one.kind for one in ordered.resources if one.parent == "pulumi:pulumi:Stack"}

    assert on_stack == {
        "safelight:storage:Buckets",
        "safelight:catalog:CatalogTable",
        "safelight:delivery:Distribution",
        "safelight:events:AssetEventBus",
        "safelight:intake:Intake",
        "safelight:invalidations:Invalidations",
        "safelight:ledger:WorkLedger",
        "safelight:origin:DeliveryOrigin",
        "safelight:outbox:EventOutbox",
        "safelight:registry:Registry",
        "safelight:heavy:HeavyJobs",
        "safelight:workflow:StateMachines",
        "safelight:observability:Observability",
        "safelight:cost:CostControls",
    }


def test_the_exported_environment_is_the_functions_own(ordered: Declaration) -> None:
    """Local workers get the environment of the function, except the destination of spans."""
    variables = dict(ordered.one("lambda/Function", "ingest").inputs["environment"]["variables"])
    traced = {name: variables.pop(f"SAFELIGHT_TRACE_{name}") for name in ("TO", "PERCENT")}

    assert ordered.exports["ingestEnvironment"] == variables
    assert traced == {"TO": "xray", "PERCENT": "1"}


def test_the_environment_is_one_that_the_worker_accepts(ordered: Declaration) -> None:
    """The worker finds in it the names of exactly these resources."""
    settings = Settings.from_environment(ordered.exports["ingestEnvironment"])

    assert settings == Settings(
        table="safelight-test-catalog",
        intake_bucket="safelight-test-intake",
        delivery_bucket="safelight-test-delivery",
        quarantine_bucket="safelight-test-quarantine",
        event_bus="safelight-test-events",
        queue_url="https://aws:sqs/safelight-test-ordered",
        dlq_url="https://aws:sqs/safelight-test-ordered-dead",
        metrics_namespace="Safelight/test",
    )


def test_the_command_line_is_told_where_everything_is(ordered: Declaration) -> None:
    """The variables of the function, and those for commands only."""
    settings = Settings.from_environment(ordered.exports["environment"])

    assert settings.batch_prefix == "safelight-test"
    assert dict(settings.workflows) == ordered.exports["workflows"]
    assert settings.invalidations_queue_url == ordered.exports["invalidationsQueue"]
    assert settings.invalidations_dlq_url == ordered.exports["invalidationsDeadLetters"]
    assert settings.uploads_queue_url == ordered.exports["uploadsQueue"]
    assert settings.uploads_dlq_url == ordered.exports["uploadsDeadLetters"]
    assert settings.outbox_dlq_url == ordered.exports["outboxDeadLetters"]
    assert settings.heavy_dlq_url == ordered.exports["heavyDeadLetters"]
    assert settings.queue_url == ordered.exports["workQueue"]


def test_names_of_jobs_begin_as_the_command_line_is_told(ordered: Declaration) -> None:
    """Queues and definitions are looked up by it."""
    prefix = ordered.exports["environment"]["SAFELIGHT_BATCH_PREFIX"]

    for arn in (
        *ordered.exports["jobQueues"].values(),
        *ordered.exports["jobDefinitions"].values(),
    ):
        assert arn.startswith(f"arn:aws:batch:{prefix}-")


def test_without_heavy_work_the_command_line_is_told_of_none(bare: Declaration) -> None:
    """Its settings are complete all the same."""
    assert Settings.from_environment(bare.exports["environment"]).workflows == ()


def test_the_exports_name_both_queues_and_their_dead_letters(
    ordered: Declaration, standard: Declaration
) -> None:
    """With order the workers read another queue than S3 fills; without, the same one."""
    names = ("uploadsQueue", "uploadsDeadLetters", "workQueue", "workDeadLetters")

    assert [ordered.exports[name].rpartition("test-")[2] for name in names] == [
        "uploads",
        "uploads-dead",
        "ordered",
        "ordered-dead",
    ]
    assert [standard.exports[name].rpartition("test-")[2] for name in names] == [
        "uploads",
        "uploads-dead",
        "uploads",
        "uploads-dead",
    ]


def test_another_stack_has_other_names(ordered: Declaration) -> None:
    """Two stacks share an account without meeting."""
    names = {"intakeBucket", "deliveryBucket", "quarantineBucket", "table", "eventBus"}
    other = declare(stack="dev")

    for name in names:
        assert other.exports[name] != ordered.exports[name]


def test_a_resource_that_fails_ends_the_run_with_its_error() -> None:
    """A refused resource is an error at once, not a run that waits for ever."""

    class Refusing(Mocks):
        def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, object]]:
            if args.typ == "aws:dynamodb/table:Table":
                raise RuntimeError("no table for you")
            return args.name, {**args.inputs, "arn": "arn", "url": "url", "bucket": "b"}

        def call(self, args: MockCallArgs) -> Any:
            return ANSWERS[args.token]

    with pytest.raises(RuntimeError, match="no table for you"):
        program.run(Refusing(), stack="test", config={"image": IMAGE, "batchImage": BATCH_IMAGE})
