"""What is different between two plans, path by path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.infra.plan import PlannedResource, StackPlan, compare, difference


def plan(*items: PlannedResource, exports: dict[str, Any] | None = None) -> StackPlan:
    """A plan of these."""
    return StackPlan(stack="dev", region=None, items=items, exports=exports or {})


def item(name: str, inputs: dict[str, Any] | None = None, **options: Any) -> PlannedResource:
    """A queue of that name."""
    return PlannedResource(
        key=f"sqs/Queue {name}",
        kind="sqs/Queue",
        name=name,
        within=("intake",),
        inputs=inputs or {},
        options=options,
    )


def told(before: Any, after: Any) -> list[dict[str, Any]]:
    """The changes as they are printed with --json."""
    return [change.as_dict() for change in compare(before, after)]


def test_resources_come_and_go() -> None:
    """By kind and name."""
    found = difference(plan(item("a"), item("b")), plan(item("b"), item("c")))

    assert [one.name for one in found.created] == ["c"]
    assert [one.name for one in found.removed] == ["a"]
    assert found.changed == ()


def test_the_same_plan_is_no_difference() -> None:
    """Whatever is in it."""
    one = plan(item("a", {"x": [1, {"y": None}]}, protect=True), exports={"e": "f"})

    assert not difference(one, one)


def test_inputs_and_options_and_exports_are_compared() -> None:
    """Each by its own path."""
    found = difference(
        plan(item("a", {"delay": 5}), exports={"url": "u"}),
        plan(item("a", {"delay": 6}, protect=True), exports={"url": "v"}),
    )

    ((changed, changes),) = found.changed
    assert changed.name == "a"
    assert [change.as_dict() for change in changes] == [
        {"path": "delay", "how": "changed", "before": 5, "after": 6},
        {"path": "(options).protect", "how": "added", "after": True},
    ]
    assert [change.path for change in found.exports] == ["url"]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1}}, {"a": {}}, [("a.b", "removed")]),
        ({}, {"a": [1]}, [("a", "added")]),
        ({"a": 1}, {"a": True}, [("a", "changed")]),
        ({"a": 1}, {"a": 1.0}, [("a", "changed")]),
        ({"a": None}, {}, [("a", "removed")]),
        ({"a": [1]}, {"a": {"0": 1}}, [("a", "changed")]),
        ({"a": [1, 2, 3]}, {"a": [2, 3]}, [("a[0]", "removed")]),
        ({"a": [1, 3]}, {"a": [1, 2, 3]}, [("a[1]", "added")]),
        ({"a": [{"x": 1, "y": 1}]}, {"a": [{"x": 1, "y": 2}]}, [("a[0].y", "changed")]),
    ],
)
def test_every_kind_of_change_has_its_path(
    before: Any, after: Any, changes: list[tuple[str, str]]
) -> None:
    """In maps by key, in lists by what is in them."""
    assert [(one.path, one.how) for one in compare(before, after)] == changes


def test_one_right_more_is_one_change() -> None:
    """A statement that is put before the others does not change the others."""
    old = {"policy": {"Statement": [{"Action": ["a"]}, {"Action": ["c"]}]}}
    new = {"policy": {"Statement": [{"Action": ["z"]}, {"Action": ["a"]}, {"Action": ["c"]}]}}

    assert told(old, new) == [
        {"path": "policy.Statement[0]", "how": "added", "after": {"Action": ["z"]}}
    ]


def test_a_right_that_is_taken_away_is_found_in_its_statement() -> None:
    """Deep within a document, with what it was."""
    old = {"policy": {"Statement": [{"Action": ["a", "b"]}]}}
    new = {"policy": {"Statement": [{"Action": ["a"]}]}}

    assert told(old, new) == [
        {"path": "policy.Statement[0].Action[1]", "how": "removed", "before": "b"}
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xy", max_size=1), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(before=values, after=values)
def test_there_is_a_change_if_and_only_if_something_differs(before: Any, after: Any) -> None:
    """Nothing is missed and nothing is made up; true and 1 are different things."""
    same = repr(before) == repr(after) or _sorted(before) == _sorted(after)

    assert (list(compare(before, after)) == []) is same


def _sorted(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_sorted(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_sorted, value)) + "]"
    return repr(value)
