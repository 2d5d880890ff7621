"""How a plan reads on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click import unstyle

from worker.entrypoints.cli.infra import LONG, difference_lines, plan_lines, summary_lines
from worker.infra.plan import PlannedResource, StackPlan, difference


def plan(inputs: dict[str, Any], *, name: str = "ingest", **exports: Any) -> StackPlan:
    """A plan of one function."""
    item = PlannedResource(
        key=f"lambda/Function {name}",
        kind="lambda/Function",
        name=name,
        within=("intake", "inner"),
        inputs=inputs,
        options={"protect": True},
    )
    return StackPlan(stack="dev", region="eu-central-1", resources=(item,), exports=exports)


def test_inputs_read_like_json() -> None:
    """Under their component and resource; texts as they are, options in brackets, exports last."""
    found = plan(
        {
            "memory": 512,
            "policy": {"Action": ["a"], "Empty": {}},
            "names": [],
            "text": "",
            "code": "one\ntwo",
            "on": True,
            "nothing": None,
        },
        url="${x}",
    )

    assert list(plan_lines(found)) == [
        "",
        "\x1b[1mintake / inner\x1b[0m",
        "  lambda/Function ingest",
        "    memory: 512",
        "    policy:",
        "        {",
        '          "Action": [',
        '            "a"',
        "          ],",
        '          "Empty": {}',
        "        }",
        "    names: []",
        '    text: ""',
        "    code:",
        "        one",
        "        two",
        "    on: true",
        "    nothing: null",
        "    (protect): true",
        "",
        "\x1b[1mexports\x1b[0m",
        "  url: ${x}",
    ]


def test_what_is_very_long_is_counted() -> None:
    """Very long values are summarised by their number of lines."""
    lines = list(plan_lines(plan({"definition": list(range(LONG + 1))})))

    assert f"    definition: ({LONG + 3} lines; --json prints them)" in lines


def test_names_cannot_move_the_cursor() -> None:
    """Control characters in a configuration are escaped."""
    assert not any("\x1b[2J" in line for line in plan_lines(plan({"tag\x1b[2J": "\x1b[2J"})))


def summary(
    before: StackPlan | None, after: StackPlan, *, against: Path | None = None
) -> list[str]:
    """What stands above and below the plan, without colours."""

    found = None if before is None else difference(before, after)
    return [unstyle(line) for line in summary_lines(after, found, ["image"], against)]


def changes(before: StackPlan, after: StackPlan) -> list[str]:
    """What stands between the plan and its summary, without colours."""
    return [unstyle(line) for line in difference_lines(difference(before, after))]


def test_the_first_plan_has_nothing_to_be_compared_with() -> None:
    """And says which images nobody has named."""
    assert summary(None, plan({})) == [
        "stack dev in eu-central-1: 1 resources",
        "safelight:image is not set: a placeholder is used",
        "nothing to compare with: this is the first plan of dev",
    ]


def test_no_difference_is_said() -> None:
    """Against the last one, or a file."""
    assert summary(plan({}), plan({}))[-1] == "nothing changed since the last plan of dev"
    named = summary(plan({}), plan({}), against=Path("main.json"))
    assert named[-1] == "nothing changed since main.json"
    assert changes(plan({}), plan({})) == []


def test_differences_are_listed_input_by_input() -> None:
    """The list shows added, changed and removed resources, with their numbers."""
    before = plan(
        {"memory": 512, "code": "a\nb\nc\n", "policy": {"Action": ["a", "b"]}, "old": 1},
        url="u",
    )
    after = plan(
        {"memory": 1024, "code": "a\nB\nc\n", "policy": {"Action": ["a"]}, "new": ["y"]},
        url="v",
    )

    assert summary(before, after)[-1] == (
        "changes since the last plan of dev: 0 new, 1 changed, 0 removed, exports changed"
    )
    assert changes(before, after) == [
        "",
        "changes",
        "~ lambda/Function ingest  (intake / inner)",
        "    ~ code:",
        "        @@ -1,3 +1,3 @@",
        "         a",
        "        -b",
        "        +B",
        "         c",
        "    ~ memory: 512 -> 1024",
        "    + new:",
        "        [",
        '          "y"',
        "        ]",
        "    - old: 1",
        "    ~ policy:",
        "        @@ -1,6 +1,5 @@",
        "         {",
        '           "Action": [',
        '        -    "a",',
        '        -    "b"',
        '        +    "a"',
        "           ]",
        "         }",
        "~ exports",
        "    ~ url: u -> v",
    ]
    other = changes(before, plan({}, name="other"))
    assert "+ lambda/Function other  (intake / inner)" in other
    assert "- lambda/Function ingest  (intake / inner)" in other


def test_long_values_have_lines_of_their_own() -> None:
    """Before and after below each other, so that the difference is seen."""
    before, after = plan({"url": "x" * 90}), plan({"url": "y" * 90})

    assert changes(before, after)[3:] == [
        "    ~ url:",
        "        @@ -1 +1 @@",
        f"        -{'x' * 90}",
        f"        +{'y' * 90}",
    ]
