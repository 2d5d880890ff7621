"""The stand-in for Rekognition, asked by the adapter that asks Rekognition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.pictures import encoded, photo
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.rekognition import RekognitionModerator
from worker.domain.errors import EngineError, Throttled, Unreachable
from worker.domain.moderation import ModerationLabel
from worker.local import rekognition

FLAGGED, OTHER = photo(300, 200), photo(300, 200, seed=7)
TABLE = """
[[pictures]]
file = "flagged.png"
moderation = [
  { name = "Weapons", parent = "Violence", confidence = 88 },
  { name = "Violence", confidence = 88 },
  { name = "Smoking", confidence = 30 },
]
"""


class Local:
    """The stand-in and what asks it."""

    def __init__(self, data: Path, port: int) -> None:
        """It serves."""
        self.data = data
        environment = {
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            rekognition.VARIABLE: f"http://127.0.0.1:{port}",
        }
        self.clients = AwsClients(environment, attempts=1)
        self.moderator = RekognitionModerator(self.clients)

    def declare(self, text: str) -> None:
        """Write the file."""
        (self.data / rekognition.TABLE).write_text(text)

    @property
    def requests(self) -> list[dict[str, object]]:
        """Those that it has answered."""
        lines = (self.data / "logs" / "rekognition.log").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A stand-in on a port of its own, which knows one picture."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "flagged.png").write_bytes(encoded(FLAGGED))
    with rekognition.serving(0, tmp_path) as port:
        found = Local(tmp_path, port)
        found.declare(TABLE)
        yield found
        found.clients.close()


def test_a_picture_is_recognised_whatever_its_size(local: Local) -> None:
    """Labels declared for a file are returned for its renditions, from the requested confidence
    on."""
    seen = local.moderator.look(encoded(FLAGGED, "JPEG", quality=60), minimum=50)
    assert seen.labels == (
        ModerationLabel(name="Weapons", category="violence", confidence=88.0),
        ModerationLabel(name="Violence", category="violence", confidence=88.0),
    )
    assert (seen.model, seen.model_version) == ("rekognition", rekognition.MODEL_VERSION)
    assert len(local.moderator.look(encoded(FLAGGED, "JPEG"), minimum=20).labels) == 3
    assert local.moderator.look(encoded(OTHER, "JPEG"), minimum=20).labels == ()
    assert [one["labels"] for one in local.requests] == [
        ["Weapons", "Violence"],
        ["Weapons", "Violence", "Smoking"],
        [],
    ]


def test_without_a_file_nothing_is_seen(local: Local) -> None:
    """A new stack has none."""
    (local.data / rekognition.TABLE).unlink()
    assert local.moderator.look(encoded(FLAGGED, "JPEG"), minimum=50).labels == ()


@pytest.mark.parametrize(
    ("mode", "error"),
    [("throttled", Throttled), ("down", Unreachable), ("garbage", EngineError)],
)
def test_trouble_can_be_switched_on(local: Local, mode: str, error: type[Exception]) -> None:
    """Each kind of trouble is the error that it is on AWS, from the next request on."""
    local.declare(f'mode = "{mode}"\n{TABLE}')
    with pytest.raises(error):
        local.moderator.look(encoded(FLAGGED, "JPEG"), minimum=50)
    local.declare(TABLE)
    assert local.moderator.look(encoded(FLAGGED, "JPEG"), minimum=50).labels


def test_it_can_be_slow(local: Local) -> None:
    """Slower than the client waits is unreachable; else it is an answer."""
    local.declare(f'mode = "slow"\nseconds = 0.01\n{TABLE}')
    assert local.moderator.look(encoded(FLAGGED, "JPEG"), minimum=50).labels
    local.clients.close()
    local.declare(f'mode = "slow"\nseconds = 1\n{TABLE}')
    quick = AwsClients(local.clients._environment, attempts=1, read_seconds=0.1)
    with pytest.raises(Unreachable):
        RekognitionModerator(quick).look(encoded(FLAGGED, "JPEG"), minimum=50)
    quick.close()


@pytest.mark.parametrize(
    "text",
    [
        "mode = 1",
        'mode = "sleepy"',
        "colour = 3",
        "pictures = 3",
        "[[pictures]]\n",
        '[[pictures]]\nfile = "gone.png"\n',
        '[[pictures]]\nfile = "rekognition.toml"\n',
        '[[pictures]]\nphash = "zz"\n',
        '[[pictures]]\nphash = "ff"\nmoderation = [{ name = "Violence" }]\n',
        '[[pictures]]\nphash = "ff"\nfiles = "a"\n',
        "= nonsense",
    ],
)
def test_a_mistake_in_the_file_is_said(local: Local, text: str) -> None:
    """A mistake in the file makes every request fail, so no picture passes because of it."""
    local.declare(text)
    with pytest.raises(EngineError, match=r"rekognition\.toml|no picture"):
        local.moderator.look(encoded(FLAGGED, "JPEG"), minimum=50)
    assert local.requests[-1]["status"] == 400


def test_what_is_no_picture_is_refused(local: Local) -> None:
    """As Rekognition does: bytes that only begin like a JPEG."""
    with pytest.raises(EngineError):
        local.moderator.look(b"\xff\xd8\xff nothing more", minimum=50)
