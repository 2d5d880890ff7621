"""Labels of pictures by a model, the tags made of them, and the focal point that follows.

A model's response is untrusted. :func:`usable` keeps the labels that can be stored; all other
functions take its result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from worker.domain.errors import InputError
from worker.domain.user_metadata import MAX_NAME, MAX_TAGS, check_tags

REKOGNITION = "rekognition"
"""Source of labels by Amazon Rekognition's DetectLabels."""
TAG = "label:"
"""Prefix of the tag of a label."""
MAX_LABELS = 50
"""Most labels of one asset; with all their boxes they take some 8 kB of its item."""
MAX_BOXES = 8
"""Most boxes of one label; the largest are kept."""
_MAX_LABEL_NAME = MAX_NAME - len(TAG)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRules:
    """``[labels]`` of a recipe."""

    confidence: float = 80.0
    """Labels with a lower confidence are dropped; 0 to 100."""
    most: int = 20
    tags: bool = True
    """Whether labels also become tags."""
    focus: tuple[str, ...] = ()
    """Names of labels whose boxes are the centre of crops, in order of preference."""

    @property
    def mark(self) -> str:
        """Identifies the rules that affect which labels are kept. A picture is sent to the model
        once for the same rules, because each call costs money."""
        wanted = sorted({tag_of(name) for name in self.focus})
        text = repr((self.confidence, self.most, self.tags, wanted))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundingBox:
    """A bounding box, as fractions of the upright picture's width and height, 0 to 1."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Share of the picture."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label that a model has given to a picture."""

    name: str
    """The model's term: ``Dog``, ``Golden Retriever``."""
    confidence: float
    """0 to 100."""
    source: str = REKOGNITION
    """The model or service that gave the label."""
    model_version: str = ""
    """Version of the model, if the source names it; otherwise empty."""
    boxes: tuple[BoundingBox, ...] = ()
    """Bounding boxes, the largest first; empty for labels without a position, such as a forest."""
    refused: bool = False
    """Whether a person has removed its tag. Later runs do not add the tag again."""

    @property
    def tag(self) -> str:
        """The tag under which assets with this label are listed: ``label:golden retriever``."""
        return tag_of(self.name)


def tag_of(name: str) -> str:
    """The tag of a label's name, in lower case and with single spaces."""
    return TAG + " ".join(name.split()).casefold()


def usable(seen: Iterable[Label], rules: LabelRules) -> tuple[Label, ...]:
    """The labels that can be stored and that the rules keep, by falling confidence.

    Dropped are names that cannot be a tag, a second label with the same tag, confidences that are
    not a number from 0 to 100, and boxes without an area. Boxes are clipped to the picture, because
    Rekognition may return boxes that extend beyond it (Amazon Rekognition API Reference,
    BoundingBox). If there are too many labels, those named in ``focus`` take precedence over higher
    confidence.
    """
    found: dict[str, Label] = {}
    known = (one for one in seen if _is_usable(one) and one.confidence >= rules.confidence)
    for one in sorted(known, key=lambda one: (-one.confidence, one.name)):
        found.setdefault(one.tag, one)
    focus = {tag_of(name) for name in rules.focus}
    kept = sorted(found, key=lambda tag: tag not in focus)[: rules.most]
    return tuple(_tidy(one) for tag, one in found.items() if tag in kept)


def _tidy(label: Label) -> Label:
    boxes = sorted(filter(None, map(_inside, label.boxes)), key=lambda box: -box.area)
    confidence = round(label.confidence, 2)
    return replace(label, confidence=confidence, boxes=tuple(boxes[:MAX_BOXES]))


def _is_usable(label: Label) -> bool:
    try:
        check_tags(frozenset({label.tag}), {})
    except InputError:
        return False
    return bool(label.name.strip()) and 0 <= label.confidence <= 100


def _inside(box: BoundingBox) -> BoundingBox | None:
    """The part of a box inside the picture, rounded to a hundredth of a percent."""
    sides = (box.left, box.top, box.left + box.width, box.top + box.height)
    if not all(map(math.isfinite, sides)):
        return None
    left, top, right, bottom = (round(min(max(side, 0.0), 1.0), 4) for side in sides)
    if right <= left or bottom <= top:
        return None
    return BoundingBox(
        left=left, top=top, width=round(right - left, 4), height=round(bottom - top, 4)
    )


def succeed(known: Sequence[Label], new: Sequence[Label]) -> tuple[Label, ...]:
    """The labels of an asset after another run of the model on the same picture.

    A label whose tag a person has removed stays refused, even if the new run does not report it.
    """
    refused = {one.tag: one for one in known if one.refused}
    labels = [replace(one, refused=one.tag in refused) for one in new]
    seen = {one.tag for one in new}
    labels += [one for tag, one in refused.items() if tag not in seen]
    return tuple(labels[:MAX_LABELS])


def tags_after(
    tags: frozenset[str], known: Sequence[Label], new: Sequence[Label]
) -> frozenset[str]:
    """The tags of an asset after its labels ``known`` are replaced by ``new``.

    Tags of people stay. If there would be too many tags, the labels of lowest confidence get none.
    """
    kept = tags - {one.tag for one in known}
    wanted = [one.tag for one in new if not one.refused and one.tag not in kept]
    return kept | frozenset(wanted[: max(MAX_TAGS - len(kept), 0)])


def refuse(
    labels: Sequence[Label], *, removed: Iterable[str], added: Iterable[str]
) -> tuple[Label, ...]:
    """The labels after people have removed and added tags."""
    gone, back = frozenset(removed), frozenset(added)
    return tuple(
        replace(one, refused=one.tag not in back and (one.refused or one.tag in gone))
        for one in labels
    )


def make_room(tags: frozenset[str], labels: Sequence[Label], keep: Iterable[str]) -> frozenset[str]:
    """The tags of an asset, without those of its labels of lowest confidence if there are too many.

    So labels never prevent a person from adding a tag.

    Args:
        keep: tags that a person adds now.
    """
    given = frozenset(keep)
    spare = [one.tag for one in labels if one.tag in tags and one.tag not in given]
    over = max(len(tags) - MAX_TAGS, 0)
    return tags - frozenset(spare[len(spare) - min(over, len(spare)) :])


def focal_point(labels: Sequence[Label], wanted: Sequence[str]) -> tuple[float, float] | None:
    """The centre of crops: the centre of the boxes, weighted by area, of the first wanted label
    that has boxes; None if no wanted label has any.

    Args:
        labels: labels of the picture.
        wanted: names of labels, in order of preference.

    Returns:
        Fractions of upright width and height, in steps of a hundredth, because each point makes a
        new recipe.
    """
    boxes = {one.tag: one.boxes for one in labels if one.boxes and not one.refused}
    for name in wanted:
        if found := boxes.get(tag_of(name)):
            whole = sum(box.area for box in found)
            across = sum((box.left + box.width / 2) * box.area for box in found) / whole
            down = sum((box.top + box.height / 2) * box.area for box in found) / whole
            return round(across, 2), round(down, 2)
    return None
