"""Run the Pulumi program of this checkout without Pulumi's engine. No AWS here.

Used to create its resources in the emulator and to test what it declares.
"""

from __future__ import annotations

import asyncio
import gc
import json
import runpy
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import Mocks
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import SETTINGS, get_root_resource, set_root_resource
from pulumi.runtime.stack import Stack, run_pulumi_func

from worker.infra.checkout import folder

PROJECT = "safelight"
THREADS = 8
"""Resources in the making at the same time."""


def run(
    mocks: Mocks,
    *,
    stack: str,
    config: Mapping[str, Any],
    monitor: MockMonitor | None = None,
) -> dict[str, Any]:
    """Run the program and return its exports once everything is registered.

    Not from a thread that has a running event loop. May be called again in the same process, but
    only from the same thread: Pulumi's runtime keeps its state there.

    Args:
        mocks: is given every resource and every invoke, from several threads.
        stack: the stack's name.
        config: without the ``safelight:`` prefix; objects are handed over as JSON, as the engine
            does.
        monitor: sees the registrations themselves (parents, dependencies).

    Raises:
        CheckoutMissing: the program is not here.
        pulumi.RunError: the configuration is mistaken.
    """
    home = folder()
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))  # as Pulumi does: the program imports `stack`
    pulumi.runtime.set_all_config(
        {
            f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in config.items()
        }
    )
    with _without_collector(), _event_loop() as loop:
        # Forget a former run, one that has failed too.
        set_root_resource(None)  # type: ignore[arg-type]
        SETTINGS.outputs.clear()
        pulumi.runtime.set_mocks(mocks, project=PROJECT, stack=stack, monitor=monitor)
        root = get_root_resource()
        assert isinstance(root, Stack)
        return loop.run_until_complete(_run(home, root))


@contextmanager
def _without_collector() -> Iterator[None]:
    """No garbage collection: each would look at the million objects of Pulumi's SDK, which stay.
    A run takes 0.75 s of CPU time without and 2.3 s with it.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop where Pulumi looks for it, and threads for its calls that have one each, as its
    mocks expect. All are closed at the end, which Pulumi leaves to the end of the process.
    """
    loops: list[asyncio.AbstractEventLoop] = []

    def add() -> None:
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    add()
    loop = loops[0]
    # What fails is raised by the run; asyncio would say it again for each output that waited.
    loop.set_exception_handler(lambda _loop, _context: None)
    loop.set_default_executor(ThreadPoolExecutor(THREADS, initializer=add))
    try:
        yield loop
    finally:
        left = asyncio.all_tasks(loop)  # of a run that has failed
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        for one in loops:
            one.close()


async def _run(home: Path, root: Stack) -> dict[str, Any]:
    def start() -> None:
        runpy.run_path(str(home / "__main__.py"), run_name="__main__")

    await run_pulumi_func(start)
    exports = await pulumi.Output.all(**root.outputs).future()
    assert exports is not None  # unknown only in previews
    return exports


def whole(value: Any) -> Any:
    """Numbers arrive as floats, because the protocol knows no others; AWS wants whole ones."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
