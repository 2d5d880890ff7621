"""Files made at first view, by processes that share a bucket and a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.catalogs import make_table
from tests.unit.test_deliver import ASSET
from tests.unit.test_first_view import PHOTO, PREFIX, World, size_of
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.adapters.aws.s3 import S3ObjectStore
from worker.bootstrap import assemble
from worker.domain import trace
from worker.domain.asset import LogEntry
from worker.domain.keys import recipe_key
from worker.local.emulator import Emulator
from worker.settings import Settings

PROCESS = """
import json, os, sys
from worker.adapters.aws.clients import AwsClients
from worker.bootstrap import assemble
from worker.settings import Settings
from worker.imaging import engine

made, make = [], engine.make_file
engine.make_file = lambda *call: (made.append(1), make(*call))[1]
app = assemble(Settings.from_environment(os.environ), AwsClients(os.environ))
deliver = app.deliver()
print("ready", flush=True)
sys.stdin.readline()
answer = deliver.answer(sys.argv[1])
print(json.dumps([answer.status, len(answer.body), len(made)]))
"""


MADE = ("square.jpg", "medium.jpg", "medium.webp", "large.jpg", "large.webp")


@pytest.fixture
def stack(
    clients: AwsClients, emulator: Emulator, fresh: Callable[[str], str]
) -> tuple[World, dict[str, str]]:
    """An asset with its files in buckets and a table, and the settings that name them."""
    world, table = World(), fresh("catalog")
    names = {one: fresh(one) for one in ("intake", "delivery", "quarantine")}
    make_table(clients.dynamodb, table)
    for bucket in names.values():
        clients.s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
    store = S3ObjectStore(clients)
    for one in (*(made.key for made in world.record.renditions), recipe_key(world.recipe.digest)):
        kept = world.store.versions["delivery", one][-1]
        store.put(
            names["delivery"],
            one,
            kept.data,
            content_type=kept.content_type,
            cache_control=kept.cache_control,
            metadata=kept.metadata,
        )
    original = store.put(names["intake"], "a.jpg", PHOTO, content_type="image/jpeg")
    source = replace(world.upload, bucket=names["intake"], etag=original, version_id=None)
    DynamoCatalog(clients.dynamodb, table).commit(
        replace(world.record, source=source), LogEntry(time="2026-01-02T03:04:05Z", kind="test")
    )
    settings = {f"SAFELIGHT_{name.upper()}_BUCKET": bucket for name, bucket in names.items()}
    settings |= {"SAFELIGHT_TABLE": table, "SAFELIGHT_EVENT_BUS": "bus"}
    settings |= {"SAFELIGHT_QUEUE_URL": "queue", "SAFELIGHT_DLQ_URL": "dead"}
    return world, {**os.environ, **emulator.environment, **settings}


def test_two_processes_make_a_file_once(
    stack: tuple[World, dict[str, str]], clients: AwsClients, tmp_path: Path
) -> None:
    """Of two containers that are asked at once, one renders; both answer with the same file."""
    _, environment = stack
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, PREFIX + "w/480.webp"],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(2) as pool:  # both at once
        printed = list(pool.map(lambda one: one.communicate("go\n", timeout=120)[0], started))

    answers = [json.loads(text) for text in printed]
    assert [one.returncode for one in started] == [0, 0]
    assert sorted(made for _, _, made in answers) == [0, 1]
    kept = clients.s3.head_object(
        Bucket=environment["SAFELIGHT_DELIVERY_BUCKET"], Key=PREFIX + "w/480.webp"
    )
    assert {(status, size) for status, size, _ in answers} == {(200, kept["ContentLength"])}
    assert kept["CacheControl"] == "public, max-age=31536000, immutable"
    assert kept["Metadata"]["cache-tag"] == f"a:{ASSET}"
    assert trace.valid(kept["Metadata"][trace.NAME])
    assert kept["ContentType"] == "image/webp"


def test_an_erased_asset_has_no_file_of_its_first_views(
    stack: tuple[World, dict[str, str]], clients: AwsClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erasing removes them like renditions; what is asked for meanwhile leaves none behind."""
    _, environment = stack
    app = assemble(Settings.from_environment(environment), clients)
    deliver = app.deliver()
    made = deliver.answer(PREFIX + "w/480.webp")
    assert size_of(made.body) == ("webp", 480, 320)
    during: list[int] = []

    forget = app.catalog.delete

    def between(asset: str) -> None:
        # Its files are gone, and its record is there.
        during.append(deliver.answer(PREFIX + "w/320.webp").status)
        forget(asset)

    monkeypatch.setattr(app.catalog, "delete", between)
    erased = app.eraser().erase(ASSET)

    assert during == [404]
    assert erased.files == len(MADE) + 1
    assert list(app.store.list(environment["SAFELIGHT_DELIVERY_BUCKET"], PREFIX)) == []
    assert deliver.answer(PREFIX + "w/480.webp").status == 404
