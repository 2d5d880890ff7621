"""What an execution does next: pure decisions on a definition, an input and a memory of steps.

An execution is evaluated anew from its start each time somebody looks: steps that have ended give
their remembered result, the first that has not is worked on. So nothing is held in memory between
two looks, and a process that was killed anywhere goes on where it was. A state is passed at most
once (``definition`` refuses loops), so its place names its step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from worker.local.state_machine import paths
from worker.local.state_machine.definition import Catcher, Machine, Retrier, State, Test, Type
from worker.local.state_machine.paths import PathFailed

RUNTIME = "States.Runtime"
PATH_FAILED = "States.ParameterPathFailure"
_UNCAUGHT = frozenset({RUNTIME, "States.DataLimitExceeded"})
"""``States.ALL`` does not match these (states-language.net, "Errors")."""


class Phase(StrEnum):
    """Where a task stands."""

    WORKING = "working"
    RESTING = "resting"
    """Between two attempts."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is remembered of one state of one execution."""

    phase: Phase
    handle: str = ""
    """What the work goes by: the id of a job."""
    output: Any = None
    error: str = ""
    cause: str = ""
    retries: Mapping[str, int] = field(default_factory=dict)
    """Attempts after the first, by the number of the rule that asked for them."""
    due: float = 0.0
    """Seconds since 1970: when a resting task is tried again."""


class Memory(Protocol):
    """The steps of one execution. What is put is there after a crash."""

    def get(self, place: str) -> Step | None:
        """The step at a place, if it has begun."""
        ...

    def put(self, place: str, step: Step) -> None:
        """Remember it, instead of what was there."""
        ...

    def working(self, below: str) -> Mapping[str, Step]:
        """Steps that are WORKING at places that begin with ``below``."""
        ...


class TaskFailed(Exception):
    """A task, or a state, has failed with an error name of the Amazon States Language."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


class Tasks(Protocol):
    """The work of tasks. All of it may be asked for twice, after a crash."""

    def begin(self, resource: str, parameters: Any) -> tuple[str, Any]:
        """Start: (handle, None), or ("", output) for work that is done at once.

        Raises:
            TaskFailed: it cannot be started, or it has failed at once.
        """
        ...

    def look(self, handle: str) -> tuple[bool, Any]:
        """Whether it has ended, and its output. Raises ``TaskFailed`` if it has failed."""
        ...

    def stop(self, resource: str, handle: str) -> None:
        """Nobody waits for it any more. Best effort."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An execution, or a branch, that has come to its end."""

    output: Any = None
    error: str | None = None
    """None: it succeeded."""
    cause: str = ""


class _Waiting(Exception):
    """Something is not done yet."""


class Evaluation:
    """One look at one execution."""

    def __init__(self, *, memory: Memory, tasks: Tasks, context: Any, now: float) -> None:
        """``context`` is what ``$$`` means; ``now`` is in seconds since 1970."""
        self._memory, self._tasks, self._context, self._now = memory, tasks, context, now

    def run(self, machine: Machine, value: Any) -> Ended | None:
        """Go as far as possible; None while something is not done."""
        try:
            return Ended(output=self._machine(machine, "", value))
        except TaskFailed as failure:
            return Ended(error=failure.error, cause=failure.cause)
        except _Waiting:
            return None

    def _machine(self, machine: Machine, above: str, value: Any) -> Any:
        name: str | None = machine.start
        while name is not None:
            value, name = self._state(machine.states[name], f"{above}/{name}", value)
        return value

    def _state(self, state: State, place: str, value: Any) -> tuple[Any, str | None]:
        """The output of a state and the name of the next."""
        try:
            try:
                return self._pass(state, place, value)
            except PathFailed as error:
                raise TaskFailed(PATH_FAILED, f"{place}: {error}") from error
        except TaskFailed as failure:
            catcher = _catcher(state.catch, failure.error)
            if catcher is None:
                raise
            told = {"Error": failure.error, "Cause": failure.cause}
            return _placed(value, catcher.result_path, told), catcher.next

    def _pass(self, state: State, place: str, value: Any) -> tuple[Any, str | None]:
        if state.type is Type.CHOICE:
            return value, self._chosen(state, place, value)
        if state.type is Type.FAIL:
            raise TaskFailed(state.error or "States.Fail", state.cause)
        if state.type is Type.SUCCEED:
            return value, None
        given = value if state.parameters is None else state.parameters(value, self._context)
        if state.type is Type.PASS:
            result = given if state.result is None else state.result
        elif state.type is Type.PARALLEL:
            result = self._parallel(state, place, given)
        else:
            result = self._task(state, place, given)
        if state.result_selector is not None:
            result = state.result_selector(result, self._context)
        return _placed(value, state.result_path, result), state.next

    def _chosen(self, state: State, place: str, value: Any) -> str:
        for rule in state.rules:
            if all(_holds(test, value, self._context) for test in rule.tests):
                return rule.next
        if state.default is None:
            raise TaskFailed("States.NoChoiceMatched", place)
        return state.default

    # --- parallel ---------------------------------------------------------------------------

    def _parallel(self, state: State, place: str, value: Any) -> list[Any]:
        """All branches go on as far as they can; the first that fails ends the others."""
        results: list[Any] = []
        waiting = False
        for index, branch in enumerate(state.branches):
            above = f"{place}/{index}"
            try:
                results.append(self._machine(branch, above, value))
            except _Waiting:
                waiting = True
            except TaskFailed:
                self._abandon(f"{place}/", state)
                raise
        if waiting:
            raise _Waiting
        return results

    def _abandon(self, below: str, state: State) -> None:
        resources = {
            name: held.resource for branch in state.branches for name, held in branch.all_states()
        }
        for place, step in self._memory.working(below).items():
            self._tasks.stop(resources[place.rpartition("/")[2]], step.handle)
            self._memory.put(
                place, replace(step, phase=Phase.FAILED, error="States.TaskFailed", cause="stopped")
            )

    # --- task -------------------------------------------------------------------------------

    def _task(self, state: State, place: str, parameters: Any) -> Any:
        step = self._memory.get(place)
        if step is None or (step.phase is Phase.RESTING and step.due <= self._now):
            step = self._begin(state, place, parameters, {} if step is None else step.retries)
        elif step.phase is Phase.WORKING:
            step = self._look(state, place, step)
        if step.phase is Phase.FAILED:
            raise TaskFailed(step.error, step.cause)
        if step.phase is not Phase.DONE:
            raise _Waiting
        return step.output

    def _begin(self, state: State, place: str, parameters: Any, retries: Mapping[str, int]) -> Step:
        try:
            handle, output = self._tasks.begin(state.resource, parameters)
        except TaskFailed as failure:
            return self._failed(state, place, failure, retries)
        phase = Phase.WORKING if handle else Phase.DONE
        return self._kept(place, Step(phase=phase, handle=handle, output=output, retries=retries))

    def _look(self, state: State, place: str, step: Step) -> Step:
        try:
            done, output = self._tasks.look(step.handle)
        except TaskFailed as failure:
            return self._failed(state, place, failure, step.retries)
        if not done:
            return step
        return self._kept(place, replace(step, phase=Phase.DONE, output=output))

    def _failed(
        self, state: State, place: str, failure: TaskFailed, retries: Mapping[str, int]
    ) -> Step:
        for number, rule in enumerate(state.retry):
            if not _matches(rule.errors, failure.error):
                continue
            used = retries.get(str(number), 0)
            if used >= rule.attempts:
                break
            return self._kept(place, self._resting(rule, failure, retries, number, used))
        failed = Step(phase=Phase.FAILED, error=failure.error, cause=failure.cause, retries=retries)
        return self._kept(place, failed)

    def _resting(
        self,
        rule: Retrier,
        failure: TaskFailed,
        retries: Mapping[str, int],
        number: int,
        used: int,
    ) -> Step:
        return Step(
            phase=Phase.RESTING,
            error=failure.error,
            cause=failure.cause,
            retries={**retries, str(number): used + 1},
            due=self._now + rule.wait(used),
        )

    def _kept(self, place: str, step: Step) -> Step:
        self._memory.put(place, step)
        return step


def _placed(value: Any, where: paths.Path | None, result: Any) -> Any:
    return value if where is None else paths.place(value, where, result)


def _catcher(catchers: tuple[Catcher, ...], error: str) -> Catcher | None:
    return next((one for one in catchers if _matches(one.errors, error)), None)


def _matches(names: tuple[str, ...], error: str) -> bool:
    if error in names:
        return True
    if error in _UNCAUGHT:
        return False
    return "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")


def _holds(test: Test, value: Any, context: Any) -> bool:
    try:
        found = test.variable(value, context)
    except PathFailed:
        if test.word == "IsPresent":
            return test.value is False
        raise
    wanted: Any = test.value
    if test.word == "IsPresent":
        return bool(wanted)
    if test.word.startswith("Numeric"):
        if isinstance(found, bool) or not isinstance(found, int | float):
            return False
        return bool(found >= wanted if test.word == "NumericGreaterThanEquals" else found < wanted)
    return type(found) is type(wanted) and bool(found == wanted)
