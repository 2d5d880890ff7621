"""The environment: read once, every mistake named."""

from __future__ import annotations

import pytest

from worker.domain.errors import SettingsError
from worker.settings import Ordering, Settings

COMPLETE = {
    "SAFELIGHT_TABLE": "catalog",
    "SAFELIGHT_INTAKE_BUCKET": "intake",
    "SAFELIGHT_DELIVERY_BUCKET": "delivery",
    "SAFELIGHT_QUARANTINE_BUCKET": "quarantine",
    "SAFELIGHT_EVENT_BUS": "bus",
    "SAFELIGHT_QUEUE_URL": "https://sqs.example/q",
    "SAFELIGHT_DLQ_URL": "https://sqs.example/d",
}


def test_the_rest_has_defaults() -> None:
    """Only required variables are needed; variables without the prefix are ignored."""
    settings = Settings.from_environment(COMPLETE | {"PATH": "/bin", "SAFELIGHT_DEBUG": "1"})
    assert settings.table == "catalog"
    assert settings.ordering is Ordering.FIFO
    assert settings.redis_url is None
    assert settings.heavy_bytes == 40_000_000


def test_values_are_converted() -> None:
    """Numbers are numbers, words are words."""
    settings = Settings.from_environment(
        COMPLETE | {"SAFELIGHT_ORDERING": "standard", "SAFELIGHT_UPLOAD_THREADS": "3"}
    )
    assert settings.ordering is Ordering.STANDARD
    assert settings.upload_threads == 3


def test_video_is_on_unless_switched_off() -> None:
    """A switch has two words; its limits have edges."""
    assert Settings.from_environment(COMPLETE).video is True
    assert Settings.from_environment(COMPLETE | {"SAFELIGHT_VIDEO": "off"}).video is False
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            COMPLETE | {"SAFELIGHT_VIDEO": "no", "SAFELIGHT_VIDEO_SECONDS": "360001"}
        )
    assert {str(problem) for problem in caught.value.problems} == {
        "SAFELIGHT_VIDEO: must be on or off, not 'no'",
        "SAFELIGHT_VIDEO_SECONDS: must be from 1 to 360000, not '360001'",
    }


def test_every_mistake_is_reported_at_once() -> None:
    """Missing, wrong and misspelt variables, each by its name."""
    broken = COMPLETE | {
        "SAFELIGHT_TABLE": " ",
        "SAFELIGHT_ORDERING": "random",
        "SAFELIGHT_HEAVY_BYTES": "many",
        "SAFELIGHT_UPLOAD_THREADS": "0",
        "SAFELIGHT_TABEL": "catalog",
    }
    del broken["SAFELIGHT_DLQ_URL"]
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(broken)
    assert {str(problem) for problem in caught.value.problems} == {
        "SAFELIGHT_TABLE: must not be empty, not ' '",
        "SAFELIGHT_DLQ_URL: is not set",
        "SAFELIGHT_ORDERING: must be fifo or standard, not 'random'",
        "SAFELIGHT_HEAVY_BYTES: must be a whole number, not 'many'",
        "SAFELIGHT_UPLOAD_THREADS: must be from 1 to 64, not '0'",
        "SAFELIGHT_TABEL: is not a variable of Safelight",
    }
