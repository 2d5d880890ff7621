"""A whole run of a local stack: a flagged picture, from its upload to quarantine.

Everything is real but Rekognition, whose stand-in sees what a file declares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_client import ApiClient
from tests.integration.job_uploads import wait_for
from tests.integration.running import Running, stack, until
from tests.integration.test_escalated import RENDITIONS, declare, questions, recipe, served
from tests.unit.pictures import encoded, photo
from worker.domain.asset import Status

MODERATED = f"""
name = "moderated"
version = 1
[moderation]
categories = [{{ name = "violence", hold = 60, reject = 95 }}]
tiers = ["rekognition"]
{RENDITIONS}
"""
FLAGGED = 'moderation = [{ name = "Weapons", parent = "Violence", confidence = 88 }]'


@pytest.fixture(scope="module")
def moderated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack whose uploads are moderated, if they choose no other recipe."""
    folder = tmp_path_factory.mktemp("moderated")
    with stack(folder / "data", "--recipe", str(recipe(folder, MODERATED))) as running:
        yield running


def picture(folder: Path, name: str, seed: int) -> Path:
    """A photo that looks like no other."""
    path = folder / name
    path.write_bytes(encoded(photo(640, 400, seed=seed), "JPEG"))
    return path


def client(running: Running, owner: str, *scopes: str) -> ApiClient:
    """The API, with a token of some scopes."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    token = running.json("api", "token", "--owner", owner, *words)["token"]
    return ApiClient(running.ready["api"], token)


def asked_about(api: ApiClient, asset: str) -> list[dict[str, Any]]:
    """Open reviews of an asset, as the API lists them."""
    found: list[dict[str, Any]] = api.get("/reviews?state=open")["reviews"]
    return [one for one in found if one["asset"] == asset]


def delivered(running: Running) -> list[str]:
    """Keys in the delivery bucket."""
    app = running.app
    return [one.key for one in app.store.list(app.settings.delivery_bucket)]


@pytest.mark.timeout(900)
def test_a_flagged_picture_is_held_and_rejected_to_quarantine(
    moderated: Running, tmp_path: Path
) -> None:
    """Upload, flagged, held (403), rejected by a person through the API, in quarantine."""
    running, api = moderated, client(moderated, "moderators", "read", "review")
    store, settings = running.app.store, running.app.settings
    flagged, harmless = picture(tmp_path, "flagged.jpg", 1), picture(tmp_path, "harmless.jpg", 2)
    declare(running.data, flagged, FLAGGED)
    before = len(questions(running))

    held = running.json("put", flagged, "--wait")
    passed = running.json("put", harmless, "--wait")
    until(lambda: bool(asked_about(api, held["asset"])))
    record = wait_for(running, held["asset"], lambda one: one.status is Status.REVIEW)
    (review,) = asked_about(api, held["asset"])
    assert review["reason"]["code"] == "moderation_held"
    assert "Weapons" in json.dumps(review["moderation"])
    assert served(running, record, "page") == 403

    api.post(f"/reviews/{review['id']}/reject", {"reason": "a weapon"})

    record = wait_for(running, held["asset"], lambda one: one.status is Status.REJECTED)
    assert record.verdict is not None
    assert record.verdict.code == "review_rejected"
    assert "a weapon" in record.verdict.message

    def quarantined() -> list[bytes]:
        kept = store.list(settings.quarantine_bucket)
        found = [store.get(settings.quarantine_bucket, one.key) for one in kept]
        return [data for data, head in found if head.metadata["reason-code"] == "review_rejected"]

    until(lambda: flagged.read_bytes() in quarantined())
    # Nothing of it is left where it could be served, and nothing else is missing.
    until(lambda: all(record.asset not in key for key in delivered(running)))
    assert held["key"] not in [one.key for one in store.list(settings.intake_bucket)]
    assert served(running, record, "page") in {403, 404}
    other = wait_for(running, passed["asset"], lambda one: one.status is not Status.REVIEW)
    assert other.status in (Status.ACCEPTED, Status.PUBLISHED)
    assert served(running, other, "page") == 200

    status, problem = api.ask("POST", f"/reviews/{review['id']}/approve", {"reason": "no"})
    assert (status, problem["code"]) == (409, "review_decided")
    assert questions(running)[before:] == ["DetectModerationLabels"] * 2
