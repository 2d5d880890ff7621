"""The digest follows the meaning; random recipes are read, or refused, and nothing else."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import recipes
from worker.domain.errors import RecipeError
from worker.domain.image import Recipe
from worker.recipes.document import build
from worker.recipes.files import FOLDER
from worker.recipes.schema import Problems

BASE = """
name = "x"
version = 1
keep = ["artist", "copyright"]
[[renditions]]
name = "p"
width = 8
height = 9
formats = ["jpeg", { format = "webp", quality = 70 }]
[[renditions]]
name = "q"
width = 7
formats = ["png"]
watermark = { text = "me" }
"""
MODERATED = '[moderation]\ncategories = [{ name = "hate", hold = 60, reject = 90 }]\n'
LABELS = "[labels]\n"
PNG = b"\x89PNG\r\n\x1a\n"
SHIPPED = [(FOLDER / f"{name}.toml").read_text(encoding="utf-8") for name in recipes.shipped()]


def digest(text: str) -> str:
    """The digest of a TOML text."""
    return recipes.parse(text).digest


def built(document: dict[str, Any]) -> Recipe | None:
    """The recipe of a document, without its digest; None if it has mistakes."""
    problems = Problems()
    recipe = build(document, lambda _name, _path, _problems: PNG, problems)
    return None if problems else recipe


# --- digest -----------------------------------------------------------------------------------


def test_digest_is_pinned() -> None:
    """A change to the canonical form, or to a default, moves every output key: on purpose only."""
    assert digest(BASE) == "114cf39011e2aefbf3ea177b4abd4726a9deb11b235566e868e1743173a3c85e"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "# a comment\n" + text.replace("\n", "  # why\n"),
        lambda text: text.replace("version = 1", 'version = 1\ndescription = "changed"'),
        lambda text: text.replace('["artist", "copyright"]', '["copyright", "artist"]'),
        lambda text: text.replace('keep = ["artist", "copyright"]\n', ""),
        lambda text: text.replace('name = "p"\nwidth = 8', 'width = 8\nname = "p"'),
        lambda text: text.replace('"jpeg"', '{ quality = 80, progressive = true, format = "jpeg"}'),
        lambda text: text.replace("width = 7", 'width = 7\nfit = "inside"\nsharpen = -0.0'),
        lambda text: text.replace("width = 7", "width = 0x7\nminimum_saving = 0"),
        lambda text: text.replace("width = 7", 'width = 7\nbackground = "#FFFFFF"'),
        lambda text: text + "[defaults.avif]\nquality = 5\n[limits]\nduration = 120",
        lambda text: text.replace(", quality = 70", "") + "[defaults.webp]\nquality = 70",
    ],
)
def test_digest_ignores_what_means_nothing(change: Callable[[str], str]) -> None:
    """Comments, order, spelled-out and unused defaults, spellings and description are no change."""
    changed = change(BASE)
    assert changed != BASE
    assert digest(changed) == digest(BASE)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"x"', '"y"'),
        lambda text: text.replace("version = 1", "version = 2"),
        lambda text: text.replace("version = 1", "version = 1\nlinear = true"),
        lambda text: text.replace("version = 1", 'version = 1\naccept = ["jpeg"]'),
        lambda text: text.replace("version = 1", 'version = 1\ngamut = "p3"'),
        lambda text: text.replace('["artist", "copyright"]', "[]"),
        lambda text: text.replace("width = 8", "width = 9").replace("height = 9", "height = 8"),
        lambda text: text.replace("quality = 70", "effort = 3"),
        lambda text: text.replace("quality = 70", "lossless = true"),
        lambda text: text.replace("quality = 70", "target = { ssim = 0.9 }"),
        lambda text: text.replace("70 }]", "70 }, 'gif']"),
        lambda text: text.replace("width = 7", "width = 7\nframes = 1"),
        lambda text: text.replace('"me"', '"you"'),
        lambda text: (
            text + "limits.bytes = 1" if "[limits]" in text else text + "[limits]\nbytes=1"
        ),
        lambda text: text.replace('"p"', '"z"'),
        lambda text: text + MODERATED,
    ],
)
def test_digest_follows_the_meaning(change: Callable[[str], str]) -> None:
    """Every change of accepted inputs or of outputs changes the digest."""
    assert digest(change(BASE)) != digest(BASE)


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ('unavailable = "hold"\nsample = 0\nuncertain = [20, 80]\n', True),
        ('tiers = ["rekognition", "classifier", "earlier"]\n', True),
        ('tiers = ["earlier", "rekognition"]\n', False),
        ("sample = 0.01\n", False),
        ("near_duplicates = true\n", True),
        ("near_duplicates = false\n", False),
        ("uncertain = [20, 70]\n", False),
        ('unavailable = "pass"\n', False),
    ],
)
def test_digest_follows_moderation(keys: str, same: bool) -> None:
    """Spelled-out defaults of moderation are no change, and what decides otherwise is one."""
    first, second = recipes.parse(BASE + MODERATED), recipes.parse(BASE + MODERATED + keys)
    assert (first.digest == second.digest) is same
    assert recipes.parse(recipes.dump(second)) == second


def test_digest_follows_labels() -> None:
    """Spelled-out defaults are no change; the order of what cuts go by is its meaning."""
    approved = BASE.replace("version = 1", 'version = 1\nworkflow = "approve"')
    bare, whole = (
        recipes.parse(f"{approved}{LABELS}{keys}")
        for keys in ("", "confidence = 80\nmost = 20\ntags = true\nfocus = []\n")
    )
    assert bare == whole
    assert bare.digest != digest(approved)
    cuts = approved.replace("height = 9", 'height = 9\nfit = "cover"') + LABELS + "focus = "
    first, second = recipes.parse(cuts + '["Dog", "Cat"]'), recipes.parse(cuts + '["Cat", "Dog"]')
    assert first.digest != second.digest
    assert recipes.parse(recipes.dump(first)) == first


def test_order_of_renditions_and_formats_is_meaning() -> None:
    """The order decides what a client falls back to, so it is part of the digest."""
    document = recipes.as_dict(recipes.parse(BASE))
    assert isinstance(document["renditions"], list)
    swapped = document | {"renditions": document["renditions"][::-1]}
    first, second = built(document), built(swapped)
    assert first is not None
    assert second is not None
    assert recipes.fingerprint(first) != recipes.fingerprint(second)


def test_digest_includes_the_contents_of_watermarks(tmp_path: Path) -> None:
    """Another picture under the same name is another recipe; the same elsewhere is not."""

    def of(name: str, contents: bytes) -> str:
        (tmp_path / name).write_bytes(contents)
        text = BASE.replace('text = "me"', f'image = "{name}"')
        return recipes.parse(text, folder=tmp_path).digest

    assert of("a.png", PNG + b"1") != of("a.png", PNG + b"2")
    assert of("a.png", PNG + b"1") == of("b.png", PNG + b"1")


def test_recipe_made_in_code_has_a_digest_too() -> None:
    """``fingerprint`` gives a recipe from anywhere the digest its file would have."""
    recipe = recipes.parse(BASE)
    assert recipes.fingerprint(replace(recipe, digest="", description="no")) == recipe.digest


# --- random recipes ---------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True)
SHARES = st.floats(0, 1)
LOOKS = st.one_of(
    st.fixed_dictionaries({}, optional={"quality": st.integers(1, 100)}),
    st.fixed_dictionaries({"target": st.fixed_dictionaries({"ssim": st.floats(0.5, 0.999)})}),
)
ENTRIES = {
    "jpeg": LOOKS,
    "webp": st.one_of(LOOKS, st.just({"lossless": True})),
    "avif": st.builds(lambda look, effort: look | {"effort": effort}, LOOKS, st.integers(0, 9)),
    "png": st.fixed_dictionaries({}, optional={"effort": st.integers(1, 9)}),
    "gif": st.just({}),
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid recipes as tomllib would give them."""
    renditions = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        formats = draw(st.lists(st.sampled_from(sorted(ENTRIES)), min_size=1, unique=True))
        spec: dict[str, Any] = {
            "name": name,
            "width": draw(st.integers(1, 16_383)),
            "height": draw(st.integers(1, 16_383)),
            "fit": draw(st.sampled_from(["inside", "contain", "exact"])),
            "formats": [draw(ENTRIES[format_]) | {"format": format_} for format_ in formats],
        }
        optional = {
            "sharpen": st.floats(0, 5),
            "enlarge": st.booleans(),
            "watermark": st.fixed_dictionaries({"text": st.just("© x"), "opacity": SHARES}),
        }
        renditions.append(spec | draw(st.fixed_dictionaries({}, optional=optional)))
    keep = st.lists(st.sampled_from(["gps", "camera", "artist"]), unique=True)
    top = {"linear": st.booleans(), "keep": keep, "description": st.text('ab\n"\\é', max_size=9)}
    return {
        "name": draw(NAMES),
        "version": draw(st.integers(1, 99)),
        "renditions": renditions,
        **draw(st.fixed_dictionaries({}, optional=top)),
    }


SCALARS = st.one_of(
    st.none().map(lambda _: {}),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.text(max_size=20),
    st.sampled_from(["jpeg", "webp", "cover", "focal", "gps", "#000000", [], [[]], {"a": {}}]),
)
KEYS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["name", "formats", "quality", "target", "watermark", "limits", "defaults"]),
)


def nodes(value: object) -> list[Any]:
    """Every table and array in ``value``, itself included."""
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return []
    return [value, *(node for item in inside for node in nodes(item))]  # type: ignore[attr-defined]


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """Documents with up to four random changes anywhere."""
    document = copy.deepcopy(draw(documents()))
    for _ in range(draw(st.integers(1, 4))):
        node = draw(st.sampled_from([node for node in nodes(document) if node] or [document]))
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        place = draw(st.sampled_from(places)) if places else None
        action = draw(st.sampled_from(["set", "drop", "add"]))
        if action == "drop" and place is not None:
            del node[place]
        elif action == "set" and place is not None:
            node[place] = copy.deepcopy(draw(SCALARS))
        elif isinstance(node, dict):
            node[draw(KEYS)] = copy.deepcopy(draw(SCALARS))
        else:
            node.append(copy.deepcopy(draw(SCALARS)))
    return document


def shuffled(value: Any, order: random.Random) -> Any:
    """``value`` with the keys of every table in another order; arrays keep theirs."""
    if isinstance(value, list):
        return [shuffled(item, order) for item in value]
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return value


@given(documents(), st.randoms(use_true_random=False))
def test_digest_is_stable_under_order(document: dict[str, Any], order: random.Random) -> None:
    """However the keys are ordered, the recipe and its digest are the same."""
    recipe, other = built(document), built(shuffled(document, order))
    assert recipe is not None
    assert other is not None
    assert other == recipe
    assert recipes.fingerprint(other) == recipes.fingerprint(recipe)


@given(documents())
def test_any_recipe_can_be_written_and_read_back(document: dict[str, Any]) -> None:
    """TOML with every default spelled out means the same as what it was written from."""
    recipe = built(document)
    assert recipe is not None
    again = recipes.parse(recipes.dump(recipe))
    assert replace(again, digest="") == recipe
    assert again.digest == recipes.fingerprint(recipe)


@given(broken())
def test_random_mistakes_are_problems(document: dict[str, Any]) -> None:
    """A document with random changes is a recipe or a list of printable problems, never a raise."""
    problems = Problems()
    recipe = build(document, lambda _name, _path, _problems: PNG, problems)
    if problems:
        assert all(str(problem).isprintable() for problem in problems.all())
    else:
        assert len(recipes.fingerprint(recipe)) == 64
        recipes.advise(recipe)


@given(st.data())
def test_random_text_is_a_recipe_error(data: st.DataObject) -> None:
    """Shipped recipes with random pieces cut, moved or put in raise nothing but RecipeError."""
    text = data.draw(st.sampled_from(SHIPPED))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 60)))
        piece = data.draw(
            st.one_of(
                st.text(max_size=10),
                st.sampled_from(["=", "[", "]", "{", '"', "\n", "[a]\n", "true", "1e999", "'''"]),
            )
        )
        text = text[:start] + piece + text[end:]
    with suppress(RecipeError):
        assert len(recipes.parse(text).digest) == 64
