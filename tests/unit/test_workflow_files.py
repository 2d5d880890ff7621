"""Workflow files: what is read, and every mistake by its path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batch.catalogue import KINDS
from worker.domain.errors import WorkflowError
from worker.domain.workflow import StageKind, Starts
from worker.recipes.workflow import after_failure, lint, load, parse, shipped

RIGHT = """
name = "mine"
version = 1
starts = "always"
first = "people"
failed = "secure"

[stages.people]
kind = "approve"
on = { approved = "both", rejected = "refuse", held = "end" }

[stages.refuse]
kind = "reject"
next = "end"

[stages.both]
kind = "parallel"
branches = { small = "poster", told = "tell" }
next = "publish"

[stages.poster]
kind = "job"
job = "poster"
parameters = { max_seconds = "$max_seconds", width = 640 }
next = "end"

[stages.tell]
kind = "webhook"
endpoint = "shop"
next = "end"

[stages.publish]
kind = "publish"
next = "end"

[stages.secure]
kind = "quarantine"
next = "broken"

[stages.broken]
kind = "fail"
error = "Broken"
message = "Look at it."
"""


def mistakes(text: str) -> dict[str, str]:
    """Every problem of a file, by path."""
    with pytest.raises(WorkflowError) as caught:
        parse(text, jobs=KINDS, endpoints={"shop"})
    return {problem.path: problem.message for problem in caught.value.problems}


def changed(old: str, new: str) -> dict[str, str]:
    """The mistakes of the right file with a part replaced."""
    assert old in RIGHT
    return mistakes(RIGHT.replace(old, new, 1))


def test_a_file_without_mistakes() -> None:
    """Each stage has what its table says, and the defaults of the rest."""
    found = parse(RIGHT, jobs=KINDS, endpoints={"shop"})
    assert (found.name, found.starts, found.first) == ("mine", Starts.ALWAYS, "people")
    people, poster = found.stages["people"], found.stages["poster"]
    assert (people.kind, people.deadline_hours, people.default) == (StageKind.APPROVE, 72, "hold")
    assert poster.parameters == {"max_seconds": "$max_seconds", "width": 640}


@pytest.mark.parametrize("name", shipped())
def test_what_ships_has_no_mistakes(name: str) -> None:
    """Against the kinds of jobs that there are."""
    assert lint(name, jobs=KINDS) == ()
    assert load(name).name == name


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ('"people"\nfailed', '"peple"\nfailed', "first", 'there is no stage "peple"; did you mean'),
        ('failed = "secure"', 'failed = "secur"', "failed", 'there is no stage "secur"'),
        ('approved = "both"', 'approved = "bot"', "stages.people.on.approved", "there is no stage"),
        ("approved =", "aproved =", "stages.people.on.aproved", "has no such outcome"),
        ("approved =", "aproved =", "stages.people.on", "says nothing of approved"),
        ("held =", "stale =", "stages.people.on.stale", "every workflow ends there by itself"),
        ('kind = "publish"', 'kind = "publsh"', "stages.publish.kind", "there is no kind of stage"),
        ('kind = "publish"\n', "", "stages.publish.kind", "is missing"),
        ('job = "poster"', 'job = "postr"', "stages.poster.job", 'there is no kind of job "postr"'),
        ('"shop"', '"shp"', "stages.tell.endpoint", 'there is no webhook "shp"'),
        ('next = "broken"', 'next = "secure"', "stages.secure", "leads back: secure -> secure"),
        (
            '"publish"\n\n[stages.poster]',
            '"people"\n\n[stages.poster]',
            "stages.both",
            "leads back: people -> both -> people",
        ),
        (
            '"publish"\n\n[stages.poster]',
            '"end"\n\n[stages.poster]',
            "stages.publish",
            "is never reached",
        ),
        ('failed = "secure"\n', "", "stages.people", "has no failure path"),
        (
            'rejected = "refuse"',
            'rejected = "secure"',
            "stages.refuse",
            "is never reached",
        ),
        (
            'kind = "reject"',
            'kind = "label"',
            "stages.refuse.next",
            "ends while the files are closed",
        ),
        ('told = "tell"', 'told = "publish"', "stages.publish", "is reached from outside"),
        ('told = "tell"', 'told = "poster"', "stages.poster", "is in two branches"),
        ('kind = "approve"\n', 'kind = "approve"\npeople = 3\n', "stages.people.people", "1 to 2"),
        (
            'kind = "approve"\n',
            'kind = "approve"\nescalate_hours = 72\n',
            "stages.people.escalate_hours",
            "must be less than deadline_hours, 72",
        ),
        (
            'kind = "approve"\n',
            'kind = "approve"\ndefault = "approve"\n',
            "stages.people.on.held",
            "has no such outcome",
        ),
        ("width = 640", 'width = "$widht"', "stages.poster.parameters.width", "no field"),
        ("width = 640", 'width = "a\'b"', "stages.poster.parameters.width", "without '"),
        ("width = 640", "width = nan", "stages.poster.parameters.width", "must be a text"),
        ("width = 640", "width = [1]", "stages.poster.parameters.width", "is an array"),
        ("[stages.publish]", "[stages.end]", "stages.end", "cannot be called that"),
        ("[stages.publish]", "[stages.Publish]", "stages.Publish", "must have a name of"),
        ('starts = "always"', 'starts = "heavy"', "starts", "needs a stage of the kind finish"),
        ('error = "Broken"', 'error = "not so"', "stages.broken.error", "must be"),
        ("version = 1", "version = true", "version", "must be a whole number"),
        ("version = 1", "version = 1\nowner = 2", "owner", "unknown key"),
    ],
)
def test_a_mistake_has_its_path(old: str, new: str, path: str, message: str) -> None:
    """And says what is wrong with it."""
    found = changed(old, new)
    assert message in found[path], found


def test_nothing_that_decides_is_in_a_branch() -> None:
    """Two branches at once could decide two things."""
    text = RIGHT.replace('kind = "webhook"\nendpoint = "shop"', 'kind = "reject"')
    assert mistakes(text) == {"stages.tell": "cannot be in a branch: it is of the kind reject"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stages = 4",
        "stages = []",
        "[stages]",
        "name = " + "[" * 1000,
        "a" * 3000,
        "x = 1\n" * 60_000,
        "\0",
        'name = "a\\u202eb"\n[stages."\\u001b[2J"]\nkind = "fail"\n[stages.a]\nkind = 7',
        RIGHT.replace("first =", "first = 1\nfirst ="),
        RIGHT + "".join(f'\n[stages.s{n}]\nkind = "publish"\nnext = "end"' for n in range(60)),
        RIGHT.replace("on = {", f"on = {{ {'x' * 500} = 'end', "),
    ],
    ids=range(12),
)
def test_hostile_files_are_refused(text: str) -> None:
    """By one error, whose message has no control character but its own new lines."""
    with pytest.raises(WorkflowError) as caught:
        parse(text)
    assert caught.value.code == "workflow_invalid"
    assert all(c == "\n" or c.isprintable() for c in str(caught.value))
    assert len(str(caught.value)) < 30_000


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Are mistakes too; only files of TOML are opened."""
    (tmp_path / "secret.txt").write_text("secret")
    (told,) = lint(tmp_path / "secret.txt")
    assert told.message == "workflow files end in .toml"
    (told,) = lint(tmp_path / "none.toml")
    assert told.message == "is not there"
    (told,) = lint("aprove")
    assert told.message.startswith("no shipped workflow has this name; did you mean")


def test_files_are_closed_until_a_stage_publishes_them() -> None:
    """Where nothing publishes they are open, as those of every ordinary upload."""
    assert load("approve").closes
    assert not load("moderate").closes
    assert not parse(RIGHT.replace('kind = "publish"', 'kind = "label"')).closes


def test_the_failure_path_does_not_fail_into_itself() -> None:
    """A stage of it that fails ends the execution with its own error."""
    found = parse(RIGHT)
    assert after_failure(found, found.stages["people"]) == "secure"
    assert after_failure(found, found.stages["secure"]) == ""


# --- docs -------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "workflows.md"


def test_the_example_of_the_page_has_no_mistakes() -> None:
    """It is what a reader begins with."""
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert parse(text, jobs=KINDS, endpoints={"shop"}).name == "strict"
