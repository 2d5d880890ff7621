"""Assets that somebody holds back in a local stack: people decide, and that takes effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import Running, picture, until
from tests.integration.test_delivery import ask
from worker.domain.asset import AssetRecord
from worker.domain.keys import quarantine_key, version_prefix

pytestmark = pytest.mark.timeout(240)


def held(running: Running, folder: Path, name: str, colour: str) -> tuple[AssetRecord, str]:
    """An uploaded picture that is served, then held: its record, and the id of the review."""
    put = running.json("put", picture(folder, name, colour), "--wait")
    record = running.app.catalog.get(put["asset"])
    assert record is not None
    assert status(running, record) == 200
    running.run("assets", "hold", record.asset, "--reason", "somebody complains")
    (review,) = (
        one["id"] for one in running.json("review", "list") if one["asset"] == record.asset
    )
    until(lambda: status(running, record) == 403)
    return record, review


def status(running: Running, record: AssetRecord) -> int:
    """What a viewer gets for a file of the version."""
    return ask(running, f"/{record.asset}/{record.version}/medium.webp")[0]


def now(running: Running, record: AssetRecord) -> str:
    """The asset's status at this moment."""
    found = running.app.catalog.get(record.asset)
    return "" if found is None else found.status.value


def test_an_approved_asset_is_served_again(running: Running, tmp_path: Path) -> None:
    """Closed while people decide, open under the same address afterwards."""
    record, review = held(running, tmp_path, "approved.jpg", "teal")

    done: Any = running.json("review", "approve", review, "--reviewer", "ann")

    assert (done["state"], done["decisions"][0]["reviewer"]) == ("approved", "cli:ann")
    until(lambda: now(running, record) == "published")
    until(lambda: status(running, record) == 200)
    # What the log has can be sent again, with the rights of an operator, and changes nothing.
    assert running.json("events", "replay", "--since", "2026-01-01")["sent"] > 1
    assert now(running, record) == "published"


def test_a_rejected_asset_goes_to_quarantine(running: Running, tmp_path: Path) -> None:
    """Its files are gone, its original is in quarantine, and its record says why."""
    record, review = held(running, tmp_path, "rejected.jpg", "salmon")

    running.run("review", "reject", review, "--reviewer", "ann", "--reason", "a stolen logo")

    app = running.app
    until(lambda: now(running, record) == "rejected")
    key = quarantine_key(record)
    until(lambda: key in {one.key for one in app.store.list(app.settings.quarantine_bucket, key)})
    prefix = version_prefix(record)
    until(lambda: not list(app.store.list(app.settings.delivery_bucket, prefix)))
    found = app.catalog.get(record.asset)
    assert found is not None
    assert found.verdict is not None
    assert (found.verdict.code, found.verdict.message) == ("review_rejected", "a stolen logo")
    assert status(running, record) in {403, 404, 410}


def test_a_replaced_asset_is_asked_about_anew(running: Running, tmp_path: Path) -> None:
    """The question about the version before is withdrawn; the new version is held as well."""
    record, review = held(running, tmp_path, "replaced.jpg", "khaki")

    running.json("put", picture(tmp_path, "replaced.jpg", "indigo"), "--wait")

    def states() -> dict[str, str]:
        return {one.id: one.state.value for one in running.app.catalog.reviews_of(record.asset)}

    until(lambda: states().get(review) == "withdrawn")
    until(lambda: list(states().values()).count("open") == 1)
    newer = running.app.catalog.get(record.asset)
    assert newer is not None
    assert newer.version != record.version
    assert status(running, newer) == 403
