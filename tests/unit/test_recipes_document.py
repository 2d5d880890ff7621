"""Recipes that are wrong: every mistake, at once, by its path."""

from __future__ import annotations

import copy
import re
from datetime import date
from typing import Any

import pytest

from worker import recipes
from worker.domain.errors import RecipeError
from worker.recipes.document import build
from worker.recipes.schema import MAXIMUM_PROBLEMS, TABLES, Problems, RecipeKey

VALID: dict[str, Any] = {
    "name": "x",
    "version": 1,
    "renditions": [
        {
            "name": "page",
            "width": 100,
            "formats": [{"format": "webp", "target": {"ssim": 0.9}}, "jpeg"],
            "watermark": {"text": "hello"},
        }
    ],
    "limits": {},
    "moderation": {"categories": [{"name": "explicit", "hold": 60}]},
    "labels": {},
}
PLACES = {
    "Recipe": "",
    "Limits": "limits",
    "ModerationRules": "moderation",
    "CategoryRule": "moderation.categories[0]",
    "LabelRules": "labels",
    "RenditionSpec": "renditions[0]",
    "Encoding": "renditions[0].formats[0]",
    "QualityTarget": "renditions[0].formats[0].target",
    "Watermark": "renditions[0].watermark",
}
KEYS = [
    pytest.param(PLACES[table.fills.__name__], name, key, id=f"{table.fills.__name__}-{name}")
    for table in TABLES
    for name, key in table.keys.items()
]
WRONG_TYPES: dict[str, list[object]] = {
    "whole number": ["12", 1.0, True, [], {}, date(2020, 1, 2)],
    "number": ["1", False, [1], {}],
    "true or false": [1, 0, "true", []],
    "text": [1, True, ["jpeg"], {}],
    "array of text": ["jpeg", {}, 1],
    "array of two numbers": [0.5, "0.5", {}],
    "array": ["jpeg", {}, 1],
    "array of tables": [{}, "x"],
    "table": [[], "x", 1, True],
}


def complaints(document: dict[str, Any]) -> dict[str, str]:
    """Every problem of a document that tomllib has read, by path."""
    problems = Problems()
    build(document, lambda _name, _path, _problems: b"", problems)
    return {problem.path: problem.message for problem in problems.all()}


def changed(path: str, key: str, value: object) -> dict[str, Any]:
    """VALID with one key set, in the table at ``path``."""
    document = copy.deepcopy(VALID)
    if key == "progressive":  # WebP has everything but that
        document["renditions"][0]["formats"] = [{"format": "jpeg"}]
    if key in ("distance", "repack"):
        document["renditions"][0]["formats"] = [{"format": "jxl"}]
    table: Any = document
    for part in path.replace("[", ".[").split(".") if path else ():
        table = table[int(part[1:-1])] if part.startswith("[") else table[part]
    table[key] = value
    return document


def parse_complaints(text: str) -> dict[str, str]:
    """Every problem of a TOML text, by path."""
    with pytest.raises(RecipeError) as caught:
        recipes.parse(text)
    return {problem.path: problem.message for problem in caught.value.problems}


def rendition(**keys: object) -> dict[str, str]:
    """Problems of VALID with keys of its rendition set, and those that are None removed."""
    document = copy.deepcopy(VALID)
    merged = document["renditions"][0] | keys
    document["renditions"][0] = {k: v for k, v in merged.items() if v is not None}
    return complaints(document)


def formats(*entries: object, **defaults: object) -> dict[str, str]:
    """Problems of VALID with these formats and [defaults]."""
    document = changed("renditions[0]", "formats", list(entries))
    return complaints(document | {"defaults": defaults})


def test_the_valid_document_is_valid() -> None:
    """The document that the other tests modify has no mistakes."""
    assert complaints(VALID) == {}


@pytest.mark.parametrize(("path", "name", "key"), KEYS)
def test_wrong_types_are_reported_at_their_path(path: str, name: str, key: RecipeKey) -> None:
    """No key takes a value of another type, however close it looks."""
    here = f"{path}.{name}" if path else name
    for value in WRONG_TYPES[key.type]:
        found = complaints(changed(path, name, value))
        assert here in found, f"{here} took {value!r}"
        assert found[here].startswith(("must be", "is missing"))


@pytest.mark.parametrize(("path", "name", "key"), KEYS)
def test_values_out_of_range_are_reported(path: str, name: str, key: RecipeKey) -> None:
    """Just beyond either end, huge, not a number: each is reported with what would be right."""
    outside: list[object] = []
    ends = key.range.split(" to ")
    if key.type == "whole number":
        outside = [int(ends[0]) - 1, int(ends[1]) + 1, 10**5000, -(10**5000)]
    elif key.type == "number":
        outside = [float(ends[0]) - 0.001, float(ends[1]) + 0.001]
        outside += [10**400, float("inf"), float("nan")]
    elif key.words:
        outside = ["", "JPEG ", "nothing-like-it", "\x1b[31m"]
    elif key.type == "text":
        longest = re.search(r"(\d+) (?:lower|char)", key.range)
        outside = ["x" * (int(longest[1]) + 1 if longest else 8)]
    here = f"{path}.{name}" if path else name
    for value in outside:
        message = complaints(changed(path, name, value))[here]
        assert message.startswith("must be ")
        assert message.isprintable()
        assert len(message) < 300


@pytest.mark.parametrize("path", PLACES.values())
def test_unknown_keys_are_errors_in_every_table(path: str) -> None:
    """No table takes a key it does not know."""
    here = f"{path}.zzzzzz" if path else "zzzzzz"
    assert complaints(changed(path, "zzzzzz", 1))[here] == "unknown key"


@pytest.mark.parametrize(
    ("path", "key", "says"),
    [
        ("renditions[0]", "widht", 'did you mean "width"?'),
        ("renditions[0].watermark", "color", 'did you mean "colour"?'),
        ("renditions[0]", "quality", "belongs to an entry of formats, or [defaults.<format>]"),
        ("limits", "gamut", "belongs to the top of the file, before the first [table]"),
        ("", "width", "belongs to [[renditions]]"),
    ],
)
def test_unknown_keys_come_with_advice(path: str, key: str, says: str) -> None:
    """A key that is nearly right, or right elsewhere, is answered with where to go."""
    assert says in complaints(changed(path, key, 1))[f"{path}.{key}" if path else key]


def test_gain_maps_need_a_jpeg() -> None:
    """Only JPEG carries a gain map: a recipe without one that keeps them is a mistake."""
    kept = VALID | {"keep": ["gainmap"]}
    assert complaints(kept) == {}
    without = [VALID["renditions"][0] | {"formats": ["webp", "avif"]}]
    assert complaints(VALID | {"renditions": without}) == {}
    assert "has no effect" in complaints(kept | {"renditions": without})["keep"]


@pytest.mark.parametrize(
    ("keys", "path", "says"),
    [
        ({"categories": []}, "categories", "must be 1 to 64"),
        ({"categories": ["explicit"]}, "categories[0]", "must be a table"),
        ({"categories": [{"name": "hate"}]}, "categories[0]", "needs blur, hold or reject"),
        (
            {"categories": [{"name": "hate", "hold": 90, "reject": 60}]},
            "categories[0].hold",
            "from 60 on it is reject",
        ),
        (
            {"categories": [{"name": "hate", "blur": 70, "hold": 70}]},
            "categories[0].blur",
            "from 70 on it is hold",
        ),
        (
            {"categories": [{"name": "hate", "hold": 60}, {"name": "hate", "blur": 60}]},
            "categories[1].name",
            "is taken by moderation.categories[0]",
        ),
        ({"uncertain": [80, 20]}, "uncertain", "begins at 80, above its end at 20"),
        ({"uncertain": [70, 90]}, "uncertain", "above the threshold of 60"),
        ({"uncertain": [1]}, "uncertain", "two numbers"),
        ({"tiers": ["classifier"], "near_duplicates": False}, "near_duplicates", "earlier is no"),
        ({"tiers": ["earlier"]}, "tiers", "need classifier or rekognition"),
        ({"tiers": ["rekognition"], "uncertain": [1, 2]}, "uncertain", "classifier is no tier"),
        ({"tiers": ["classifier"], "sample": 0.5}, "sample", "rekognition is no tier"),
        ({"tiers": ["rekognition"], "sample": 0.5}, "sample", "classifier is no tier"),
    ],
)
def test_contradictions_of_moderation_are_errors(
    keys: dict[str, Any], path: str, says: str
) -> None:
    """Thresholds that contradict each other, and keys that no tier uses, are reported."""
    found = complaints(VALID | {"moderation": VALID["moderation"] | keys})
    assert says in found[f"moderation.{path}"]
    assert list(found) == [f"moderation.{path}"]


@pytest.mark.parametrize("name", ["none", "video"])
def test_moderation_needs_a_workflow_that_goes_on(name: str) -> None:
    """Moderation needs a workflow that handles held uploads; "moderate" is the default."""
    assert "which does nothing" in complaints(VALID | {"workflow": name})["workflow"]
    without = {key: value for key, value in VALID.items() if key != "moderation"}
    assert "no [moderation]" in complaints(without | {"workflow": "moderate"})["workflow"]
    assert complaints(VALID | {"workflow": "approve"}) == {}


@pytest.mark.parametrize(
    ("focus", "path", "says"),
    [
        (["Person"], "focus", "no rendition has fit"),
        (["Dog", 1], "focus[1]", "must be text"),
        (["Dog", " dog "], "focus[1]", "listed twice"),
        (["  "], "focus[0]", "blank"),
        (["a\x1b[2J"], "focus[0]", "1 to 100 characters"),
        (["x" * 101], "focus[0]", "1 to 100 characters"),
        ([f"label {number}" for number in range(21)], "focus", "at most 20 names"),
    ],
)
def test_labels_that_cuts_cannot_go_by_are_errors(
    focus: list[object], path: str, says: str
) -> None:
    """Names that are no label, twice the same, and names where nothing is cut."""
    found = complaints(VALID | {"labels": {"focus": focus}})
    assert says in found[f"labels.{path}"]
    assert list(found) == [f"labels.{path}"]


def test_a_workflow_of_ones_own_must_ask_for_labels_too() -> None:
    """The stages are read from the workflow file."""
    own = """
name = "own"
version = 1
starts = "always"
first = "tell"
failed = "broken"
[stages.tell]
kind = "webhook"
endpoint = "shop"
next = "end"
[stages.broken]
kind = "fail"
error = "OwnFailed"
message = "It failed."
"""
    text = """name = "x"
version = 1
workflow = "own.toml"
[labels]
[[renditions]]
name = "page"
width = 100
formats = ["jpeg"]
"""
    with pytest.raises(RecipeError, match="nothing in it asks for labels"):
        recipes.parse(text, assets={"own.toml": own.encode()})
    asks = own.replace('kind = "webhook"\nendpoint = "shop"', 'kind = "label"')
    assert recipes.parse(text, assets={"own.toml": asks.encode()}).labels


@pytest.mark.parametrize("name", ["none", "video"])
def test_labels_need_a_workflow_that_asks(name: str) -> None:
    """A recipe with labels needs a workflow with a stage ``label``, because each call costs
    money."""
    without = {key: value for key, value in VALID.items() if key != "moderation"}
    assert "nothing in it asks" in complaints(without | {"workflow": name})["labels"]
    assert complaints(without | {"workflow": "approve"}) == {}


def test_moderators_need_a_file_that_they_can_look_at() -> None:
    """JPEG XL is read by no moderator, and what is made at first view is not there yet."""
    page = VALID["renditions"][0]
    alone = [page | {"formats": ["jxl", {"format": "webp", "first_view": True}]}]
    assert "not jxl" in complaints(VALID | {"renditions": alone})["moderation"]
    assert complaints(VALID | {"renditions": [page | {"formats": ["jxl", "webp"]}]}) == {}


def test_near_words_are_suggested() -> None:
    """Misspelled choices are answered with the nearest word."""
    assert 'did you mean "jpeg"?' in formats("jpg")["renditions[0].formats[0]"]
    found = rendition(fit="cover", height=1, gravity="center")
    assert 'did you mean "centre"?' in found["renditions[0].gravity"]
    assert 'did you mean "webp"?' in formats("jpeg", wepb={})["defaults.wepb"]


def test_all_mistakes_are_reported_at_once() -> None:
    """One run tells everything, in the order of the file as far as it has one."""
    found = parse_complaints(
        'version = "1"\ncolour = 1\n[limits]\nbytes = 0\n[[renditions]]\nname = "A"\n'
        'width = 0\nformats = ["jpeg", "jpeg"]\n'
    )
    assert list(found) == [
        "version",
        "colour",
        "name",
        "limits.bytes",
        "renditions[0].name",
        "renditions[0].width",
        "renditions[0].formats[1]",
    ]


def test_error_names_the_recipe_and_counts() -> None:
    """The message of the error is what a command line prints as it is."""
    with pytest.raises(RecipeError) as caught:
        recipes.parse("", subject="recipe mine.toml")
    assert caught.value.code == "recipe_invalid"
    assert str(caught.value) == (
        "recipe mine.toml: 3 problems\n  name: is missing\n  version: is missing\n"
        "  renditions: is missing"
    )


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({"width": None}, "renditions[0]"),
        ({"fit": "cover"}, "renditions[0].height"),
        ({"fit": "contain", "width": None, "height": 5}, "renditions[0].width"),
        ({"fit": "exact"}, "renditions[0].height"),
        ({"gravity": "north"}, "renditions[0].gravity"),
        ({"fit": "cover", "height": 5, "gravity": "focal"}, "renditions[0].focal_point"),
        ({"fit": "cover", "height": 5, "focal_point": [0, 0]}, "renditions[0].focal_point"),
        ({"focal_point": [0]}, "renditions[0].focal_point"),
        ({"focal_point": [0, 1.1]}, "renditions[0].focal_point[1]"),
        ({"formats": []}, "renditions[0].formats"),
        ({"formats": [1]}, "renditions[0].formats[0]"),
        ({"formats": ["tiff"]}, "renditions[0].formats[0]"),
        ({"formats": [{}]}, "renditions[0].formats[0].format"),
        ({"width": 16_384}, "renditions[0].formats[0]"),
        ({"background": "#fff"}, "renditions[0].background"),
        ({"background": "white"}, "renditions[0].background"),
        ({"name": "../up"}, "renditions[0].name"),
        ({"name": "a\n"}, "renditions[0].name"),
        ({"name": ""}, "renditions[0].name"),
        ({"watermark": {}}, "renditions[0].watermark"),
        ({"watermark": {"text": "a", "image": "b"}}, "renditions[0].watermark"),
        ({"watermark": {"text": "a\nb"}}, "renditions[0].watermark.text"),
        ({"watermark": {"text": "a", "position": "focal"}}, "renditions[0].watermark.position"),
        (
            {"watermark": {"image": "b", "colour": "#000000"}},
            "renditions[0].watermark.colour",
        ),
    ],
)
def test_rules_of_a_rendition(keys: dict[str, object], path: str) -> None:
    """Keys that contradict each other, or lack each other, are one problem at one path."""
    assert list(rendition(**keys)) == [path]


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"format": "jpeg", "effort": 1}, "effort"),
        ({"format": "jpeg", "lossless": False}, "lossless"),
        ({"format": "png", "quality": 80}, "quality"),
        ({"format": "png", "lossless": True}, "lossless"),
        ({"format": "png", "effort": 0}, "effort"),
        ({"format": "gif", "target": {"ssim": 0.9}}, "target"),
        ({"format": "webp", "progressive": True}, "progressive"),
        ({"format": "webp", "effort": 7}, "effort"),
        ({"format": "avif", "effort": 10}, "effort"),
        ({"format": "webp", "lossless": True, "quality": 80}, "quality"),
        ({"format": "webp", "lossless": True, "target": {"ssim": 0.9}}, "target"),
        ({"format": "webp", "target": {"ssim": 0.9}, "quality": 80}, "quality"),
        ({"format": "webp", "target": {"ssim": 0.9, "minimum": 96}}, "target.minimum"),
        ({"format": "webp", "target": {}}, "target"),
    ],
)
def test_rules_of_a_format(entry: dict[str, object], path: str) -> None:
    """A format refuses what it does not have, and two ways to say how good it should look."""
    assert list(formats(entry)) == [f"renditions[0].formats[0].{path}"]
    name = str(entry["format"])
    table = {key: value for key, value in entry.items() if key != "format"}
    assert list(formats(name, **{name: table})) == [f"defaults.{name}.{path}"]


def test_entry_without_a_format_is_read_as_far_as_possible() -> None:
    """Mistakes that do not depend on the format are reported together with the missing format."""
    assert list(formats({"quality": 0, "effort": 9, "ef": 1})) == [
        f"renditions[0].formats[0].{key}" for key in ("quality", "ef", "format")
    ]


def test_defaults_take_tables_only() -> None:
    """[defaults] has tables named by format, which do not repeat the format."""
    assert list(formats("jpeg", jpeg=1)) == ["defaults.jpeg"]
    assert list(formats("jpeg", jpeg={"format": "jpeg"})) == ["defaults.jpeg.format"]


def test_renditions_are_named_once_and_bounded() -> None:
    """Names are unique, there is at least one rendition, and there are not too many."""
    one = VALID["renditions"][0]
    assert list(complaints(VALID | {"renditions": [one, one]})) == ["renditions[1].name"]
    assert list(complaints(VALID | {"renditions": []})) == ["renditions"]
    assert list(complaints(VALID | {"renditions": ["a"]})) == ["renditions[0]"]
    many = [one | {"name": f"r{index}"} for index in range(33)]
    assert list(complaints(VALID | {"renditions": many[:32]})) == []
    assert list(complaints(VALID | {"renditions": many})) == ["renditions"]


def test_sets_have_no_doubles() -> None:
    """A word listed twice was meant to be another."""
    assert list(complaints(VALID | {"keep": ["gps", "gps"]})) == ["keep[1]"]
    assert list(complaints(VALID | {"accept": []})) == ["accept"]
    assert list(complaints(VALID | {"keep": ["gps"] * 65})) == ["keep"]


def test_a_wrong_value_is_not_blamed_twice() -> None:
    """A height that is no number is not reported as missing too."""
    assert list(rendition(fit="cover", height="5")) == ["renditions[0].height"]


def test_list_of_problems_is_bounded() -> None:
    """A file of nothing but mistakes gets a readable answer in bounded time."""
    keys: dict[str, Any] = {f"k{index}": 1 for index in range(20_000)}
    problems = Problems()
    build(VALID | keys, lambda _name, _path, _problems: b"", problems)
    assert len(problems.all()) == MAXIMUM_PROBLEMS + 1
    assert str(problems.all()[-1]) == "and 19900 more"


def test_messages_do_not_carry_control_characters() -> None:
    """Keys and values from a file cannot move the cursor of the terminal that shows them."""
    found = complaints(VALID | {"\x1b[2J" + "k" * 500: 1, "gamut": "\x07\ud800"})
    assert all(f"{path}{message}".isprintable() for path, message in found.items())
    assert max(len(path) for path in found) < 70


def test_two_words_of_approval_must_not_contradict_each_other() -> None:
    """Contradicting keys are a mistake; equal values are not."""
    document = copy.deepcopy(VALID) | {"approval": True}
    assert complaints(document | {"workflow": "moderate"}) == {
        "approval": 'contradicts workflow = "moderate"; leave it out'
    }
    assert complaints(document | {"workflow": "approve"}) == {}
