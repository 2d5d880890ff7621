"""Moderator on Rekognition, whose answers are given.

The emulator has no Rekognition, so the exact request is what is held to the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws.rekognition import IMAGE_BYTES, RekognitionModerator
from worker.domain.errors import EngineError, SafelightError, Throttled
from worker.domain.moderation import ModerationLabel, Seen

JPEG = b"\xff\xd8\xff\xe0 a picture"
PNG = b"\x89PNG\r\n\x1a\n a picture"

Stubbed = tuple[RekognitionModerator, Stubber]


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    """Rekognition with given answers."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.rekognition) as stub:
        yield RekognitionModerator(clients), stub


def test_a_harmless_picture_has_no_labels(stubbed: Stubbed) -> None:
    """An empty response has no labels."""
    moderator, stub = stubbed
    stub.add_response("detect_moderation_labels", {"ModerationLabels": []})

    assert moderator.look(JPEG, minimum=60) == Seen(model="rekognition")


@pytest.mark.parametrize("picture", [JPEG, PNG], ids=["jpeg", "png"])
def test_the_request_and_the_answer(stubbed: Stubbed, picture: bytes) -> None:
    """The bytes and the lowest confidence are sent; labels come back in our categories."""
    moderator, stub = stubbed
    stub.add_response(
        "detect_moderation_labels",
        {
            "ModerationLabels": [
                {"Name": "Violence", "ParentName": "", "Confidence": 71.5, "TaxonomyLevel": 1},
                {"Name": "Weapons", "ParentName": "Violence", "Confidence": 88.0},
                {"Name": "Knives", "ParentName": "Weapons", "Confidence": 62.0},
                {"Name": "Loud Music", "ParentName": "", "Confidence": 99.0},
                {"Name": "Lost", "ParentName": "A parent that is not there", "Confidence": 61.0},
            ],
            "ModerationModelVersion": "7.0",
        },
        {"Image": {"Bytes": picture}, "MinConfidence": 60},
    )

    assert moderator.look(picture, minimum=60) == Seen(
        labels=(
            ModerationLabel(name="Violence", category="violence", confidence=71.5),
            ModerationLabel(name="Weapons", category="violence", confidence=88.0),
            ModerationLabel(name="Knives", category="violence", confidence=62.0),
            ModerationLabel(name="Loud Music", confidence=99.0),
            ModerationLabel(name="Lost", confidence=61.0),
        ),
        model="rekognition",
        model_version="7.0",
    )
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ModerationLabels": [{"Name": "Violence"}]},
        {"ModerationLabels": [{"Name": "Violence", "Confidence": 101.0}]},
        {"ModerationLabels": [{"Name": "Violence", "Confidence": float("nan")}]},
    ],
    ids=["empty", "no confidence", "too confident", "not a number"],
)
def test_an_answer_that_is_none_is_an_error(stubbed: Stubbed, answer: dict[str, Any]) -> None:
    """A response without the field of labels is an error, not an empty result."""
    moderator, stub = stubbed
    stub.add_response("detect_moderation_labels", answer)
    with pytest.raises(EngineError):
        moderator.look(JPEG, minimum=60)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF....WEBP", JPEG + bytes(IMAGE_BYTES)], ids=["empty", "webp", "large"]
)
def test_what_rekognition_would_refuse_is_not_sent(stubbed: Stubbed, data: bytes) -> None:
    """Neither another format nor too many bytes cost a request."""
    moderator, _ = stubbed
    with pytest.raises(EngineError):
        moderator.look(data, minimum=60)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ProvisionedThroughputExceededException", Throttled),
        ("ThrottlingException", Throttled),
        ("InvalidImageFormatException", EngineError),
        ("ImageTooLargeException", EngineError),
    ],
)
def test_a_refusal_has_a_name(stubbed: Stubbed, code: str, kind: type[SafelightError]) -> None:
    """A busy service is tried again, a picture it cannot read is not."""
    moderator, stub = stubbed
    stub.add_client_error("detect_moderation_labels", code, http_status_code=400)
    with pytest.raises(kind):
        moderator.look(JPEG, minimum=60)


def test_a_request_takes_a_token() -> None:
    """Without one nothing is asked; the token is of the operation."""
    taken: list[str] = []

    def take(operation: str) -> None:
        taken.append(operation)
        raise Throttled("none is left")

    with clients_for("http://127.0.0.1:1") as clients, pytest.raises(Throttled):
        RekognitionModerator(clients, take=take).look(JPEG, minimum=60)
    assert taken == ["DetectModerationLabels"]
