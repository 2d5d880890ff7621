"""What S3 allows an object to be called and to say about itself.

Pure text rules, which the tests' fake keeps too: one that allowed more would hide mistakes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from worker.domain.errors import EngineError, InputError, ObjectMissing

KEY_BYTES = 1024
"""Longest key, in UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects")."""
METADATA_BYTES = 2048
"""Names and values of all metadata together, as sent (the same, "Working with object metadata")."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_PLAIN = re.compile(r"(?!.*=\?)[!-~](?:[ -~]*[!-~])?|")
_WORD_BYTES = 45
"""Of text in one encoded word: 60 in base64, and 75 is the most (RFC 2047, section 2)."""


def encoded_key(key: str) -> bytes | None:
    """The key in UTF-8, or None if no object can have it."""
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return None
    return encoded if 0 < len(encoded) <= KEY_BYTES else None


def readable_key(bucket: str, key: str) -> bytes:
    """The key of an object that is asked for. Raises ``ObjectMissing`` if none can have it."""
    encoded = encoded_key(key)
    if encoded is None:
        raise ObjectMissing(f"no object can be called {_short(key)} (bucket {bucket})")
    return encoded


def writable_key(key: str) -> bytes:
    """The key of an object to be written. Raises ``InputError`` if none can have it."""
    encoded = encoded_key(key)
    if encoded is None:
        message = f"an object key is 1 to {KEY_BYTES} bytes of UTF-8, not {_short(key)}"
        raise InputError(message)
    return encoded


def encode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as HTTP headers can carry it.

    Text that is not printable ASCII is written as encoded words (RFC 2047), which is also how S3
    itself hands out metadata that somebody stored in UTF-8.

    Raises:
        EngineError: a name is not lower-case letters, digits, ``.``, ``_`` and ``-``, or all of
            it is longer than ``METADATA_BYTES``.
    """
    encoded = {name: _encode(value) for name, value in metadata.items()}
    for name in encoded:
        if not _NAME.fullmatch(name):
            raise EngineError(f"metadata cannot be called {_short(name)}")
    size = sum(len(name) + len(value) for name, value in encoded.items())
    if size > METADATA_BYTES:
        raise EngineError(f"metadata of {size} bytes; {METADATA_BYTES} is the most")
    return encoded


def decode_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Metadata as it was given; what is not an encoded word is taken as it is."""
    return {name.lower(): _decode(value) for name, value in headers.items()}


def _encode(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    words: list[str] = []
    word = b""
    # Lone surrogates are no text; "?" is what a strict reader would show.
    for character in value:
        piece = character.encode(errors="replace")
        if len(word) + len(piece) > _WORD_BYTES:
            words.append(_word(word))
            word = b""
        word += piece
    words.append(_word(word))
    return " ".join(words)


def _word(piece: bytes) -> str:
    return f"=?UTF-8?B?{base64.b64encode(piece).decode()}?="


def _decode(value: str) -> str:
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return value  # somebody else's metadata that only looks like an encoded word


def _short(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
