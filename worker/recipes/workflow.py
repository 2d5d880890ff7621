"""Workflow files: TOML to :class:`~worker.domain.workflow.Workflow`, strictly, as recipes are read.

Keys and their ranges first, then the rules between stages: every way leads on to a stage that is
there, none leads back, every stage is reached, and every stage that can fail says what follows.
docs/workflows.md describes the keys and is tested against :data:`STAGES`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import Problem, RecipeError, WorkflowError
from worker.domain.workflow import (
    END,
    INPUT,
    NO_WORKFLOW,
    OUTCOMES,
    QUIET,
    Stage,
    StageKind,
    Starts,
    Workflow,
)
from worker.recipes import files
from worker.recipes.files import document
from worker.recipes.schema import (
    _FLAG,
    _NO_CONTROLS,
    _TABLE,
    BAD,
    Problems,
    RecipeKey,
    RecipeTable,
    _number,
    _one_of,
    _text,
    _whole,
    _words,
    join,
    listed,
    printable,
    shown,
    suggestion,
)

SHIPPED: Final = files.FOLDER / "workflows"
_WHAT: Final = "workflow"
MAXIMUM_STAGES = 50
"""A machine that more stages are needed for is several."""
MAXIMUM_TIMEOUT = 7 * 24 * 3600
BRANCH_KINDS: Final = frozenset(
    {StageKind.JOB, StageKind.RENDER, StageKind.LABEL, StageKind.WEBHOOK, StageKind.CHOOSE}
)
"""Kinds of stages allowed in a branch: none that decides, because branches run concurrently."""

RESERVED: Final = frozenset({END, *QUIET, "begin", "finished", "unexpected"})
"""Names of states that the compiler makes, and the word for no stage."""

_WORD = (
    r"[a-z][a-z0-9]*(-[a-z0-9]+)*",
    "1 to 40 lower-case letters and digits, with - between them, starting with a letter",
)
_NAME = _text(*_WORD, longest=40)
_REQUIRED_NAME = replace(_NAME, required=True)
_FIELD = _words(*sorted(INPUT))


def _texts(title: str, accept: Any, range_: str) -> RecipeKey:
    """A table of texts by text."""

    def read(value: Any, path: str, problems: Problems) -> Any:
        if not 1 <= len(value) <= MAXIMUM_STAGES:
            return problems.add(path, f"must have 1 to {MAXIMUM_STAGES} entries")
        found = {name: accept(item, join(path, name), problems) for name, item in value.items()}
        wrong = [name for name in value if not 0 < len(name) <= 64 or not name.isprintable()]
        for name in wrong:
            problems.add(join(path, name), "has a name of more than 64 characters, or none")
        return BAD if wrong or BAD in found.values() else found

    return RecipeKey(type=title, holds=(dict,), range=range_, read_items=read)


def _parameter(value: object, path: str, problems: Problems) -> Any:
    if isinstance(value, str):
        if value.startswith("$") and value[1:] not in INPUT:
            near = suggestion(value[1:], INPUT)
            return problems.add(path, f"the input has no field {shown(value[1:])}{near}")
        if len(value) > 200 or not value.isprintable() or set("'\\{}") & set(value):
            said = "must be at most 200 printable characters without ' \\ { and }"
            return problems.add(path, said)
        return value
    if isinstance(value, bool | int | float) and abs(value) < 10**15:
        return value
    return problems.add(path, f"must be a text, a number, true or false, is {shown(value)}")


_BRANCHES = _texts("table of text", _NAME.read, "1 to 50 first stages by the name of the branch")
_ON = _texts("table of text", _NAME.read, "the next stage by outcome, for each outcome of the kind")
_VALUES = _texts("table of text", _NAME.read, "the next stage by the value of the field")
_PARAMETERS = _texts("table", _parameter, "values; `$name` is a field of the input")

_NEXT = {"next": _REQUIRED_NAME}
_ON_OUTCOME = {"on": replace(_ON, required=True)}
_FAILED = {"failed": _NAME}
_CALLED = _FAILED | {
    "timeout_seconds": _whole(1, MAXIMUM_TIMEOUT),
    "attempts": _whole(1, 20),
}
_JOB = _FAILED | {
    "folder": _text(r"[a-z0-9][a-z0-9/_-]*", "1 to 100 letters, digits, /, _ and -", longest=100),
    "array": _FIELD,
    "parameters": _PARAMETERS,
    "timeout_seconds": _whole(1, MAXIMUM_TIMEOUT),
    "attempts": _whole(1, 20),
}
_HOURS = _number(0.001, 8_000)

KEYS: Final[Mapping[StageKind, Mapping[str, RecipeKey]]] = {
    StageKind.MODERATE: _CALLED | _ON_OUTCOME | {"unavailable": _FLAG},
    StageKind.LABEL: _CALLED | _NEXT,
    StageKind.APPROVE: _FAILED
    | _ON_OUTCOME
    | {
        "attempts": _whole(1, 20),
        "deadline_hours": _HOURS,
        "escalate_hours": _HOURS,
        "default": _words("approve", "reject", "hold"),
        "people": _whole(1, 2),
    },
    StageKind.RENDER: _FAILED | _NEXT | {"attempts": _whole(1, 20)},
    StageKind.JOB: _JOB | _NEXT | {"job": replace(_NAME, required=True)},
    StageKind.PUBLISH: _CALLED | _NEXT,
    StageKind.REJECT: _CALLED | _NEXT,
    StageKind.QUARANTINE: _CALLED | _NEXT,
    StageKind.WEBHOOK: _CALLED | _NEXT | {"endpoint": _REQUIRED_NAME},
    StageKind.FINISH: _CALLED | _ON_OUTCOME,
    StageKind.PARALLEL: _FAILED
    | _NEXT
    | {"branches": replace(_BRANCHES, required=True), "tolerant": _FLAG},
    StageKind.CHOOSE: {
        "input": replace(_FIELD, required=True),
        "on": replace(_VALUES, required=True),
        "otherwise": _REQUIRED_NAME,
    },
    StageKind.FAIL: {
        "error": _text(
            r"[A-Z][A-Za-z0-9]*",
            "1 to 60 letters and digits, starting with a capital",
            longest=60,
            required=True,
        ),
        "message": _text(
            _NO_CONTROLS, "one line of 1 to 300 characters", longest=300, required=True
        ),
    },
}
"""The keys of each kind of stage, without ``kind``."""

STAGES: Final = {
    kind: RecipeTable(
        f"a stage of the kind {kind}", Stage, {"kind": _one_of(StageKind, required=True), **keys}
    )
    for kind, keys in KEYS.items()
}

TOP: Final = RecipeTable(
    "",
    Workflow,
    {
        "name": _REQUIRED_NAME.means("The name that recipes and commands use."),
        "version": _whole(1, 1_000_000, required=True).means("For people."),
        "description": _text(
            _NO_CONTROLS, "at most 1000 characters", longest=1000, shortest=0
        ).means("For people."),
        "starts": _one_of(Starts, required=True).means(
            "`always`: each upload of a recipe that names it; if a stage publishes its files "
            "they are closed until then, from their first write. `escalated`: what moderation "
            "escalates. `heavy`: what is too much for the ingest function."
        ),
        "first": _REQUIRED_NAME.means("The first stage."),
        "failed": _NAME.means(
            "The stage that follows an error of any stage without its own `failed`."
        ),
        "stages": replace(_TABLE, required=True).means("A table for each stage, by its name."),
    },
)


def shipped() -> tuple[str, ...]:
    """Names of the workflows that ship, sorted."""
    return files.shipped(SHIPPED)


def load(
    name_or_path: str | Path,
    *,
    jobs: Collection[str] | None = None,
    endpoints: Collection[str] | None = None,
) -> Workflow:
    """The workflow with a shipped name, or in a ``.toml`` file; see :func:`parse`.

    Raises:
        WorkflowError: with every mistake of the file, or why there is no file to read.
    """
    subject = files.subject_of(name_or_path, what=_WHAT)
    try:
        file = files.locate(name_or_path, what=_WHAT, folder=SHIPPED)
        content = files.read_text(file, subject, what=_WHAT)
    except RecipeError as error:
        raise WorkflowError(error.subject, error.problems) from error
    return parse(content, subject=subject, jobs=jobs, endpoints=endpoints)


def load_shipped(name: str) -> Workflow:
    """The workflow that ships under a name.

    Raises:
        WorkflowError: none does.
    """
    if name in shipped():
        return load(name)
    said = f"must be {NO_WORKFLOW}, {', '.join(shipped())}, or a path that ends in .toml"
    near = suggestion(name, (NO_WORKFLOW, *shipped()))
    problem = Problem("", f"{said}, is {shown(name)}{near}")
    raise WorkflowError(files.subject_of(name, what=_WHAT), (problem,))


def parse(
    content: str,
    *,
    subject: str = "workflow",
    jobs: Collection[str] | None = None,
    endpoints: Collection[str] | None = None,
) -> Workflow:
    """The workflow that a TOML text describes.

    Args:
        content: TOML.
        subject: what the error calls the workflow.
        jobs: kinds of jobs there are; None checks no names of jobs.
        endpoints: webhook endpoints there are; None checks no names of endpoints.

    Raises:
        WorkflowError: with every mistake, each with its path.
    """
    try:
        raw = document(content, subject)
    except RecipeError as error:
        raise WorkflowError(error.subject, error.problems) from error
    problems = Problems()
    good = {name: value for name, value in TOP.read(raw, "", problems).items() if value is not BAD}
    stages = _stages(good.pop("stages", {}), problems)
    if problems:  # rules between stages would only add noise
        raise WorkflowError(subject, problems.all())
    workflow = Workflow(**good, stages=stages)
    _check(workflow, problems)
    for stage in stages.values():
        _check_names(stage, problems, jobs=jobs, endpoints=endpoints)
    if problems:
        raise WorkflowError(subject, problems.all())
    return workflow


def lint(name_or_path: str | Path, *, jobs: Collection[str] | None = None) -> tuple[Problem, ...]:
    """Every mistake of a workflow file. Raises nothing: an unreadable file is a mistake too."""
    try:
        load(name_or_path, jobs=jobs)
    except WorkflowError as error:
        return error.problems
    return ()


# --- stages -----------------------------------------------------------------------------------


def _stages(raw: Mapping[str, object], problems: Problems) -> dict[str, Stage]:
    if not 1 <= len(raw) <= MAXIMUM_STAGES:
        problems.add("stages", f"must be 1 to {MAXIMUM_STAGES}, are {len(raw)}")
        return {}
    found = {}
    for name, value in raw.items():
        path = join("stages", name)
        if _NAME.accept(name) is BAD:
            problems.add(path, f"must have a name of {_WORD[1]}")
        elif name in RESERVED:
            problems.add(path, f"cannot be called that: {', '.join(sorted(RESERVED))} are taken")
        elif not isinstance(value, dict):
            problems.add(path, f"must be a table, is {shown(value)}")
        else:
            stage = _stage(name, value, path, problems)
            if stage is not None:
                found[name] = stage
    return found


def _stage(name: str, raw: Mapping[str, object], path: str, problems: Problems) -> Stage | None:
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in STAGES:
        said = "is missing" if kind is None else f"there is no kind of stage {shown(kind)}"
        near = suggestion(kind, list(StageKind)) if isinstance(kind, str) else ""
        problems.add(join(path, "kind"), said + near)
        return None
    values = STAGES[StageKind(kind)].read(raw, path, problems)
    if BAD in values.values():
        return None
    return Stage(name=name, **values)


def _check_names(
    stage: Stage,
    problems: Problems,
    *,
    jobs: Collection[str] | None,
    endpoints: Collection[str] | None,
) -> None:
    path = f"stages.{stage.name}"
    if stage.job and jobs is not None and stage.job not in jobs:
        near = suggestion(stage.job, jobs)
        problems.add(f"{path}.job", f'there is no kind of job "{stage.job}"{near}')
    if stage.endpoint and endpoints is not None and stage.endpoint not in endpoints:
        near = suggestion(stage.endpoint, endpoints)
        problems.add(f"{path}.endpoint", f'there is no webhook "{stage.endpoint}"{near}')


# --- rules between stages ---------------------------------------------------------------------


def ways(stage: Stage) -> Iterator[tuple[str, str]]:
    """The key and the name of each stage that may follow without an error, ``end`` left out."""
    yield from ((key, name) for key, name in _ways_and_end(stage) if name != END)


def _ways_and_end(stage: Stage) -> Iterator[tuple[str, str]]:
    named = [("next", stage.next), ("otherwise", stage.otherwise)]
    named += [(f"on.{word}", name) for word, name in stage.on.items()]
    yield from ((key, name) for key, name in named if name)


def reached(workflow: Workflow, first: str, *, failures: bool = True) -> list[str]:
    """Names of stages that are reached from one, without what lies in branches."""
    found: list[str] = []
    left = [first]
    while left:
        name = left.pop()
        if name in found or name not in workflow.stages:
            continue
        found.append(name)
        stage = workflow.stages[name]
        left += [after for _, after in ways(stage)]
        if failures and stage.failed:
            left.append(stage.failed)
    return found


def failure_path(workflow: Workflow) -> frozenset[str]:
    """Stages that the workflow's own ``failed`` leads through: they cannot fail into themselves."""
    return frozenset(reached(workflow, workflow.failed) if workflow.failed else ())


def after_failure(workflow: Workflow, stage: Stage) -> str:
    """The stage that follows an error of one; empty if the execution fails with it."""
    if stage.failed:
        return stage.failed
    return "" if stage.name in failure_path(workflow) else workflow.failed


def branches(workflow: Workflow) -> dict[str, list[str]]:
    """Names of the stages of each branch, by ``parallel stage.branch``."""
    return {
        f"{stage.name}.branches.{branch}": reached(workflow, first)
        for stage in workflow.stages.values()
        for branch, first in stage.branches.items()
    }


def _check(workflow: Workflow, problems: Problems) -> None:
    stages = workflow.stages
    for key, name in (("first", workflow.first), ("failed", workflow.failed)):
        if name and name not in stages:
            problems.add(key, f'there is no stage "{name}"{suggestion(name, stages)}')
    for stage in stages.values():
        _check_ways(workflow, stage, problems)
        _check_outcomes(stage, problems)
        _check_review(stage, problems)
    if problems:
        return
    within = branches(workflow)
    _check_branches(workflow, within, problems)
    _check_cycle(workflow, problems)
    inside = {name for names in within.values() for name in names}
    _check_reached(workflow, inside, problems)
    for stage in stages.values():
        if stage.name not in inside:
            _check_failure(workflow, stage, problems)
    _check_start(workflow, problems)
    _check_end(workflow, problems)


def _check_ways(workflow: Workflow, stage: Stage, problems: Problems) -> None:
    stages, path = workflow.stages, f"stages.{stage.name}"
    named = [*ways(stage), *((f"branches.{key}", name) for key, name in stage.branches.items())]
    if stage.failed:
        named.append(("failed", stage.failed))
    for key, name in named:
        if name not in stages:
            near = suggestion(name, stages)
            problems.add(f"{path}.{key}", f'there is no stage "{name}"{near}')


def _check_outcomes(stage: Stage, problems: Problems) -> None:
    wanted = OUTCOMES.get(stage.kind)
    if wanted is None:
        return
    if stage.kind is StageKind.APPROVE and stage.default != "hold":
        wanted = tuple(word for word in wanted if word != "held")
    path = f"stages.{stage.name}.on"
    for word in stage.on:
        if word in QUIET:
            problems.add(f"{path}.{word}", "every workflow ends there by itself; leave it out")
        elif word not in wanted:
            near = suggestion(word, wanted)
            said = f"has no such outcome{near} (outcomes: {', '.join(wanted)})"
            problems.add(f"{path}.{printable(word)}", said)
    missing = [word for word in wanted if word not in stage.on]
    if missing:
        problems.add(path, f"says nothing of {listed(missing)}")


def _check_review(stage: Stage, problems: Problems) -> None:
    if stage.escalate_hours is not None and stage.escalate_hours >= stage.deadline_hours:
        said = f"must be less than deadline_hours, {stage.deadline_hours:g}"
        problems.add(f"stages.{stage.name}.escalate_hours", said)


def _check_branches(
    workflow: Workflow, within: Mapping[str, list[str]], problems: Problems
) -> None:
    outside = set(reached(workflow, workflow.first)) | failure_path(workflow)
    taken: dict[str, str] = {}
    for branch, names in within.items():
        for name in names:
            stage, path = workflow.stages[name], f"stages.{name}"
            if stage.kind not in BRANCH_KINDS:
                problems.add(path, f"cannot be in a branch: it is of the kind {stage.kind}")
            if stage.failed:
                problems.add(f"{path}.failed", "is in a branch, which fails as a whole")
            if name in outside:
                problems.add(path, f"is reached from outside of its branch, stages.{branch}")
            elif taken.setdefault(name, branch) != branch:
                problems.add(path, f"is in two branches: stages.{taken[name]} and stages.{branch}")


def _check_cycle(workflow: Workflow, problems: Problems) -> None:
    done: set[str] = set()

    def follow(name: str, trail: list[str]) -> bool:
        if name in trail:
            circle = " -> ".join([*trail[trail.index(name) :], name])
            problems.add(f"stages.{trail[-1]}", f"leads back: {circle}")
            return True
        if name in done:
            return False
        stage = workflow.stages[name]
        after = [one for _, one in ways(stage)] + [*stage.branches.values()]
        failed = after_failure(workflow, stage)
        if failed:
            after.append(failed)
        trail.append(name)
        found = any(follow(one, trail) for one in after)
        trail.pop()
        done.add(name)
        return found

    # One is enough: the others are often parts of it.
    any(follow(name, []) for name in workflow.stages)


def _check_reached(workflow: Workflow, inside: Collection[str], problems: Problems) -> None:
    top = set(reached(workflow, workflow.first)) | failure_path(workflow)
    for name in workflow.stages:
        if name not in top and name not in inside:
            problems.add(f"stages.{name}", "is never reached")


def _check_failure(workflow: Workflow, stage: Stage, problems: Problems) -> None:
    cannot = {StageKind.CHOOSE, StageKind.FAIL}
    if stage.kind in cannot or after_failure(workflow, stage):
        return
    if stage.name not in failure_path(workflow):
        said = "has no failure path: set failed here, or for the whole workflow"
        problems.add(f"stages.{stage.name}", said)


def _check_start(workflow: Workflow, problems: Problems) -> None:
    kinds = workflow.kinds
    heavy = workflow.starts is Starts.HEAVY
    if heavy and StageKind.FINISH not in kinds:
        problems.add("starts", "heavy needs a stage of the kind finish, which makes the record")
    if not heavy and StageKind.FINISH in kinds:
        problems.add("starts", "must be heavy: a stage of the kind finish makes a heavy record")


_SETTLES: Final = frozenset({StageKind.PUBLISH, StageKind.REJECT, StageKind.QUARANTINE})


def _check_end(workflow: Workflow, problems: Problems) -> None:
    """Files that wait for the workflow are published, rejected or left to people: an upload of a
    workflow that just ends would stay closed, and nobody would be asked about it."""
    always = workflow.starts is Starts.ALWAYS and StageKind.PUBLISH in workflow.kinds
    if not always and workflow.starts is not Starts.ESCALATED:
        return
    seen: set[str] = set()
    left = [workflow.first]
    while left:
        name = left.pop()
        stage = workflow.stages[name]
        if name in seen or stage.kind in _SETTLES:
            continue
        seen.add(name)
        for key, after in _ways_and_end(stage):
            if after != END:
                left.append(after)
            elif key != "on.held":  # the question stays open
                said = (
                    "ends while the files are closed: a stage publish or reject has to come first"
                )
                problems.add(f"stages.{name}.{key}", said)
        if stage.failed:
            left.append(stage.failed)
