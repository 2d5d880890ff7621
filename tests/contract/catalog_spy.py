"""Watching and disturbing the calls of one DynamoDB client, through botocore's own event hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}

Answer = tuple[SimpleNamespace, dict[str, Any]]


class Killed(BaseException):
    """The process dies here: nothing in it may catch this."""


def refusal(code: str, status: int = 400, **more: Any) -> Answer:
    """What botocore would have made of an error answer."""
    said = {"Error": {"Code": code, "Message": "told so by a test"}}
    meta = {"ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 0}}
    return SimpleNamespace(status_code=status), said | meta | more


def answer(**said: Any) -> Answer:
    """What botocore would have made of a good answer."""
    meta = {"ResponseMetadata": {"HTTPStatusCode": 200, "RetryAttempts": 0}}
    return SimpleNamespace(status_code=200), said | meta


@dataclass
class Calls:
    """What was asked, in order."""

    names: list[str] = field(default_factory=list)
    parameters: list[dict[str, Any]] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """Items written, by calls of one item each."""
        return sum(name in WRITES for name in self.names)

    def clear(self) -> None:
        """Forget them."""
        self.names.clear()
        self.parameters.clear()


@contextmanager
def watching(
    client: DynamoDBClient,
    before: Callable[[str, int], Answer | None] | None = None,
    after: Callable[[str, int], None] | None = None,
) -> Iterator[Calls]:
    """Record the calls of a client.

    Args:
        client: to watch.
        before: gets the name of each operation and its number, from 1; may raise, or return an
            answer that is then taken for the service's.
        after: gets the same when the service has answered; may raise.
    """
    calls = Calls()

    def parameters(params: dict[str, Any], **_: Any) -> None:
        calls.parameters.append(params)

    def ahead(model: Any, **_: Any) -> Answer | None:
        calls.names.append(model.name)
        return before(model.name, len(calls.names)) if before else None

    def behind(model: Any, **_: Any) -> None:
        if after:
            after(model.name, len(calls.names))

    events = client.meta.events
    hooks: dict[str, Callable[..., Any]] = {
        "provide-client-params.dynamodb": parameters,
        "before-call.dynamodb": ahead,
        "after-call.dynamodb": behind,
    }
    for event, hook in hooks.items():
        events.register(event, hook)
    try:
        yield calls
    finally:
        for event, hook in hooks.items():
            events.unregister(event, hook)


class Turns:
    """Makes the calls of some threads happen in a given order of the threads' names."""

    def __init__(self, order: str) -> None:
        self._order = list(order)
        self._changed = threading.Condition()

    def wait(self, _name: str, _number: int) -> None:
        """Before a call: until it is this thread's turn, or it has none left."""
        me = threading.current_thread().name
        with self._changed:
            self._changed.wait_for(lambda: me not in self._order or self._order[0] == me)

    def done(self, _name: str, _number: int) -> None:
        """After a call: the next one's turn."""
        with self._changed:
            if self._order and self._order[0] == threading.current_thread().name:
                del self._order[0]
            self._changed.notify_all()

    def leave(self) -> None:
        """A thread makes no more calls."""
        with self._changed:
            me = threading.current_thread().name
            self._order = [name for name in self._order if name != me]
            self._changed.notify_all()
