"""Labels: what is kept of a model's answer, their tags, what people refuse, and the focal point."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.label import (
    MAX_BOXES,
    MAX_LABELS,
    BoundingBox,
    Label,
    LabelRules,
    focal_point,
    make_room,
    refuse,
    succeed,
    tag_of,
    tags_after,
    usable,
)
from worker.domain.user_metadata import MAX_TAGS, check_tags

RULES = LabelRules(confidence=0, most=MAX_LABELS)
WHOLE = BoundingBox(left=0, top=0, width=1, height=1)


def seen(name: str, confidence: float = 90.0, *boxes: BoundingBox) -> Label:
    """A label."""
    return Label(name=name, confidence=confidence, boxes=boxes)


# --- what is kept of an answer ----------------------------------------------------------------


def test_labels_come_the_most_confident_first() -> None:
    """Those below the least confidence and those beyond the number are left out."""
    labels = [seen("Cat", 60), seen("Dog", 99.123), seen("Tree", 80), seen("Sky", 79.9)]

    rules = LabelRules(confidence=79, most=2)

    assert usable(labels, rules) == (seen("Dog", 99.12), seen("Tree", 80))


@pytest.mark.parametrize(
    "name",
    ["", "  ", "a\x00b", "a\nb\x1b[2J", "a\u202eb", "\ud800", "x" * 123, "ß" * 100],
    ids=["empty", "blank", "nul", "escape", "direction", "surrogate", "long", "long as a tag"],
)
def test_a_name_that_is_no_tag_is_left_out(name: str) -> None:
    """A model's answer comes from outside, and its names go into keys, pages and terminals."""
    assert usable([seen(name), seen("Dog")], RULES) == (seen("Dog"),)


@pytest.mark.parametrize("confidence", [math.nan, math.inf, -0.1, 100.1])
def test_a_confidence_out_of_range_is_left_out(confidence: float) -> None:
    """It says nothing that could be compared."""
    assert usable([seen("Dog", confidence)], RULES) == ()


def test_what_cuts_go_by_stays_before_what_is_more_certain() -> None:
    """Twenty labels of a street must not hide the person in it."""
    labels = [seen("Road", 99), seen("City", 98), seen("Person", 81), seen("Face", 70)]
    rules = LabelRules(confidence=80, most=2, focus=("face", "PERSON"))

    assert usable(labels, rules) == (seen("Road", 99), seen("Person", 81))


def test_names_of_one_tag_are_one_label() -> None:
    """The more confident one: two could not be told apart in a list."""
    assert usable([seen("dog", 70), seen("Dog", 80), seen("DOG ", 60)], RULES) == (seen("Dog", 80),)


def test_thousands_of_labels_and_boxes_are_few() -> None:
    """A record stays an item that can be stored."""
    boxes = [BoundingBox(left=0, top=0, width=one / 1000, height=0.5) for one in range(1, 1000)]
    found = usable((seen(f"Thing {number}", 50, *boxes) for number in range(5_000)), RULES)

    assert len(found) == MAX_LABELS
    assert [box.width for box in found[0].boxes] == [
        (1000 - number) / 1000 for number in range(1, MAX_BOXES + 1)
    ]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((-0.1, -0.2, 0.6, 0.6), (0, 0, 0.5, 0.4)),
        ((0.9, 0.9, 0.6, 0.6), (0.9, 0.9, 0.1, 0.1)),
        ((-5, -5, 50, 50), (0, 0, 1, 1)),
        ((1.2, 0, 0.5, 0.5), None),
        ((0.5, 0.5, 0, 0.5), None),
        ((0.5, 0.5, -0.2, 0.5), None),
        ((math.nan, 0, 0.5, 0.5), None),
        ((0, 0, math.inf, 0.5), None),
    ],
)
def test_boxes_are_cut_at_the_edges(box: tuple[float, ...], kept: tuple[float, ...] | None) -> None:
    """Boxes are clipped to the picture, and boxes without an area are dropped."""
    left, top, width, height = box
    (found,) = usable(
        [seen("Dog", 90, BoundingBox(left=left, top=top, width=width, height=height))], RULES
    )

    assert [(one.left, one.top, one.width, one.height) for one in found.boxes] == (
        [kept] if kept else []
    )


@given(
    st.lists(
        st.builds(
            Label,
            name=st.text(max_size=140),
            confidence=st.floats(),
            boxes=st.lists(
                st.builds(
                    BoundingBox,
                    left=st.floats(),
                    top=st.floats(),
                    width=st.floats(),
                    height=st.floats(),
                ),
                max_size=3,
            ).map(tuple),
        ),
        max_size=6,
    )
)
def test_any_answer_can_be_stored(labels: list[Label]) -> None:
    """Every label that is kept is a tag, and every box has an area inside the picture."""
    found = usable(labels, RULES)

    check_tags(frozenset(one.tag for one in found), {})
    assert len({one.tag for one in found}) == len(found)
    for box in (box for one in found for box in one.boxes):
        assert box.area > 0
        assert 0 <= box.left < box.left + box.width <= 1 + 1e-9
        assert 0 <= box.top < box.top + box.height <= 1 + 1e-9
    focal_point(found, [one.name for one in found])


# --- tags and people --------------------------------------------------------------------------


def test_a_tag_is_in_lower_case() -> None:
    """So that people find it without knowing how the model writes."""
    assert tag_of("Golden  Retriever ") == "label:golden retriever"
    assert seen("STRASSE").tag == seen("Straße").tag == "label:strasse"


def test_tags_of_people_stay() -> None:
    """Those of labels that are seen no more go, and new ones come."""
    tags = frozenset({"summer", "label:dog", "label:cat"})

    after = tags_after(tags, [seen("Dog"), seen("Cat")], [seen("Dog"), seen("Tree")])

    assert after == {"summer", "label:dog", "label:tree"}


def test_a_refused_label_stays_without_a_tag() -> None:
    """Also after a run that has not seen it, and one that has again."""
    known = refuse([seen("Dog"), seen("Cat")], removed=["label:dog"], added=[])
    unseen = succeed(known, [seen("Cat")])
    again = succeed(unseen, [seen("Dog", 99), seen("Cat")])

    assert [(one.name, one.refused) for one in unseen] == [("Cat", False), ("Dog", True)]
    assert [(one.name, one.refused) for one in again] == [("Dog", True), ("Cat", False)]
    assert tags_after(frozenset({"label:cat"}), unseen, again) == {"label:cat"}
    assert not any(one.refused for one in refuse(again, removed=[], added=["label:dog"]))


def test_labels_take_only_the_free_tags() -> None:
    """The least confident ones get none."""
    people = frozenset(f"tag {number}" for number in range(MAX_TAGS - 1))

    assert tags_after(people, [], [seen("Dog", 99), seen("Cat", 80)]) == people | {"label:dog"}


def test_tags_of_labels_make_room_for_people() -> None:
    """The least confident goes first, and never a tag that a person adds."""
    labels = [seen("Dog", 99), seen("Cat", 80)]
    people = frozenset(f"tag {number}" for number in range(MAX_TAGS - 1))
    tags = people | {"label:dog", "label:cat"}

    assert make_room(tags, labels, keep=[]) == people | {"label:dog"}
    assert make_room(tags, labels, keep=["label:cat"]) == people | {"label:cat"}
    full = people | {"one more", "two more"}
    assert make_room(full, labels, keep=[]) == full  # people alone have too many: a mistake
    assert make_room(people, labels, keep=[]) == people


# --- the focal point --------------------------------------------------------------------------


def test_the_first_wanted_label_with_boxes_is_the_middle() -> None:
    """The confidence does not matter; labels without boxes are skipped."""
    labels = [
        seen("Tree", 99, WHOLE),
        seen("Person", 95),
        seen("Golden Retriever", 60, BoundingBox(left=0.5, top=0.2, width=0.2, height=0.4)),
    ]

    assert focal_point(labels, ["person", "golden retriever", "tree"]) == (0.6, 0.4)
    assert focal_point(labels, ["person", "cat"]) is None
    assert focal_point(labels, []) is None


def test_several_boxes_are_weighed_by_their_area() -> None:
    """Somebody far away hardly moves the middle of a portrait."""
    near = BoundingBox(left=0.1, top=0.1, width=0.4, height=0.8)
    far = BoundingBox(left=0.9, top=0.4, width=0.02, height=0.05)

    x, y = focal_point([seen("Person", 90, near, far)], ["Person"]) or (0, 0)

    assert (x, y) == (0.3, 0.5)


def test_a_refused_label_is_no_middle() -> None:
    """It is not what it says."""
    dog = replace(seen("Dog", 90, WHOLE), refused=True)

    assert focal_point([dog], ["dog"]) is None
