"""Renditions as a viewer reads them: from the local stack's distribution, with its rights."""

from __future__ import annotations

import io
import json
import os
import signal
from hashlib import sha256
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from tests.integration.running import Running, picture, until
from tests.unit.pictures import encoded, photo
from worker.domain.delivery import NEGOTIATION_HEADERS
from worker.local import cache


def ask(running: Running, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; redirects are followed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(running.ready["delivery"] + path, headers=named)
    try:
        answer = cast("HTTPResponse", urlopen(request, timeout=30))
    except HTTPError as error:
        answer = cast("Any", error)
    with answer:
        found = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, found, answer.read()


def test_a_viewer_gets_the_best_file_there_is(running: Running, tmp_path: Path) -> None:
    """WebP where it was made, a substitute where not; exact addresses lead to each file."""
    put = running.json("put", picture(tmp_path, "viewed.jpg", "maroon"), "--wait")
    record = running.app.catalog.get(put["asset"])
    assert record is not None
    base = f"/{record.asset}/{record.version}/"
    files = {(one.name, one.format.value): one for one in record.renditions}

    for accept in ("image/avif,image/webp,*/*", "*/*", "image/jxl,image/avif,image/webp"):
        for file in ("medium", "w/320", "w/auto", "medium.jxl"):
            status, headers, body = ask(running, base + file, Accept=accept)
            assert status == 200
            assert headers["x-amz-meta-cache-tag"] == f"a:{record.asset}"
            assert headers["vary"] == NEGOTIATION_HEADERS["Vary"]
            name = headers["content-type"].removeprefix("image/")
            assert name == ("jpeg" if accept == "*/*" and file != "medium.jxl" else name)
            assert len(body) == files["medium", name].bytes
    for (name, format_), one in files.items():
        ending = "jpg" if format_ == "jpeg" else format_
        assert len(ask(running, f"{base}{name}.{ending}")[2]) == one.bytes
    told = running.json(
        "deliver", "explain", f"{base}medium", "--header", "Accept: */*", "--stored"
    )
    assert told["stored"] == f"image/jpeg, {files['medium', 'jpeg'].bytes:,} bytes"


def test_a_width_is_made_at_its_first_view(running: Running, tmp_path: Path) -> None:
    """With the rights of the delivery function; the second view is a file of the bucket."""
    path = picture(tmp_path, "large.jpg", "olive", (1500, 1000))
    put = running.json("put", path, "--wait")
    record = running.app.catalog.get(put["asset"])
    assert record is not None
    base = f"/{record.asset}/{record.version}/"

    told = running.json("deliver", "explain", f"{base}w/640.webp", "--stored")
    assert told["stored"].endswith("gives w/640.webp, made at first view from medium.jpg")
    for file, width in (("w/640.webp", 640), ("w/960.jpg", 960), ("w/auto", 1280)):
        status, headers, body = ask(running, base + file, Accept="image/webp")
        assert (status, headers["x-cache"]) == (200, "Miss")
        assert Image.open(io.BytesIO(body)).width == width
    told = running.json("deliver", "explain", f"{base}w/640.webp", "--stored")
    assert told["stored"].startswith("image/webp, ")
    stored = {one.key for one in running.app.store.list(running.app.settings.delivery_bucket)}
    assert {one.key for one in record.renditions} < stored
    assert f"{record.renditions[0].key.split('/')[0]}{base}w/1280.webp" in stored
    status, headers, body = ask(running, base + "w/3840.jpg")
    assert (status, Image.open(io.BytesIO(body)).width) == (404, 1500)

    running.run("assets", "rm", record.asset)

    left = running.app.store.list(running.app.settings.delivery_bucket)
    assert not [one.key for one in left if record.asset in one.key]
    until(lambda: ask(running, base + "w/640.webp")[0] in (404, 410))


def test_what_is_removed_is_gone_everywhere_at_once(running: Running, tmp_path: Path) -> None:
    """One event empties the cache of all its files."""
    put = running.json("put", picture(tmp_path, "removed.jpg", "indigo"), "--wait")
    record = running.app.catalog.get(put["asset"])
    assert record is not None
    paths = [f"/{record.asset}/{record.version}/{file}" for file in ("medium", "w/320", "large")]
    for path in paths:
        assert ask(running, path)[0] == 200
        assert ask(running, path)[1]["x-cache"] == "Hit"

    running.run("assets", "rm", record.asset)

    until(lambda: all(ask(running, path)[0] in (404, 410) for path in paths))


@pytest.mark.skipif(cache.program() is None, reason="no redis-server, no valkey-server")
def test_hot_files_come_from_redis(running: Running, tmp_path: Path) -> None:
    """The third edge key with the same file is a hit; a stopped server costs no answer; what is
    removed is refused by the next request, although Redis has its bytes."""
    put = running.json("put", picture(tmp_path, "hot.jpg", "olive"), "--wait")
    record = running.app.catalog.get(put["asset"])
    assert record is not None
    base = f"/{record.asset}/{record.version}/"

    files = ("medium.jxl", "medium.avif", "large.jxl")  # WebP of the same bytes
    told = [ask(running, base + file)[1]["cache-status"] for file in files]
    assert told == ["safelight; fwd=miss", "safelight; fwd=miss", "safelight; hit"]

    server = running.pids[cache.NAME]
    os.kill(server, signal.SIGSTOP)
    try:
        assert ask(running, f"{base}large.avif")[0] == 200
    finally:
        os.kill(server, signal.SIGCONT)

    running.run("assets", "rm", record.asset)
    assert ask(running, f"{base}w/320.jxl")[0] == 404


def test_what_is_viewed_often_is_encoded_again(running: Running, tmp_path: Path) -> None:
    """By the delivery server's own log: shown first, then done once, under the same address."""
    path = tmp_path / "hot.jpg"
    path.write_bytes(encoded(photo(1200, 800), "JPEG"))
    put = running.json("put", path, "--recipe", "modern", "--wait")
    record = running.app.catalog.get(put["asset"])
    assert record is not None
    place = f"/{record.asset}/{record.version}/thumbnail.jxl"
    before = ask(running, place)
    for _ in range(200):
        ask(running, place)
    words = ("upgrades", "--days", "0.01", "--json")

    (shown,) = map(json.loads, running.run(*words).splitlines())

    assert (shown["asset"], shown["replaced"]) == (record.asset, None)
    assert shown["files"][0]["key"].endswith("/thumbnail.jxl")
    assert shown["files"][0]["views"] >= 200
    assert shown["saves_usd"] > shown["costs_usd"]
    assert ask(running, place)[2] == before[2]

    (done,) = map(json.loads, running.run(*words, "--apply").splitlines())

    assert (done["replaced"], done["reason"]) == (1, None)
    until(lambda: len(ask(running, place)[2]) == len(before[2]) - done["bytes_saved"])
    after = ask(running, place)
    assert after[1]["x-amz-meta-cache-tag"] == f"a:{record.asset}"
    changed = running.app.catalog.get(record.asset)
    assert changed is not None
    assert sha256(after[2]).hexdigest() in {one.sha256 for one in changed.renditions}
    assert running.run(*words, "--apply") == ""


def test_what_is_held_is_closed_until_it_is_published(running: Running, tmp_path: Path) -> None:
    """Files that were cached too; the addresses stay, and no message is left over."""
    put = running.json("put", picture(tmp_path, "held.jpg", "olive"), "--wait")
    record = running.app.catalog.get(put["asset"])
    assert record is not None
    paths = [f"/{record.asset}/{record.version}/{file}" for file in ("medium", "w/320", "large")]
    for path in paths:
        assert ask(running, path)[0] == 200

    held = json.loads(running.run("assets", "hold", record.asset, "--reason", "why", "--json"))

    assert held["status"] == "review"
    until(lambda: all(ask(running, path)[0] == 403 for path in paths))
    again = running.app.catalog.get(record.asset)
    assert again is not None
    assert again.verdict is not None
    assert (again.verdict.code, again.verdict.message) == ("held", "why")

    running.run("assets", "publish", record.asset)

    until(lambda: all(ask(running, path)[0] == 200 for path in paths))
    queue = str(running.ready["outputs"]["invalidationsQueue"])
    until(lambda: running.root_app.queue.depth(queue, taken=True) == 0)
    assert running.json("dlq", "list") == []


def test_a_new_upload_of_the_same_name_takes_over(running: Running, tmp_path: Path) -> None:
    """Pages that name the version before are led to the new one where its files are gone."""
    path = picture(tmp_path, "replaced.jpg", "gold")
    first = running.app.catalog.get(running.json("put", path, "--wait")["asset"])
    second = running.app.catalog.get(
        running.json("put", picture(tmp_path, "replaced.jpg", "pink"), "--wait")["asset"]
    )
    assert first is not None
    assert second is not None
    assert first.version != second.version

    status, _, body = ask(running, f"/{first.asset}/{first.version}/medium.png")

    assert status == 200
    common = next(one for one in second.renditions if one.name == "medium")
    assert len(body) == common.bytes
