"""Moderator and labeller on Amazon Rekognition.

Each call costs about $1 per 1,000 pictures: for what is escalated, and for recipes that ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import EngineError
from worker.domain.label import REKOGNITION, BoundingBox, Label
from worker.domain.moderation import ModerationLabel, Seen

MODEL = "rekognition"
MOST_LABELS = 100
"""Labels asked for: more than are kept, as some of them may be wanted more than others."""
IMAGE_BYTES = 5 * 1024**2
"""Largest picture sent as bytes (Amazon Rekognition Developer Guide, "Guidelines and quotas")."""

CATEGORY_OF: Mapping[str, str] = {
    "Explicit": "explicit",
    "Non-Explicit Nudity of Intimate parts and Kissing": "nudity",
    "Swimwear or Underwear": "swimwear",
    "Violence": "violence",
    "Visually Disturbing": "disturbing",
    "Drugs & Tobacco": "drugs",
    "Alcohol": "alcohol",
    "Rude Gestures": "gestures",
    "Gambling": "gambling",
    "Hate Symbols": "hate",
}
"""Top-level labels of model 7 (Amazon Rekognition Developer Guide, "Using the image and video
moderation APIs", "Label Categories"). Labels below them name their parents."""

_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class RekognitionModerator:
    """Rekognition's moderation labels.

    Args:
        clients: of AWS.
        take: takes a token for a request to an operation, or raises ``Throttled``.
    """

    def __init__(
        self, clients: AwsClients, *, take: Callable[[str], None] = lambda _: None
    ) -> None:
        self._clients, self._take = clients, take

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """See ``Moderator.look``. PNG is accepted, too.

        Raises:
            EngineError: larger than ``IMAGE_BYTES``, neither JPEG nor PNG, refused as such, or an
                answer that is none.
        """
        _check_picture(jpeg, "moderate")
        self._take("DetectModerationLabels")
        with aws_call("moderate a picture"):
            answer = self._clients.rekognition.detect_moderation_labels(
                Image={"Bytes": jpeg}, MinConfidence=minimum
            )
        return _seen(answer)


class RekognitionLabeller:
    """Rekognition's labels. Its arguments are those of ``RekognitionModerator``."""

    def __init__(
        self, clients: AwsClients, *, take: Callable[[str], None] = lambda _: None
    ) -> None:
        self._clients, self._take = clients, take

    def label(self, jpeg: bytes, *, minimum: float) -> Sequence[Label]:
        """See ``Labeller.label``. PNG is accepted, too.

        Raises:
            EngineError: as of ``RekognitionModerator.look``.
        """
        _check_picture(jpeg, "label")
        self._take("DetectLabels")
        with aws_call("label a picture"):
            answer = self._clients.rekognition.detect_labels(
                Image={"Bytes": jpeg}, MinConfidence=minimum, MaxLabels=MOST_LABELS
            )
        return _labels(answer)


def _check_picture(data: bytes, verb: str) -> None:
    if len(data) > IMAGE_BYTES:
        raise EngineError(f"{len(data)} bytes to {verb}; {IMAGE_BYTES} is the most")
    if not data.startswith(_BEGINNINGS):
        raise EngineError(f"the picture to {verb} is neither JPEG nor PNG")


def _labels(answer: Mapping[str, Any]) -> Sequence[Label]:
    version = str(answer.get("LabelModelVersion", ""))
    try:
        return [
            Label(
                name=str(one["Name"]),
                confidence=float(one["Confidence"]),
                source=REKOGNITION,
                model_version=version,
                boxes=tuple(_box(each["BoundingBox"]) for each in one.get("Instances", ())),
            )
            for one in answer["Labels"]
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(f"Rekognition answered without labels: {error!r}") from error


def _box(sides: Mapping[str, Any]) -> BoundingBox:
    """A box as it is answered: it may go beyond the picture."""
    left, top, width, height = (float(sides[name]) for name in ("Left", "Top", "Width", "Height"))
    return BoundingBox(left=left, top=top, width=width, height=height)


def _seen(answer: Mapping[str, Any]) -> Seen:
    try:
        found = [
            (str(one["Name"]), str(one.get("ParentName", "")), float(one["Confidence"]))
            for one in answer["ModerationLabels"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"Rekognition answered without labels: {error!r}") from error
    if any(not 0 <= confidence <= 100 for _, _, confidence in found):
        raise EngineError("Rekognition answered with a confidence beyond 0 to 100")
    parents = {name: parent for name, parent, _ in found}
    labels = tuple(
        ModerationLabel(name=name, category=_category(name, parents), confidence=confidence)
        for name, _, confidence in found
    )
    version = str(answer.get("ModerationModelVersion", ""))
    return Seen(labels=labels, model=MODEL, model_version=version)


def _category(name: str, parents: Mapping[str, str]) -> str:
    """The category of a label: that of its uppermost parent. There are three levels."""
    for _ in range(3):
        if name in CATEGORY_OF:
            break
        name = parents.get(name, "")
    return CATEGORY_OF.get(name, "")
