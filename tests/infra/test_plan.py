"""``safelight infra plan`` on the real program: all is there, nothing invented, always the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs

from tests.infra.declared import declare
from worker.domain.errors import ProblemsError
from worker.entrypoints.cli import run
from worker.infra import checkout, program, stack_file
from worker.infra import plan as plans
from worker.infra.plan import StackPlan
from worker.infra.program import PlaceholderMocks, placeholder, record, shown

HOME = checkout.folder()


def made(stack: str = "prod", config: dict[str, Any] | None = None) -> StackPlan:
    """The plan of a stack as its file describes it."""
    file = stack_file.read(stack_file.path_of(stack, HOME))
    declared = program.declare(stack, {**file.config, **(config or {})}, region=file.region)
    return plans.plan_of(declared, stack=stack, region=file.region, root=HOME.parent)


@pytest.fixture(scope="module")
def prod() -> StackPlan:
    """The plan of prod."""
    return made()


def texts(value: Any) -> Iterator[str]:
    """Every text in it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def test_a_plan_has_every_resource(prod: StackPlan) -> None:
    """As many as the tests of the program see."""
    file = stack_file.read(stack_file.path_of("prod", HOME))
    declared = declare(dict(file.config), stack="prod")

    assert len(prod.resources) == sum(not one.component for one in declared.resources)
    assert {*prod.exports} == {*declared.exports}


def test_no_value_is_invented(prod: StackPlan) -> None:
    """No account, no id, no address that only AWS could know; symbols stand for them."""
    everything = " ".join(texts(prod.as_dict()))

    assert not re.findall(r"\b\d{12}\b", everything)
    assert "<<" not in everything
    assert not re.findall(r"[:/.-]None\b|\bNone[:/.-]", everything)  # a property nobody has filled
    for arn in re.findall(r"arn:aws:[^\s\"]*", everything):
        account = arn.split(":")[4]
        assert account in ("", "*", "aws", "${aws.account}"), arn


def test_every_symbol_is_a_property_of_something_in_the_plan(prod: StackPlan) -> None:
    """Or of the account; so a reader can look up what it stands for."""
    known = tuple(f"{item.kind}:{item.name}." for item in prod.resources)
    found = {name for text in texts(prod.as_dict()) for name in re.findall(r"\$\{([^}]+)\}", text)}

    assert found
    for name in found:
        assert name.startswith((*known, "aws.")) or "/get" in name, name


def test_the_same_configuration_is_the_same_plan(
    prod: StackPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resources are registered by several threads; the plan does not show it."""
    monkeypatch.setattr("worker.infra.program.record", record)  # another run of the program

    assert made() == prod


def test_a_changed_value_shows_where_it_is_used() -> None:
    """A plan is what the configuration makes of the program."""
    one = made("dev")
    other = made("dev", {"intake": {"memory": 3008}})

    memory = {
        item.key: item.inputs["memorySize"]
        for item in other.resources
        if "memorySize" in item.inputs
    }
    assert memory["lambda/Function ingest"] == 3008
    assert one != other


def test_policies_are_parsed(prod: StackPlan) -> None:
    """A document is what it says, not a text."""
    policies = [item.inputs["policy"] for item in prod.resources if item.kind == "iam/RolePolicy"]

    assert policies
    assert all(policy["Statement"] for policy in policies)


def test_every_mistake_is_named_at_once() -> None:
    """By its key, as the program does."""
    with pytest.raises(ProblemsError) as caught:
        program.declare("dev", {"intake": {"memory": 1}, "colour": "red"}, region=None)

    assert {problem.path for problem in caught.value.problems} == {"intake.memory", "colour"}


def test_without_a_region_it_is_a_symbol() -> None:
    """Without a configured region the plan has a placeholder and makes no lookup."""
    declared = program.declare("dev", {}, region=None)
    found = plans.plan_of(declared, stack="dev", region=None, root=HOME.parent)

    assert any("${aws.region}" in text for text in texts(found.as_dict()))


# --- what answers the program -------------------------------------------------------------------


def test_every_property_that_is_no_input_is_a_symbol() -> None:
    """Lists and objects have one in each place; inputs stay what they are."""
    identity, state = PlaceholderMocks(stack="dev", region=None).new_resource(
        MockResourceArgs(
            typ="aws:acm/certificate:Certificate",
            name="safelight-dev-site",
            inputs={"domainName": "example.com"},
            custom=True,
        )
    )

    assert shown(identity) == "${acm/Certificate:site.id}"
    assert state["domainName"] == "example.com"
    assert shown(state["arn"]) == "${acm/Certificate:site.arn}"
    (option,) = state["domainValidationOptions"]
    assert shown(option["resourceRecordName"]) == (
        "${acm/Certificate:site.domainValidationOptions[0].resourceRecordName}"
    )


def test_a_type_nobody_knows_has_its_inputs() -> None:
    """A provider without a package here declares, and is shown, all the same."""
    identity, state = PlaceholderMocks(stack="dev", region=None).new_resource(
        MockResourceArgs(typ="acme:x/thing:Thing", name="t", inputs={"a": 1.0}, custom=True)
    )

    assert shown(identity) == "${acme:x/thing:Thing:t.id}"
    assert state == {"a": 1.0}


def test_a_provider_for_another_region_answers_with_it() -> None:
    """A lookup through the provider returns its region."""
    mocks = PlaceholderMocks(stack="dev", region="eu-central-1")
    america, _ = mocks.new_resource(
        MockResourceArgs(
            typ="pulumi:providers:aws", name="america", inputs={"region": "us-east-1"}, custom=True
        )
    )
    region = "aws:index/getRegion:getRegion"

    usual = mocks.call(MockCallArgs(region, {}, ""))
    there = mocks.call(MockCallArgs(region, {}, f"urn:x::{america}"))

    assert (usual["region"], there["region"]) == ("eu-central-1", "us-east-1")


def test_what_is_looked_up_is_a_symbol_that_says_how() -> None:
    """By the function and its arguments."""
    found = PlaceholderMocks(stack="dev", region=None).call(
        MockCallArgs(
            "aws:cloudfront/getCachePolicy:getCachePolicy", {"name": "Managed Caching"}, ""
        )
    )

    assert shown(found["id"]) == "${cloudfront/getCachePolicy(name=Managed_Caching).id}"
    assert found["name"] == "Managed Caching"


def test_symbols_are_shown_as_people_read_them() -> None:
    """In the middle of texts too; what only looks like one stays."""
    assert shown(f"arn:{placeholder('a:b.c')}/*") == "arn:${a:b.c}/*"
    assert shown("if a << b >> c") == "if a << b >> c"


def test_two_resources_of_one_identity_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulumi's engine refuses them half-way through a deployment; mocks do not."""
    from stack.cost import CostControls
    from worker.domain.errors import ConfigurationError

    inner = CostControls.__init__

    def twice(self: CostControls, *arguments: Any, **more: Any) -> None:
        inner(self, *arguments, **more)
        inner(CostControls.__new__(CostControls), *arguments, **more)

    monkeypatch.setattr(CostControls, "__init__", twice)
    with pytest.raises(ConfigurationError, match="more than once"):
        record(
            PlaceholderMocks(stack="dev", region=None), stack="dev", config=dict(stack_file.IMAGES)
        )


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the last plans that is not the checkout's."""
    monkeypatch.setattr("worker.infra.plan.FOLDER", str(tmp_path / "plans"))
    return tmp_path / "plans"


def test_a_plan_is_printed_and_kept(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time says that nothing is different, another value what is."""
    assert run(["infra", "plan", "--stack", "dev"]) == 0
    first = capsys.readouterr().out
    assert "s3/Bucket intake" in first
    lines = first.splitlines()
    assert lines[0].startswith("stack dev in ")
    assert lines[:4] == lines[-4:]
    assert "nothing to compare with" in first
    assert (kept / "dev.json").is_file()

    assert run(["infra", "plan", "--stack", "dev"]) == 0
    assert "nothing changed" in capsys.readouterr().out

    image = f"example.com/safelight@sha256:{'f' * 64}"
    assert run(["infra", "plan", "--stack", "dev", "--image", image]) == 0
    out = capsys.readouterr().out
    assert "~ lambda/Function ingest" in out
    assert f"+{image}" in out
    assert "safelight:image is not set" not in out


def test_a_plan_is_kept_whoever_stops_reading() -> None:
    """`infra plan | head`: the whole of it is what the next one is compared with."""
    root = checkout.folder().parent
    name = f"test-{os.getpid()}"
    path = root / plans.FOLDER / f"{name}.json"
    given = ["--stack", name, "--config", str(root / "pulumi" / "Pulumi.dev.yaml")]
    command = [sys.executable, "-m", "worker", "infra", "plan", *given]
    try:
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"stack {name} in ")
            process.stdout.close()
        assert process.returncode == 141
        assert plans.last_plan(root, name) is not None
    finally:
        path.unlink(missing_ok=True)


def test_a_plan_is_data_with_json(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json and --out give the same plan as data, and --against compares with it."""
    out = tmp_path / "main.json"
    assert run(["infra", "plan", "--json", "--out", str(out)]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["changes"] is None
    assert json.loads(out.read_text()) == {
        name: value for name, value in body.items() if name != "changes"
    }

    config = tmp_path / "other.yaml"
    config.write_text("config:\n  aws:region: eu-west-1\n  safelight:heavy: {enabled: false}\n")
    against = ["--against", str(out), "--config", str(config)]
    assert run(["infra", "plan", "--json", *against]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert "sfn/StateMachine video" in changes["removed"]
    assert "lambda/Function ingest" not in changes["created"]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("config: {safelight:intake: {memory: 1}, safelight:x: 1}", "configuration_invalid", "x"),
        ("config: {safelight:image: {secure: abc}}", "configuration_invalid", "encrypted"),
        ("config: [", "configuration_invalid", "no YAML"),
        (None, "input_missing", "no such file"),
    ],
)
def test_a_configuration_that_cannot_be_used_ends_with_2(
    text: str | None, code: str, says: str, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake is named, nothing is printed and nothing kept."""
    config = kept.with_name("stack.yaml")
    if text is not None:
        config.write_text(text)
    stack = ["--stack", "dev", "--config", str(config)]
    if text is None:
        stack = ["--stack", "nobody"]

    assert run(["infra", "plan", "--json", *stack]) == 2

    captured = capsys.readouterr()
    error = json.loads(captured.err)["error"]
    assert captured.out == ""
    assert error["code"] == code
    assert says in error["message"] + json.dumps(error.get("problems", []))
    assert not kept.exists()


def test_a_graph_is_drawn_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of any stack."""
    out = tmp_path / "dev.mmd"

    assert run(["infra", "graph", "--stack", "dev", "--out", str(out)]) == 0
    assert "intake: " in capsys.readouterr().out
    assert out.read_text().startswith("flowchart TB\n")
    assert run(["infra", "graph", "--json"]) == 0
    by_name = {one["component"]: one for one in json.loads(capsys.readouterr().out)}
    assert "storage" in by_name["intake"]["refers_to"]
    assert "s3/Bucket intake" in by_name["storage"]["resources"]


def test_an_environment_is_printed_for_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the outputs that this very program exports, as pulumi prints them."""
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps(declare(stack="dev").exports))

    assert run(["infra", "env", "--outputs", str(outputs)]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].startswith("unset ")
    assert "export SAFELIGHT_TABLE=safelight-dev-catalog" in lines
    assert all(line.startswith(("unset ", "export ")) for line in lines)
    assert run(["infra", "env", "--outputs", str(outputs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["SAFELIGHT_TABLE"] == "safelight-dev-catalog"


@pytest.mark.parametrize(
    "arguments", [[], ["--stack", "dev", "--outputs", "x"], ["--outputs", "nowhere"]]
)
def test_an_environment_needs_one_source(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell that evaluates the answer gets nothing otherwise."""
    assert run(["infra", "env", *arguments]) == 2
    assert capsys.readouterr().out == ""
