"""An API on fakes, and callers with tokens."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.testclient import TestClient

from tests.unit.fakes import MemoryCatalog, MemoryStore
from tests.unit.memory_queue import MemoryQueue
from worker.bootstrap import Application
from worker.domain.asset import UploadRoute
from worker.domain.errors import ObjectChanged, ObjectMissing
from worker.entrypoints.api.app import ApiServices, create
from worker.local.api import development_token
from worker.ports import UploadedPart, UploadTicket
from worker.settings import Settings

SECRET = "a-secret-of-the-tests-which-is-long-enough-for-every-algorithm-here"
ENVIRONMENT = {
    "SAFELIGHT_TABLE": "catalog",
    "SAFELIGHT_INTAKE_BUCKET": "intake",
    "SAFELIGHT_DELIVERY_BUCKET": "delivery",
    "SAFELIGHT_QUARANTINE_BUCKET": "quarantine",
    "SAFELIGHT_EVENT_BUS": "bus",
    "SAFELIGHT_QUEUE_URL": "work.fifo",
    "SAFELIGHT_DLQ_URL": "dead.fifo",
    "SAFELIGHT_API_SECRET": SECRET,
    "SAFELIGHT_API_RATE": "1000",
    "SAFELIGHT_API_ORIGINS": "https://www.example.com",
}


class MemoryUploadStore:
    """``ports.UploadStore`` beside a ``MemoryStore``: parts are numbers of bytes."""

    def __init__(self, store: MemoryStore) -> None:
        """Complete into this store."""
        self.store = store
        self.parts_of: dict[str, dict[int, int]] = {}
        self.calls: list[str] = []
        self._ids = itertools.count(1)

    def form(self, bucket: str, key: str, **conditions: Any) -> UploadTicket:
        """See the port."""
        fields = {"key": key, **{name: str(one) for name, one in conditions.items()}}
        return UploadTicket(method="POST", url=f"https://{bucket}.example/", fields=fields)

    def put(self, bucket: str, key: str, **conditions: Any) -> UploadTicket:
        """See the port."""
        headers = {"content-type": conditions["media_type"], "if-none-match": "*"}
        edge = "" if conditions["route"] is UploadRoute.DIRECT else "edge."
        url = f"https://{edge}{bucket}.example/{key}"
        return UploadTicket(method="PUT", url=url, headers=headers)

    def readable(self, bucket: str, key: str, *, seconds: int) -> str:
        """See the port."""
        return f"https://{bucket}.example/{key}?seconds={seconds}"

    def begin(self, bucket: str, key: str, *, media_type: str, metadata: Mapping[str, str]) -> str:
        """See the port."""
        self.calls.append("begin")
        upload = f"upload-{next(self._ids)}"
        self.parts_of[upload] = {}
        return upload

    def parts(
        self,
        bucket: str,
        key: str,
        upload: str,
        sizes: Mapping[int, int],
        *,
        seconds: int,
        route: UploadRoute = UploadRoute.DIRECT,
    ) -> Mapping[int, UploadTicket]:
        """See the port."""
        edge = "" if route is UploadRoute.DIRECT else "edge."
        return {
            number: UploadTicket(
                method="PUT", url=f"https://{edge}{bucket}.example/{key}?part={number}&size={size}"
            )
            for number, size in sizes.items()
        }

    def uploaded(self, bucket: str, key: str, upload: str) -> Sequence[UploadedPart]:
        """See the port."""
        self.calls.append("uploaded")
        return [
            UploadedPart(number=number, size=size, etag=f'"{number}"')
            for number, size in sorted(self._there(upload).items())
        ]

    def complete(self, bucket: str, key: str, upload: str, parts: Sequence[UploadedPart]) -> None:
        """See the port."""
        self.calls.append("complete")
        there = self._there(upload)
        if key in self.store.keys(bucket):
            raise ObjectChanged("something lies there")
        del self.parts_of[upload]
        self.store.upload(bucket, key, b"x" * sum(there[one.number] for one in parts))

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """See the port."""
        self.calls.append("abort")
        self.parts_of.pop(upload, None)

    def _there(self, upload: str) -> dict[int, int]:
        if upload not in self.parts_of:
            raise ObjectMissing("there is no such upload")
        return self.parts_of[upload]


@dataclass
class Api:
    """An API on fakes."""

    environment: Mapping[str, str] = field(default_factory=dict)
    jobs: Any = None

    def __post_init__(self) -> None:
        """Wire it."""
        self.settings = Settings.from_environment({**ENVIRONMENT, **self.environment})
        self.store, self.catalog = MemoryStore(), MemoryCatalog()
        self.uploads, self.queue = MemoryUploadStore(self.store), MemoryQueue()
        app = Application(
            settings=self.settings,
            store=self.store,
            catalog=self.catalog,
            queue=self.queue,
            upload_store=self.uploads,
        )
        self.services = ApiServices(app=app, jobs=self.jobs)
        self.app = create(lambda: self.services, origins=self.settings.api_origins)
        self.client = TestClient(self.app, raise_server_exceptions=True)

    def token(self, owner: str = "ann", *scopes: str, seconds: int = 60) -> str:
        """A token; of all rights over one's own assets, unless scopes are named."""
        return development_token(self.settings, owner, scopes or ("read", "write"), seconds=seconds)

    def call(
        self, method: str, path: str, body: Any = None, *, owner: str = "ann", **headers: str
    ) -> Any:
        """One request of an owner; the answer."""
        sent = {"authorization": f"Bearer {self.token(owner)}"}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self.client.request(method, path, json=body, headers=sent)

    def begin(self, owner: str = "ann", **more: Any) -> Any:
        """Begin an upload; the body of the answer."""
        wanted = {"name": "harbour.jpg", "size": 1_000, "type": "image/jpeg", **more}
        answered = self.call("POST", "/uploads", wanted, owner=owner)
        assert answered.status_code == 201, answered.text
        return answered.json()

    def fill(self, asset: str, sizes: Mapping[int, int]) -> None:
        """What a client does with its tickets: parts of so many bytes are there."""
        upload = self.catalog.records[asset].upload
        assert upload is not None
        self.uploads.parts_of[upload.upload_id].update(sizes)
