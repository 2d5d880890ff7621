"""The client on weak lines, against a local stack that checks signatures."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.integration.running import Running, environment, picture, until
from tests.integration.weak_line import Sent, WeakLine
from worker.client import PARALLEL, TIMEOUT, ApiError, AsyncClient, Client, UploadOptions
from worker.domain.keys import quarantine_key

SCALE = 128
"""Times as fast as life, so that the tests take seconds."""
RATE = SCALE * 1_000_000 / 8
"""Bytes a second of 1 Mbit/s."""
DELAY = 0.3 / SCALE
PART = 5 * 1024**2
"""The smallest part of S3. On a real line of 1 Mbit/s it takes 42 s: between two cuts there must be
more than that, whoever the client is."""


@pytest.fixture
def access(running: Running) -> tuple[str, str]:
    """Address of the API and a token."""
    made = running.json("api", "token", "--owner", "ann")
    return made["api"], made["token"]


def behind(proxy: str) -> httpx2.AsyncClient:
    """Requests through a proxy."""
    return httpx2.AsyncClient(proxy=proxy, timeout=TIMEOUT)


def noise(path: Path, size: int) -> Path:
    """A file that is no picture, which is enough to be stored."""
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def quarantined(running: Running, asset: str) -> bytes:
    """The original of a rejected asset."""
    app = running.root_app
    record = app.catalog.get(asset)
    assert record is not None
    return app.store.get(app.settings.quarantine_bucket, quarantine_key(record))[0]


def bodies(line: WeakLine) -> dict[str, list[Sent]]:
    """What was sent to the store, by key and part."""
    found: dict[str, list[Sent]] = {}
    for one in line.sent:
        if ".bin" in one.what:
            found.setdefault(one.what, []).append(one)
    return found


def check_bytes(line: WeakLine, size: int) -> None:
    """What has arrived was sent once; what was cut was sent again from the beginning of its part
    and no other part with it."""
    sent = bodies(line)
    assert sum(requests[0].size for requests in sent.values()) == size
    for requests in sent.values():
        *cut, whole = requests
        assert (whole.passed, whole.answered) == (whole.size, True)
        assert not [one for one in cut if one.answered]
        assert all(one.passed <= one.size for one in cut)
    wasted = [one for requests in sent.values() for one in requests[:-1]]
    # A request that was open when the line was cut, and at most one of each slot.
    assert len([one for one in wasted if one.passed]) <= line.cuts * PARALLEL


def test_a_cut_line_costs_the_parts_that_were_on_it(
    running: Running, access: tuple[str, str], tmp_path: Path
) -> None:
    """1 Mbit/s and 300 ms, scaled, and a cut in the middle of a part again and again."""
    file = noise(tmp_path / "long.bin", 3 * PART + 9)
    line = WeakLine(rate=RATE, delay=DELAY, cut_after=PART + PART // 2)
    seen: list[tuple[int, int]] = []

    with line.serving() as proxy, Client(*access, http=behind(proxy), pause=0.01) as api:
        asset = api.upload(
            file,
            rate=int(RATE / SCALE),
            progress=lambda sent, size: seen.append((sent, size)),
        )
        shown = api.wait(asset)

    assert (shown["status"], shown["original"]["bytes"]) == ("rejected", file.stat().st_size)
    assert quarantined(running, asset) == file.read_bytes()
    assert line.cuts >= 2
    check_bytes(line, file.stat().st_size)
    assert seen[-1] == (file.stat().st_size, file.stat().st_size)
    assert any(then[0] < before[0] for before, then in itertools.pairwise(seen))


@pytest.mark.parametrize(
    "options", [UploadOptions(method="put"), UploadOptions(method="post")], ids=["put", "post"]
)
def test_a_file_in_one_request_is_sent_again_after_a_cut(
    running: Running, access: tuple[str, str], tmp_path: Path, options: UploadOptions
) -> None:
    """Whole, as there are no parts; the awaiting client does it as the other one."""
    file = noise(tmp_path / "short.bin", 900_000)
    line = WeakLine(rate=RATE, delay=DELAY, cut_after=600_000, most_cuts=1)

    async def upload(proxy: str) -> str:
        async with AsyncClient(*access, http=behind(proxy), pause=0.01) as api:
            asset = await api.upload(file, **options)
            await api.wait(asset)
            return asset

    with line.serving() as proxy:
        asset = anyio.run(upload, proxy)

    assert quarantined(running, asset) == file.read_bytes()
    assert line.cuts == 1


def test_an_answer_that_is_lost_is_no_second_upload(
    running: Running, access: tuple[str, str], tmp_path: Path
) -> None:
    """The store has the file and refuses it a second time; that is how the client learns of it."""
    file = picture(tmp_path, "lost.jpg", "orchid")
    line = WeakLine(rate=RATE, lost_answers=1)

    with line.serving() as proxy, Client(*access, http=behind(proxy), pause=0.01) as api:
        asset = api.upload(file, method="put", tags=["sea"])
        shown = api.wait(asset)
        (listed,) = [one for one in api.list(tag="sea") if one["id"] == asset]
        changed = api.change(asset, add_tags=["best"], attributes={"roll": "12"})
        api.delete(asset)
        api.delete(asset)
        with pytest.raises(ApiError) as gone:
            api.get(asset)

    assert line.lost_answers == 0
    assert (shown["status"], listed["tags"]) == ("accepted", ["sea"])
    assert (changed["tags"], changed["attributes"]) == (["best", "sea"], {"roll": "12"})
    assert (gone.value.code, gone.value.status) == ("asset_erased", 410)


CHILD = """
import sys
from worker.client import Client
with Client(*sys.argv[1:3], parallel=1) as api:
    print(api.upload(sys.argv[3], rate=1, state=sys.argv[4]), flush=True)
"""


def test_a_killed_process_is_gone_on_from(
    running: Running, access: tuple[str, str], tmp_path: Path
) -> None:
    """The next one, with the same state file, sends the parts that are missing and no other."""
    file, state = noise(tmp_path / "killed.bin", 4 * PART), tmp_path / "state.json"
    line = WeakLine(rate=RATE)

    with line.serving() as proxy:
        program = [sys.executable, "-c", CHILD, *access, str(file), str(state)]
        with subprocess.Popen(program, env={**environment(), "HTTP_PROXY": proxy}) as child:
            until(lambda: sum(one.passed for one in line.sent) > 2.5 * PART)
            child.kill()
        until(lambda: line.open_count == 0)
        before = [one for one in line.sent if one.answered and one.size == PART]
        with Client(*access, http=behind(proxy)) as api:
            asset = api.upload(file, rate=1, state=state)
            api.wait(asset)

    assert 0 < len(before) < 4
    assert not state.exists()
    assert quarantined(running, asset) == file.read_bytes()
    check_bytes(line, file.stat().st_size)


def test_a_file_that_changes_is_given_up(access: tuple[str, str], tmp_path: Path) -> None:
    """The sent parts are removed, and the caller gets an error with the reason."""
    file = noise(tmp_path / "changes.bin", 2 * PART)

    def change(sent: int, _size: int) -> None:
        if sent:
            os.utime(file, ns=(sent, sent))

    with Client(*access) as api:
        with pytest.raises(ApiError) as raised:
            api.upload(file, rate=1, state=tmp_path / "state", progress=change, tags=["changing"])
        assert list(api.list(tag="changing")) == []

    assert raised.value.code == "file_changed"
    assert not (tmp_path / "state").exists()
