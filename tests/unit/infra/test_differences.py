"""What is different between two plans, input by input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.infra.plan import PlannedResource, StackPlan, difference


def plan(*items: PlannedResource, exports: dict[str, Any] | None = None) -> StackPlan:
    """A plan of these."""
    return StackPlan(stack="dev", region=None, resources=items, exports=exports or {})


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


def told(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes of a queue's inputs as they are printed with --json."""
    found = difference(plan(item("a", before)), plan(item("a", after))).as_dict()
    changes: list[dict[str, Any]] = found["changed"].get("sqs/Queue a", [])
    return changes


def test_resources_come_and_go() -> None:
    """By kind and name."""
    found = difference(plan(item("a"), item("b")), plan(item("b"), item("c")))

    assert [one.name for one in found.created] == ["c"]
    assert [one.name for one in found.removed] == ["a"]
    assert found.changed == ()


def test_the_same_plan_is_no_difference() -> None:
    """A plan never differs from itself."""
    one = plan(item("a", {"x": [1, {"y": None}]}, protect=True), exports={"e": "f"})

    assert not difference(one, one)


def test_inputs_and_options_and_exports_are_compared() -> None:
    """Each by its own name."""
    found = difference(
        plan(item("a", {"delay": 5}), exports={"url": "u"}),
        plan(item("a", {"delay": 6}, protect=True), exports={"url": "v"}),
    )

    ((changed, changes),) = found.changed
    assert changed.name == "a"
    assert [change.as_dict() for change in changes] == [
        {"name": "(protect)", "how": "added", "after": True},
        {"name": "delay", "how": "changed", "before": 5, "after": 6},
    ]
    assert [change.name for change in found.exports] == ["url"]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, []),
        ({"a": {"b": 1}}, {"a": {}}, [("a", "changed")]),
        ({}, {"a": [1]}, [("a", "added")]),
        ({"a": 1}, {"a": True}, [("a", "changed")]),
        ({"a": 1}, {"a": 1.0}, [("a", "changed")]),
        ({"a": None}, {}, [("a", "removed")]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", "changed")]),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, [("a", "changed"), ("b", "changed")]),
    ],
)
def test_every_kind_of_change_has_its_name(
    before: Any, after: Any, changes: list[tuple[str, str]]
) -> None:
    """The order of a map says nothing, that of a list does."""
    assert [(one["name"], one["how"]) for one in told(before, after)] == changes


def test_a_change_has_both_values() -> None:
    """Except the one that is not there."""
    assert told({"a": [1], "b": 2}, {"a": [1, 3], "c": 4}) == [
        {"name": "a", "how": "changed", "before": [1], "after": [1, 3]},
        {"name": "b", "how": "removed", "before": 2},
        {"name": "c", "how": "added", "after": 4},
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
    """Exactly the real differences are reported; true and 1 differ."""
    same = repr(before) == repr(after) or _sorted(before) == _sorted(after)

    assert (told({"a": before}, {"a": after}) == []) is same


def _sorted(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_sorted(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_sorted, value)) + "]"
    return repr(value)
