"""A whole run of a local stack: a flagged picture to quarantine, and events read by a stranger.

Everything is real but Rekognition, whose stand-in sees what a file declares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.integration.api_client import ApiClient
from tests.integration.job_uploads import wait_for
from tests.integration.running import ROOT, Running, stack, until
from tests.integration.test_escalated import RENDITIONS, declare, questions, recipe, served
from tests.unit.pictures import encoded, photo
from worker.domain.asset import Status
from worker.local import address

MODERATED = f"""
name = "moderated"
version = 1
[moderation]
categories = [{{ name = "violence", hold = 60, reject = 95 }}]
tiers = ["earlier", "rekognition"]
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


def decide(api: ApiClient, asset: str, choice: str) -> dict[str, Any]:
    """Wait until people are asked about an asset, and decide; the review."""
    until(lambda: bool(asked_about(api, asset)))
    (review,) = asked_about(api, asset)
    api.post(f"/reviews/{review['id']}/{choice}", {"reason": "by a test"})
    return review


def delivered(running: Running) -> list[str]:
    """Keys in the delivery bucket."""
    app = running.app
    return [one.key for one in app.store.list(app.settings.delivery_bucket)]


# --- through rejection to quarantine ------------------------------------------------------------


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


# --- a consumer that knows the schemas alone ----------------------------------------------------


@dataclass
class Consumer:
    """A program of somebody else. It has the files of docs/events, and nothing of Safelight."""

    schemas: dict[str, jsonschema_rs.Draft202012Validator]
    types: dict[str, int] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    """What the last event of each asset says."""
    ids: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, folder: Path) -> Consumer:
        """Built from the published files."""
        found = {}
        for path in folder.glob("*.json"):
            content = json.loads(path.read_text("utf-8"))
            found[content["$id"]] = jsonschema_rs.Draft202012Validator(
                content, validate_formats=True
            )
        return cls(found)

    def read(self, text: str) -> None:
        """One event. Raises KeyError or ValidationError if it is none of those published."""
        event = json.loads(text)
        self.schemas[event["dataschema"]].validate(event)
        if event["id"] in self.ids:
            return  # sent at least once
        self.ids.add(event["id"])
        self.types[event["type"]] = self.types.get(event["type"], 0) + 1
        if event["type"].startswith("asset.") and "status" in event["data"]:
            self.status[event["subject"]] = event["data"]["status"]


GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "a/b/waiting/1",
    "source": "safelight",
    "type": "asset.waiting",
    "subject": "79191457-5093-58c4-8136-494d9fce6cdd",
    "time": "2026-11-30T00:31:10.988869Z",
    "datacontenttype": "application/json",
    "dataschema": "urn:safelight:event:asset.waiting:1",
    "asset": "79191457-5093-58c4-8136-494d9fce6cdd",
    "data": {
        **{"key": "a", "bytes": 1, "version": "", "recipe": "default", "status": "waiting"},
        **{"media": "image", "renditions": []},
    },
}


@pytest.mark.parametrize(
    "change",
    [
        {"time": "yesterday"},
        {"asset": "no uuid"},
        {"type": "asset.held"},
        {"data": {}},
        {"data": GOOD["data"] | {"bytes": "1"}},
        {"dataschema": "urn:safelight:event:asset.waiting:2"},
        {"dataschema": "urn:safelight:event:asset.invented:1"},
    ],
)
def test_the_consumer_refuses_what_no_schema_allows(change: dict[str, Any]) -> None:
    """Else it would prove nothing that it reads all; a field that it does not know is no reason."""
    consumer = Consumer.of(ROOT / "docs" / "events")
    consumer.read(json.dumps(GOOD | {"data": GOOD["data"] | {"new": 1}}))

    with pytest.raises((KeyError, jsonschema_rs.ValidationError)):
        consumer.read(json.dumps(GOOD | change))


EXPECTED = {
    *("asset.waiting", "asset.accepted", "asset.rejected", "asset.held", "asset.approved"),
    *("asset.disapproved", "asset.published", "asset.deleted", "asset.erased"),
    *("asset.invalidated", "job.submitted", "job.started", "job.succeeded"),
}


@pytest.mark.timeout(900)
def test_a_consumer_of_the_schemas_alone_reads_every_event(
    moderated: Running, tmp_path: Path
) -> None:
    """Uploads accepted, rejected, held, approved, disapproved, deleted and erased, and a job: each
    event is of a published schema, and the last of an asset says what its record says."""
    running = moderated
    admin, people = client(running, "ops", "admin"), client(running, "moderators", "review")

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(picture(tmp_path, "whole.jpg", 3).read_bytes()[:900])
    rejected = running.json("put", broken, "--wait", code=1)
    plain = picture(tmp_path, "plain.jpg", 4)
    accepted = admin.upload("plain.jpg", plain.read_bytes(), type="image/jpeg", recipe="default")
    wait_for(running, accepted["asset"], lambda one: one.status is Status.ACCEPTED)
    job = admin.post("/jobs", {"kind": "denoise", "assets": [accepted["asset"]]})

    shown, refused = picture(tmp_path, "shown.jpg", 5), picture(tmp_path, "refused.jpg", 6)
    assets = {}
    for path, choice in ((shown, "approve"), (refused, "reject")):
        declare(running.data, path, FLAGGED)
        assets[choice] = running.json("put", path, "--wait")["asset"]
        decide(people, assets[choice], choice)
    wait_for(running, assets["approve"], lambda one: one.status is Status.PUBLISHED)
    wait_for(running, assets["reject"], lambda one: one.status is Status.REJECTED)

    gone = running.json("put", picture(tmp_path, "gone.jpg", 7), "--recipe", "default", "--wait")
    running.app.store.delete(running.app.settings.intake_bucket, gone["key"])
    wait_for(running, gone["asset"], lambda one: one.status is Status.DELETED)
    erased = running.json("put", picture(tmp_path, "out.jpg", 8), "--recipe", "default", "--wait")
    running.run("assets", "rm", erased["asset"])

    def state() -> str:
        return str(admin.get(f"/jobs/{job['id']}")["state"]).lower()

    until(lambda: state() in {"succeeded", "failed"})
    assert state() == "succeeded"

    expected = {
        rejected["asset"]: "rejected",
        accepted["asset"]: "accepted",
        assets["approve"]: "published",
        assets["reject"]: "rejected",
        gone["asset"]: "deleted",
    }

    def read() -> Consumer:
        consumer = Consumer.of(ROOT / "docs" / "events")
        for line in (running.data / address.EVENTS).read_text("utf-8").splitlines():
            consumer.read(line)
        return consumer

    # Events follow from records: some may still be on their way.
    until(lambda: read().types.keys() >= EXPECTED and read().status.items() >= expected.items())
    catalog = running.app.catalog
    for asset, status in read().status.items():
        record = catalog.get(asset)
        assert record is None or record.status.value == status
