"""A deployment in memory that load is sent to: API, store and delivery behind one transport."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx2

from worker.domain.events import Event

API = "http://api.test"
STORE = "http://store.test"
MEDIA = "http://media.test"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class FakeDeployment(httpx2.AsyncBaseTransport):
    """Decides by the first bytes of a file: ``bad`` is rejected as truncated, all else accepted."""

    answer: Callable[[httpx2.Request], httpx2.Response | None] = lambda _: None
    """Answers in place of the deployment, or not."""
    change: Callable[[dict[str, Any]], None] = lambda _: None
    """Changes an asset that has just been decided."""
    tell: Callable[[dict[str, Any]], list[Event]] = field(
        default_factory=lambda: lambda asset: [outcome(asset)]
    )
    seconds: float = 0.0
    """Before an asset is decided."""
    thinks: float = 0.0
    """Seconds before the API answers what has become of uploads."""
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[httpx2.Request] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    broken: int = 0
    """Bodies that ended early."""
    events: list[Event] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        self.requests.append(request)
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        try:
            body = b"".join([block async for block in request.stream])
        except BaseException:
            self.broken += 1
            raise
        given = self.answer(request)
        if given is not None:
            return given
        path = request.url.path
        if request.url.host == "store.test":
            return await self._store(path.strip("/"), body)
        if request.url.host == "media.test":
            return httpx2.Response(200, content=b"x" * 10)
        if request.method == "POST" and path == "/uploads":
            return self._begin(json.loads(body))
        await anyio.sleep(self.thinks)
        if path == "/assets":
            return self._list()
        found = self.assets.get(path.rpartition("/")[2])
        if found is None:
            return problem(404, "asset_missing")
        return httpx2.Response(200, json=found)

    def _begin(self, wanted: Mapping[str, Any]) -> httpx2.Response:
        asset = f"asset-{len(self.assets)}"
        self.assets[asset] = {
            "id": asset,
            "status": "waiting",
            "verdict": None,
            "created_at": _now(),
            "updated_at": _now(),
            "original": {"bytes": wanted["size"]},
            "renditions": [],
            "timeline": [{"kind": "waiting"}],
            "tags": wanted["tags"],
            "name": wanted["name"],
        }
        ticket = {"method": "PUT", "url": f"{STORE}/{asset}", "headers": {}, "fields": {}}
        return httpx2.Response(
            201,
            json={
                "asset": asset,
                "status": "waiting",
                "ticket": ticket,
                "part_size": None,
                "part_count": None,
                "tickets": [],
                "parts": [],
            },
        )

    async def _store(self, asset: str, body: bytes) -> httpx2.Response:
        self.bodies[asset] = body
        await anyio.sleep(self.seconds)
        found = self.assets[asset]
        found["status"], found["updated_at"] = "accepted", _now()
        if body.startswith(b"bad"):
            found["status"] = "rejected"
            found["verdict"] = {"code": "truncated", "message": "ends early"}
        else:
            found["renditions"] = [
                rendition(asset, name, form) for name in "ab" for form in ("jpeg", "webp")
            ]
        found["timeline"].insert(0, {"kind": found["status"]})
        self.change(found)
        self.events += self.tell(found)
        return httpx2.Response(200)

    def _list(self) -> httpx2.Response:
        newest = sorted(self.assets.values(), key=lambda one: one["created_at"], reverse=True)
        return httpx2.Response(200, json={"assets": newest, "cursor": None})


def rendition(asset: str, name: str, form: str) -> dict[str, Any]:
    """A file of ten bytes."""
    return {
        "name": name,
        "format": form,
        "media_type": f"image/{form}",
        "width": 3,
        "height": 2,
        "bytes": 10,
        "url": f"{MEDIA}/{asset}/{name}.{form}",
    }


def outcome(asset: Mapping[str, Any], *, number: int = 1) -> Event:
    """The event of an outcome."""
    kind = f"asset.{asset['status']}"
    return Event(id=f"{asset['id']}/{number}", type=kind, asset=asset["id"], time=_now())


def problem(status: int, code: str, **headers: str) -> httpx2.Response:
    """A refusal of the API."""
    document = {"status": status, "code": code, "detail": code}
    sent = {re.sub("_", "-", name): text for name, text in headers.items()}
    return httpx2.Response(status, json=document, headers=sent)
