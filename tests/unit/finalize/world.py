"""A heavy upload that waits, and what its jobs would leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.unit.fakes import Fuse, MemoryCatalog, MemoryStore
from tests.unit.pictures import encoded, photo
from worker.domain.asset import (
    VIDEO_CODE,
    AssetRecord,
    LogEntry,
    Status,
    Verdict,
    asset_id_of,
    version_of,
)
from worker.domain.keys import version_prefix
from worker.domain.workflow import Run, RunState
from worker.recipes import DeploymentRecipes
from worker.services.finalize import FinalizePolicy, Finalizer
from worker.services.workflow_runs import RunPolicy, WorkflowRuns

POLICY = FinalizePolicy(
    delivery_bucket="delivery",
    quarantine_bucket="quarantine",
    recipes=DeploymentRecipes("default"),
)
RUNS = RunPolicy(
    delivery_bucket="delivery",
    video_seconds=600,
    video_array_bytes=1_000_000,
    recipes=DeploymentRecipes("default"),
)
TYPES = {
    "json": "application/json",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "vtt": "text/vtt; charset=utf-8",
    "mp4": "video/mp4",
    "m3u8": "application/vnd.apple.mpegurl",
    "m4s": "video/iso.segment",
    "mpd": "application/dash+xml",
}
FACTS: Mapping[str, Any] = {
    "container": "mov,mp4,m4a,3gp,3g2,mj2",
    "duration": 2.0,
    "video": {
        "codec": "h264",
        "width": 320,
        "height": 180,
        "fps": 25.0,
        "fps_text": "25",
        "bit_depth": 8,
        "hdr": False,
    },
    "audio": [{"codec": "aac"}],
    "subtitles": [],
    "taken_at": "2026-05-09T10:11:12.000000Z",
}
ENCODED: Mapping[str, Any] = {
    "master": "hls/master.m3u8",
    "dash": "hls/manifest.mpd",
    "mp4": "video.mp4",
    "rungs": [
        {"name": "180p", "width": 320, "height": 180},
        {"name": "90p", "width": 160, "height": 90},
    ],
}
MOVES: Mapping[str, Any] = {
    "files": [
        {"name": "preview.webp", "width": 32, "height": 18, "frames": 15},
        {"name": "preview.mp4", "width": 32, "height": 18},
    ],
    "seconds": 1.5,
}
CHOSEN: Mapping[str, Any] = {
    "width": 32,
    "height": 18,
    "image_measures": {
        "dominant": "#806040",
        "palette": ["#806040", "#101010"],
        "thumbhash": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
        "phash": "8f373714acfcf4d0",
        "sharpness": 210.5,
        "brightness": 0.5,
        "contrast": 0.25,
        "clipped_dark": 0.0,
        "clipped_light": 0.125,
    },
}
DETAILS: Mapping[str, Mapping[str, Any]] = {
    "poster": CHOSEN,
    "transcode": ENCODED,
    "video-metadata": FACTS,
    "preview": MOVES,
}
FILES: Mapping[str, Sequence[str]] = {
    "transcode": ("hls/master.m3u8", "hls/manifest.mpd", "hls/180p/0.m4s", "video.mp4"),
    "poster": ("poster.jpg", "poster.webp"),
    "storyboard": ("storyboard.vtt", "sheet-0.jpg"),
    "preview": ("preview.webp", "preview.mp4"),
    "video-metadata": ("metadata.json",),
}


@dataclass
class FakeWorkflows:
    """Remembers what was started, and how a test says that it ended."""

    started: dict[str, tuple[str, Mapping[str, object]]] = field(default_factory=dict)
    ended: dict[str, tuple[RunState, tuple[str, ...]]] = field(default_factory=dict)

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """See the port."""
        self.started.setdefault(name, (workflow, payload))
        return f"run:{name}"

    def answer(self, token: str, output: Mapping[str, object]) -> None:
        """See the port."""
        raise AssertionError(f"nothing waits here: {output}")

    def runs(self, workflow: str, state: RunState | None = None, *, limit: int) -> Sequence[Run]:
        """See the port."""
        names = [name for name, (of, _) in self.started.items() if of == workflow]
        found = [run for name in reversed(names) if (run := self.run(workflow, name))]
        return [run for run in found if state in (None, run.state)][:limit]

    def run(self, workflow: str, name: str) -> Run | None:
        """See the port."""
        of, payload = self.started.get(name, ("", {}))
        if of != workflow:
            return None
        ended = self.ended.get(name)
        return Run(
            id=f"run:{name}",
            workflow=workflow,
            name=name,
            state=RunState.RUNNING if ended is None else ended[0],
            started_at="2026-01-02T03:04:05.000000Z",
            input=payload,
            states=() if ended is None else ended[1],
        )


class World:
    """One video that waits, unless told otherwise."""

    def __init__(
        self,
        fuse: Fuse | None = None,
        policy: FinalizePolicy = POLICY,
        *,
        run_policy: RunPolicy | None = None,
        code: str = VIDEO_CODE,
        data: bytes = b"a film",
    ) -> None:
        """Upload it and let ingest have set it aside."""
        self.fuse, self.policy = fuse or Fuse(), policy
        self.run_policy = run_policy or replace(RUNS, recipes=policy.recipes)
        self.store = MemoryStore(self.fuse)
        self.catalog = MemoryCatalog(self.fuse)
        self.workflows, self.wired = FakeWorkflows(), True
        self.record = self.upload(data, code)
        self.catalog.told.clear()

    def upload(self, data: bytes, code: str = VIDEO_CODE) -> AssetRecord:
        """A new upload under the key, as ingest records it."""
        source = self.store.upload("intake", "film.mov", data)
        record = AssetRecord(
            asset=asset_id_of("intake", "film.mov"),
            source=source,
            recipe="default",
            recipe_digest="a" * 64,
            version=version_of(source.etag, source.sequencer, "a" * 64),
            status=Status.PROCESSING,
            workflow="video",
            verdict=Verdict(code=code, message="waits"),
            updated_at="2026-01-02T03:04:05.000000Z",
        )
        return self.catalog.commit(record, LogEntry(time=record.updated_at, kind="processing"))

    @property
    def heavy(self) -> Finalizer:
        """A service of its own, as a fresh process would have."""
        return Finalizer(
            store=self.store,
            catalog=self.catalog,
            policy=self.policy,
        )

    @property
    def runs(self) -> WorkflowRuns:
        """What starts workflows."""
        return WorkflowRuns(
            catalog=self.catalog,
            policy=self.run_policy,
            workflows=self.workflows if self.wired else None,
        )

    def now(self) -> AssetRecord:
        """What the catalog knows."""
        return self.catalog.records[self.record.asset]

    def delivered(self) -> set[str]:
        """Names of everything that was made of the upload."""
        prefix = version_prefix(self.record)
        return {key.removeprefix(prefix) for key in self.store.keys("delivery")}

    def put(self, kind: str, name: str, data: bytes) -> None:
        """A file that a job stores."""
        key = f"{version_prefix(self.record)}{kind}/{name}"
        self.store.put("delivery", key, data, content_type="", cache_control="")

    def leave(self, kind: str, details: Any = None, **more: Any) -> None:
        """A job of a kind ends well."""
        outputs = []
        for name in FILES[kind]:
            ending = name.rpartition(".")[2]
            data = encoded(photo(32, 18), "WEBP" if ending == "webp" else "JPEG")
            self.put(kind, name, data)
            digest = hashlib.sha256(data).hexdigest()
            outputs.append(
                {"name": name, "bytes": len(data), "sha256": digest, "content_type": TYPES[ending]}
            )
        source = {"uri": "s3://intake/film.mov", "bytes": 6, "sha256": "c" * 64}
        value = {
            "kind": kind,
            "inputs": [source | {"etag": self.record.source.etag}],
            "outputs": outputs,
            "details": details or DETAILS.get(kind, {}),
            **more,
        }
        self.put(kind, "result.json", json.dumps(value).encode())

    def reject(self, kind: str, code: str = "corrupt", name: str = "rejected.json") -> None:
        """A job of a kind refuses the input."""
        value = {"kind": kind, "code": code, "message": "the MP4 file is damaged"}
        self.put(kind, name, json.dumps(value).encode())

    def leave_all(self) -> None:
        """All jobs of a video end well."""
        for kind in FILES:
            self.leave(kind)
