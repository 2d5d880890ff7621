"""Lambda: the event source that polls a queue, and the instances that it invokes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import simpy

from worker.simulation.queues import MessageQueue, QueuedUpload
from worker.simulation.rules import Rules

Done = Callable[[], None]
Try = tuple[QueuedUpload, float, str]
"""An upload, when its work ended, and what failed: empty if it is done."""
Invoke = Callable[[list[QueuedUpload], Done], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScaling:
    """How many invocations at the same time an event source makes."""

    start: float
    """At first, and at least."""
    ramp: float
    """Further ones a minute while messages wait."""
    most: float

    @classmethod
    def fixed(cls, count: int) -> SourceScaling:
        """So many, always."""
        return cls(start=count, ramp=0, most=count)


class SimulatedSource:
    """Takes batches from a queue and invokes, with as many pollers as its scaling allows.

    Args:
        window: seconds that the first message of a batch waits for others.
    """

    def __init__(
        self,
        env: simpy.Environment,
        queue: MessageQueue,
        invoke: Invoke,
        *,
        batch: int,
        scaling: SourceScaling,
        window: float = 0.0,
        scale_in_seconds: float = 60.0,
    ) -> None:
        self._env, self._queue, self._invoke = env, queue, invoke
        self._batch, self._window = batch, window
        self.scaling = scaling
        self._scale_in = scale_in_seconds
        self.pollers = float(scaling.start)
        self.busy = 0
        self.stopped = False
        """The event source makes no invocations."""
        self._peak = 0
        self._timer: simpy.Event | None = None
        queue.on_ready = self.wake
        if scaling.ramp:
            env.process(self._scale())

    @property
    def at_most(self) -> bool:
        """Whether every poller that there may be is busy."""
        return self.busy >= int(self.scaling.most)

    @property
    def ramping(self) -> bool:
        """Whether every poller is busy and there may be more later."""
        return self.busy >= int(self.pollers) and not self.at_most

    def wake(self) -> None:
        """Let free pollers take what is there."""
        while self.busy < int(self.pollers) and not self.stopped:
            if self._waits():
                return
            batch = self._queue.receive(self._batch)
            if not batch:
                return
            self.busy += 1
            self._peak = max(self._peak, self.busy)
            self._invoke(batch, self._done)

    def _waits(self) -> bool:
        """Whether the window of the next batch is open."""
        left = self._window - self._queue.age()
        if not self._window or len(self._queue) >= self._batch or left <= 0:
            return False
        if len(self._queue) and self._timer is None:
            self._timer = self._env.timeout(left)
            self._timer.callbacks.append(self._window_over)
        return True

    def _window_over(self, _event: simpy.Event) -> None:
        self._timer = None
        self.wake()

    def _done(self) -> None:
        self.busy -= 1
        self.wake()

    def _scale(self) -> Generator[simpy.Event, None, None]:
        quiet = 0.0
        while True:
            yield self._env.timeout(1)
            if len(self._queue) and self.busy >= int(self.pollers):
                quiet = 0.0
                self.pollers = min(self.scaling.most, self.pollers + self.scaling.ramp / 60)
                self.wake()
                continue
            quiet += 1
            if quiet >= self._scale_in:
                self.pollers = max(self.scaling.start, float(self._peak))
                quiet, self._peak = 0.0, self.busy


class Instances:
    """The instances of a function: warm ones, new ones, and the limits of their number.

    Args:
        most: at the same time.
        init_seconds: of a new one, before its first batch.
        run: plans a batch from a time on: its seconds, and what came of it.
        finish: called with that after those seconds.
        unlimited: new instances start at any rate.
    """

    def __init__(
        self,
        env: simpy.Environment,
        rules: Rules,
        *,
        most: float,
        init_seconds: float,
        run: Callable[[Sequence[QueuedUpload], float], tuple[float, list[Try]]],
        finish: Callable[[list[Try]], None],
        unlimited: bool = False,
    ) -> None:
        self._env, self._rules = env, rules
        self.most = most
        self._init, self._run, self._finish = init_seconds, run, finish
        self._unlimited = unlimited
        self._idle: deque[float] = deque()
        """When each idle instance ended its last batch, the latest last."""
        self._waiting: deque[tuple[list[QueuedUpload], Done]] = deque()
        self._tokens, self._filled = rules.instances_at_once, 0.0
        self._retry: simpy.Event | None = None
        self.running = 0
        self.peak = 0
        self.calls = 0
        self.cold = 0
        self.throttled = 0
        self.seconds = 0.0
        """Billed, INIT included."""

    def __len__(self) -> int:
        """Batches that wait for an instance."""
        return len(self._waiting)

    def warm(self, count: int) -> None:
        """As if so many had worked until now."""
        self._idle.extend([self._env.now] * count)

    def invoke(self, batch: list[QueuedUpload], done: Done) -> None:
        """Work on a batch now, or as soon as Lambda allows it."""
        if self._waiting or not self._start(batch, done):
            self.throttled += 1
            self._waiting.append((batch, done))
            self._try_later()

    def _start(self, batch: list[QueuedUpload], done: Done) -> bool:
        if self.running >= self.most:
            return False
        now = self._env.now
        while self._idle and self._idle[0] < now - self._rules.instance_idle_seconds:
            self._idle.popleft()
        begin = now
        if self._idle:
            self._idle.pop()
        elif self._take():
            self.cold += 1
            begin += self._init
        else:
            return False
        self.running += 1
        self.peak = max(self.peak, self.running)
        self.calls += 1
        worked, tries = self._run(batch, begin)
        seconds = begin - now + worked
        self.seconds += seconds
        end = self._env.timeout(seconds)

        def over(_event: simpy.Event) -> None:
            self.running -= 1
            self._idle.append(self._env.now)
            self._finish(tries)
            self._next()
            done()

        end.callbacks.append(over)
        return True

    def _take(self) -> bool:
        """Take the right to start an instance; rights come back all the time, up to a number."""
        if self._unlimited:
            return True
        now, rules = self._env.now, self._rules
        gained = (now - self._filled) * rules.instances_per_second
        self._tokens = min(rules.instances_at_once, self._tokens + gained)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _next(self) -> None:
        while self._waiting and self._start(*self._waiting[0]):
            self._waiting.popleft()

    def _try_later(self) -> None:
        """The rate of new instances is not told by the end of a batch: look again soon."""
        if self._retry is None:
            self._retry = self._env.timeout(1 / self._rules.instances_per_second)
            self._retry.callbacks.append(self._retried)

    def _retried(self, _event: simpy.Event) -> None:
        self._retry = None
        self._next()
        if self._waiting and self.running < self.most:
            self._try_later()
