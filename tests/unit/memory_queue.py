"""A hand-written fake of the queues: in memory, strict about groups, deduplication and receipts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.unit.fakes import Fuse
from worker.ports import Message


@dataclass
class Waiting:
    """A message in a queue."""

    message: Message
    hidden: bool = False


class MemoryQueue:
    """Queues by URL. Hidden messages stay hidden until they are put back with no wait.

    A name that ends with ``.fifo`` is a FIFO queue: a group with a hidden message is locked, and
    a deduplication id is taken once.
    """

    def __init__(self, fuse: Fuse | None = None) -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self.hidden: list[tuple[str, int]] = []
        self.waiting: dict[str, list[Waiting]] = {}
        self.sent: list[tuple[str, str, str, str]] = []
        self._taken_ids: set[tuple[str, str]] = set()
        self._ids = itertools.count(1)

    def bodies(self, queue: str) -> list[str]:
        """What lies in a queue, hidden or not."""
        return [one.message.body for one in self.waiting.get(queue, [])]

    def send(
        self,
        queue: str,
        bodies: Sequence[tuple[str, str, str]],
        *,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """See the port."""
        if any(not text for text in (attributes or {}).values()):
            raise ValueError("an attribute of a message must not be empty")

        def effect() -> None:
            fifo = queue.endswith(".fifo")
            for body, group, deduplication in bodies:
                self.sent.append((queue, body, group, deduplication))
                if fifo and (queue, deduplication) in self._taken_ids:
                    continue
                self._taken_ids.add((queue, deduplication))
                number = next(self._ids)
                message = Message(
                    id=f"m{number}",
                    body=body,
                    receipt="",
                    receives=0,
                    sent_at=f"2026-01-01T00:00:{number % 60:02}.000Z",
                    group=group if fifo else None,
                    attributes=dict(attributes or {}),
                )
                self.waiting.setdefault(queue, []).append(Waiting(message))

        self.fuse.around("queue.send", effect)

    def receive(
        self, queue: str, *, limit: int = 10, wait: int = 0, visibility: int = 30
    ) -> Sequence[Message]:
        """See the port; waits for nothing."""

        def effect() -> list[Message]:
            held = self.waiting.get(queue, [])
            locked = {one.message.group for one in held if one.hidden} - {None}
            free = [one for one in held if not one.hidden and one.message.group not in locked]
            taken = []
            for one in free[:limit]:
                receives = one.message.receives + 1
                receipt = f"{one.message.id}/{receives}"
                one.message = replace(one.message, receives=receives, receipt=receipt)
                one.hidden = visibility > 0
                taken.append(one.message)
            return taken

        result = self.fuse.around("queue.receive", effect)
        assert isinstance(result, list)
        return result

    def delete(self, queue: str, messages: Sequence[Message]) -> None:
        """See the port."""

        def effect() -> None:
            gone = {message.receipt for message in messages}
            kept = [one for one in self.waiting.get(queue, []) if one.message.receipt not in gone]
            self.waiting[queue] = kept

        self.fuse.around("queue.delete", effect)

    def hide(self, queue: str, message: Message, seconds: int) -> None:
        """See the port; remembers."""
        self.hidden.append((message.id, seconds))
        for one in self.waiting.get(queue, []):
            if one.message.receipt == message.receipt:
                one.hidden = seconds > 0

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """See the port."""
        return sum(taken or not one.hidden for one in self.waiting.get(queue, []))
