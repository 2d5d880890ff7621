"""The error tree: that it is as drawn, that its codes are stable and that it survives a process."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from worker.domain import errors
from worker.domain.errors import Problem, ProblemsError, Reason, Rejected, SafelightError


def every_class(base: type[SafelightError] = SafelightError) -> list[type[SafelightError]]:
    """The classes of the tree that errors.py defines, parents before children."""
    below = [kind for child in base.__subclasses__() for kind in every_class(child)]
    return [kind for kind in (base, *below) if kind.__module__ == errors.__name__]


def example(kind: type[SafelightError]) -> SafelightError:
    """One error of a class, made the way its callers make it."""
    if issubclass(kind, Rejected):
        return kind(Reason.CORRUPT, "the scan ends in the middle of a block")
    if issubclass(kind, ProblemsError):
        return kind("recipe.toml", (Problem("renditions[2].width", "must be at least 1"),))
    return kind("something that a person can read", code="a_code_of_its_own")


def drawn_tree() -> dict[str, str]:
    """The tree in the module's docstring: class name to the name of its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (inspect.getdoc(errors) or "").splitlines():
        found = re.match(r"^ {4}((?:[│ ] {3})*(?:[├└]── )?)([A-Z]\w+)", line)
        if not found:
            continue
        depth = len(found[1]) // 4
        del path[depth:]
        if path:
            parents[found[2]] = path[-1]
        path.append(found[2])
    return parents


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_every_error_survives_a_pickle(kind: type[SafelightError]) -> None:
    """An error that crosses a process border arrives as it was sent: class, text and fields."""
    sent = example(kind)

    arrived = pickle.loads(pickle.dumps(sent))

    assert type(arrived) is kind
    assert str(arrived) == str(sent)
    assert arrived.__dict__ == sent.__dict__
    assert (arrived.code, arrived.retryable) == (sent.code, sent.retryable)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The drawing shows every class with its base class."""
    real = {
        kind.__name__: kind.__bases__[0].__name__
        for kind in every_class()
        if kind is not SafelightError
    }

    assert drawn_tree() == real


def test_every_reason_has_a_code_of_its_own() -> None:
    """No two reasons, and no reason and class, share a stable code."""
    classes = [kind.__dict__["code"] for kind in every_class() if "code" in kind.__dict__]
    codes = [*classes, *(reason.value for reason in Reason)]

    assert len(codes) == len(set(codes))


def test_codes_look_alike() -> None:
    """Codes are lower-case words joined by underscores: they are keys in JSON and in metrics."""
    codes = [example(kind).code for kind in every_class()] + [str(reason) for reason in Reason]

    assert [code for code in codes if not re.fullmatch(r"[a-z]+(_[a-z]+)*", code)] == []


def test_a_rejection_carries_its_reason_as_its_code() -> None:
    """Manifests contain the value of the reason."""
    assert Rejected(Reason.EMPTY, "the file has no bytes").code == "empty"


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_only_transient_errors_are_worth_another_try(kind: type[SafelightError]) -> None:
    """Retrying is decided from one field, and the field follows the tree."""
    assert example(kind).retryable is issubclass(kind, errors.TransientError)


def test_a_list_of_problems_reads_well() -> None:
    """Every mistake is on a line of its own, with where it is, below a line that counts them."""
    problems = (Problem("renditions", "is missing"), Problem("", "is not TOML"))

    assert str(ProblemsError("a.toml", problems)) == (
        "a.toml: 2 problems\n  renditions: is missing\n  is not TOML"
    )
    assert (
        str(ProblemsError("a.toml", problems[:1])) == "a.toml: 1 problem\n  renditions: is missing"
    )
