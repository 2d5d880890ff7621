"""``make push`` as a deployment uses it: some images, to repositories with names of their own."""

from __future__ import annotations

from pathlib import Path

import worker
from tests.unit.deployment.rig import Rig, rule

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def test_an_image_that_is_asked_for_must_be_built(tmp_path: Path) -> None:
    """Else a deployment would go on without its digest."""
    rig = Rig(tmp_path, [rule("docker", "^image inspect", code=1)])

    done = rig.make("push", "registry.example.com", "v1", ONLY="safelight-arm64")

    assert done.returncode == 1
    assert f"safelight:{worker.__version__}-arm64 is not built" in done.stderr


def test_a_registry_may_have_a_path(tmp_path: Path) -> None:
    """A login is to the host alone."""
    ours = f"{HOST}/team/safelight"
    rig = Rig(tmp_path, [rule("docker", "^$")])
    rig.rules(
        [
            rule("docker", "Labels", f"{rig.commit}\n"),
            rule("docker", "RepoDigests", f"{ours}@sha256:1\n"),
            rule("docker", "^image inspect safelight:.*-amd64"),
            rule("docker", "^image inspect safelight", code=1),
            rule("docker", "^(login|tag|push)"),
            rule("python", "ecr_password", "secret\n"),
        ]
    )

    done = rig.make("push", f"{HOST}/team", "v1")

    assert done.returncode == 0, done.stderr
    assert f"login --username AWS --password-stdin {HOST}" in rig.calls_of("docker")
    assert f"push {ours}:v1-amd64" in rig.calls_of("docker")
    assert rig.calls_of("python") == [f"images/tools/ecr_password.py {HOST}"]
