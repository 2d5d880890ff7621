"""``make destroy``: asks, keeps the originals unless told, refuses what would stop half-way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.deployment.rig import Rig, Rule, rule

BUCKET = "safelight-dev-intake-1a2b3c4"
URN = "urn:pulumi:dev::safelight::aws:s3/bucket:Bucket::safelight-dev-intake"
STACK_URN = "urn:pulumi:dev::safelight::pulumi:pulumi:Stack::safelight-dev"
KEPT = f"bucket {BUCKET}\nexclude {STACK_URN}\nexclude {URN}\ndeletes table\ndeletes queue\n"
ALL = f"bucket {BUCKET}\nunprotect {URN}\ndeletes table\ndeletes queue\ndeletes intake\n"
HELP = "Flags:\n  -x, --exclude stringArray   Specify a resource URN to ignore\n"


def programs(keep: str = KEPT, delete: str = ALL, *first: Rule) -> list[Rule]:
    """A stack with originals."""
    return [
        *first,
        rule("python", "infra destroy dev keep", keep),
        rule("python", "infra destroy dev delete", delete),
        rule("pulumi", "^destroy --help", HELP),
        rule("pulumi", "^stack export", "{}"),
        rule("pulumi", "^state unprotect"),
        rule("pulumi", "^destroy"),
    ]


def changes(rig: Rig) -> list[str]:
    """What was done to the stack."""
    return [
        call
        for call in rig.calls_of("pulumi")
        if call.startswith(("destroy", "state")) and call != "destroy --help"
    ]


def test_the_originals_are_kept_by_default(tmp_path: Path) -> None:
    """Everything else goes; what stays, and what it costs, is said before and after."""
    rig = Rig(tmp_path, programs())

    done = rig.make("destroy", "dev", YES="dev")

    assert done.returncode == 0, done.stderr
    assert changes(rig) == [f"destroy --stack dev --exclude {STACK_URN} --exclude {URN} --yes"]
    before, after = done.stdout.split("destroy: done")
    assert "2 resources will be deleted" in before
    assert f"What stays: the originals, every version of them, in s3://{BUCKET}" in before
    assert "$0.023 a GB" in before
    assert f"s3://{BUCKET}" in after
    assert "ORIGINALS=delete" in after


def test_nobody_there_means_no(tmp_path: Path) -> None:
    """Without a terminal the stack's name must be given; another name is none."""
    for environment in ({}, {"YES": "1"}, {"YES": "prod"}):
        rig = Rig(tmp_path / "-".join(["rig", *environment.values()]), programs())

        done = rig.make("destroy", "dev", **environment)

        assert done.returncode == 1
        assert "YES=dev" in done.stderr
        assert changes(rig) == []


def test_a_person_types_the_name_of_the_stack(tmp_path: Path) -> None:
    """Then pulumi shows what goes and asks once more: it is not told yes."""
    rig = Rig(tmp_path, programs())

    done = rig.make("destroy", "dev", answers="dev\n")

    assert done.returncode == 0, done.stderr
    assert changes(rig) == [f"destroy --stack dev --exclude {STACK_URN} --exclude {URN}"]


@pytest.mark.parametrize("answer", ["\n", "y\n", "prod\n", "dev \tx\n"])
def test_another_answer_changes_nothing(tmp_path: Path, answer: str) -> None:
    """Not even yes."""
    rig = Rig(tmp_path, programs())

    done = rig.make("destroy", "dev", answers=answer)

    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert changes(rig) == []


def test_deleting_the_originals_needs_a_second_word(tmp_path: Path) -> None:
    """The name of their bucket, typed; then nothing is excluded, and protection is lifted first."""
    rig = Rig(tmp_path, programs())

    wrong = rig.make("destroy", "dev", answers="dev\nyes\n", ORIGINALS="delete")
    assert wrong.returncode == 1
    assert changes(rig) == []

    done = rig.make("destroy", "dev", answers=f"dev\n{BUCKET}\n", ORIGINALS="delete")
    assert done.returncode == 0, done.stderr
    assert "THE ORIGINALS" in done.stdout
    assert changes(rig) == [
        f"state unprotect --stack dev --yes {URN}",
        "destroy --stack dev",
    ]


def test_deleting_the_originals_with_nobody_there_needs_both_names(tmp_path: Path) -> None:
    """A script that says yes to one thing has not said it to the other."""
    rig = Rig(tmp_path, programs())

    refused = rig.make("destroy", "dev", YES="dev", ORIGINALS="delete")
    assert refused.returncode == 1
    assert f"YES_ORIGINALS={BUCKET}" in refused.stderr
    assert changes(rig) == []

    done = rig.make("destroy", "dev", YES="dev", ORIGINALS="delete", YES_ORIGINALS=BUCKET)
    assert done.returncode == 0, done.stderr
    assert changes(rig)[-1] == "destroy --stack dev --yes"


def test_what_would_stop_half_way_is_said_before(tmp_path: Path) -> None:
    """All of it, with what to change; nothing is asked and nothing done."""
    guarded = f"{KEPT}refuses the table t needs catalog.deletionProtection: false\nrefuses x y\n"
    rig = Rig(tmp_path, programs(guarded))

    done = rig.make("destroy", "dev", YES="dev")

    assert done.returncode == 1
    assert "the table t needs catalog.deletionProtection: false" in done.stderr
    assert "  x y" in done.stderr
    assert changes(rig) == []
    # Somebody who knows that they are empty may try.
    assert rig.make("destroy", "dev", YES="dev", GUARDS="ignore").returncode == 0
    assert len(changes(rig)) == 1


def test_a_pulumi_that_cannot_exclude_is_not_used(tmp_path: Path) -> None:
    """An old one would take the unknown option for a mistake, or worse."""
    old = rule("pulumi", "^destroy --help", "Flags:\n  --target stringArray\n")
    rig = Rig(tmp_path, programs(KEPT, ALL, old))

    done = rig.make("destroy", "dev", YES="dev")

    assert done.returncode == 1
    assert "update it" in done.stderr
    assert changes(rig) == []


def test_a_state_that_cannot_be_read_ends_it(tmp_path: Path) -> None:
    """Neither pulumi's failure nor ours is taken for an empty stack."""
    for number, failing in enumerate(
        (
            rule("pulumi", "^stack export", err="error: no stack named 'dev'\n", code=255),
            rule(
                "python", "infra destroy", err="there are buckets, but none called intake\n", code=2
            ),
        )
    ):
        rig = Rig(tmp_path / str(number), programs(KEPT, ALL, failing))

        done = rig.make("destroy", "dev", YES="dev")

        assert done.returncode != 0
        assert failing.err in done.stderr
        assert changes(rig) == []


def test_what_is_left_after_the_first_time_is_told(tmp_path: Path) -> None:
    """Run again there is nothing to do but the originals."""
    rig = Rig(tmp_path, programs(f"bucket {BUCKET}\nexclude {URN}\n"))

    done = rig.make("destroy", "dev", YES="dev")

    assert done.returncode == 0
    assert f"nothing is left of stack dev but the originals in s3://{BUCKET}" in done.stdout
    assert changes(rig) == []


def test_a_failure_of_pulumi_is_no_success(tmp_path: Path) -> None:
    """The command does not report success."""
    failing = rule("pulumi", "^destroy --stack", err="BucketNotEmpty\n", code=255)
    rig = Rig(tmp_path, programs(KEPT, ALL, failing))

    done = rig.make("destroy", "dev", YES="dev")

    assert done.returncode == 255
    assert "destroy: done" not in done.stdout


def test_what_pulumi_leaves_in_the_account_is_named(tmp_path: Path) -> None:
    """Resources that are retained on purpose are not gone, and are paid for."""
    rig = Rig(tmp_path, programs(f"{KEPT}retains key\n"))

    done = rig.make("destroy", "dev", YES="dev")

    assert "leaves them in the account:\n  key\n" in done.stdout


@pytest.mark.parametrize(("stack", "originals"), [("", "keep"), ("dev", "yes"), ("dev", "")])
def test_wrong_use_is_told(tmp_path: Path, stack: str, originals: str) -> None:
    """A stack has to be named; ORIGINALS knows two words, and nothing for the safe one."""
    rig = Rig(tmp_path, programs())
    expected = 0 if stack and not originals else 2

    assert rig.make("destroy", stack, YES="dev", ORIGINALS=originals).returncode == expected
    assert len(changes(rig)) == (0 if expected else 1)


def test_without_pulumi_nothing_can_be_destroyed(tmp_path: Path) -> None:
    """It says where to get it."""
    rig = Rig(tmp_path, programs(), without=("pulumi",))

    done = rig.make("destroy", "dev", YES="dev")

    assert done.returncode == 1
    assert "pulumi is not installed" in done.stderr
