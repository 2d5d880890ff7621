"""The trace of one photo and of one video on the real local stack: every step, without a gap.

From the call of the API to the first delivery, through the event of S3, queues, functions, state
machine and jobs, as `safelight trace` shows it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_client import ApiClient, send
from tests.integration.job_uploads import SECONDS, clip
from tests.integration.running import Running, picture, until

pytestmark = pytest.mark.timeout(300)

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SIGNED = ("ALGORITHM=AWS4", "X-Amz-Signature", "Bearer ", "AKIA")


def delivered(running: Running, path: Path, media_type: str) -> str:
    """Upload a file through the API, wait until it is accepted, and ask for a file of it."""
    api = ApiClient(running.ready["api"], running.ready["token"])
    asset = str(api.upload(path.name, path.read_bytes(), type=media_type)["asset"])
    end = time.monotonic() + SECONDS
    while (shown := api.get(f"/assets/{asset}"))["status"] != "accepted":
        assert shown["status"] in ("waiting", "uploaded", "processing"), shown
        assert time.monotonic() < end, shown
        time.sleep(0.2)
    status, body = send("GET", shown["renditions"][0]["url"])
    assert (status, bool(body)) == (200, True)
    return asset


def settled(running: Running, asset: str) -> dict[str, Any]:
    """The trace once all have written what they did: each does so after its work."""
    found: dict[str, Any] = {}

    def whole() -> bool:
        found.update(running.json("trace", asset))
        return found["whole"] and "deliver" in names(found)

    try:
        until(whole)
    finally:
        print(running.run("trace", asset))  # noqa: T201 - for whoever reads a failure
    return found


def names(trace: dict[str, Any]) -> list[str]:
    """Steps by their beginning, without calls."""
    spans = sorted(trace["spans"], key=lambda one: one["at"])
    return [one["name"] for one in spans if "." not in one["name"]]


def ends(trace: dict[str, Any], name: str) -> float:
    """Seconds from the first moment to the end of the last span of a name."""
    mine = [one for one in trace["spans"] if one["name"] == name]
    return max(float(one["at"] + one["seconds"]) for one in mine)


def covered(trace: dict[str, Any], steps: Sequence[str]) -> list[tuple[float, float]]:
    """Times from the first moment to the last in which none of the steps goes on."""
    left, end = [], 0.0
    for one in sorted(trace["spans"], key=lambda span: span["at"]):
        if any(one["name"].startswith(step) for step in steps):
            if one["at"] > end + 0.05:
                left.append((end, one["at"]))
            end = max(end, one["at"] + one["seconds"])
    return left


def test_the_trace_of_a_photo_has_every_step_and_no_gap(running: Running, tmp_path: Path) -> None:
    """One trace, one root, and each moment from the call to the delivery belongs to a step."""
    asset = delivered(running, picture(tmp_path, "harbour at dusk.jpg"), "image/jpeg")

    found = settled(running, asset)

    assert (found["gaps"], found["missing"], found["unreadable"]) == ([], [], 0)
    assert not any(one["orphan"] for one in found["spans"])
    (root,) = (one for one in found["spans"] if not one["parent"])
    assert (root["name"], root["service"], root["at"]) == ("upload", "api", 0)
    wanted = ["upload", "wait upload", "wait intake", "ingest", "fetch", "render", "store"]
    wanted += ["commit", "wait outbox", "tell", "wait viewer", "deliver"]
    assert set(wanted) <= set(names(found))
    services = {one["service"] for one in found["spans"]}
    assert {"api", "ingest", "outbox", "deliver"} <= services
    # The steps alone cover it, from the first moment to the last.
    assert covered(found, wanted) == []
    assert ends(found, "deliver") == pytest.approx(found["seconds"], abs=0.5)
    assert {one["error"] for one in found["spans"]} == {""}
    # Nothing of it says what the file is called, who has sent it, or with what.
    text = json.dumps(found)
    assert not [one for one in ("harbour", "dusk", *SIGNED) if one in text]


def test_a_caller_goes_on_with_its_own_trace(running: Running, tmp_path: Path) -> None:
    """The id that it sends is the trace of all that follows; its own span is above the root."""
    data = picture(tmp_path, "mine.jpg").read_bytes()
    wanted = {"name": "mine.jpg", "size": len(data), "type": "image/jpeg"}
    token = {"authorization": f"Bearer {running.ready['token']}"}
    headers = {**token, "content-type": "application/json", "traceparent": CALLER}
    status, answer = send(
        "POST", f"{running.ready['api']}/uploads", json.dumps(wanted).encode(), headers
    )
    assert status == 201
    asset = json.loads(answer)["asset"]

    until(lambda: "upload" in names(_trace(running, asset)))

    found = _trace(running, asset)
    assert found["trace"] == CALLER[3:35]
    (root,) = (one for one in found["spans"] if one["name"] == "upload")
    assert (root["parent"], root["orphan"]) == (CALLER[36:52], False)


def _trace(running: Running, asset: str) -> dict[str, Any]:
    """What there is of a trace by now."""
    try:
        found: dict[str, Any] = running.json("trace", asset)
    except (AssertionError, ValueError):  # nothing yet
        return {"spans": []}
    return found


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_the_trace_of_a_video_has_every_step_and_no_gap(running: Running, tmp_path: Path) -> None:
    """Through the state machine and five jobs; what waits in its queue is a step, too."""
    asset = delivered(running, clip(tmp_path), "video/quicktime")

    found = settled(running, asset)

    assert (found["gaps"], found["missing"], found["unreadable"]) == ([], [], 0)
    assert not any(one["orphan"] for one in found["spans"])
    wanted = ["upload", "wait upload", "wait intake", "ingest", "wait outbox", "tell"]
    wanted += ["wait workflow", "workflow", "run", "wait job", "stage finish"]
    jobs = {"transcode", "poster", "storyboard", "preview", "video-metadata"}
    wanted += [f"job {kind}" for kind in jobs]
    assert {*wanted, "wait viewer", "deliver"} <= set(names(found))
    assert {"api", "ingest", "outbox", "workflow", "batch", "deliver"} <= {
        one["service"] for one in found["spans"]
    }
    steps = [*wanted, "wait viewer", "deliver"]
    assert covered(found, steps) == []
    assert "holiday" not in json.dumps(found)
    # Its log lines are there, too: of the functions, and of each job.
    lines = [json.loads(one) for one in running.run("logs", asset, "--json").splitlines()]
    assert {"ingest", "workflow", "batch"} <= {one["service"] for one in lines}
    assert jobs <= {one["fields"].get("kind") for one in lines}
    times = [one["time"] for one in lines if one["time"]]
    assert times == sorted(times)
