"""The layout of the picture: nothing overlaps, arrows go down, and it is the same every time."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from worker.local.infra.layers import Box, Edge, Layout, arrange
from worker.local.infra.lettering import width, wrapped

NAMES = "abcdefgh"


def box(name: str, breadth: int = 100, height: int = 60) -> Box:
    """One of the usual size."""
    return Box(name=name, width=breadth, height=height)


boxes = st.lists(st.sampled_from(NAMES), min_size=1, unique=True).flatmap(
    lambda names: st.tuples(
        st.tuples(*(st.builds(box, st.just(name), st.integers(60, 300)) for name in names)),
        st.frozensets(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=12),
    )
)


@given(given=boxes)
def test_no_picture_has_boxes_on_each_other(given: tuple[tuple[Box, ...], frozenset[Edge]]) -> None:
    """Whatever refers to whatever, circles too; and all of it is within the picture."""
    layout = arrange(given[0], given[1], room=700)

    assert {*layout.boxes} == {one.name for one in given[0]}
    for one, other in combinations(layout.boxes.values(), 2):
        apart = (
            one.x + one.box.width < other.x
            or other.x + other.box.width < one.x
            or one.y + one.box.height < other.y
            or other.y + other.box.height < one.y
        )
        assert apart
    for one in layout.boxes.values():
        assert one.x >= 0
        assert one.x + one.box.width <= layout.width
        assert one.y + one.box.height <= layout.height


@given(given=boxes)
def test_every_reference_is_an_arrow_from_box_to_box(
    given: tuple[tuple[Box, ...], frozenset[Edge]],
) -> None:
    """Each begins at the edge of the one and ends at the edge of the other."""
    layout = arrange(given[0], given[1], room=700)

    assert {*layout.routes} == {(a, b) for a, b in given[1] if a != b}
    for (a, b), points in layout.routes.items():
        assert _touches(layout, a, points[0])
        assert _touches(layout, b, points[-1])


def _touches(layout: Layout, name: str, point: tuple[int, int]) -> bool:
    one = layout.boxes[name]
    inside = one.x <= point[0] <= one.x + one.box.width
    return inside and point[1] in (one.y, one.y + one.box.height)


@given(given=boxes)
def test_the_order_of_the_references_does_not_matter(
    given: tuple[tuple[Box, ...], frozenset[Edge]],
) -> None:
    """Sets have another order in every process; the picture must not."""
    forward = arrange(given[0], sorted(given[1]), room=700)

    assert arrange(given[0], sorted(given[1], reverse=True), room=700) == forward


def test_arrows_point_down() -> None:
    """What is used is below what uses it, also over several rows."""
    layout = arrange([box(name) for name in "abcd"], [("a", "b"), ("b", "c"), ("a", "d")], room=700)

    tops = {name: one.y for name, one in layout.boxes.items()}
    assert tops["a"] < tops["b"] < tops["c"]
    assert tops["a"] < tops["d"]


def test_a_circle_has_one_arrow_that_points_up() -> None:
    """All its references are drawn, each from the one that refers."""
    layout = arrange([box(name) for name in "abc"], [("a", "b"), ("b", "c"), ("c", "a")], room=700)

    upward = [edge for edge, points in layout.routes.items() if points[0][1] > points[-1][1]]
    assert upward == [("c", "a")]


def test_an_arrow_passes_between_boxes_not_through_them() -> None:
    """One that skips a row has a lane in it."""
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("a", "d"), ("d", "c")]
    layout = arrange([box(name) for name in "abcd"], edges, room=700)

    for x, y in layout.routes["a", "c"][1:-1]:
        for name in "bd":
            one = layout.boxes[name]
            assert not (one.x < x < one.x + one.box.width and one.y < y < one.y + one.box.height)


def test_a_row_that_is_too_wide_is_folded() -> None:
    """Into rows of about the same width."""
    layout = arrange([box(name, 200) for name in "abcdefgh"], [], room=900)

    rows = sorted({one.y for one in layout.boxes.values()})
    assert len(rows) == 2
    assert layout.width <= 900 + 48


def test_words_are_wrapped_within_the_room() -> None:
    """By their widths, with less room in the first line if something stands there."""
    words = ["one", "two", "three", "four"]

    assert wrapped(words, 12, 1000) == ["one two three four"]
    assert all(width(line, 12) <= 60 for line in wrapped(words, 12, 60))
    assert wrapped(words, 12, 60, first=59)[0] == ""
    assert wrapped(["unbreakable"], 12, 10) == ["unbreakable"]
    assert wrapped([], 12, 10) == []


def test_wide_letters_are_wider() -> None:
    """So that a line of them is not as long as one of narrow ones."""
    assert width("WWW", 12) > 2 * width("iii", 12)
    assert width("abc", 12, bold=True) > width("abc", 12)
    assert width("日本", 12) > 0
