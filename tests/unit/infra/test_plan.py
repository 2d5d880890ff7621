"""Plans of small declarations: grouped, plain, secret-free, and the same after a round trip."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime import rpc

from tests.unit.infra.declared import component, declaration, resource
from worker.domain.errors import ConfigurationError
from worker.infra import plan
from worker.infra.plan import StackPlan


def made(*resources: object, root: Path = Path("/nowhere"), **exports: object) -> StackPlan:
    """The plan of these."""
    declared = declaration(*resources, exports=exports)  # type: ignore[arg-type]
    return plan.plan_of(declared, stack="test", region=None, root=root)


def test_resources_are_grouped_by_their_components() -> None:
    """From the outermost to the innermost; components are no resources."""
    outer = component("storage:Buckets", "storage")
    inner = component("storage:PrivateBucket", "intake", parent=outer)
    found = made(
        outer,
        inner,
        resource("s3/Bucket", "intake", parent=inner),
        resource("kms/Key", "key", parent=outer),
        resource("sqs/Queue", "alone"),
    )

    assert [(item.key, item.within) for item in found.resources] == [
        ("sqs/Queue alone", ()),
        ("kms/Key key", ("storage",)),
        ("s3/Bucket intake", ("storage", "intake")),
    ]


def test_inputs_are_plain_data() -> None:
    """JSON is what it says, symbols are as people read them, secrets are not shown."""
    policy = json.dumps({"Resource": ["<<s3/Bucket:intake.arn>>/*"]})
    (item,) = made(
        resource(
            "iam/RolePolicy",
            "job",
            {
                "policy": policy,
                "role": "<<iam/Role:job.name>>",
                "note": "{not json",
                "password": rpc.wrap_rpc_secret("hunter2"),
                "size": 3,
                "none": None,
            },
            options={"protect": True},
        )
    ).resources

    assert item.inputs == {
        "policy": {"Resource": ["${s3/Bucket:intake.arn}/*"]},
        "role": "${iam/Role:job.name}",
        "note": "{not json",
        "password": "[secret]",
        "size": 3,
        "none": None,
    }
    assert item.options == {"protect": True}


def test_files_are_named_from_the_checkout_and_hashed(tmp_path: Path) -> None:
    """A change of code shows; the folder of one machine does not."""
    (tmp_path / "worker").mkdir()
    file = tmp_path / "worker" / "ordering.py"
    file.write_text("pass\n")
    code = pulumi.AssetArchive(
        {
            "ordering.py": pulumi.FileAsset(str(file)),
            "gone.py": pulumi.FileAsset("/elsewhere/gone.py"),
            "text": pulumi.StringAsset("x"),
        }
    )

    (item,) = made(resource("lambda/Function", "order", {"code": code}), root=tmp_path).resources

    assert item.inputs["code"] == {
        "archive": {
            "ordering.py": {
                "file": "worker/ordering.py",
                "sha256": hashlib.sha256(b"pass\n").hexdigest(),
            },
            "gone.py": {"file": "gone.py"},
            "text": {"text": "x"},
        }
    }


def test_a_name_that_stands_twice_says_where() -> None:
    """Below components of different kinds the same kind and name is allowed."""
    one, other = component("a:A", "a"), component("b:B", "b")
    found = made(
        one,
        other,
        resource("sqs/Queue", "x", parent=one),
        resource("sqs/Queue", "x", parent=other),
    )

    assert [item.key for item in found.resources] == [
        "sqs/Queue x (safelight:a:A)",
        "sqs/Queue x (safelight:b:B)",
    ]


def test_a_plan_is_the_same_after_it_was_kept(tmp_path: Path) -> None:
    """As JSON, for the comparison with the next one."""
    found = made(
        component("a:A", "a"),
        resource("sqs/Queue", "x", {"a": [1, None, True, "${b}"]}, options={"protect": True}),
        url="<<sqs/Queue:x.url>>",
    )

    plan.keep_plan(tmp_path, found)

    assert plan.last_plan(tmp_path, "test") == found
    assert plan.read_plan(tmp_path / ".plans" / "test.json") == found
    assert found.exports == {"url": "${sqs/Queue:x.url}"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 0}', '{"version": 1}'])
def test_what_is_no_plan_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    """Unless somebody names it: then it is a mistake."""
    (tmp_path / ".plans").mkdir()
    path = tmp_path / ".plans" / "test.json"
    path.write_text(text)

    assert plan.last_plan(tmp_path, "test") is None
    with pytest.raises(ConfigurationError, match="holds no plan"):
        plan.read_plan(path)


def test_stacks_are_kept_apart(tmp_path: Path) -> None:
    """The last plan of one is nothing to compare another with."""
    plan.keep_plan(tmp_path, made())

    assert plan.last_plan(tmp_path, "other") is None
