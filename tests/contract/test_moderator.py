"""Moderator on Rekognition, whose answers are given.

The emulator has no Rekognition, so the exact request is what is held to the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws.rekognition import IMAGE_BYTES, RekognitionModerator
from worker.domain.errors import EngineError, SafelightError, Throttled
from worker.ports import ModerationLabel

JPEG = b"\xff\xd8\xff\xe0 a picture"
PNG = b"\x89PNG\r\n\x1a\n a picture"

Stubbed = tuple[RekognitionModerator, Stubber]


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    """Rekognition with given answers."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.rekognition) as stub:
        yield RekognitionModerator(clients, minimum_confidence=60), stub


def test_a_harmless_picture_has_no_labels(stubbed: Stubbed) -> None:
    """Nothing seen is an empty sequence."""
    moderator, stub = stubbed
    stub.add_response("detect_moderation_labels", {"ModerationLabels": []})

    assert list(moderator.look(JPEG)) == []


@pytest.mark.parametrize("picture", [JPEG, PNG], ids=["jpeg", "png"])
def test_the_request_and_the_answer(stubbed: Stubbed, picture: bytes) -> None:
    """The bytes and the lowest confidence are sent; labels come back, most confident first."""
    moderator, stub = stubbed
    stub.add_response(
        "detect_moderation_labels",
        {
            "ModerationLabels": [
                {"Name": "Violence", "ParentName": "", "Confidence": 71.5, "TaxonomyLevel": 1},
                {"Name": "Weapons", "ParentName": "Violence", "Confidence": 88.0},
            ],
            "ModerationModelVersion": "7.0",
        },
        {"Image": {"Bytes": picture}, "MinConfidence": 60},
    )

    assert list(moderator.look(picture)) == [
        ModerationLabel(name="Weapons", parent="Violence", confidence=88.0),
        ModerationLabel(name="Violence", parent="", confidence=71.5),
    ]
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "data", [b"", b"RIFF....WEBP", JPEG + bytes(IMAGE_BYTES)], ids=["empty", "webp", "large"]
)
def test_what_rekognition_would_refuse_is_not_sent(stubbed: Stubbed, data: bytes) -> None:
    """Neither another format nor too many bytes cost a request."""
    moderator, _ = stubbed
    with pytest.raises(EngineError):
        moderator.look(data)


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
        moderator.look(JPEG)
