"""What ``make deploy`` reads of a configuration, and the one it makes for its first step."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.infra.declared import IMAGE, declare
from worker.domain.errors import ConfigurationError, ProblemsError
from worker.infra import checkout, deployed, program, stack_file
from worker.infra.__main__ import main
from worker.infra.stack_file import StackFile

HOME = checkout.folder()
REGISTRY = "safelight:registry:Registry"
"""The component that is made first."""


def read(folder: Path, text: str) -> StackFile:
    """A configuration."""
    path = folder / "Pulumi.dev.yaml"
    path.write_text(text)
    return stack_file.read(path)


def test_what_is_not_said_has_the_programs_defaults(tmp_path: Path) -> None:
    """Repositories of its own, and the architecture that is cheaper."""
    assert stack_file.deploy_facts(read(tmp_path, "config: {}\n")) == stack_file.DeployFacts(
        own_registry=True, images_named=False, function="arm64", batch="arm64", profile=""
    )


def test_what_is_said_counts(tmp_path: Path) -> None:
    """In the words of container engines."""
    text = """\
config:
  aws:profile: team
  safelight:image: a
  safelight:batchImage: b
  safelight:registry: {enabled: false}
  safelight:intake: {architecture: x86_64}
  safelight:heavy: {architecture: arm64}
"""
    assert stack_file.deploy_facts(read(tmp_path, text)) == stack_file.DeployFacts(
        own_registry=False, images_named=True, function="amd64", batch="arm64", profile="team"
    )


def test_an_unknown_architecture_is_a_mistake(tmp_path: Path) -> None:
    """Named by its key."""
    with pytest.raises(ConfigurationError, match=r"intake\.architecture"):
        stack_file.deploy_facts(
            read(tmp_path, "config: {safelight:intake: {architecture: mips}}\n")
        )


def test_the_first_configuration_makes_the_repositories_and_nothing_else(tmp_path: Path) -> None:
    """They are the same ones as in the whole stack, and no image is needed for them."""
    text = stack_file.path_of("prod", HOME).read_text("utf-8")
    file = read(tmp_path, text.replace("config:\n", f"config:\n  safelight:image: {IMAGE}\n"))
    small_file = read(tmp_path, stack_file.for_repositories(file))
    small = program.declare("prod", small_file.config, region=small_file.region)
    whole = program.declare("prod", file.config, region=file.region)

    def repositories(declared: object) -> dict[str, object]:
        return {
            one.urn: one.inputs
            for one in declared.resources  # type: ignore[attr-defined]
            if REGISTRY in one.urn
        }

    assert repositories(small) == repositories(whole)
    assert {one.urn for one in small.resources} == {*repositories(small)} != set()


def test_the_first_configuration_keeps_what_is_encrypted(tmp_path: Path) -> None:
    """Pulumi reads it in place of the real one."""
    file = read(tmp_path, "encryptionsalt: s\nconfig: {safelight:settings: {a: {secure: b}}}\n")

    made = YAML(typ="safe").load(stack_file.for_repositories(file))

    assert made["encryptionsalt"] == "s"
    assert made["config"]["safelight:settings"] == {"a": {"secure": "b"}}


def test_a_mistaken_configuration_is_told_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every mistake, and no traceback."""
    file = read(tmp_path, "config: {safelight:intake: {memory: 1}, safelight:nothing: 2}\n")
    with pytest.raises(ProblemsError) as caught:
        program.declare("dev", file.config, region=file.region)
    assert len(caught.value.problems) == 2

    monkeypatch.setattr("worker.infra.stack_file.path_of", lambda *_: file.path)
    assert main(["check", "dev"]) == 2
    assert "intake.memory" in capsys.readouterr().err


def test_the_script_can_evaluate_what_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Assignments, quoted where that is needed; files where they are wanted."""
    assert main(["facts", "dev"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r"[a-z_]+=('.*'|[\w./-]*)", line) for line in lines)

    kind = "aws:ecr/repository:Repository"
    found = [
        {
            "urn": f"urn:pulumi:dev::safelight::{kind}::safelight-dev-image-{image}",
            "type": kind,
            "outputs": {"repositoryUrl": address},
        }
        for image, address in (("batch", "d/e"), ("lambda", "a/b c"))
    ]
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"deployment": {"resources": found}}))
    assert main(["repositories", "dev", str(state)]) == 0
    assert capsys.readouterr().out == ("function_repository='a/b c'\nbatch_repository=d/e\n")
    state.write_text(json.dumps({"deployment": {"resources": found[:1]}}))
    assert main(["repositories", "dev", str(state)]) == 2

    for command, there in (("first", "only: true"), ("placeholders", "placeholder/safelight@")):
        out = tmp_path / command
        assert main([command, "dev", str(out)]) == 0
        assert there in out.read_text()


def test_an_unknown_stack_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names those there are."""
    assert main(["facts", "nobody"]) == 1
    assert "configuration for dev" in capsys.readouterr().err


def test_the_program_calls_things_as_the_scripts_do() -> None:
    """The component that is made first, and the bucket that is kept, by name and export."""
    declared = declare(stack="dev")
    script = (HOME.parent / ".make" / "deploy").read_text("utf-8")

    assert [one.kind for one in declared.resources if one.kind == REGISTRY]
    assert f"**{REGISTRY}**" in script
    bucket = declared.one("s3/Bucket", deployed.ORIGINALS)
    assert declared.exports["intakeBucket"] == f"safelight-dev-{bucket.name}"
    assert {one.name for one in declared.of("ecr/Repository")} == {
        f"image-{image}" for image in deployed.IMAGES
    }


def test_the_pattern_of_the_first_step_means_the_repositories_alone() -> None:
    """As Pulumi reads it: ** is anything, everything else is itself (UrnTargets in its engine)."""
    pattern = re.compile(f".*{re.escape(REGISTRY)}.*")
    urns = [one.urn for one in declare(stack="dev").resources]

    assert {one.split("::")[3] for one in urns if pattern.fullmatch(one)} == {
        "safelight-dev-registry",
        "safelight-dev-image-lambda",
        "safelight-dev-image-batch",
    }


def test_destroy_knows_the_programs_own_buckets() -> None:
    """The state of a whole stack, as far as it follows from what is declared."""
    declared = declare(stack="dev")
    exported = {
        "deployment": {
            "resources": [
                {
                    "urn": one.urn,
                    "type": one.urn.split("::")[2].split("$")[-1],
                    "id": "" if one.component else one.name,
                    "parent": one.parent_urn,
                    "dependencies": list(one.needs),
                }
                for one in declared.resources
            ]
        }
    }
    resources = deployed.read_state(exported)
    kept = deployed.with_all_above(deployed.originals(resources, "dev"), resources)

    names = {(one.split("::")[2].split("$")[-1], one.split("::")[3]) for one in kept}
    assert names >= {
        ("aws:s3/bucket:Bucket", "safelight-dev-intake"),
        ("aws:s3/bucketVersioning:BucketVersioning", "safelight-dev-intake"),
        (
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "safelight-dev-intake",
        ),
    }
    assert ("aws:dynamodb/table:Table", "safelight-dev-catalog") not in names
