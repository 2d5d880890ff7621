"""The commands around the images, as far as they go without an engine: what they would run."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

import worker
from tests import aws_services

ROOT = Path(__file__).parents[2]
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def dry(command: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of .make/ that only prints its commands."""
    return subprocess.run(
        [str(ROOT / ".make" / command), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/", "DRY_RUN": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_own_architecture_is_built_by_plain_docker() -> None:
    """Both images, by version and as latest; base and network only if somebody says so."""
    lines = dry("build", OWN_ARCH="amd64", BASE_IMAGE="mirror/debian", BUILD_NETWORK="host")

    revision = re.search(r"REVISION=([0-9a-f]{40}(-dirty)?)", lines.stdout)
    date = re.search(r"SOURCE_DATE_EPOCH=(\d{10})", lines.stdout)
    assert revision is not None
    assert date is not None
    common = (
        f"--build-arg VERSION={worker.__version__} --build-arg {revision[0]} --build-arg {date[0]}"
        " --build-arg BASE_IMAGE=mirror/debian --network host"
    )
    assert lines.stdout.splitlines() == [
        f"docker build --file images/{kind}/Dockerfile --tag {name}:{worker.__version__}-amd64"
        f" {common} --tag {name}:latest ."
        for kind, name in (("lambda", "safelight"), ("batch", "safelight-batch"))
    ]


def test_a_build_can_be_made_anew() -> None:
    """Without the engine's cache, as a comparison of two builds needs it."""
    lines = dry("build", OWN_ARCH="amd64", NO_CACHE="1").stdout.splitlines()

    assert [" --no-cache " in line for line in lines] == [True, True]


@pytest.mark.parametrize("kind", ["lambda", "batch"])
def test_one_image_is_built_alone(kind: str) -> None:
    """For who builds both at a time."""
    (line,) = dry("build", OWN_ARCH="amd64", KIND=kind).stdout.splitlines()

    assert f" --file images/{kind}/Dockerfile " in line


def test_another_architecture_is_built_by_buildx() -> None:
    """One plain manifest each, which is what Lambda takes; never tagged latest."""
    lines = dry("build", "both", OWN_ARCH="amd64").stdout.splitlines()

    crossed = [line for line in lines if line.startswith("docker buildx build ")]
    assert (len(lines), len(crossed)) == (4, 2)
    for line in crossed:
        assert line.endswith(" --platform linux/arm64 --provenance=false --load .")
        assert "latest" not in line


def test_an_unknown_architecture_is_refused() -> None:
    """With the ones there are."""
    done = dry("build", "mips")

    assert done.returncode == 2
    assert "amd64, arm64 or both" in done.stderr


def test_a_push_logs_in_tags_and_pushes() -> None:
    """ECR's login, then every image under the registry's name."""
    lines = dry("push", REGISTRY, "v1", DIRTY="allow").stdout.splitlines()

    assert lines[0] == f"docker login --username AWS --password-stdin {REGISTRY}"
    assert lines[1:] == [
        line
        for name in ("safelight", "safelight-batch")
        for arch in ("amd64", "arm64")
        for line in (
            f"docker tag {name}:{worker.__version__}-{arch} {REGISTRY}/{name}:v1-{arch}",
            f"docker push {REGISTRY}/{name}:v1-{arch}",
        )
    ]


def test_a_push_says_what_it_needs() -> None:
    """Registry and tag are never guessed."""
    done = dry("push", "", "")

    assert done.returncode == 2
    assert "REGISTRY=" in done.stderr


def _pulumi(tmp_path: Path, answer: str) -> dict[str, str]:
    """A PATH with a Pulumi that has one answer, and writes down what it was asked."""
    program = tmp_path / "pulumi"
    program.write_text(f"#!/bin/sh\necho \"$@\" >>'{tmp_path}/asked'\n{answer}\n")
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_a_push_asks_the_stack_where_its_repositories_are(tmp_path: Path) -> None:
    """Without a registry on the command line; the login is the host's."""
    ours = _pulumi(tmp_path, f"echo {REGISTRY}/safelight-dev")

    lines = dry("push", "", "v1", DIRTY="allow", **ours).stdout.splitlines()

    assert (tmp_path / "asked").read_text() == "--cwd pulumi stack output registry\n"
    assert lines[0] == f"docker login --username AWS --password-stdin {REGISTRY}"
    assert lines[2] == f"docker push {REGISTRY}/safelight-dev/safelight:v1-amd64"


def test_a_push_without_a_stack_says_so(tmp_path: Path) -> None:
    """No stack is selected, or it has no repositories."""
    done = dry("push", "", "v1", DIRTY="allow", **_pulumi(tmp_path, "exit 255"))

    assert done.returncode == 2
    assert "say REGISTRY=" in done.stderr


def test_a_push_refuses_what_no_commit_describes(tmp_path: Path) -> None:
    """In a tree with a change; allowed if somebody says so."""
    for path in ("worker/__init__.py", ".make/push"):
        target = tmp_path / path
        target.parent.mkdir(parents=True)
        target.write_bytes((ROOT / path).read_bytes())
        target.chmod(0o755)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    environment = {"PATH": os.environ["PATH"], "HOME": "/", "DRY_RUN": "1"}
    command = [str(tmp_path / ".make" / "push"), "localhost:5000", "v1"]

    refused = subprocess.run(command, env=environment, capture_output=True, check=False)
    allowed = subprocess.run(
        command, env={**environment, "DIRTY": "allow"}, capture_output=True, check=False
    )

    assert (refused.returncode, allowed.returncode) == (1, 0)
    assert b"DIRTY=allow" in refused.stderr


NEEDED: tuple[str, ...] = (
    "awk",
    "bash",
    "cat",
    "dirname",
    "env",
    "mkdir",
    "mktemp",
    "nohup",
    "rm",
    "rmdir",
)
NEEDED += ("seq", "setsid", "sleep", "sort", "tail", "tar", "timeout")
ROOT_ID = "echo 0"
REFUSES = "echo 'failed to mount overlay: operation not permitted' >&2; exit 1"


@pytest.mark.skipif("sys.platform != 'linux'", reason="an engine is started on Linux alone")
@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({"id": "echo 1000"}, "none is running, and only root can start one"),
        ({"id": ROOT_ID}, "none is running, and docker.io debootstrap cannot be installed"),
        (
            {"id": ROOT_ID, "apt-get": "echo 'E: no network' >&2; exit 100"},
            "docker.io debootstrap could not be installed: E: no network",
        ),
        (
            {"id": ROOT_ID, "docker": "exit 1", "debootstrap": "exit 1", "dockerd": REFUSES},
            "dockerd did not start: failed to mount overlay: operation not permitted",
        ),
        (
            {
                "id": ROOT_ID,
                "docker": '[[ $1 == info && -e $0.up ]] || { echo "E: $1" >&2; exit 1; }',
                "debootstrap": 'mkdir -p "${@: -1}"/{etc,usr/share,var/log}',
                "dockerd": ': > "${0%d}.up"',
            },
            "the base cannot be imported: E: import",
        ),
    ],
)
def test_ci_without_an_engine_says_so_and_goes_on(
    tmp_path: Path, programs: dict[str, str], reason: str
) -> None:
    """Loudly, with the reason; what CI did before still counts, and nothing is left behind."""
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    for name, lines in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!{shutil.which('bash')}\n{lines}\n")
        program.chmod(0o755)
    (tmp_path / "tmp").mkdir()

    done = subprocess.run(
        [str(ROOT / ".ci" / "images")],
        env={"PATH": str(tmp_path / "bin"), "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "The images were NOT built and the container tests were NOT run." in done.stdout
    assert f"engine: {reason}" in " ".join(done.stderr.split())
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_default_handler_is_the_deployed_one() -> None:
    """The image's CMD is the name that the Pulumi program gives the function."""
    dockerfile = (ROOT / "images" / "lambda" / "Dockerfile").read_text("utf-8")
    program = (ROOT / "pulumi" / "stack" / "intake.py").read_text("utf-8")
    deployed = re.search(r'^ENTRY_POINT = "(.+)"$', program, re.MULTILINE)

    assert deployed is not None
    assert f'CMD ["{deployed[1]}"]' in dockerfile


def test_the_images_have_the_versions_of_a_checkout() -> None:
    """The image and a developer's machine have the same versions, so renditions are identical."""

    def versions(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text("utf-8"), re.MULTILINE))

    own = versions(ROOT / "tests" / "requirements.txt")
    for kind in ("lambda", "batch"):
        image = versions(ROOT / "images" / kind / "requirements.txt")
        assert {name: image[name] for name in image if name in own} == {
            name: own[name] for name in image if name in own
        }
        assert {"pyvips-binary", "pillow", "simplejpeg", "pi-heif", "numpy"} <= set(image)


def test_images_keep_the_description_of_each_service_that_is_asked() -> None:
    """A service model that is removed from the image would be missing; this test finds it before a
    build."""
    kept = runpy.run_path(str(ROOT / "images" / "tools" / "trim.py"))["SERVICES"]
    asked = aws_services.asked()

    assert asked
    assert asked <= kept


def test_the_page_has_the_sizes_that_are_tested() -> None:
    """The goals of the table are the limits of the images' own test, and what was measured keeps
    them."""
    test = (ROOT / "tests" / "container" / "test_images.py").read_text("utf-8")
    limits = dict(re.findall(r"\((LAMBDA|BATCH), (\d+)\)", test))
    page = (ROOT / "docs" / "images.md").read_text("utf-8")
    rows = dict(re.findall(r"\| `([\w-]+)`, all layers \|(.+)\|\n", page))

    assert {"LAMBDA": "safelight", "BATCH": "safelight-batch"}.keys() == limits.keys()
    for image, name in {"LAMBDA": "safelight", "BATCH": "safelight-batch"}.items():
        goal, *measured = (int(one) for one in re.findall(r"(\d+) MB", rows[name]))
        assert goal == int(limits[image])
        assert 0.9 * goal < min(measured) <= max(measured) <= goal
