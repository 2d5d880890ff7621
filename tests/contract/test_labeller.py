"""Labeller on Rekognition, whose answers are given.

The emulator has no Rekognition, so the exact request is what is held to the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws.rekognition import IMAGE_BYTES, MOST_LABELS, RekognitionLabeller
from worker.domain.errors import EngineError, SafelightError, Throttled, Unreachable
from worker.domain.label import BoundingBox, Label

JPEG = b"\xff\xd8\xff\xe0 a picture"
DOG: dict[str, Any] = {
    "Name": "Dog",
    "Confidence": 98.7,
    "Instances": [
        {
            "BoundingBox": {"Left": -0.02, "Top": 0.25, "Width": 0.5, "Height": 0.75},
            "Confidence": 97.0,
        }
    ],
    "Parents": [{"Name": "Pet"}, {"Name": "Animal"}],
    "Aliases": [],
    "Categories": [{"Name": "Animals and Pets"}],
}

Stubbed = tuple[RekognitionLabeller, Stubber]


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    """Rekognition with given answers."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.rekognition) as stub:
        yield RekognitionLabeller(clients), stub


def test_the_request_and_the_answer(stubbed: Stubbed) -> None:
    """The bytes and the lowest confidence are sent; labels come with boxes and the version."""
    labeller, stub = stubbed
    stub.add_response(
        "detect_labels",
        {
            "Labels": [DOG, {"Name": "Forest", "Confidence": 81.5, "Instances": []}],
            "LabelModelVersion": "3.0",
        },
        {"Image": {"Bytes": JPEG}, "MinConfidence": 75.5, "MaxLabels": MOST_LABELS},
    )

    box = BoundingBox(left=-0.02, top=0.25, width=0.5, height=0.75)
    assert labeller.label(JPEG, minimum=75.5) == [
        Label(name="Dog", confidence=98.7, source="rekognition", model_version="3.0", boxes=(box,)),
        Label(name="Forest", confidence=81.5, source="rekognition", model_version="3.0"),
    ]
    stub.assert_no_pending_responses()


def test_a_picture_of_nothing_has_no_labels(stubbed: Stubbed) -> None:
    """An empty response has no labels."""
    labeller, stub = stubbed
    stub.add_response("detect_labels", {"Labels": []})

    assert labeller.label(JPEG, minimum=80) == []


@pytest.mark.parametrize(
    "data", [b"", b"RIFF....WEBP", JPEG + bytes(IMAGE_BYTES)], ids=["empty", "webp", "large"]
)
def test_what_rekognition_would_refuse_is_not_sent(stubbed: Stubbed, data: bytes) -> None:
    """Neither another format nor too many bytes cost a request."""
    labeller, _ = stubbed
    with pytest.raises(EngineError):
        labeller.label(data, minimum=80)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Labels": [{"Name": "Dog"}]},
        {"Labels": [{"Confidence": 99.0}]},
        {"Labels": [DOG | {"Instances": [{"Confidence": 99.0}]}]},
        {"Labels": [DOG | {"Instances": [{"BoundingBox": {"Left": 0.5}}]}]},
    ],
)
def test_an_answer_that_is_none_is_an_error(stubbed: Stubbed, answer: dict[str, Any]) -> None:
    """Never a picture without labels, which would be recorded as such."""
    labeller, stub = stubbed
    stub.add_response("detect_labels", answer)
    with pytest.raises(EngineError, match="without labels"):
        labeller.label(JPEG, minimum=80)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ProvisionedThroughputExceededException", Throttled),
        ("ThrottlingException", Throttled),
        ("InternalServerError", Unreachable),
        ("InvalidImageFormatException", EngineError),
        ("ImageTooLargeException", EngineError),
        ("InvalidParameterException", EngineError),
    ],
)
def test_a_refusal_has_a_name(stubbed: Stubbed, code: str, kind: type[SafelightError]) -> None:
    """A busy service is tried again, a picture it cannot read is not."""
    labeller, stub = stubbed
    stub.add_client_error("detect_labels", code, http_status_code=400)
    with pytest.raises(kind):
        labeller.label(JPEG, minimum=80)
