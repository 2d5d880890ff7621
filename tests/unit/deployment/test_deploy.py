"""``make deploy``: repositories, images, everything by digest; in this order, and once each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import worker
from tests.unit.deployment.rig import Rig, Rule, rule

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
FUNCTION = f"{HOST}/safelight-dev-image-lambda-1a2b3c4"
BATCH = f"{HOST}/safelight-dev-image-batch-5d6e7f8"
FUNCTION_DIGEST = f"{FUNCTION}@sha256:{'1' * 64}"
BATCH_DIGEST = f"{BATCH}@sha256:{'2' * 64}"
KIND = "aws:ecr/repository:Repository"
STATE = json.dumps(
    {
        "deployment": {
            "resources": [
                {
                    "urn": f"urn:pulumi:dev::safelight::{KIND}::safelight-dev-image-{image}",
                    "type": KIND,
                    "outputs": {"repositoryUrl": address},
                }
                for image, address in (("lambda", FUNCTION), ("batch", BATCH))
            ]
        }
    }
)
REPOSITORIES = f"function_repository={FUNCTION}\nbatch_repository={BATCH}\n"


def facts(*, own: str = "yes", function: str = "amd64", batch: str = "amd64") -> Rule:
    """What the configuration says."""
    text = f"own_registry={own}\nimages_named=\nfunction_arch={function}\nbatch_arch={batch}\n"
    return rule("python", r"^-m worker.infra facts", text + "aws_profile=''\n")


def python(*first: Rule, known: Rule | None = None) -> list[Rule]:
    """The Python behind the script; nothing is in the registry yet."""
    return [
        *first,
        known or facts(),
        rule("python", r"^-m worker.infra check", "no mistakes\n"),
        rule("python", r"^-m worker.infra preflight"),
        rule("python", r"^-m worker.infra first"),
        rule("python", r"^-m worker.infra repositories", REPOSITORIES, after="--target"),
        rule("python", r"^-m worker.infra repositories", code=2),
        rule("python", r"images/tools/aws_account\.py", "123456789012\n"),
        rule("python", r"images/tools/ecr_digest\.py"),
        rule("python", r"images/tools/ecr_password\.py", "secret\n"),
    ]


def pulumi(*first: Rule) -> list[Rule]:
    """A pulumi that does everything it is asked."""
    return [
        *first,
        rule("pulumi", "^whoami"),
        rule("pulumi", "^stack select"),
        rule("pulumi", "^stack export", STATE),
        rule("pulumi", "^up"),
        rule("pulumi", "^config set-all", writes={"Pulumi.dev.yaml": "config: {set: true}\n"}),
    ]


def docker(commit: str, *first: Rule) -> list[Rule]:
    """A container engine that builds and pushes."""
    return [
        *first,
        rule("docker", "^info"),
        rule("docker", "^build "),
        rule("docker", "^buildx"),
        rule("docker", r"^image inspect --format .*Labels", f"{commit}\n"),
        rule("docker", rf"RepoDigests.* {FUNCTION}:", f"{FUNCTION_DIGEST}\n"),
        rule("docker", rf"RepoDigests.* {BATCH}:", f"{BATCH_DIGEST}\n"),
        rule("docker", "^image inspect safelight"),
        rule("docker", "^login"),
        rule("docker", "^tag "),
        rule("docker", "^push "),
    ]


def rig_with(
    folder: Path,
    *,
    programs: Sequence[Rule] | None = None,
    engine: Sequence[Rule] = (),
    stack: Sequence[Rule] | None = None,
    without: Sequence[str] = (),
) -> Rig:
    """A rig whose engine knows the commit."""
    rig = Rig(folder, [rule("docker", "^$"), rule("pulumi", "^$")], without)
    rig.rules([*(programs or python()), *(stack or pulumi()), *docker(rig.commit, *engine)])
    return rig


def test_a_new_stack_is_deployed_in_this_order(tmp_path: Path) -> None:
    """Repositories with a configuration of their own, both images, digests, everything."""
    rig = rig_with(tmp_path)
    tag = rig.commit[:12]

    done = rig.make("deploy", "dev")

    assert done.returncode == 0, done.stderr
    version = worker.__version__
    wanted = [
        "python -m worker.infra facts dev",
        "python -m worker.infra check dev",
        "pulumi whoami --non-interactive",
        "docker info",
        "python images/tools/aws_account.py",
        "python -m worker.infra preflight dev",
        "pulumi stack select --create dev",
        "pulumi stack export --stack dev",
        "python -m worker.infra repositories dev build/state.dev.json",
        f"python -m worker.infra first dev {rig.root}/build/Pulumi.dev.first.yaml",
        f"pulumi up --stack dev --config-file {rig.root}/build/Pulumi.dev.first.yaml"
        " --target **safelight:registry:Registry**",
        "pulumi stack export --stack dev",
        "python -m worker.infra repositories dev build/state.dev.json",
        f"python images/tools/ecr_digest.py {FUNCTION} {tag}-amd64",
        f"python images/tools/ecr_digest.py {BATCH} {tag}-amd64",
        "docker build lambda",
        "docker build batch",
        f"python images/tools/ecr_password.py {HOST}",
        f"docker login --username AWS --password-stdin {HOST}",
        f"docker tag safelight:{version}-amd64 {FUNCTION}:{tag}-amd64",
        f"docker push {FUNCTION}:{tag}-amd64",
        f"docker tag safelight-batch:{version}-amd64 {BATCH}:{tag}-amd64",
        f"docker push {BATCH}:{tag}-amd64",
        "pulumi config set-all --stack dev"
        f" --plaintext safelight:image={FUNCTION_DIGEST}"
        f" --plaintext safelight:batchImage={BATCH_DIGEST}",
        "pulumi up --stack dev",
    ]
    assert steps(rig) == wanted
    assert f"123456789012, images tagged {tag}" in done.stdout


def steps(rig: Rig) -> list[str]:
    """The calls; a build by what it builds, and without looks at images. A pipe starts both of
    its ends at once: a password comes before its login here.
    """
    found = []
    for line in rig.calls:
        if line.startswith("docker build"):
            found.append(f"docker build {line.split('images/')[1].split('/')[0]}")
        elif not line.startswith("docker image inspect"):
            found.append(line)
    for number, line in enumerate(found[:-1]):
        if line.startswith("docker login") and "ecr_password" in found[number + 1]:
            found[number : number + 2] = [found[number + 1], line]
    return found


def test_script_and_code_understand_each_other(tmp_path: Path) -> None:
    """The script and the code behind it exchange real answers about the stack dev."""
    # The repositories are not in the state, whatever the stack's outputs say.
    first = rule("pulumi", "^stack export", json.dumps({"deployment": {"resources": []}}))
    there = rule("pulumi", "^stack export", STATE, after="--target")
    rig = rig_with(tmp_path, stack=pulumi(there, first))
    rig.really_ask()

    # The one question that goes to AWS; tests/infra/test_preflight.py answers it.
    done = rig.make("deploy", "dev", YES="1", QUOTAS="ignore")

    assert done.returncode == 0, done.stderr
    tag = rig.commit[:12]
    pushes = [call for call in rig.calls_of("docker") if call.startswith("push ")]
    assert pushes == [f"push {FUNCTION}:{tag}-arm64", f"push {BATCH}:{tag}-arm64"]
    first_file = rig.root / "build" / "Pulumi.dev.first.yaml"
    config = YAML(typ="safe").load(first_file.read_text("utf-8"))["config"]
    assert config["safelight:registry"]["only"] is True
    assert "safelight:image" not in config
    ups = [call for call in rig.calls_of("pulumi") if call.startswith("up ")]
    assert (len(ups), ups[-1]) == (2, "up --stack dev --yes")


def test_what_is_too_small_is_said_and_holds_nothing_up(tmp_path: Path) -> None:
    """Before anything is made, with what to do about it."""
    said = "too small: The account may have 5 processors on Spot."
    rig = rig_with(tmp_path, programs=python(rule("python", "preflight", f"{said}\n")))

    done = rig.make("deploy", "dev", YES="1")

    assert done.returncode == 0, done.stderr
    assert done.stdout.index(said) < done.stdout.index("1 of 4")


def test_a_deployment_that_aws_would_refuse_does_not_begin(tmp_path: Path) -> None:
    """Unless somebody knows better: then the account is not even asked."""
    wrong = rule("python", "preflight", err="CloudFront makes no more.\n", code=2)
    rig = rig_with(tmp_path, programs=python(wrong))

    refused = rig.make("deploy", "dev", YES="1")

    assert refused.returncode == 1
    assert "CloudFront makes no more. (QUOTAS=ignore goes on)" in refused.stderr
    assert not [call for call in rig.calls_of("pulumi") if not call.startswith("whoami")]
    assert rig.make("deploy", "dev", YES="1", QUOTAS="ignore").returncode == 0


def test_nothing_is_answered_for_anybody_unless_told(tmp_path: Path) -> None:
    """With YES=1 pulumi goes on without asking, both times."""
    rig = rig_with(tmp_path)

    assert rig.make("deploy", "dev", YES="1").returncode == 0

    ups = [call for call in rig.calls_of("pulumi") if call.startswith("up ")]
    assert [call.endswith(" --yes") for call in ups] == [True, True]


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    """Programs, credentials, mistakes, changes without a commit; nothing is done."""
    programs = python(
        rule("python", "check dev", err="config of stack dev: 1 problem\n  a: b\n", code=2),
        rule("python", "aws_account", err="no AWS account answers: no credentials\n", code=1),
    )
    rig = rig_with(tmp_path, programs=programs, without=("pulumi", "docker"))
    rig.write("worker/new.py", "")

    done = rig.make("deploy", "dev")

    assert done.returncode == 1
    assert done.stdout == ""
    for text in (
        "pulumi is not installed",
        "docker is not installed",
        "no AWS account answers: no credentials",
        "  a: b",
        "DIRTY=allow",
    ):
        assert text in done.stderr
    assert {line.split()[0] for line in rig.calls} == {"python"}


def test_what_is_installed_must_work(tmp_path: Path) -> None:
    """No login for the state and no running engine are missing things too."""
    stack = [rule("pulumi", "^whoami", code=1)]
    rig = rig_with(tmp_path, stack=stack, engine=[rule("docker", "^info", code=1)])

    done = rig.make("deploy", "dev")

    assert done.returncode == 1
    assert "pulumi login" in done.stderr
    assert "start Docker" in done.stderr


def test_an_unknown_stack_is_refused(tmp_path: Path) -> None:
    """By the one who reads its configuration; nothing is created under a mistyped name."""
    programs = python(rule("python", "facts", err="Pulumi.dve.yaml: no such file\n", code=1))
    rig = rig_with(tmp_path, programs=programs)

    done = rig.make("deploy", "dve")

    assert done.returncode == 1
    assert "Pulumi.dve.yaml: no such file" in done.stderr
    assert not [call for call in rig.calls_of("pulumi") if call.startswith(("stack", "up"))]


@pytest.mark.parametrize(
    ("failing", "where"),
    [
        (rule("pulumi", "^up .*--target", code=255), "repositories"),
        (rule("docker", "^build .*images/batch", code=1), "build"),
        (rule("docker", f"^push {BATCH}", code=1), "push"),
        (rule("pulumi", "^config set-all", code=1), "config"),
        (rule("pulumi", "^up --stack dev$", code=255), "everything"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_stop_in_the_middle_is_an_error_and_nothing_follows(
    tmp_path: Path, failing: Rule, where: str
) -> None:
    """The deployment stops at the failed step; a second run succeeds once the step works."""
    rig = Rig(tmp_path, [rule("docker", "^$"), rule("pulumi", "^$")])
    working = [*python(), *pulumi(), *docker(rig.commit)]
    rig.rules([failing, *working])

    stopped = rig.make("deploy", "dev")

    assert stopped.returncode != 0
    assert failing.match.lstrip("^").split()[0] in rig.calls[-1]
    assert where == "everything" or rig.calls[-1] != "pulumi up --stack dev"

    rig.rules(working)
    assert rig.make("deploy", "dev").returncode == 0
    assert rig.calls[-1] == "pulumi up --stack dev"


def test_what_was_pushed_before_is_not_built_again(tmp_path: Path) -> None:
    """Tags never move: a second push of one would be refused. Its digest is asked for instead."""
    programs = python(
        rule("python", f"ecr_digest.* {FUNCTION} ", f"{FUNCTION_DIGEST}\n"),
        rule("python", f"ecr_digest.* {BATCH} ", f"{BATCH_DIGEST}\n"),
    )
    rig = rig_with(tmp_path, programs=programs)

    assert rig.make("deploy", "dev").returncode == 0

    assert rig.calls_of("docker") == ["info"]
    assert any(f"image={FUNCTION_DIGEST}" in call for call in rig.calls_of("pulumi"))


def test_only_the_image_that_is_missing_is_pushed(tmp_path: Path) -> None:
    """The last push stopped between the two."""
    programs = python(rule("python", f"ecr_digest.* {FUNCTION} ", f"{FUNCTION_DIGEST}\n"))
    rig = rig_with(tmp_path, programs=programs)

    assert rig.make("deploy", "dev").returncode == 0

    pushes = [call for call in rig.calls_of("docker") if call.startswith("push ")]
    assert pushes == [f"push {BATCH}:{rig.commit[:12]}-amd64"]
    (chosen,) = [call for call in rig.calls_of("pulumi") if call.startswith("config")]
    assert f"image={FUNCTION_DIGEST}" in chosen
    assert f"batchImage={BATCH_DIGEST}" in chosen


def test_repositories_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    """One run of pulumi, with the real configuration."""
    programs = python(rule("python", "infra repositories", REPOSITORIES))
    rig = rig_with(tmp_path, programs=programs)

    assert rig.make("deploy", "dev").returncode == 0

    ups = [call for call in rig.calls_of("pulumi") if call.startswith("up ")]
    assert ups == ["up --stack dev"]


def test_repositories_of_others_need_a_name(tmp_path: Path) -> None:
    """A stack without a registry of its own is deployed to the one that is given."""
    registry = "registry.example.com/team"
    known = facts(own="")
    engine = [
        rule("docker", rf"RepoDigests.* {registry}/{name}:", f"{registry}/{name}@sha256:{digit}\n")
        for name, digit in (("safelight", "3"), ("safelight-batch", "4"))
    ]
    rig = rig_with(tmp_path, programs=python(known=known), engine=engine)

    refused = rig.make("deploy", "dev")
    assert refused.returncode == 1
    assert "REGISTRY" in refused.stderr

    rig.forget()
    assert rig.make("deploy", "dev", REGISTRY=registry).returncode == 0
    assert [call for call in rig.calls_of("pulumi") if call.startswith(("up", "config"))] == [
        "config set-all --stack dev"
        f" --plaintext safelight:image={registry}/safelight@sha256:3"
        f" --plaintext safelight:batchImage={registry}/safelight-batch@sha256:4",
        "up --stack dev",
    ]
    assert not [call for call in rig.calls_of("docker") if call.startswith("login")]


def test_a_registry_is_refused_where_the_stack_has_its_own(tmp_path: Path) -> None:
    """Else images would go where nobody looks for them."""
    done = rig_with(tmp_path).make("deploy", "dev", REGISTRY="elsewhere")

    assert done.returncode == 1
    assert "registry.enabled" in done.stderr


def test_each_image_has_the_architecture_of_what_runs_it(tmp_path: Path) -> None:
    """Functions and machines may be of different ones; both are built then, each pushed once."""
    rig = rig_with(tmp_path, programs=python(known=facts(function="arm64", batch="amd64")))

    assert rig.make("deploy", "dev").returncode == 0

    tag = rig.commit[:12]
    pushes = [call for call in rig.calls_of("docker") if call.startswith("push ")]
    assert pushes == [f"push {FUNCTION}:{tag}-arm64", f"push {BATCH}:{tag}-amd64"]


def test_a_deployment_written_down_is_no_uncommitted_change(tmp_path: Path) -> None:
    """The digests in the stack's own file do not keep the next run from going on."""
    rig = rig_with(tmp_path)

    assert rig.make("deploy", "dev").returncode == 0
    assert "set: true" in (rig.root / "pulumi" / "Pulumi.dev.yaml").read_text()
    assert rig.make("deploy", "dev").returncode == 0


def test_changes_without_a_commit_get_a_tag_of_their_own(tmp_path: Path) -> None:
    """A tag of the commit would claim that it describes them."""
    rig = rig_with(tmp_path)
    rig.write("worker/new.py", "")
    dirty = rule("docker", r"^image inspect --format .*Labels", f"{rig.commit}-dirty\n")
    rig.rules([*python(), *pulumi(), *docker(rig.commit, dirty)])

    done = rig.make("deploy", "dev", DIRTY="allow")

    assert done.returncode == 0, done.stderr
    assert f"images tagged {rig.commit[:12]}-dirty-20" in done.stdout


def test_the_stack_s_own_credentials_are_used(tmp_path: Path) -> None:
    """``aws:profile`` of the configuration is what the tools beside pulumi use, too."""
    known = facts()
    profile = rule(known.program, known.match, known.out.replace("''", "team"))
    rig = rig_with(tmp_path, programs=python(known=profile))
    # The tool is told by its environment, which the rules do not see: a program that shows it.
    (rig.root / ".venv" / "bin" / "python").rename(rig.root / ".venv" / "bin" / "real")
    shim = rig.root / ".venv" / "bin" / "python"
    shim.write_text(
        '#!/bin/sh\n[ -z "${AWS_PROFILE:-}" ] || echo "profile $AWS_PROFILE" >>"$HOME/calls"\n'
        'exec "$(dirname "$0")/real" "$@"\n'
    )
    shim.chmod(0o755)

    assert rig.make("deploy", "dev").returncode == 0

    assert "profile team" in rig.calls
