"""The delivery server of the local stack on photos: ``python -m worker.bench.delivery.ours FOLDER
MODE PORT``.

It is the server that ``safelight up`` runs, with the same edge function, cache and service. Bucket
and catalog are a folder and a table in memory in place of the emulator of AWS, because thumbor and
imgproxy read files, too.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from worker.bench.delivery.library import (
    DELIVERY,
    INTAKE,
    FolderStore,
    NumberedCatalog,
    recipe,
    records,
)
from worker.bootstrap import Application
from worker.domain.image import Format
from worker.imaging.malloc import keep_memory
from worker.infra.edge import EdgeFunction, source
from worker.local.api import listen, uvicorn_server
from worker.local.delivery import DeliveryServer
from worker.ports import Catalog, ObjectStore
from worker.services.deliver import Deliver
from worker.settings import Settings

_TYPES = {one.extension: one.media_type for one in Format}


class FolderServer(DeliveryServer):
    """A distribution whose bucket is a folder."""

    store: FolderStore

    def _get(self, key: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        assert not parameters, "files of the bench are small: they are read whole"
        data, found = self.store.get(DELIVERY, key)
        return {
            "Body": io.BytesIO(data),
            "ContentLength": len(data),
            "ContentType": _TYPES[key.rpartition(".")[2]],
            "CacheControl": "public, max-age=31536000, immutable",
            "ETag": f'"{found.etag}"',
            "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        }


def delivery_service(store: FolderStore, catalog: NumberedCatalog) -> Deliver:
    """The service as the product wires it; of its ports it uses what these two have."""
    nothing = cast("Any", None)
    settings = Settings(
        table="",
        intake_bucket=INTAKE,
        delivery_bucket=DELIVERY,
        quarantine_bucket="",
        event_bus="",
        queue_url="",
        dlq_url="",
    )
    return Application(
        settings=settings,
        store=cast("ObjectStore", store),
        catalog=cast("Catalog", catalog),
        queue=nothing,
    ).deliver()


def serve(folder: Path, port: int, *, stored: bool) -> None:
    """Serve a library until a signal asks for the end."""
    keep_memory()
    store = FolderStore(folder)
    deliver = delivery_service(store, NumberedCatalog(records(folder, stored=stored)))
    server = FolderServer(
        edge=EdgeFunction(source(recipe().formats_made)),
        clients=cast("Any", None),  # what asks S3 is replaced above
        bucket=DELIVERY,
        deliver=deliver,
    )
    server.store = store
    with listen(port) as listener:
        uvicorn_server(server.app()).run(sockets=[listener])


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[3]), stored=sys.argv[2] == "stored")
