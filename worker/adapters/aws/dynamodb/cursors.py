"""Places in a list: the order a catalog lists in, and the cursors that name a place.

What lives here: times and places as text that sorts, cursors sealed and opened. What may not: a
query.

A place is ``{time}#{asset}``. No two assets share one, so the last place of a page says all that
the next page needs, however many shards the list is spread over.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime
from hashlib import blake2b

from worker.domain.errors import EngineError, InputError

MAX_LIMIT = 1000
"""Records of one page."""
_SEAL_BYTES = 12
_MAX_CURSOR = 2048


def stamp(time: str) -> str:
    """A time as text of fixed width whose lexical order is the order in time.

    Raises:
        EngineError: not ISO 8601; times are made by the pipeline, not by people.
    """
    try:
        moment = datetime.fromisoformat(time)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise EngineError(f"{time!r} is not an ISO 8601 time") from error
    return moment.strftime("%Y%m%dT%H%M%S.%fZ").rjust(23, "0")


def now() -> str:
    """The time, ISO 8601 UTC with microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def place(time: str, asset: str) -> str:
    """Where an asset stands in a list by this time of it."""
    return f"{stamp(time)}#{asset}"


def check_limit(limit: int) -> None:
    """Raise InputError unless a page may have so many records."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InputError(f"a page has 1 to {MAX_LIMIT} records, not {limit}")


class Cursors:
    """Seals places into opaque text for one list, and opens them again.

    A cursor is ``base64url(seal + place)``; the seal is a keyed BLAKE2b (RFC 7693) over the list's
    name and the place. A damaged or edited cursor, and one of another list, is refused. Without a
    key anybody who reads this can forge one, and gains nothing: a cursor says from where to go on
    in the list that was asked for, and can name no other list. With a key forgeries are refused
    too.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = blake2b(key).digest() if key else b""

    def seal(self, listing: str, place: str) -> str:
        """The cursor for what comes after ``place`` in the list of that name."""
        inside = place.encode()
        return base64.urlsafe_b64encode(self._seal(listing, inside) + inside).decode().rstrip("=")

    def open(self, listing: str, cursor: str | None) -> str | None:
        """The place that a cursor names; None for no cursor.

        Raises:
            InputError: code ``input_cursor``: not a cursor of this list.
        """
        if cursor is None:
            return None
        try:
            if len(cursor) > _MAX_CURSOR:
                raise ValueError("too long")
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
            seal, inside = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
            # Base64 has several spellings of one value where bits are left over.
            genuine = hmac.compare_digest(seal, self._seal(listing, inside))
            if not genuine or self.seal(listing, inside.decode()) != cursor:
                raise ValueError("the seal does not fit")
        except (ValueError, binascii.Error) as error:
            message = "this cursor does not belong to this list; start without one"
            raise InputError(message, code="input_cursor") from error
        return inside.decode()

    def _seal(self, listing: str, inside: bytes) -> bytes:
        text = listing.encode("utf-8", "surrogatepass")
        framed = len(text).to_bytes(4, "big") + text + inside
        return blake2b(framed, digest_size=_SEAL_BYTES, key=self._key, person=b"cursor").digest()
