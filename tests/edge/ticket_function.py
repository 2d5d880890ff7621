"""Runs the function that checks tickets of uploads, in the engine that is nearest to CloudFront's.

Node knows more of the language, and proves nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

NJS = shutil.which("njs")
needs_njs = pytest.mark.skipif(
    NJS is None, reason="njs is not installed: apt-get install njs (Debian, Ubuntu)"
)
FUNCTION = Path(__file__).parents[1] / "pulumi" / "functions" / "upload_ticket.js"


def answers(events: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """What the function returns for each event, in order, deployed with a key."""
    assert NJS is not None
    with tempfile.TemporaryDirectory(prefix="safelight-edge-") as folder:
        program, found = Path(folder, "program.js"), Path(folder, "answers.json")
        # To a file: njs cuts off what it prints after 2,048 characters.
        program.write_text(
            f"""{FUNCTION.read_text().replace("${KEY}", key)}
const answers = {json.dumps(events)}.map(handler);
require('fs').writeFileSync({json.dumps(str(found))}, JSON.stringify(answers));
"""
        )
        done = subprocess.run([NJS, program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        made: list[Any] = json.loads(found.read_text())
        return made


def event(method: str, url: str, headers: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """A viewer request (CloudFront Developer Guide, "CloudFront Functions event structure")."""
    parts = urlsplit(url)
    query: dict[str, list[str]] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        query.setdefault(name, []).append(text)
    given = {
        name.lower(): [one] if isinstance(one, str) else [*one] for name, one in headers.items()
    }
    return {
        "version": "1.0",
        "context": {"eventType": "viewer-request"},
        "viewer": {"ip": "192.0.2.1"},
        "request": {
            "method": method,
            "uri": parts.path,
            "querystring": {name: _field(texts) for name, texts in query.items()},
            "headers": {name: _field(texts) for name, texts in given.items()},
            "cookies": {},
        },
    }


def _field(texts: Sequence[str]) -> dict[str, Any]:
    if len(texts) == 1:
        return {"value": texts[0]}
    return {"value": texts[0], "multiValue": [{"value": one} for one in texts]}
