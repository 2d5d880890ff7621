"""Runs the function that checks tickets of uploads."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.edge.engines import run
from worker.infra.edge import request_event

FUNCTION = Path(__file__).parents[2] / "pulumi" / "functions" / "upload_ticket.js"


def answers(events: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """What the function returns for each event, in order, deployed with a key."""
    with tempfile.TemporaryDirectory(prefix="safelight-edge-") as folder:
        return run("njs", source(key), events, Path(folder))


def source(key: str) -> str:
    """The function as it is deployed with a key."""
    return FUNCTION.read_text("utf-8").replace("${KEY}", key)


def event(method: str, url: str, headers: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """A viewer request; of a header that comes twice all values."""
    parts = urlsplit(url)
    given = [
        (name, one)
        for name, texts in headers.items()
        for one in ([texts] if isinstance(texts, str) else texts)
    ]
    query = parse_qsl(parts.query, keep_blank_values=True)
    return request_event(parts.path, given, method=method, query=query)
