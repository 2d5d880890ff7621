"""Objects of S3, and the states of all services, kept over the end of the process."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

from worker.local.durable.packed import PackedRecords
from worker.local.durable.store import Handler, Store

VERSIONS = ".versions"
"""Folder in which ministack keeps the bytes of versions that are not the last."""
_READS = re.compile(
    r"Get|List|Describe|Head|Lookup|Query|Scan|Search|Select|Simulate|Test|Validate|BatchGet"
)
"""How operations begin that change nothing."""
_ROWS = frozenset(
    {
        *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"),
        *("TransactGetItems", "ExecuteStatement", "ExecuteTransaction", "BatchExecuteStatement"),
        *("SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage"),
        *("DeleteMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch"),
        *("PurgeQueue", "PutEvents", "StartExecution", "StopExecution"),
        *("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat"),
    }
)
"""Operations that change rows alone, or nothing that lasts: the state of the service stays."""


def keep_objects(s3: Any, store: Store) -> None:
    """Deliver events before the answer, hold no bytes of objects in memory and their records as
    text, and end where an object cannot be written.

    An event is on disk before the object is written or removed. A process that ends in between
    leaves an event of nothing, which its reader sees when it looks at the key. The other order
    would leave an object that no event ever tells of.
    """
    write, version = s3._atomic_write, s3._version_entry_from_record
    persist = s3._persist_object

    def fire(bucket: str, key: str, event: str, *more: Any, **named: Any) -> None:
        if bucket in s3._bucket_notifications:
            sequencer = s3._next_event_sequencer(event)
            s3._fire_s3_event(bucket, key, event, *more, sequencer=sequencer, **named)

    def written(*values: Any, **named: Any) -> None:
        try:
            write(*values, **named)
        except OSError as error:
            store.refused = error  # ministack would only log it, and answer
            raise

    def described(record: Any, version_id: str, _data: Any) -> Any:
        # ministack keeps the bytes of every version in memory as well as on disk.
        return version(record, version_id, None)

    def pack(bucket: Any) -> None:
        if not isinstance(bucket["objects"], PackedRecords):
            bucket["objects"] = PackedRecords(bucket["objects"])

    def persisted(bucket: str, key: str, record: Any) -> None:
        store.commit()  # its event has been fired
        persist(bucket, key, record)
        pack(s3._buckets[bucket])

    def following(change: Callable[..., object]) -> Callable[..., None]:
        # Removals fire their event after their change. The context names the account.
        return lambda *values: store.after(partial(copy_context().run, change, *values))

    s3._fire_s3_event_async, s3._atomic_write = fire, written
    s3._version_entry_from_record, s3._persist_object = described, persisted
    s3._delete_persisted_object = following(s3._delete_persisted_object)
    s3._persist_delete_marker = following(s3._persist_delete_marker)
    for bucket in s3._buckets._data.values():  # read at the import
        pack(bucket)


def undo_cut_off_writes(folder: Path) -> None:
    """Remove what a killed process has left half-way of an object that it never answered for.

    An object's bytes are renamed into place first, what is known of them (``.meta.json``) right
    after. Bytes newer than that are of the write that was cut off; those before it are still among
    the versions. In a bucket without versions the new bytes stand, described by themselves.
    """
    for place, below, names in os.walk(folder):
        if Path(place) == folder and VERSIONS in below:
            below.remove(VERSIONS)
        for name in names:
            path, described = Path(place, name), Path(place, f"{name}.meta.json")
            if name.endswith(".meta.json"):
                continue
            if name.endswith(".tmp") or not described.exists():
                path.unlink()
            elif path.stat().st_mtime_ns > described.stat().st_mtime_ns:
                _undo(path, described, folder)


def _undo(path: Path, described: Path, folder: Path) -> None:
    """Make the bytes of an object and their metadata consistent: both from the same write."""
    known = json.loads(described.read_text())
    if known.get("is_delete_marker"):
        return  # they are of the version below it
    account, bucket, *key = path.relative_to(folder).parts
    before = folder.joinpath(VERSIONS, account, bucket, str(known.get("version_id")), *key)
    if before.is_file():
        before.replace(path)
    else:
        described.write_text(json.dumps({**known, "size": None, "etag": None}))
    os.utime(described)


def keep_sessions(sts: Any) -> None:
    """Save who has which role: ministack forgets it at every stop."""
    sts.get_state = lambda: {"sessions": sts._sessions}
    sts.load_persisted_state = lambda data: sts._sessions.update(data["sessions"])


def forget_events(eventbridge: Any) -> None:
    """Hold no event in memory: ministack adds each to a list that nothing reads."""
    del eventbridge._events_log_list  # fails if there is none any more
    eventbridge._events_log_list = lambda: deque(maxlen=0)


def changes_state(service: str, method: str, path: str, headers: Any, body: bytes) -> bool:
    """Whether a request may have changed more of its service than rows and objects."""
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if not operation:
        found = re.search(rb"(?:^|&)Action=(\w+)", body[:65_536])
        operation = found[1].decode() if found else ""
    if operation:
        return operation not in _ROWS and _READS.match(operation) is None
    if method in {"GET", "HEAD", "OPTIONS"}:
        return False
    # Of S3 only what is asked of a bucket, and its uploads by form and deletes of many change none.
    return service != "s3" or (method != "POST" and "/" not in path.strip("/"))


def keep_services(app: Any, persistence: Any, store: Store) -> None:
    """Read and write states of services in the file, and write each that a request has changed."""
    read = persistence.load_state

    def encoded(key: str, state: Any) -> str:
        version = persistence._state_format_version(key)
        body = {"__ministack_format__": version, "payload": state}
        return json.dumps(body, default=persistence._json_default)

    def save(key: str, state: Any) -> None:
        store.mark(key, lambda: encoded(key, state))

    def mark(key: str, module: Any) -> None:
        store.mark(key, lambda: encoded(key, module.get_state()))

    def load(key: str) -> Any:
        rows = store.rows("SELECT state FROM services WHERE name = ?", key)
        if rows:
            body = json.loads(rows[0][0], object_hook=persistence._json_object_hook)
            return body["payload"]
        found = read(key)  # an earlier Safelight's, in a file of its own
        if found:
            mark(key, app._get_module(app._state_map[key]))
        return found

    def marking(service: str, modules: Mapping[str, str], handler: Handler) -> Handler:
        async def handled(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            answer = await handler(method, path, headers, body, query)
            if changes_state(service, method, path, headers, body):
                for key, module in modules.items():
                    loaded = sys.modules.get(f"ministack.services.{module}")
                    if loaded is not None and hasattr(loaded, "get_state"):
                        mark(key, loaded)
            return answer

        return handled

    keys = {module: key for key, module in app._state_map.items()}
    for service, told in app.SERVICE_REGISTRY.items():
        names = (told["module"], *told.get("sub_modules", ()))
        modules = {keys[name]: name for name in names if name in keys}
        app.SERVICE_HANDLERS[service] = marking(service, modules, app.SERVICE_HANDLERS[service])
    persistence.save_state, app.load_state = save, load
