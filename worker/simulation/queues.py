"""A queue of SQS: standard or FIFO, with groups, receives, dead letters and messages under way."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence

import simpy


class QueuedUpload:
    """One upload on its way."""

    __slots__ = ("failures", "group", "receives", "sent", "uploaded")

    def __init__(self, uploaded: float, group: int = 0) -> None:
        self.uploaded = uploaded
        """When the client had its answer, in seconds of the simulation."""
        self.sent = uploaded
        """When it came into the queue that it is in."""
        self.group = group
        """Number of its object if others change the same one; 0 if it is alone in its group."""
        self.receives = 0
        self.failures = 0


class MessageQueue:
    """Messages that wait, those that are under way, and those that come back later.

    Args:
        most_in_flight: of messages under way; at that number nothing more is received.
        fifo: a group with a message under way gives no other one.
        group_scan: FIFO only: so many messages at the head are looked through.
        maximum_receives: then a message becomes a dead letter.
    """

    def __init__(
        self,
        env: simpy.Environment,
        *,
        most_in_flight: float = math.inf,
        fifo: bool = False,
        group_scan: float = math.inf,
        maximum_receives: float = math.inf,
    ) -> None:
        self._env = env
        self._most = most_in_flight
        self._fifo = fifo
        self._scan = group_scan
        self._receives = maximum_receives
        self._ready: deque[QueuedUpload] = deque()
        self._groups: dict[int, _Group] = {}
        self.blocked = 0
        """Messages behind one of their group that is under way."""
        self.working = 0
        """Messages that somebody works on."""
        self.resting = 0
        """Messages that come back after a failure. SQS counts them among those under way."""
        self.causes: Counter[str] = Counter()
        """The same by what failed."""
        self.dead: list[QueuedUpload] = []
        self.on_ready: Callable[[], None] = lambda: None
        """Called when there is something to receive."""

    def __len__(self) -> int:
        """Messages that could be received now."""
        return len(self._ready)

    @property
    def held(self) -> int:
        """All messages that are neither deleted nor dead."""
        return len(self._ready) + self.blocked + self.working + self.resting

    @property
    def full(self) -> bool:
        """Whether as many are under way as may be."""
        under_way = self.working + self.resting
        return under_way >= self._most or (self._fifo and self.blocked + under_way >= self._scan)

    def age(self) -> float:
        """Seconds that the oldest receivable message has waited; 0 without any."""
        return self._env.now - self._ready[0].sent if self._ready else 0.0

    def oldest(self, now: float) -> float:
        """Seconds since the upload of the first receivable message; 0 without any."""
        return now - self._ready[0].uploaded if self._ready else 0.0

    def send(self, message: QueuedUpload) -> None:
        """Put a message at the end. ``on_ready`` is not called: do so after the last one."""
        message.sent = self._env.now
        found = self._groups.get(message.group) if message.group else None
        if found is None:
            self._ready.append(message)
        else:
            found.newer.append(message)
            self.blocked += 1

    def receive(self, limit: int) -> list[QueuedUpload]:
        """At most ``limit`` messages, which are under way from now on."""
        found: list[QueuedUpload] = []
        mine: set[int] = set()
        ready = self._ready
        while ready and len(found) < limit and not self.full:
            message = ready.popleft()
            group = self._groups.get(message.group) if message.group else None
            if group is not None and message.group not in mine:
                group.older.append(message)
                self.blocked += 1
                continue
            if message.receives >= self._receives:
                self.dead.append(message)
                continue
            if self._fifo and message.group:
                mine.add(message.group)
                self._groups.setdefault(message.group, _Group()).under_way += 1
            message.receives += 1
            self.working += 1
            found.append(message)
        return found

    def delete(self, messages: Sequence[QueuedUpload]) -> None:
        """Handled messages."""
        self.working -= len(messages)
        for message in messages:
            if message.group:
                self._leave(message.group)

    def put_back(self, message: QueuedUpload, wait: float, cause: str) -> None:
        """Let a message under way come back after ``wait`` seconds. Later messages of its group
        wait for it."""
        self.working -= 1
        self.resting += 1
        self.causes[cause] += 1
        back = self._env.timeout(wait)

        def show(_event: simpy.Event) -> None:
            self.resting -= 1
            self.causes[cause] -= 1
            if message.group:
                self._leave(message.group)
            self._ready.appendleft(message)
            self.on_ready()

        back.callbacks.append(show)

    def _leave(self, group: int) -> None:
        """One of the group is under way no longer; after the last one the others are receivable."""
        found = self._groups.get(group)
        if found is None:
            return
        found.under_way -= 1
        if not found.under_way:
            del self._groups[group]
            self.blocked -= len(found.older) + len(found.newer)
            self._ready.extendleft(reversed(found.newer))
            self._ready.extendleft(reversed(found.older))


class _Group:
    """A group with messages under way, and those behind them."""

    __slots__ = ("newer", "older", "under_way")

    def __init__(self) -> None:
        self.under_way = 0
        self.older: deque[QueuedUpload] = deque()
        """Were in the queue when the group became busy."""
        self.newer: deque[QueuedUpload] = deque()
        """Came since."""
