"""Moderator on Amazon Rekognition. It costs about $1 per 1,000 pictures: for what is escalated."""

from __future__ import annotations

from collections.abc import Sequence

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import EngineError
from worker.ports import ModerationLabel

IMAGE_BYTES = 5 * 1024**2
"""Largest picture sent as bytes (Amazon Rekognition Developer Guide, "Guidelines and quotas")."""
CONFIDENCE = 50.0
"""Lowest confidence asked for, 0 to 100; also what Rekognition takes when it is not told."""

_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class RekognitionModerator:
    """Rekognition's moderation labels.

    Args:
        minimum_confidence: labels below are not reported; 0 to 100.
    """

    def __init__(self, clients: AwsClients, *, minimum_confidence: float = CONFIDENCE) -> None:
        self._clients = clients
        self._minimum = minimum_confidence

    def look(self, jpeg: bytes) -> Sequence[ModerationLabel]:
        """See ``Moderator.look``. The most confident first. PNG is accepted, too.

        Raises:
            EngineError: larger than ``IMAGE_BYTES``, neither JPEG nor PNG, or refused as such.
        """
        if len(jpeg) > IMAGE_BYTES:
            raise EngineError(f"{len(jpeg)} bytes to moderate; {IMAGE_BYTES} is the most")
        if not jpeg.startswith(_BEGINNINGS):
            raise EngineError("the picture to moderate is neither JPEG nor PNG")
        with aws_call("moderate a picture"):
            answer = self._clients.rekognition.detect_moderation_labels(
                Image={"Bytes": jpeg}, MinConfidence=self._minimum
            )
        labels = [
            ModerationLabel(
                name=label.get("Name", ""),
                parent=label.get("ParentName", ""),
                confidence=label.get("Confidence", 0.0),
            )
            for label in answer["ModerationLabels"]
        ]
        return tuple(sorted(labels, key=lambda label: -label.confidence))
