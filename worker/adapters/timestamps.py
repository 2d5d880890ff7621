"""Times as text: ISO 8601 in UTC with milliseconds and ``Z``, as S3 and SQS count them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_text(time: datetime) -> str:
    """A time that knows its zone, as text."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_text() -> str:
    """This moment, by this machine's clock."""
    return utc_text(datetime.now(UTC))
