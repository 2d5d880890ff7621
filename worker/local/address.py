"""Where a local stack is: ``DATA/stack.json``, written by the stack, read by the commands.

A lock on DATA, held by the stack for as long as it runs, tells a running one from a file that a
stopped or killed one has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write, lock_folder
from worker.domain.errors import InputError, Unreachable
from worker.services.process_files.output_folder import storage_error

NAME = "stack.json"
VERSION = 1
EVENTS = "events.jsonl"
JOBS = "batch"
"""Folder of the heavy jobs: their table and their logs."""
CONFIGURATION = "aws-config"
"""The AWS configuration: a profile for each role, and for the people who use it."""
OUTPUTS = "outputs.json"
"""The result of the last deployment."""


if TYPE_CHECKING:
    from worker.services.dead_letters import QueuePair

_QUEUES = (
    *("workQueue", "workDeadLetters", "uploadsQueue", "uploadsDeadLetters", "heavyDeadLetters"),
    *("invalidationsQueue", "invalidationsDeadLetters", "outboxDeadLetters"),
)
"""Outputs of the Pulumi program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Everything a process needs to reach a local stack."""

    data: Path
    endpoint: str
    """URL of the embedded AWS."""
    outputs: Mapping[str, Any]
    """Outputs of the Pulumi program: names of buckets, queues, table and bus."""
    environment: Mapping[str, str]
    """Settings of the ingest function, with the variables that let AWS clients use the endpoint as
    the operator."""
    api: str = ""
    """URL of the API."""
    delivery: str = ""
    """URL of the delivery server."""
    token: str = ""
    """For the API: an administrator's."""
    program: str = ""
    """Fingerprint of the deployed program: see ``deploy.sources``."""

    @property
    def queue_pairs(self) -> tuple[QueuePair, ...]:
        """The queues whose messages can fail, each with its dead letters."""
        from worker.services.dead_letters import QueuePair  # most commands do without

        named = {name: str(self.outputs[name]) for name in _QUEUES}
        found = [QueuePair(queue=named["workQueue"], dead_letters=named["workDeadLetters"])]
        if named["uploadsQueue"] != named["workQueue"]:
            queue, dead_letters = named["uploadsQueue"], named["uploadsDeadLetters"]
            found.append(QueuePair(queue=queue, dead_letters=dead_letters, direct=False))
        heavy = QueuePair(queue="", dead_letters=named["heavyDeadLetters"])
        forgotten = QueuePair(
            queue=named["invalidationsQueue"],
            dead_letters=named["invalidationsDeadLetters"],
            events=True,
        )
        untold = QueuePair(queue="", dead_letters=named["outboxDeadLetters"], changes=True)
        return (*found, heavy, forgotten, untold)


@contextlib.contextmanager
def owned(data: Path) -> Iterator[None]:
    """Make DATA and keep every other stack out of it while the block lasts.

    Raises:
        InputError: ``output_busy``: another stack runs there.
            ``output_unwritable``: it cannot be made or read.
        StorageFull: no space.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(data))
        except BlockingIOError as error:
            raise _busy(data) from error
        except OSError as error:
            raise storage_error(error, data) from error
        yield


def require_unowned(data: Path) -> None:
    """Raises ``InputError``, ``output_busy``, if a stack runs in DATA; makes nothing there."""
    if is_running(data):
        raise _busy(data)


def _busy(data: Path) -> InputError:
    text = f"{data}: a stack runs there already; stop it or choose another --data"
    return InputError(text, code="output_busy")


def is_running(data: Path) -> bool:
    """Whether a stack owns DATA at this moment."""
    try:
        folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def write(address: Address) -> None:
    """Replace the file at once: a reader sees the old or the new file, whole."""
    value = {
        "version": VERSION,
        "endpoint": address.endpoint,
        "api": address.api,
        "delivery": address.delivery,
        "token": address.token,
        "program": address.program,
        "outputs": dict(address.outputs),
        "environment": dict(address.environment),
    }
    path = address.data / NAME
    with disk_call(path):
        atomic_write(path, json.dumps(value, indent=2) + "\n", mode=0o600)  # there is a key in it


def read(data: Path) -> Address | None:
    """The address that the last stack in DATA has written; None if there is none or it is
    unreadable."""
    try:
        value = json.loads((data / NAME).read_text("utf-8"))
        if value["version"] != VERSION:
            return None
        return Address(
            data=data,
            endpoint=str(value["endpoint"]),
            api=str(value.get("api", "")),
            delivery=str(value.get("delivery", "")),
            token=str(value.get("token", "")),
            outputs=dict(value["outputs"]),
            environment={str(name): str(text) for name, text in value["environment"].items()},
            program=str(value.get("program", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find(data: Path) -> Address:
    """The stack that runs in DATA.

    Raises:
        InputError: ``input_missing``: there never was one.
        Unreachable: it does not run.
    """
    address = read(data)
    if address is None:
        raise InputError(f"{data}: no local stack; safelight up starts one", code="input_missing")
    if not is_running(data):
        raise Unreachable(f"{data}: the local stack is not running; safelight up starts it")
    return address
