"""Expressions of state machines: what they give, and what is refused when a file is read."""

from __future__ import annotations

from typing import Any

import pytest

from worker.local.state_machine.paths import (
    ExpressionRefused,
    PathFailed,
    expression,
    path,
    place,
    template,
)

INPUT = {"a": {"b": [1, {"c": "x"}]}, "n": 4, "name": "film"}
CONTEXT = {"Execution": {"Name": "run-1"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$", INPUT),
        ("$.n", 4),
        ("$.a.b[1].c", "x"),
        ("$$.Execution.Name", "run-1"),
        ("States.Format('{}-{}', $.name, $.n)", "film-4"),
        ("States.Format('plain')", "plain"),
        ("States.Array('it\\'s', 2, -1.5, $.n)", ["it's", 2, -1.5, 4]),
        ("States.Array()", []),
        ("States.Array(States.Format('{}=1', $.name), States.Array($.n))", ["film=1", [4]]),
    ],
)
def test_expressions_give_values(text: str, value: Any) -> None:
    """Paths, the context, and the two functions, within each other too."""
    assert expression(text)(INPUT, CONTEXT) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "n", "$..n", "$.a[*]", "$.a[?(@.b)]", "$.a b", "$.n,"),
        *("States.UUID()", "States.Format()", "States.Format($.name)", "States.Format('{}')"),
        *(
            "States.Format('{}', 'a', 'b')",
            "States.Array('a' 'b')",
            "States.Array('a",
        ),
        *("States.Array(", "'open", "States.Format('\\{{}', $.n)"),
        "States.Array(" * 7 + "1" + ")" * 7,
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    """When a file is read, not when an execution gets there."""
    with pytest.raises(ExpressionRefused):
        expression(text)


@pytest.mark.parametrize("text", ["$.x", "$.n.x", "$.a.b[2]", "$.name[0].x", "$$.Task.Token"])
def test_a_path_that_leads_nowhere_fails(text: str) -> None:
    """It does not give nothing: the next state would go wrong without a word."""
    with pytest.raises(PathFailed):
        expression(text)(INPUT, CONTEXT)


def test_only_texts_and_numbers_are_formatted() -> None:
    """An object inside a command would be a mistake."""
    with pytest.raises(PathFailed):
        expression("States.Format('{}', $.a)")(INPUT, CONTEXT)


def test_templates_fill_in_what_ends_in_dollar() -> None:
    """At any depth; everything else stays as it is."""
    made = template({"Size.$": "$.n", "Fixed": "$.n", "In": [{"x.$": "$.name"}], "No": None})
    assert made(INPUT, CONTEXT) == {"Size": 4, "Fixed": "$.n", "In": [{"x": "film"}], "No": None}
    with pytest.raises(ExpressionRefused):
        template({"x.$": 4})
    with pytest.raises(ExpressionRefused):
        template({"x.$": "$.n", "x": 4})


def test_a_result_is_put_where_its_path_says() -> None:
    """The input is left alone: other branches have it too."""
    before = {"a": {"b": 1}}
    assert place(before, path("$"), 7) == 7
    assert place(before, path("$.a.c"), 7) == {"a": {"b": 1, "c": 7}}
    assert place(before, path("$.x.y"), 7) == {"a": {"b": 1}, "x": {"y": 7}}
    assert before == {"a": {"b": 1}}
    with pytest.raises(PathFailed):
        place([1], path("$.a"), 7)
