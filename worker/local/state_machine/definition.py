"""A state machine's file, read and checked: every state known, reachable and understood.

What lives here: the words of the Amazon States Language that are understood, and the checks.
What may not: doing anything. Loops are refused too: a state is passed at most once, so its name
(and the branches above it) name one step of an execution for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path as File
from typing import Any

from worker.domain.errors import Problem, WorkflowError
from worker.local.state_machine import paths
from worker.local.state_machine.paths import Expression, ExpressionRefused, Path

SUBMIT_JOB = "arn:aws:states:::batch:submitJob.sync"
INVOKE = "arn:aws:states:::lambda:invoke"


class Type(StrEnum):
    """Kinds of states that are understood."""

    TASK = "Task"
    CHOICE = "Choice"
    PARALLEL = "Parallel"
    PASS = "Pass"  # noqa: S105 - no password
    SUCCEED = "Succeed"
    FAIL = "Fail"


WHOLE = Path(())
"""``$``: a result takes the place of the input."""

_COMMON = {"Type", "Comment"}
_FLOW = {"Next", "End"}
_MAKING = {"Parameters", "ResultSelector", "ResultPath"}
_FIELDS: Mapping[Type, frozenset[str]] = {
    Type.TASK: frozenset(_COMMON | _FLOW | _MAKING | {"Resource", "Retry", "Catch"}),
    Type.CHOICE: frozenset(_COMMON | {"Choices", "Default"}),
    Type.PARALLEL: frozenset(_COMMON | _FLOW | _MAKING | {"Branches", "Catch"}),
    Type.PASS: frozenset(_COMMON | _FLOW | {"Parameters", "Result", "ResultPath"}),
    Type.SUCCEED: frozenset(_COMMON),
    Type.FAIL: frozenset(_COMMON | {"Error", "Cause"}),
}
_RETRY = frozenset(
    {
        *("ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate"),
        *("MaxDelaySeconds", "JitterStrategy", "Comment"),
    }
)
_CATCH = frozenset({"ErrorEquals", "Next", "ResultPath", "Comment"})
_TESTS: Mapping[str, type | tuple[type, ...]] = {
    "StringEquals": str,
    "BooleanEquals": bool,
    "NumericGreaterThanEquals": (int, float),
    "NumericLessThan": (int, float),
    "IsPresent": bool,
}
_MACHINE = frozenset({"Comment", "StartAt", "States", "QueryLanguage"})
_WHERE = re.compile(r"\$\{([A-Za-z0-9]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrier:
    """One rule of a ``Retry``. Its waits grow without the jitter that many machines need."""

    errors: tuple[str, ...]
    interval: float
    """Seconds before the second attempt."""
    attempts: int
    """Most attempts after the first."""
    rate: float
    longest: float
    """Seconds; the most between two attempts."""

    def wait(self, retries: int) -> float:
        """Seconds before the next attempt when so many were made after the first."""
        return float(min(self.longest, self.interval * self.rate**retries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Catcher:
    """One rule of a ``Catch``."""

    errors: tuple[str, ...]
    next: str
    result_path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One comparison of a ``Choice``."""

    variable: Path
    word: str
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a ``Choice``: all of its tests hold."""

    tests: tuple[Test, ...]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state; what its type does not have is empty."""

    type: Type
    next: str | None = None
    """None at an end."""
    resource: str = ""
    parameters: Expression | None = None
    result: object = None
    result_selector: Expression | None = None
    result_path: Path | None = WHOLE
    """None drops the result."""
    retry: tuple[Retrier, ...] = ()
    catch: tuple[Catcher, ...] = ()
    rules: tuple[Rule, ...] = ()
    default: str | None = None
    branches: tuple[Machine, ...] = ()
    error: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """States and the first of them."""

    start: str
    states: Mapping[str, State]

    def all_states(self) -> Iterator[tuple[str, State]]:
        """Every state with its name, those of branches included."""
        for name, state in self.states.items():
            yield name, state
            for branch in state.branches:
                yield from branch.all_states()


def places_in(file: File) -> frozenset[str]:
    """Names of the substitutions (``${Name}``) a file wants."""
    return frozenset(_WHERE.findall(file.read_text("utf-8")))


def read(file: File, substitutions: Mapping[str, str]) -> str:
    """The text of a file with its substitutions made.

    Raises:
        WorkflowError: one is missing.
    """
    text = file.read_text("utf-8")
    missing = sorted(set(_WHERE.findall(text)) - set(substitutions))
    if missing:
        problems = tuple(Problem("", f"no substitution for {name}") for name in missing)
        raise WorkflowError(file.name, problems)
    return _WHERE.sub(lambda found: json.dumps(substitutions[found[1]])[1:-1], text)


def load(text: str, name: str = "state machine") -> Machine:
    """Read a definition.

    Raises:
        WorkflowError: not JSON, something unknown, a state nobody reaches, a loop.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkflowError(name, (Problem("", f"not JSON: {error}"),)) from error
    reader = _Reader()
    machine = reader.machine(value, "", _MACHINE)
    if machine is not None:
        names = [one for one, _ in machine.all_states()]
        for twice in sorted({one for one in names if names.count(one) > 1}):
            reader.problem(twice, "a state's name is there twice")
    if machine is None or reader.problems:
        raise WorkflowError(name, tuple(reader.problems))
    return machine


class _Reader:
    """Reads what it can and keeps every mistake."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def problem(self, at: str, message: str) -> None:
        self.problems.append(Problem(at, message))

    def machine(self, value: Any, at: str, fields: frozenset[str]) -> Machine | None:
        if not isinstance(value, dict) or not isinstance(value.get("States"), dict):
            self.problem(at, "no object with States")
            return None
        self._known(value, fields, at)
        if value.get("QueryLanguage", "JSONPath") != "JSONPath":
            self.problem(at, "only JSONPath is understood")
        states = {
            name: self._state(held, f"{at}.{name}" if at else name)
            for name, held in value["States"].items()
        }
        machine = Machine(start=str(value.get("StartAt")), states=states)
        self._flow(machine, at)
        return machine

    # --- one state --------------------------------------------------------------------------

    def _state(self, value: Any, at: str) -> State:
        try:
            kind = Type(value["Type"])
        except (TypeError, KeyError, ValueError):
            self.problem(at, "no Type that is understood")
            return State(type=Type.SUCCEED)
        self._known(value, _FIELDS[kind], at)
        if kind in {Type.TASK, Type.PARALLEL, Type.PASS} and ("Next" in value) == (
            value.get("End") is True
        ):
            self.problem(at, "either Next or End")
        resource = str(value.get("Resource", ""))
        if kind is Type.TASK and resource not in {SUBMIT_JOB, INVOKE}:
            self.problem(f"{at}.Resource", f"{resource!r} is not understood")
        return State(
            type=kind,
            next=value.get("Next"),
            resource=resource,
            parameters=self._template(value, "Parameters", at),
            result=value.get("Result"),
            result_selector=self._template(value, "ResultSelector", at),
            result_path=self._result_path(value, at),
            retry=tuple(self._retriers(value.get("Retry", []), f"{at}.Retry")),
            catch=tuple(self._catchers(value.get("Catch", []), f"{at}.Catch")),
            rules=tuple(self._rules(value, at)) if kind is Type.CHOICE else (),
            default=value.get("Default"),
            branches=tuple(self._branches(value, at)) if kind is Type.PARALLEL else (),
            error=str(value.get("Error", "")),
            cause=str(value.get("Cause", "")),
        )

    def _template(self, value: Mapping[str, Any], name: str, at: str) -> Expression | None:
        if name not in value:
            return None
        try:
            return paths.template(value[name])
        except ExpressionRefused as error:
            self.problem(f"{at}.{name}", str(error))
            return None

    def _path(self, text: Any, at: str) -> Path:
        try:
            return paths.path(str(text))
        except ExpressionRefused as error:
            self.problem(at, str(error))
            return Path(())

    def _result_path(self, value: Mapping[str, Any], at: str) -> Path | None:
        if value.get("ResultPath", "$") is None:
            return None
        found = self._path(value.get("ResultPath", "$"), f"{at}.ResultPath")
        if found.context or not all(isinstance(step, str) for step in found.steps):
            self.problem(f"{at}.ResultPath", "a result goes to a name in the input")
        return found

    def _retriers(self, value: Any, at: str) -> Iterator[Retrier]:
        for index, held in enumerate(self._objects(value, at)):
            self._known(held, _RETRY, f"{at}[{index}]")
            yield Retrier(
                errors=self._errors(held, f"{at}[{index}]"),
                interval=float(held.get("IntervalSeconds", 1)),
                attempts=int(held.get("MaxAttempts", 3)),
                rate=float(held.get("BackoffRate", 2.0)),
                longest=float(held.get("MaxDelaySeconds", 31_622_400)),
            )

    def _catchers(self, value: Any, at: str) -> Iterator[Catcher]:
        for index, held in enumerate(self._objects(value, at)):
            where = f"{at}[{index}]"
            self._known(held, _CATCH, where)
            yield Catcher(
                errors=self._errors(held, where),
                next=str(held.get("Next")),
                result_path=self._result_path(held, where),
            )

    def _errors(self, value: Mapping[str, Any], at: str) -> tuple[str, ...]:
        errors = value.get("ErrorEquals")
        if (
            not isinstance(errors, list)
            or not errors
            or not all(isinstance(e, str) for e in errors)
        ):
            self.problem(at, "ErrorEquals is a list of names")
            return ()
        if "States.ALL" in errors and len(errors) > 1:
            self.problem(at, "States.ALL stands alone")
        return tuple(errors)

    def _rules(self, value: Mapping[str, Any], at: str) -> Iterator[Rule]:
        if not value.get("Choices"):
            self.problem(at, "no Choices")
        if "Default" not in value:
            self.problem(at, "no Default: what matches no rule would fail the execution")
        for index, held in enumerate(self._objects(value.get("Choices", []), at)):
            where = f"{at}.Choices[{index}]"
            tests = held.get("And", [{k: v for k, v in held.items() if k != "Next"}])
            if "And" in held:
                self._known(held, frozenset({"And", "Next", "Comment"}), where)
            made = [self._test(one, where) for one in self._objects(tests, where)]
            yield Rule(tests=tuple(made), next=str(held.get("Next")))

    def _test(self, value: Mapping[str, Any], at: str) -> Test:
        words = [word for word in value if word in _TESTS]
        if len(words) != 1 or set(value) - {"Variable", "Comment", *words}:
            self.problem(at, f"not understood: {', '.join(sorted(value))}")
            return Test(variable=Path(()), word="IsPresent", value=True)
        word = words[0]
        if not isinstance(value[word], _TESTS[word]):
            self.problem(at, f"{word}: {value[word]!r} is of the wrong type")
        return Test(
            variable=self._path(value.get("Variable"), f"{at}.Variable"),
            word=word,
            value=value[word],
        )

    def _branches(self, value: Mapping[str, Any], at: str) -> Iterator[Machine]:
        if not value.get("Branches"):
            self.problem(at, "no Branches")
        inside = frozenset({"Comment", "StartAt", "States"})
        for index, held in enumerate(self._objects(value.get("Branches", []), at)):
            branch = self.machine(held, f"{at}[{index}]", inside)
            if branch is not None:
                yield branch

    def _objects(self, value: Any, at: str) -> Sequence[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.problem(at, "not a list of objects")
            return []
        return value

    def _known(self, value: Mapping[str, Any], fields: frozenset[str], at: str) -> None:
        for name in sorted(set(value) - fields):
            self.problem(f"{at}.{name}" if at else name, "is not understood")

    # --- how states follow each other -------------------------------------------------------

    def _flow(self, machine: Machine, at: str) -> None:
        """Every next state exists, every state is reached, and none is reached again."""
        seen: set[str] = set()
        above: list[str] = []

        def visit(name: str, before: str) -> None:
            state = machine.states.get(name)
            if state is None:
                self.problem(f"{at}.{before}" if at else before, f"there is no state {name!r}")
            elif name in above:
                self.problem(f"{at}.{name}" if at else name, "is in a loop")
            elif name not in seen:
                seen.add(name)
                above.append(name)
                for after in followers(state):
                    visit(after, name)
                above.pop()

        visit(machine.start, "StartAt")
        for name in sorted(set(machine.states) - seen):
            self.problem(f"{at}.{name}" if at else name, "is never reached")


def followers(state: State) -> Iterator[str]:
    """Names of the states that may come after one."""
    if state.next is not None:
        yield state.next
    yield from (rule.next for rule in state.rules)
    if state.default is not None:
        yield state.default
    yield from (catcher.next for catcher in state.catch)
