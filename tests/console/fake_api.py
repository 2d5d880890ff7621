"""The API as the console sees it, in memory: thousands of assets, odd names, cut connections."""

from __future__ import annotations

import base64
import io
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from tests.servers import serving_app
from tests.unit.traces import found, span
from worker import console
from worker.domain.ledger import CountedWork
from worker.local import console as local_console
from worker.services.waterfall import plain, waterfall

TOKEN = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "none"}, {"sub": "me", "scope": "safelight:admin"}, {})
)
"""The console shows what it says; nothing here checks it."""
THUMBHASH = "3OcRJYB4d3h/iIeHeEh3eIhw+j2A"  # of a sunset, from the samples of ThumbHash
ROOT = f"00-{'4b' * 16}-{'0a' * 8}-01"
INGEST = "1" * 16
TRACE = found(
    span("upload", 0, 0.02, id_="0a" * 8, service="api"),
    span("wait upload", 0.02, 0.8, parent="0a" * 8),
    span("wait intake", 0.82, 0.6, parent="0a" * 8),
    span("ingest", 1.42, 1.3, id_=INGEST, parent="0a" * 8),
    span("fetch", 1.42, 0.2, parent=INGEST),
    span("store.get", 1.43, 0.15, parent=b"fetch".hex()[:16].ljust(16, "0")),
    span("render", 1.62, 0.9, parent=INGEST),
    span("commit", 2.52, 0.2, parent=INGEST),
    span("webhook", 3.6, 0.4, service="webhook", parent="9" * 16, error="webhook_refused"),
    span("deliver", 4, 0.05, service="deliver", parent="0a" * 8),
)
"""A trace with a gap, and with a webhook whose span above is missing."""
PART = 5 * 1024**2
TILED, TILE = (4000, 3000), 512
"""Size of the picture that has tiles, and of a tile, in pixels."""


def picture(number: int, size: tuple[int, int] = (256, 192)) -> bytes:
    """A small picture in a colour of its own."""
    made = Image.linear_gradient("L").resize(size)
    colour = ((number * 47) % 200, (number * 89) % 200, (number * 151) % 200)
    tinted = Image.merge("RGB", [made.point(lambda value, c=c: (value + c) // 2) for c in colour])
    out = io.BytesIO()
    tinted.save(out, "JPEG", quality=70)
    return out.getvalue()


class FakeApi:
    """Assets in memory, and a store that can drop connections."""

    def __init__(self) -> None:
        self.assets: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.reviews: dict[str, dict[str, Any]] = {}
        self.refused_decisions = 0
        """Status that decisions are answered with; 0: none."""
        self.changed: list[str] = []
        self.requests: list[tuple[str, str, int]] = []
        """Method, path and bytes of what the store has taken."""
        self.tiles: list[tuple[int, int, int]] = []
        """Level, column and row of the tiles that were asked for."""
        self.cut: Iterator[bool] = itertools.repeat(False)
        """Whether to drop the next request of the store half-way."""
        self.refused = 0
        """Status that lists answer with; 0: none."""
        self.ended = False
        """Whether uploads are refused, because the token has ended."""
        self.lists = 0
        """How many were asked for."""
        self.expired: set[str] = set()
        """Uploads for which there are no tickets any more."""
        self.asking = threading.Event()
        """Clear it, and beginning an upload takes until it is set."""
        self.asking.set()
        self._keys: dict[str, str] = {}
        self.url = ""
        self.configuration: dict[str, Any] = {"api": "/", "token": TOKEN, "operations": True}
        self.trace = TRACE
        self.app = self._app()

    def add(self, number: int, **more: Any) -> dict[str, Any]:
        """An accepted picture."""
        id_ = f"00000000-0000-7000-8000-{number:012x}"
        name = more.pop("name", f"picture-{number:05}.jpg")
        renditions = [
            {
                "name": kind,
                "format": "jpeg",
                "media_type": "image/jpeg",
                "width": width,
                "height": width * 3 // 4,
                "bytes": width * 90,
                "frames": 1,
                "duration_ms": None,
                "url": f"/pictures/{number}/{width}",
            }
            for kind, width in (("thumbnail", 256), ("medium", 1024), ("large", 2048))
        ]
        asset = {
            "id": id_,
            "status": "accepted",
            "media": "image",
            "owner": "me",
            "original": {
                "name": name,
                "key": f"uploads/{name}",
                "bytes": 1_000_000 + number,
                "format": "jpeg",
                "width": 4000,
                "height": 3000,
                "warnings": [],
            },
            "verdict": None,
            "recipe": "default",
            "version": f"{number:016x}",
            "tags": [],
            "attributes": {},
            "placeholder": {
                "thumbhash": THUMBHASH,
                "dominant": "#885533",
                "palette": ["#885533", "#ccaa88"],
            },
            "renditions": renditions,
            "video": None,
            "created_at": "2026-11-29T12:00:00Z",
            "updated_at": "2026-11-29T12:00:01Z",
            "revision": 1,
            "expires_at": None,
        } | more
        self.assets[id_] = asset
        return asset

    def whole(self, asset: dict[str, Any]) -> dict[str, Any]:
        """An asset with what lists leave out."""
        return {
            "snippet": '<picture>\n  <img src="large.jpg" alt="">\n</picture>',
            "metadata": {"camera_make": "Fuji", "caption": "<b>no markup</b>"},
            "measures": {"sharpness": 120.5},
            "timeline": [
                {"time": asset["updated_at"], "kind": "accepted", "detail": {}},
                {"time": asset["created_at"], "kind": "waiting", "detail": {"method": "put"}},
            ],
            "jobs": [],
            "tiles": None,
            "settled": "",
        } | asset

    def ask(self, number: int, **more: Any) -> dict[str, Any]:
        """An open review of a held picture, an hour before its deadline."""
        asset = self.add(
            number,
            status="review",
            verdict={"code": "held", "message": "a person has to look at it"},
            **more.pop("asset", {}),
        )
        now = datetime.now(UTC)
        review = {
            "id": f"{asset['id']}.{asset['version']}.1",
            "asset": asset["id"],
            "version": asset["version"],
            "name": asset["original"]["name"],
            "owner": asset["owner"],
            "state": "open",
            "reason": {"code": "moderation_held", "message": "rekognition saw violence 91 of 60"},
            "asked_at": (now - timedelta(minutes=20)).isoformat(),
            "deadline": (now + timedelta(hours=1, minutes=number)).isoformat(),
            "escalated": False,
            "needed": 1,
            "default": "hold",
            "decisions": [],
            "media": asset["media"],
            "placeholder": asset["placeholder"],
            "picture": {
                "src": f"/pictures/{number}/1024",
                "srcset": f"/pictures/{number}/1024 1024w, /pictures/{number}/2048 2048w",
                "sizes": "auto, 100vw",
                "width": 2048,
                "height": 1536,
                "alt": "",
                "background": "#885533",
                "sources": [],
            },
            "moderation": {
                "outcome": "hold",
                "tier": "rekognition",
                "labels": [
                    {"name": "Graphic Violence", "category": "violence", "confidence": 91.25},
                    {"name": "Weapons", "category": "violence", "confidence": 54.0},
                    {"name": "Smoking", "category": "", "confidence": 52.5},
                ],
                "crossed": [
                    {
                        "category": "violence",
                        "outcome": "hold",
                        "threshold": 60.0,
                        "confidence": 91.25,
                    }
                ],
                "model": "rekognition",
                "model_version": "7.0",
                "time": (now - timedelta(minutes=20)).isoformat(),
                "sampled": False,
                "earlier": "",
                "error": "",
            },
            "labels": [
                {"name": "Street", "confidence": 98.1, "source": "rekognition", "boxes": []},
                {"name": "Person", "confidence": 93.4, "source": "rekognition", "boxes": []},
            ],
        } | more
        asset |= {"moderation": review["moderation"], "labels": review["labels"]}
        asset["reviews"] = [review]
        self.reviews[review["id"]] = review
        return review

    def decided(self, id_: str, decision: str, reviewer: str, reason: str = "") -> dict[str, Any]:
        """What the API does with a decision."""
        review = self.reviews[id_]
        time_ = datetime.now(UTC).isoformat()
        review["decisions"].append(
            {"reviewer": reviewer, "decision": decision, "reason": reason, "time": time_}
        )
        approvals = [one for one in review["decisions"] if one["decision"] == "approve"]
        if decision == "reject":
            review["state"] = "rejected"
        elif len(approvals) >= review["needed"]:
            review["state"] = "approved"
        if review["state"] != "open":
            asset = self.assets[review["asset"]]
            status = {"approved": "published", "rejected": "rejected"}[review["state"]]
            asset |= {"status": status, "revision": asset["revision"] + 1}
            self.changed.append(review["asset"])
        return review

    def _app(self) -> FastAPI:
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        local_console.serve(app, self.configuration, console.headers())
        order = self._newest

        @app.get("/assets")
        def assets(
            limit: int = 50,
            cursor: int = 0,
            status: str | None = None,
            tag: str | None = None,
            key: str | None = None,
        ) -> Any:
            self.lists += 1
            if self.refused:
                return _problem(self.refused, "request_invalid", "1 field is wrong")
            found = [
                one
                for one in order()
                if status in (None, one["status"])
                and (tag is None or tag in one["tags"])
                and (key is None or key.strip("*") in one["original"]["key"])
            ]
            end = cursor + limit
            return {
                "assets": found[cursor:end],
                "cursor": str(end) if end < len(found) else None,
            }

        @app.get("/assets/{id_}")
        def asset(id_: str) -> Any:
            if id_ not in self.assets:
                return _problem(404, "asset_missing", f"there is no asset {id_}")
            return self.whole(self.assets[id_])

        @app.get("/assets/{id_}/similar")
        def similar(id_: str) -> Any:
            return {"assets": []}

        @app.patch("/assets/{id_}")
        async def change(id_: str, request: Request) -> Any:
            body, found = await request.json(), self.assets[id_]
            tags = {*found["tags"], *body.get("add_tags", [])} - {*body.get("remove_tags", [])}
            found |= {"tags": sorted(tags), "revision": found["revision"] + 1}
            found |= {name: body[name] for name in ("focal_point",) if name in body}
            return found

        @app.get("/changes")
        def changes(cursor: int | None = None, wait: int = 0) -> Any:
            if cursor is None:
                return {"cursor": str(len(self.changed)), "assets": [], "gone": []}
            until = time.monotonic() + wait
            while len(self.changed) <= cursor and time.monotonic() < until:
                time.sleep(0.02)
            ids = dict.fromkeys(self.changed[cursor:])
            return {
                "cursor": str(len(self.changed)),
                "assets": [self.assets[one] for one in ids if one in self.assets],
                "gone": [one for one in ids if one not in self.assets],
            }

        @app.get("/pictures/{number}/{width}")
        def pictures(number: int, width: int) -> Response:
            data = picture(number, (width, width * 3 // 4))
            return Response(data, media_type="image/jpeg", headers={"Cache-Control": "max-age=99"})

        self._review_routes(app)
        self._tile_routes(app)
        self._operation_routes(app)
        self._upload_routes(app)
        self._store_routes(app)
        return app

    def _newest(self) -> list[dict[str, Any]]:
        return list(reversed(self.assets.values()))

    def _review_routes(self, app: FastAPI) -> None:
        @app.get("/reviews")
        def reviews(state: str = "open", limit: int = 50, cursor: int = 0) -> Any:
            found = sorted(
                (one for one in self.reviews.values() if one["state"] == state),
                key=lambda one: one["deadline"] or "9",
            )
            end = cursor + limit
            return {
                "reviews": [one | {"picture": None} for one in found[cursor:end]],
                "cursor": str(end) if end < len(found) else None,
            }

        @app.get("/reviews/{id_}")
        def review(id_: str) -> Any:
            found = self.reviews.get(id_)
            if found is None:
                return _problem(404, "review_missing", f"there is no review {id_}")
            asset = self.assets[found["asset"]]
            more = ("original", "renditions", "video")
            return {name: asset[name] for name in more} | {"metadata": {"iso": 400}} | found

        @app.post("/reviews/{id_}/{decision}")
        async def decide(id_: str, decision: str, request: Request) -> Any:
            if self.refused_decisions:
                return _problem(self.refused_decisions, "throttled", "something does not answer")
            found = self.reviews.get(id_)
            if found is None:
                return _problem(404, "review_missing", f"there is no review {id_}")
            if found["state"] == "expired":
                return _problem(409, "review_expired", "the deadline has passed")
            if found["state"] != "open":
                return _problem(409, "review_decided", f"it is {found['state']} already")
            reason = (await request.json())["reason"]
            return self.decided(id_, decision, "me", reason)

    def _tile_routes(self, app: FastAPI) -> None:
        @app.post("/jobs", status_code=202)
        async def submit(request: Request) -> Any:
            body = await request.json()
            (id_,) = body["assets"]
            job = {
                "id": f"{id_}.{body['kind']}",
                "kind": body["kind"],
                "state": "RUNNING",
                "progress": 0.5,
                "reason": "",
                "created_at": "2026-11-29T12:00:00Z",
                "updated_at": "2026-11-29T12:00:01Z",
            }
            self.assets[id_] |= {"jobs": [job]}
            return job

        @app.get("/tiles/image.dzi")
        def descriptor() -> Response:
            size = f'<Size Width="{TILED[0]}" Height="{TILED[1]}"/>'
            space = "http://schemas.microsoft.com/deepzoom/2008"
            text = (
                f'<Image xmlns="{space}" Format="jpg" Overlap="0" TileSize="{TILE}">{size}</Image>'
            )
            return Response(text, media_type="application/xml")

        @app.get("/tiles/image_files/{level}/{name}")
        def tile(level: int, name: str) -> Response:
            across, _, down = name.removesuffix(".jpg").partition("_")
            scale = 2 ** (max(TILED) - 1).bit_length() >> level
            sides = [-(-side // scale) for side in TILED]
            places = (int(across), int(down))
            size = [min(TILE, side - TILE * at) for side, at in zip(sides, places, strict=True)]
            self.tiles.append((level, *places))
            data = picture(sum(places), (size[0], size[1]))
            return Response(data, media_type="image/jpeg", headers={"Cache-Control": "max-age=99"})

    def _operation_routes(self, app: FastAPI) -> None:
        @app.get("/operations")
        def operations() -> Any:
            return {
                "queues": [{"name": "uploads", "waiting": 12, "taken": 3, "dead": 4}],
                "minutes": [
                    {
                        "time": f"2026-11-29T12:{minute:02}:00Z",
                        "accepted": 20 + (minute * 7) % 13,
                        "rejected": minute % 4,
                    }
                    for minute in range(30)
                ],
                "errors": [
                    {"code": "unknown_format", "count": 17, "message": "of no known format"},
                    {"code": "too_many_pixels", "count": 4, "message": "<i>400 megapixels</i>"},
                ],
                "dead_letters": [
                    {
                        "queue": "uploads",
                        "cause": "unreachable",
                        "reason": "the catalog does not answer",
                        "count": 4,
                        "oldest": "2026-11-29T11:00:00Z",
                    }
                ],
                "cost": local_console.costs(
                    {
                        f"2026-11-{day}": CountedWork(
                            objects=day, bytes=day * 10**6, files=6 * day, stored=day * 10**7
                        )
                        for day in range(24, 30)
                    },
                    {"2026-11-29": CountedWork(job_hours=1)},
                ),
                "metrics": [
                    {
                        "metric": name,
                        "dimensions": dimensions,
                        "unit": "Count",
                        "statistic": "Sum",
                        "value": value,
                        "values": value,
                        "text": f"{value:,}",
                    }
                    for name, dimensions, value in (
                        ("Retries", {}, 2),
                        ("Uploads", {"outcome": "accepted"}, 1_234),
                        ("Uploads", {"outcome": "<i>other</i>"}, 4),
                    )
                ],
                "jobs": [
                    {
                        "id": f"job-{number}",
                        "kind": kind,
                        "state": state,
                        "progress": share,
                        "reason": "",
                        "doing": doing,
                        "trouble": trouble,
                        "created_at": "2026-11-29T11:58:00Z",
                        "started_at": "2026-11-29T11:58:10Z",
                        "stopped_at": "" if state == "RUNNING" else "2026-11-29T11:59:10Z",
                    }
                    for number, (kind, state, share, doing, trouble) in enumerate(
                        [
                            ("transcode", "RUNNING", 0.4, "encodes chunk 4 of 10", ""),
                            ("poster", "SUCCEEDED", 1.0, "", ""),
                            ("denoise", "FAILED", 0.2, "", "out_of_memory: needs more memory"),
                        ]
                    )
                ],
            }

        @app.get("/traces/{id_}")
        def trace(id_: str) -> Any:
            return plain(waterfall(self.trace, root=ROOT, asset=id_, expected=["tell"]))

        @app.post("/operations/redrive")
        def redrive() -> Any:
            return {"sent": 4, "left": 0}

    def _upload_routes(self, app: FastAPI) -> None:
        @app.post("/uploads", status_code=201)
        async def begin(request: Request) -> Any:
            if self.ended:
                return _problem(401, "token_expired", "the token has expired")
            body, key = await request.json(), request.headers.get("idempotency-key")
            if key in self._keys:
                return self._state(self._keys[key])
            number = len(self.uploads) + len(self.assets) + 1
            made = self.add(
                number,
                name=body["name"],
                status="waiting",
                media="video" if body["type"].startswith("video/") else "image",
                renditions=[],
                placeholder=None,
            )
            made["original"] |= {"bytes": body["size"], "width": None, "height": None}
            parted = body["size"] > PART or body.get("method") == "multipart"
            if key:
                self._keys[key] = made["id"]
            self.uploads[made["id"]] = {
                "size": body["size"],
                "method": "multipart" if parted else "put",
                "parts": {},
            }
            await run_in_threadpool(self.asking.wait)
            return self._state(made["id"])

        @app.get("/uploads/{id_}")
        def show(id_: str) -> Any:
            return self._state(id_)

        @app.post("/uploads/{id_}/parts")
        async def parts(id_: str, request: Request) -> Any:
            return self._state(id_, (await request.json())["numbers"])

        @app.post("/uploads/{id_}/complete")
        def complete(id_: str) -> Any:
            upload = self.uploads[id_]
            if sum(upload["parts"].values()) != upload["size"]:
                return _problem(409, "upload_incomplete", "parts are missing")
            self._arrive(id_)
            return self._state(id_)

        @app.post("/uploads/{id_}/abort", status_code=204)
        def abort(id_: str) -> None:
            self.assets.pop(id_)

    def _store_routes(self, app: FastAPI) -> None:
        @app.put("/store/{id_}/{part}")
        async def put(id_: str, part: int, request: Request) -> Response:
            size = 0
            cut = next(self.cut)
            async for chunk in request.stream():
                size += len(chunk)
                if cut and size > 100_000:
                    raise ConnectionResetError("as a test wants it")
            self.requests.append(("PUT", request.url.path, size))
            if part:
                self.uploads[id_]["parts"][part] = size
            else:
                self._arrive(id_)
            return Response(status_code=200)

    def _state(self, id_: str, numbers: list[int] | None = None) -> dict[str, Any]:
        upload, asset = self.uploads[id_], self.assets[id_]
        size, parted = upload["size"], upload["method"] == "multipart"
        count = -(-size // PART) if parted else 0
        wanted = numbers or [one for one in range(1, count + 1) if one not in upload["parts"]]
        put = {"method": "PUT", "url": f"{self.url}/store/{id_}/0", "headers": {}, "fields": {}}
        if id_ in self.expired:
            wanted, put = [], {}
        return {
            "asset": id_,
            "status": asset["status"],
            "key": asset["original"]["key"],
            "method": upload["method"],
            "size": size,
            "ticket": None if parted or not put else put,
            "part_size": PART if parted else None,
            "part_count": count or None,
            "tickets": [
                {
                    "number": number,
                    "offset": (number - 1) * PART,
                    "size": min(PART, size - (number - 1) * PART),
                    "url": f"{self.url}/store/{id_}/{number}",
                }
                for number in wanted
            ],
            "parts": [
                {"number": number, "size": stored, "etag": f'"{number}"'}
                for number, stored in upload["parts"].items()
            ],
        }

    def _arrive(self, id_: str) -> None:
        """What ingest does: text is rejected, everything else accepted."""
        known = self.assets[id_]
        number = int(id_[-12:], 16)
        name = known["original"]["name"]
        bad = name.endswith(".txt")
        made = self.add(number, name=name, revision=2)
        if bad:
            made |= {
                "status": "rejected",
                "renditions": [],
                "placeholder": None,
                "verdict": {
                    "code": "unknown_format",
                    "message": "the content is of no known format",
                },
            }
        self.changed.append(id_)


def _problem(status: int, code: str, detail: str) -> Response:
    return JSONResponse(
        {"type": f"urn:safelight:problem:{code}", "status": status, "code": code, "detail": detail},
        status,
        media_type="application/problem+json",
    )


@contextmanager
def served(api: FakeApi) -> Iterator[str]:
    """Serve it on a port of its own; yields the address."""
    with serving_app(api.app) as api.url:
        yield api.url
