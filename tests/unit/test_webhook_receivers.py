"""The code for receivers in docs/webhooks.md verifies what is sent, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.domain.webhook import secrets_in
from worker.services.webhooks import WebhookEvent, signatures

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")
SECRET, OTHER = "whsec_" + "YWJj" * 11, "whsec_" + "ZGVm" * 11
BODY = b'{"id":"e1","name":"\\ud800 \xc3\xa9"}'

Verify = Callable[[str, dict[str, str], bytes], bool]


def code(language: str) -> str:
    """The one example in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return str(found)


def in_python() -> Verify:
    """The example as it stands."""
    names: dict[str, Any] = {}
    exec(code("python"), names)
    verify: Verify = names["verify"]
    return verify


def in_node() -> Verify:
    """The example as it stands."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    call = (
        "\nconst [secret, headers, body] = JSON.parse(process.argv[1]);"
        '\nconsole.log(verify(secret, headers, Buffer.from(body, "base64")));'
    )

    def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
        import base64

        told = json.dumps([secret, headers, base64.b64encode(body).decode()])
        program = code("js") + call
        words = [node, "--input-type=module", "--eval", program, told]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return bool(json.loads(done.stdout))

    return verify


@pytest.fixture(params=[in_python, in_node])
def verify(request: pytest.FixtureRequest) -> Verify:
    """Each example."""
    found: Verify = request.param()
    return found


def headers(*secrets: str, age: int = 0, body: bytes = BODY) -> dict[str, str]:
    """What the sender writes."""
    timestamp = int(time.time()) - age
    keys = secrets_in(" ".join(secrets))
    return {
        "webhook-id": "e1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(keys, WebhookEvent(id="e1", body=body), timestamp),
    }


def test_what_is_sent_is_verified(verify: Verify) -> None:
    """By the one secret, and by each of two during a rotation."""
    assert verify(SECRET, headers(SECRET), BODY)
    assert verify(SECRET, headers(OTHER, SECRET), BODY)
    assert verify(OTHER, headers(OTHER, SECRET), BODY)


def test_anything_else_is_not(verify: Verify) -> None:
    """Another secret, body, id or time, an old request, and headers that are missing or odd."""
    good = headers(SECRET)
    assert not verify(OTHER, good, BODY)
    assert not verify(SECRET, good, BODY + b" ")
    assert not verify(SECRET, {**good, "webhook-id": "e2"}, BODY)
    assert not verify(SECRET, headers(SECRET, age=3600), BODY)
    assert not verify(SECRET, headers(SECRET, age=-3600), BODY)
    for name in good:
        assert not verify(SECRET, {key: good[key] for key in good if key != name}, BODY)
        assert not verify(SECRET, {**good, name: "é v1, x"}, BODY)
