"""Moderation on the real local stack: from `put` to what everybody gets, with people between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.integration.running import Running, stack, until
from tests.unit.pictures import encoded, photo
from worker.domain.asset import AssetRecord, Status
from worker.domain.delivery import url_path
from worker.domain.moderation import ModerationTier
from worker.local import rekognition

pytestmark = pytest.mark.timeout(300)
RECIPE = """
name = "moderated"
version = 1
[moderation]
tiers = ["earlier", "rekognition"]
categories = [
  { name = "explicit", blur = 50, hold = 70, reject = 95 },
  { name = "violence", hold = 80 },
]
[[renditions]]
name = "page"
width = 300
formats = ["jpeg", "webp"]
"""
SEEN: Mapping[str, tuple[str, float]] = {
    "harmless": ("Alcohol", 99.0),
    "held": ("Violence", 85.0),
    "blurred": ("Explicit", 60.0),
    "rejected": ("Explicit", 97.0),
    "again": ("Violence", 90.0),
    "seen": ("Violence", 81.0),
    "shown": ("Explicit", 55.0),
}


@pytest.fixture(scope="module")
def moderated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack whose recipe asks Rekognition about every new picture."""
    folder = tmp_path_factory.mktemp("moderated")
    recipe = folder / "moderated.toml"
    recipe.write_text(RECIPE)
    with stack(folder / "data", "--recipe", str(recipe)) as running:
        yield running


def picture(folder: Path, name: str) -> Path:
    """A picture that looks like none of the others."""
    path = folder / f"{name}.jpg"
    seed = 10 + list(SEEN).index(name)
    path.write_bytes(encoded(photo(320, 240, seed=seed), "JPEG"))
    return path


def declare(running: Running, folder: Path, *names: str, mode: str = "ok") -> None:
    """Say what the stand-in sees in pictures."""
    entries = "".join(
        f'[[pictures]]\nfile = "{picture(folder, name)}"\n'
        f'moderation = [{{ name = "{SEEN[name][0]}", confidence = {SEEN[name][1]} }}]\n'
        for name in names
    )
    table = running.data / rekognition.TABLE
    waiting = table.with_suffix(".new")
    waiting.write_text(f'mode = "{mode}"\n{entries}')
    waiting.replace(table)


def asked(running: Running) -> list[str]:
    """The statuses of all requests to Rekognition so far."""
    log = running.data / "logs" / "rekognition.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [str(json.loads(line)["status"]) for line in lines if "Moderation" in line]


def wait_for(running: Running, asset: str, status: Status, outcome: str) -> AssetRecord:
    """The record, once it is as expected."""
    found: list[AssetRecord] = []

    def there() -> bool:
        record = running.app.catalog.get(asset)
        if record is not None and record.moderation is not None:
            found[:] = [record]
        now = found and (found[0].status, found[0].moderation.outcome.value)  # type: ignore[union-attr]
        return now == (status, outcome)

    until(there)
    return found[0]


def served(running: Running, record: AssetRecord) -> tuple[int, str, bytes]:
    """What a browser gets for the first file: status, lifetime and bytes."""
    address = running.ready["delivery"] + url_path(record.renditions[0].key)
    try:
        with urlopen(Request(address, headers={"accept": "image/*"})) as answer:
            return answer.status, answer.headers["cache-control"], answer.read()
    except HTTPError as error:
        return error.code, error.headers["cache-control"], error.read()


def put(running: Running, folder: Path, name: str) -> str:
    """Upload a picture; its asset."""
    return str(running.json("put", picture(folder, name))["asset"])


def decide(running: Running, asset: str, choice: str) -> None:
    """A person decides about an asset, once people are asked."""
    found: list[Any] = []

    def open_review() -> bool:
        found[:] = [one for one in running.json("review", "list") if one["asset"] == asset]
        return bool(found)

    until(open_review)
    running.json("review", choice, found[0]["id"], "--reason", "looked at")


def test_each_outcome_from_upload_to_viewer(moderated: Running, tmp_path: Path) -> None:
    """Passed pictures are served; held, blurred and rejected pictures get the response of their
    outcome."""
    running = moderated
    declare(running, tmp_path, "harmless", "held", "blurred", "rejected")
    assets = {name: put(running, tmp_path, name) for name in list(SEEN)[:4]}

    passed = wait_for(running, assets["harmless"], Status.PUBLISHED, "pass")
    status, lifetime, _ = served(running, passed)
    assert (status, "immutable" in lifetime) == (200, True)
    assert passed.moderation is not None
    assert [one.name for one in passed.moderation.labels] == ["Alcohol"]
    assert passed.moderation.model_version == rekognition.MODEL_VERSION

    held = wait_for(running, assets["held"], Status.REVIEW, "hold")
    assert served(running, held)[0] == 403

    blurred = wait_for(running, assets["blurred"], Status.REVIEW, "blur")
    status, lifetime, shown = served(running, blurred)
    assert (status, lifetime) == (200, "public, max-age=10")
    assert shown.startswith(b"\xff\xd8\xff")
    assert len(shown) < blurred.renditions[0].bytes

    rejected = wait_for(running, assets["rejected"], Status.REJECTED, "reject")
    assert rejected.verdict is not None
    assert rejected.verdict.code == "moderation_rejected"
    quarantine = running.app.settings.quarantine_bucket
    assert [one for one in running.app.store.list(quarantine) if assets["rejected"] in one.key]
    assert asked(running) == ["200"] * 4

    # The same bytes under another name: they are held by what was seen then, without a request.
    second = tmp_path / "copy.jpg"
    second.write_bytes(picture(tmp_path, "held").read_bytes())
    again = wait_for(running, running.json("put", second)["asset"], Status.REVIEW, "hold")
    assert again.moderation is not None
    assert again.moderation.tier is ModerationTier.EARLIER
    assert again.moderation.earlier == assets["held"]
    assert asked(running) == ["200"] * 4


def test_a_moderator_in_trouble_holds_what_it_was_to_decide(
    moderated: Running, tmp_path: Path
) -> None:
    """An answer that is none is caught: people are asked, and nothing was public meanwhile."""
    running = moderated
    declare(running, tmp_path, "again", mode="garbage")
    asset = put(running, tmp_path, "again")
    record = wait_for(running, asset, Status.REVIEW, "hold")
    assert record.moderation is not None
    assert record.moderation.tier is ModerationTier.UNAVAILABLE
    assert served(running, record)[0] == 403
    until(lambda: asset in {one["asset"] for one in running.json("review", "list")})


def test_people_decide_about_what_was_held_or_blurred(moderated: Running, tmp_path: Path) -> None:
    """Approved, the picture itself is served; rejected, nothing is; the same bytes follow both."""
    running = moderated
    declare(running, tmp_path, "seen", "shown")
    seen, shown = (put(running, tmp_path, name) for name in ("seen", "shown"))
    held = wait_for(running, seen, Status.REVIEW, "hold")
    blurred = wait_for(running, shown, Status.REVIEW, "blur")
    assert (served(running, held)[0], served(running, blurred)[0]) == (403, 200)

    decide(running, seen, "approve")
    wait_for(running, seen, Status.PUBLISHED, "pass")
    until(lambda: served(running, held)[0] == 200)
    decide(running, shown, "reject")
    wait_for(running, shown, Status.REJECTED, "reject")
    until(lambda: served(running, blurred)[0] == 404)

    before = asked(running)
    for name, status, outcome in (
        ("seen", Status.ACCEPTED, "pass"),
        ("shown", Status.REJECTED, "reject"),
    ):
        second = tmp_path / f"second-{name}.jpg"
        second.write_bytes(picture(tmp_path, name).read_bytes())
        again = wait_for(running, running.json("put", second)["asset"], status, outcome)
        assert again.moderation is not None
        assert again.moderation.tier is ModerationTier.EARLIER
    assert asked(running) == before
