"""Redacts log lines: names of uploaded files, addresses of people, tokens, whole events.

Logs are read by more people than the assets that they are about, and are kept for longer. The id of
an asset and of its trace lead whoever may see more to the record.

Messages of errors come from libraries and services, so they are cleaned by what they look like. The
keys that Safelight makes itself, of ids alone, stay: they say which file it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

MOST_TEXT = 2_000
"""Characters of a text; of a traceback four times as many."""
MOST_ITEMS = 50
"""Of a list or an object in a line."""
DEPTH = 4
"""Levels of a line; what lies deeper is left out."""
LEFT_OUT = "…"
_TRACEBACKS = frozenset({"exception", "stack_trace"})
_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OWN_KEY = re.compile(rf"(?:[0-9a-f]{{2}}/{_ID}(?:/|$)|recipes/[0-9a-f]+\.json)")
_UPLOAD_KEY = re.compile(rf"(?:[0-9a-f]{{2}}/)?uploads/{_ID}/")
_BUCKET = re.compile(r"([A-Za-z0-9.\-]{1,63})/(.*(?=: )|.*)")
"""A key may have blanks and colons in it: it goes on to the last colon of its line, or to the end
of the line."""
_RULES = (
    (re.compile(r"eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)*"), LEFT_OUT),  # a JSON Web Token
    (re.compile(r"whsec_[A-Za-z0-9+/=]+"), f"whsec_{LEFT_OUT}"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {LEFT_OUT}"),
    (re.compile(r"(https?://[^\s?#\"'<>]+)\?[^\s\"'<>]*"), rf"\1?{LEFT_OUT}"),
    (re.compile(r"(https?://)[^\s/@\"'<>]+@"), rf"\1{LEFT_OUT}@"),
    (re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), f"{LEFT_OUT}@{LEFT_OUT}"),
)


def redacted(text: str, most: int = MOST_TEXT) -> str:
    """A text without what no log line says, at most so long."""
    text = text if len(text) <= most else text[:most] + LEFT_OUT
    if "s3://" in text:
        first, *others = text.split("s3://")
        text = first + "".join(f"s3://{_BUCKET.sub(_address, one, count=1)}" for one in others)
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def _address(found: re.Match[str]) -> str:
    bucket, key = found.groups()
    if not key or _OWN_KEY.match(key):
        return found[0]
    upload = _UPLOAD_KEY.match(key)
    return f"{bucket}/{upload[0] if upload else ''}{LEFT_OUT}"


def line(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a log line, cleaned; what is too much is left out."""
    return {
        name: redacted(one, 4 * MOST_TEXT)
        if name in _TRACEBACKS and isinstance(one, str)
        else _clean(one, DEPTH)
        for name, one in values.items()
    }


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        if not depth:
            return LEFT_OUT
        items = islice(value.items(), MOST_ITEMS)
        return {redacted(str(name)): _clean(one, depth - 1) for name, one in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(one, depth - 1) for one in islice(value, MOST_ITEMS)] if depth else LEFT_OUT
    # Any other value, for example an error, is written as its text.
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))
