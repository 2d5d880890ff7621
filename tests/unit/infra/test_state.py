"""What ``make destroy`` reads of a stack's state: what stays, what goes, what would refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.domain.errors import ConfigurationError
from worker.infra import deployed
from worker.infra.__main__ import main

STACK = "urn:pulumi:dev::safelight::pulumi:pulumi:Stack::safelight-dev"
PROVIDER = "urn:pulumi:dev::safelight::pulumi:providers:aws::default_7_51_1"
BUCKETS = "urn:pulumi:dev::safelight::safelight:storage:Buckets::safelight-dev-storage"


def private(name: str) -> str:
    """The component of one bucket."""
    kind = "safelight:storage:Buckets$safelight:storage:PrivateBucket"
    return f"urn:pulumi:dev::safelight::{kind}::safelight-dev-{name}"


def below(parent: str, kind: str, name: str) -> str:
    """A resource in a component."""
    return f"{'::'.join(parent.split('::')[:3])}${kind}::safelight-dev-{name}"


def known(urn: str, **more: Any) -> dict[str, Any]:
    """A resource as pulumi exports it."""
    kind = urn.split("::")[2].rpartition("$")[2]
    found: dict[str, Any] = {"urn": urn, "type": kind, "custom": kind.startswith("aws:")}
    if found["custom"]:
        found |= {
            "id": f"{urn.rpartition('::')[2]}-1a2b3c4",
            "provider": f"{PROVIDER}::0b1c",
        }
    return found | more


def bucket(name: str, **outputs: Any) -> list[dict[str, Any]]:
    """A bucket with its policy."""
    itself = below(private(name), "aws:s3/bucket:Bucket", name)
    return [
        known(private(name), parent=BUCKETS),
        known(itself, parent=private(name), outputs={"forceDestroy": True, **outputs}),
        known(
            below(private(name), "aws:s3/bucketPolicy:BucketPolicy", name),
            parent=private(name),
            dependencies=[itself],
            propertyDependencies={"bucket": [itself]},
        ),
    ]


INTAKE = below(private("intake"), "aws:s3/bucket:Bucket", "intake")
POLICY = below(private("intake"), "aws:s3/bucketPolicy:BucketPolicy", "intake")
NOTIFICATION = (
    "urn:pulumi:dev::safelight::safelight:intake:Intake$aws:s3/bucketNotification:BucketNotification"
    "::safelight-dev-intake"
)
TABLE = "urn:pulumi:dev::safelight::aws:dynamodb/table:Table::safelight-dev-catalog"


def exported(*more: dict[str, Any]) -> dict[str, Any]:
    """A small stack."""
    return {
        "version": 3,
        "deployment": {
            "resources": [
                known(STACK),
                known(PROVIDER, id="0b1c"),
                known(BUCKETS, parent=STACK),
                *bucket("intake"),
                *bucket("delivery"),
                known(NOTIFICATION, parent=STACK, dependencies=[INTAKE]),
                known(TABLE, parent=STACK, outputs={"deletionProtectionEnabled": False}),
                *more,
            ]
        },
    }


def kept(value: Any) -> tuple[str, ...]:
    """What must not be deleted."""
    resources = deployed.read_state(value)
    return deployed.with_all_above(deployed.originals(resources, "dev"), resources)


def test_the_bucket_of_originals_stays_with_all_that_is_set_on_it() -> None:
    """And all without which it could not be; not what is set on it elsewhere."""
    assert kept(exported()) == (
        STACK,
        PROVIDER,
        BUCKETS,
        private("intake"),
        INTAKE,
        POLICY,
    )


def test_what_the_bucket_stands_on_stays_too() -> None:
    """A key that its objects are encrypted with, for instance: else nobody could read them."""
    key = "urn:pulumi:dev::safelight::safelight:storage:Buckets$aws:kms/key:Key::safelight-dev-key"
    value = exported(known(key, parent=BUCKETS))
    for one in value["deployment"]["resources"]:
        if one["urn"] == POLICY:
            one["dependencies"] = [INTAKE, key]

    assert key in kept(value)


def test_everything_else_goes() -> None:
    """Things in the account are counted, components and providers are not."""
    resources = deployed.read_state(exported())
    going = deployed.deleted(resources, without=kept(exported()))

    assert [one.type.rpartition(":")[2] for one in going] == [
        "Bucket",
        "BucketPolicy",
        "BucketNotification",
        "Table",
    ]


def test_nothing_is_deleted_on_a_guess() -> None:
    """Buckets without a known one for originals are a reason to stop."""
    value = exported()
    for one in value["deployment"]["resources"]:
        one["urn"] = one["urn"].replace("safelight-dev-intake", "safelight-dev-uploads")
    resources = deployed.read_state(value)
    found = deployed.originals(resources, "dev")

    with pytest.raises(ConfigurationError, match="not known"):
        deployed.require_known(found, resources, "dev")


def test_an_empty_stack_has_no_originals() -> None:
    """A stack that was never deployed, or that is destroyed, has no originals."""
    empty: list[dict[str, Any]] = [{}, {"resources": [known(STACK)]}]
    for deployment in empty:
        value = {"deployment": deployment}
        resources = deployed.read_state(value)
        found = deployed.originals(resources, "dev")

        deployed.require_known(found, resources, "dev")
        assert found == ()


def test_what_would_refuse_is_named_with_its_remedy() -> None:
    """Guards in the account and in pulumi, of what is to go and of nothing else."""
    value = exported(
        known(
            "urn:pulumi:dev::safelight::aws:ecr/repository:Repository::safelight-dev-image",
            outputs={"forceDelete": False},
            protect=True,
        )
    )
    for one in value["deployment"]["resources"]:
        if one["urn"] == INTAKE:
            one |= {"protect": True, "outputs": {"forceDestroy": False}}
        elif one["type"] == "aws:s3/bucket:Bucket":
            one["outputs"] = {"forceDestroy": False}
        elif one["urn"] == TABLE:
            one["outputs"] = {"deletionProtectionEnabled": True}
    resources = deployed.read_state(value)

    assert list(deployed.refusals(resources, without=kept(value), released=())) == [
        "the bucket safelight-dev-delivery-1a2b3c4 needs storage.forceDestroy: true, or it has to"
        " be empty",
        "the table safelight-dev-catalog-1a2b3c4 needs catalog.deletionProtection: false",
        "safelight-dev-image is protected: pulumi state unprotect"
        " 'urn:pulumi:dev::safelight::aws:ecr/repository:Repository::safelight-dev-image'",
        "the repository safelight-dev-image-1a2b3c4 needs registry.forceDelete: true, or it has to"
        " be empty",
    ]


def test_what_is_being_replaced_is_not_counted_twice() -> None:
    """A resource that waits for its deletion stands beside its successor, with the same URN."""
    value = exported(known(TABLE, parent=STACK, delete=True))

    assert [one.urn for one in deployed.read_state(value)].count(TABLE) == 1


def answers(
    value: Any, originals: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What the script is told."""
    path = folder / "state.json"
    path.write_text(json.dumps(value))
    assert main(["destroy", "dev", originals, str(path)]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_script_is_told_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A word and a value each."""
    lines = answers(exported(), "keep", tmp_path, capsys)

    assert lines[0] == "bucket safelight-dev-intake-1a2b3c4"
    assert lines[1:7] == [f"exclude {urn}" for urn in kept(exported())]
    assert lines[7:] == [
        "deletes safelight-dev-delivery",
        "deletes safelight-dev-delivery",
        "deletes safelight-dev-intake",
        "deletes safelight-dev-catalog",
    ]


def test_originals_that_are_to_go_are_unprotected_and_nothing_is_excluded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protection of theirs is then no reason to refuse; a bucket that cannot be emptied is."""
    value = exported()
    for one in value["deployment"]["resources"]:
        if one["urn"] == INTAKE:
            one |= {"protect": True, "outputs": {"forceDestroy": False}}
        if one["urn"] == NOTIFICATION:
            one["retainOnDelete"] = True

    lines = answers(value, "delete", tmp_path, capsys)

    assert f"unprotect {INTAKE}" in lines
    assert not [line for line in lines if line.startswith("exclude")]
    assert [line for line in lines if line.startswith("refuses")] == [
        "refuses the bucket safelight-dev-intake-1a2b3c4 needs storage.forceDestroy: true, or it"
        " has to be empty"
    ]
    assert "retains safelight-dev-intake" in lines


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"deployment": {"resources": [{}]}}'])
def test_what_is_no_state_ends_it(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty answer must not read like an empty stack."""
    path = tmp_path / "state.json"
    path.write_text(text)

    assert main(["destroy", "dev", "keep", str(path)]) == 2
    assert capsys.readouterr().out == ""
