"""How long a deleted asset is still served, counted from the answer to its DELETE.

In a local stack: the API removes the files and tells the bus, the invalidation function tells the
delivery server. Each file of each asset was cached before, and a client reads all of them again and
again before, while and after the asset is deleted. On AWS the edges follow within seconds more.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from worker.bench.requests import RequestTimes
from worker.domain.asset import AssetRecord, asset_id_of
from worker.domain.delivery import url_path
from worker.local.address import Address
from worker.local.stack import on_new_stack

LONGEST = 60.0
"""Seconds to wait for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletions:
    """The measurements."""

    times: RequestTimes
    """From the answer to the last request that got a file all the same; 0 if none did."""
    requests: RequestTimes
    """Of the DELETE itself."""
    served: int
    """Files that were sent to requests of after the answer, of all assets together."""


def measure(assets: int, *, say: Callable[[str], None]) -> Deletions:
    """Delete so many assets, one after the other.

    Raises:
        EmulatorError: the stack does not start.
    """

    def work(address: Address, _pids: object) -> Deletions:
        say(f"{assets} assets")
        return _measure(assets, address)

    return on_new_stack(work, say=say)


def _measure(assets: int, address: Address) -> Deletions:
    media = http.client.HTTPConnection(urlsplit(address.delivery).netloc, timeout=LONGEST)
    api = http.client.HTTPConnection(urlsplit(address.api).netloc, timeout=LONGEST)
    after, took, served, processor = [], [], 0, time.process_time()
    for record in uploaded(assets, address):
        paths = [url_path(one.key) for one in record.renditions]
        for path in (*paths, *paths):
            if _ask(media, "GET", path, {}) != 200:
                raise AssertionError(f"{path} was not served")
        with _Reader(address.delivery, paths) as reader:
            began = time.perf_counter()
            _delete(api, record.asset, address.token)
            answered = time.perf_counter()
        late = [sent - answered for sent in reader.served if sent > answered]
        after.append(max(late, default=0.0))
        took.append(answered - began)
        served += len(late)
    busy = (time.process_time() - processor) / assets
    return Deletions(
        times=RequestTimes(seconds=sorted(after), cpu_seconds=busy),
        requests=RequestTimes(seconds=sorted(took), cpu_seconds=busy),
        served=served,
    )


class _Reader:
    """Reads files one after the other, from now until all of them are refused."""

    def __init__(self, delivery: str, paths: Sequence[str]) -> None:
        self._media = http.client.HTTPConnection(urlsplit(delivery).netloc, timeout=LONGEST)
        self._paths = paths
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._left = threading.Event()
        self.served: list[float] = []
        """When the requests were sent that got a file, seconds of ``perf_counter``."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until a whole turn got nothing."""
        self._left.set()
        self._thread.join(LONGEST)
        self._media.close()

    def _read(self) -> None:
        found = len(self._paths)
        while found or not self._left.is_set():
            found = 0
            for path in self._paths:
                sent = time.perf_counter()
                if _ask(self._media, "GET", path, {}) == 200:
                    self.served.append(sent)
                    found += 1


def uploaded(assets: int, address: Address) -> Sequence[AssetRecord]:
    """Records of so many small pictures that the stack has processed."""
    from PIL import Image

    from worker.adapters.aws.clients import AwsClients
    from worker.bootstrap import assemble
    from worker.settings import Settings

    clients = AwsClients(address.environment)
    app = assemble(Settings.from_environment(address.environment), clients)
    bucket = app.settings.intake_bucket
    found = []
    for number in range(assets):
        body = io.BytesIO()
        Image.new("RGB", (640, 400), (number % 256, number // 256, 90)).save(body, "JPEG")
        key = f"bench/{number}.jpg"
        app.store.put(bucket, key, body.getvalue(), content_type="image/jpeg")
        found.append(asset_id_of(bucket, key))
    records = []
    until = time.monotonic() + LONGEST
    for asset in found:
        while (record := app.catalog.get(asset)) is None or not record.renditions:
            if time.monotonic() > until:
                raise AssertionError(f"{asset} was not processed")
            time.sleep(0.02)
        records.append(record)
    return records


def _delete(connection: http.client.HTTPConnection, asset: str, token: str) -> None:
    status = _ask(connection, "DELETE", f"/assets/{asset}", {"Authorization": f"Bearer {token}"})
    if status not in (200, 202, 204):
        raise AssertionError(f"DELETE of {asset}: {status}")


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]
) -> int:
    connection.request(method, path, headers=dict(headers))
    answer = connection.getresponse()
    answer.read()
    return answer.status
