"""``make preview``: pulumi's own where it is installed, ours where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.deployment.rig import Rig, Rule, rule


def programs(named: str) -> list[Rule]:
    """A configuration that names its images, or not."""
    return [
        rule("python", "infra facts dev", f"images_named={named}\n"),
        rule("python", "infra placeholders dev"),
        rule("pulumi", "^preview", "3 to change\n"),
        rule("safelight", "^infra plan", "the plan\n"),
    ]


def test_pulumi_compares_with_the_account(tmp_path: Path) -> None:
    """In the program's folder, with further arguments handed on."""
    rig = Rig(tmp_path, programs("yes"))

    done = rig.make("preview", "dev", "--diff")

    assert (done.returncode, done.stdout) == (0, "3 to change\n")
    assert rig.calls_of("pulumi") == ["preview --stack dev --diff"]


def test_images_that_nobody_has_named_are_placeholders(tmp_path: Path) -> None:
    """In a configuration beside the real one, which stays as it is."""
    rig = Rig(tmp_path, programs(""))
    config = f"{rig.root}/build/Pulumi.dev.preview.yaml"

    done = rig.make("preview", "dev")

    assert "placeholder" in done.stderr
    assert rig.calls[1:] == [
        f"python -m worker.infra placeholders dev {config}",
        f"pulumi preview --config-file {config} --stack dev",
    ]


def test_without_pulumi_the_program_is_asked(tmp_path: Path) -> None:
    """It says so, and what is missing in what follows."""
    rig = Rig(tmp_path, programs("yes"), without=("pulumi",))

    done = rig.make("preview", "dev", "--json")

    assert (done.returncode, done.stdout) == (0, "the plan\n")
    assert "pulumi is not installed" in done.stderr
    assert rig.calls == ["safelight infra plan --stack dev --json"]


@pytest.mark.parametrize("script", ["preview", "deploy", "destroy"])
def test_a_stack_must_be_named(tmp_path: Path, script: str) -> None:
    """None of them has a default."""
    done = Rig(tmp_path, programs("yes")).make(script, "")

    assert done.returncode == 2
    assert f"make {script} STACK=dev" in done.stderr
