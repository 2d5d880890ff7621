"""Items of DynamoDB, messages of SQS and executions of Step Functions as rows, written where
ministack changes them."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from worker.local.durable.packed import Partitions
from worker.local.durable.store import Store

PRUNE_EVERY = 1000
"""Number of new deduplication ids after which expired ids are removed."""
HISTORIES = 100
"""Ended executions whose events are still kept."""

_SET_ITEM = (
    "INSERT INTO items VALUES (?, ?, ?) ON CONFLICT (owner, key) DO UPDATE SET item = excluded.item"
)
_SET_EXECUTION = "INSERT OR REPLACE INTO executions VALUES (?, ?)"
_SET_MESSAGE = (
    "INSERT INTO messages (queue, id, message) VALUES (?, ?, ?)"
    " ON CONFLICT (queue, id) DO UPDATE SET message = excluded.message"
)


def keep_tables(dynamodb: Any, store: Store) -> None:
    """Write each item where it is set or removed; the saved state has the tables without items."""
    set_item, remove_item = dynamodb._set_item, dynamodb._remove_item
    replaced, delete_table = dynamodb._items_replaced, dynamodb._delete_table
    whole_state, restore = dynamodb.get_state, dynamodb.load_persisted_state

    def packed(table: Any) -> Partitions:
        if not isinstance(table["items"], Partitions):
            table["items"] = Partitions(table["items"])
        partitions: Partitions = table["items"]
        return partitions

    def kept(table: Any, pk: str, sk: str, item: Any) -> Any:
        packed(table)
        old = set_item(table, pk, sk, item)
        store.add(_SET_ITEM, table["TableArn"], json.dumps([pk, sk]), json.dumps(item))
        return old

    def removed(table: Any, pk: str, sk: str) -> Any:
        old = remove_item(table, pk, sk)
        if old is not None:
            key = json.dumps([pk, sk])
            store.add("DELETE FROM items WHERE owner = ? AND key = ?", table["TableArn"], key)
        return old

    def written_anew(table: Any) -> None:
        replaced(table)
        store.add("DELETE FROM items WHERE owner = ?", table["TableArn"])
        for pk, below in packed(table).items():
            for sk, item in below.items():
                store.add(_SET_ITEM, table["TableArn"], json.dumps([pk, sk]), json.dumps(item))

    def deleted(data: Any) -> Any:
        answer = delete_table(data)
        if answer[0] == 200:
            arn = json.loads(answer[2])["TableDescription"]["TableArn"]
            store.add("DELETE FROM items WHERE owner = ?", arn)
        return answer

    def state() -> Any:
        tables = dynamodb._tables
        dynamodb._tables = type(tables)()  # its items would be copied for nothing
        try:
            found = whole_state()
        finally:
            dynamodb._tables = tables
        for name, table in tables._data.items():
            kept = {k: v for k, v in table.items() if k != dynamodb._INDEX_MEMBERS}
            found["tables"]._data[name] = {**kept, "items": {}}
        return found

    def load(data: Any) -> None:
        restore(data)
        for table in dynamodb._tables._data.values():
            rows = store.rows("SELECT key, item FROM items WHERE owner = ?", table["TableArn"])
            for key, item in rows:
                pk, sk = json.loads(key)
                packed(table).setdefault(pk)[sk] = json.loads(item)
            (replaced if rows else written_anew)(table)

    dynamodb._set_item, dynamodb._remove_item = kept, removed
    dynamodb._items_replaced, dynamodb._delete_table = written_anew, deleted
    dynamodb.get_state, dynamodb.load_persisted_state = state, load


def keep_executions(stepfunctions: Any, responses: Any, store: Store) -> Callable[[], None]:
    """Write each execution as it starts and ends; the saved state has no executions. Events are
    held of those that run and of the last ``HISTORIES`` that have ended.

    Returns:
        Returns a function that restarts the executions that were running when the process ended,
        under the same names. Call it once, when all services are loaded. They begin anew, because
        ministack keeps only in threads where they are: what their tasks do must be safe to do
        twice, as it must for Retry.
    """
    tell, restore = stepfunctions._emit_execution_status_event, stepfunctions.load_persisted_state
    lost: list[Mapping[str, Any]] = []
    ended: deque[dict[str, Any]] = deque()

    def changed(execution: dict[str, Any]) -> None:
        if execution["status"] != "RUNNING":
            ended.append(execution)
            if len(ended) > HISTORIES:
                ended.popleft()["events"] = []
        if not execution.get("sync"):  # which cannot be asked about later
            row = {**execution, "events": []}
            store.add(_SET_EXECUTION, execution["executionArn"], json.dumps(row))
        tell(execution)

    def state() -> Any:
        names = ("state_machines", "tags", "activities", "map_runs")
        versions = ("state_machine_versions", "state_machine_aliases")
        return {name: getattr(stepfunctions, f"_{name}") for name in (*names, *versions)}

    def load(data: Any) -> None:
        restore(data)
        for arn, text in store.rows("SELECT arn, execution FROM executions"):
            execution = json.loads(text)
            if execution["status"] == "RUNNING":
                lost.append(execution)
            else:
                region, account = arn.split(":")[3:5]
                stepfunctions._executions.set_scoped(account, region, arn, execution)

    def start_again() -> None:
        for execution in lost:
            region, account = execution["executionArn"].split(":")[3:5]
            asked = {name: execution[name] for name in ("stateMachineArn", "name", "input")}
            with responses.request_scope(account, region):
                stepfunctions._start_execution(asked)

    stepfunctions._emit_execution_status_event = changed
    stepfunctions.get_state, stepfunctions.load_persisted_state = state, load
    return start_again


def keep_tokens_apart(stepfunctions: Any) -> None:
    """Give each task a context of its own. In ministack the branches of a Parallel state share one,
    and a branch that is switched out between writing its token there and reading it sends that of
    another: one of the two waits for ever (``findings/parallel-task-tokens.sh``)."""
    execute = stepfunctions._execute_task

    def executed(state: Any, data: Any, execution: Any, context: Mapping[str, Any]) -> Any:
        return execute(state, data, execution, {**context})

    stepfunctions._execute_task = executed


_receivers: set[asyncio.Future[None]] = set()
"""Requests that wait for a message."""


def wake_receivers() -> None:
    """Let requests that wait for a message look again. From any thread."""
    for receiver in tuple(_receivers):
        receiver.get_loop().call_soon_threadsafe(_end, receiver)


def _end(receiver: asyncio.Future[None]) -> None:
    if not receiver.done():
        receiver.set_result(None)


async def wait_for_messages(seconds: float) -> None:
    """Return when a message may have arrived, at the latest after some seconds."""
    receiver = asyncio.get_running_loop().create_future()
    _receivers.add(receiver)
    try:
        await asyncio.wait([receiver], timeout=seconds)
    finally:
        _receivers.discard(receiver)


class Messages(list[dict[str, Any]]):
    """The messages of a queue: each one added, by any service, is stored."""

    def __init__(self, store: Store, queue: str, held: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__(held)
        self.store, self.queue = store, queue

    def write(self, message: dict[str, Any]) -> None:
        """Write one as it is now."""
        self.store.add(_SET_MESSAGE, self.queue, message["id"], json.dumps(message))

    def forget(self, message: dict[str, Any]) -> None:
        """Remove one from the file."""
        self.store.add("DELETE FROM messages WHERE queue = ? AND id = ?", self.queue, message["id"])

    def append(self, message: dict[str, Any]) -> None:
        """See ``list``."""
        super().append(message)
        self.write(message)
        wake_receivers()

    def remove(self, message: dict[str, Any]) -> None:
        """See ``list``."""
        super().remove(message)
        self.forget(message)
        wake_receivers()  # of a FIFO queue the next message of its group can be received now

    def clear(self) -> None:
        """See ``list``."""
        super().clear()
        self.store.add("DELETE FROM messages WHERE queue = ?", self.queue)


class StoredQueue(dict[str, Any]):
    """A queue of ministack's: a list of messages put in place of another is compared with it."""

    def __init__(self, store: Store, held: Mapping[str, Any]) -> None:
        super().__init__(held)
        super().__setitem__("messages", Messages(store, held["url"], held["messages"]))

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "messages":
            old: Messages = self["messages"]
            # A list that replaces another has left some messages out of it.
            gone, kept = len(old) - len(value), iter(value)
            after = next(kept, None)
            for message in old if gone > 0 else ():
                if message is after:
                    after = next(kept, None)
                    continue
                old.forget(message)
                gone -= 1
                if not gone:
                    break
            value = Messages(old.store, old.queue, value)
        super().__setitem__(name, value)


def keep_queues(sqs: Any, store: Store) -> None:
    """Write messages as they come, are received and go, and the ids that FIFO queues remember."""
    create, delete, send = sqs._act_create_queue, sqs._act_delete_queue, sqs._act_send_message
    collect = sqs._collect_msgs
    counted = 0

    def created(data: Any, url: str) -> Any:
        answer = create(data, url)
        queue = sqs._queues[answer["QueueUrl"]]
        if not isinstance(queue, StoredQueue):
            sqs._queues[answer["QueueUrl"]] = StoredQueue(store, queue)
        return answer

    def deleted(data: Any, url: str) -> Any:
        queue = sqs._get_q(data.get("QueueUrl", url))
        answer = delete(data, url)
        for table in ("messages", "deduplication"):
            store.add(f"DELETE FROM {table} WHERE queue = ?", queue["url"])  # noqa: S608 - constants
        return answer

    def sent(data: Any, url: str) -> Any:
        nonlocal counted
        answer = send(data, url)
        queue = sqs._get_q(data.get("QueueUrl", url))
        if queue["is_fifo"] and queue["messages"]:
            message = queue["messages"][-1]
            if message["id"] == answer["MessageId"]:
                id_ = message["dedup_cache_key"]
                entry = queue["dedup_cache"][id_]
                store.add(
                    "INSERT OR REPLACE INTO deduplication VALUES (?, ?, ?, ?)",
                    *(queue["url"], json.dumps(id_), json.dumps(entry), entry["expire"]),
                )
                counted += 1
                if counted % PRUNE_EVERY == 0:
                    store.add("DELETE FROM deduplication WHERE expires < ?", time.time())
        return answer

    def collected(queue: Any, *limits: Any) -> Any:
        received = collect(queue, *limits)
        for message in received:
            queue["messages"].write(message)
        return received

    def hiding(change: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
        def changed(data: Any, url: str) -> Any:
            answer = change(data, url)
            entries = data.get("Entries", [data])
            receipts = {entry.get("ReceiptHandle") for entry in entries} - {None, ""}
            messages = sqs._get_q(data.get("QueueUrl", url))["messages"]
            for message in messages:
                if message["receipt_handle"] in receipts:
                    messages.write(message)
            return answer

        return changed

    sqs._act_send_message, sqs._collect_msgs = sent, collected
    # Its long polls check every 0.1 s: an upload passes three queues and waits 0.15 s.
    sqs.asyncio = SimpleNamespace(sleep=wait_for_messages, iscoroutine=asyncio.iscoroutine)
    _keep_state_of_queues(sqs, store)
    changed = {
        "CreateQueue": created,
        "DeleteQueue": deleted,
        "SendMessage": sent,
        "ChangeMessageVisibility": hiding(sqs._act_change_visibility),
        "ChangeMessageVisibilityBatch": hiding(sqs._act_change_visibility_batch),
    }
    assert changed.keys() <= sqs._HANDLERS.keys()
    sqs._HANDLERS.update(changed)


def _keep_state_of_queues(sqs: Any, store: Store) -> None:
    """Save queues without their rows, and read the rows when the queues are loaded."""
    restore = sqs.load_persisted_state

    def state() -> Any:
        queues = type(sqs._queues)()
        for name, queue in sqs._queues._data.items():
            queues._data[name] = {**queue, "messages": [], "dedup_cache": {}}
        return {"queues": queues, "queue_name_to_url": sqs._queue_name_to_url}

    def load(data: Any) -> None:
        restore(data)
        now = time.time()
        store.add("DELETE FROM deduplication WHERE expires < ?", now)
        # One number a message ever sent: no queue has given out a higher one.
        highest = max((row[0] for row in store.rows("SELECT seq FROM sqlite_sequence")), default=0)
        for name, queue in list(sqs._queues._data.items()):
            sqs._queues._data[name] = kept = StoredQueue(store, queue)
            messages: Messages = kept["messages"]
            for message in messages:  # of an earlier Safelight, which kept them with the queue
                messages.write(message)
            rows = store.rows(
                "SELECT message FROM messages WHERE queue = ? ORDER BY number", messages.queue
            )
            messages.extend(json.loads(row[0]) for row in rows)
            kept["fifo_seq"] = max(kept.get("fifo_seq", 0), highest)
            remembered = "SELECT id, entry FROM deduplication WHERE queue = ? AND expires >= ?"
            for id_, entry in store.rows(remembered, messages.queue, now):
                kept["dedup_cache"][json.loads(id_)] = json.loads(entry)

    sqs.get_state, sqs.load_persisted_state = state, load
