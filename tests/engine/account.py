"""The account that the provider works on: the emulator, and a list of everything that was made.

The list is a file, because a provider lives as long as one command. With it the account refuses
what AWS refuses: a second resource of the same identity, the deletion of what is in use, and a
change of what does not exist.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.engine import rules
from tests.engine.emulated import HELD, RefusedError, is_gone
from tests.engine.properties import known_inputs
from worker.atomic import atomic_write
from worker.local.deploy.registrar import INVOKES
from worker.local.deploy.resource_types import (
    REGISTERED,
    DeclaredResource,
    EmulatorClients,
)

JOB_DEFINITION = "aws:batch/jobDefinition:JobDefinition"


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource of the account."""

    token: str
    id: str
    properties: Mapping[str, Any]

    @property
    def identity(self) -> tuple[str, ...] | None:
        """What no other resource of its type has; None if nothing identifies it."""
        keys = rules.KEYS.get(self.token, ("name",))
        values = [self.properties.get(key) for key in keys]
        return (self.token, *map(str, values)) if values[-1] is not None else None

    def names(self, others: frozenset[str]) -> bool:
        """Whether one of its inputs is, or contains, one of these texts."""
        return any(text in others for text in _texts(self.properties))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


class Account:
    """Makes, changes, reads and deletes resources. Called from several threads.

    Args:
        aws: the emulator's clients.
        file: where the list is kept.
    """

    def __init__(self, aws: EmulatorClients, file: Path) -> None:
        self._aws = aws
        self._file = file
        self._lock = threading.Lock()
        known = json.loads(file.read_text("utf-8")) if file.exists() else []
        self._entries = [Entry(one["token"], one["id"], one["properties"]) for one in known]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything there is."""
        return tuple(self._entries)

    def invoke(self, token: str) -> Mapping[str, Any]:
        """The answer to a look-up."""
        if token not in INVOKES:
            raise RefusedError(f"{token} is no look-up that the program makes")
        return INVOKES[token](self._aws)

    def create(
        self, token: str, name: str, inputs: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Make a resource; its id and all its properties."""
        declared = DeclaredResource(name=name, inputs=inputs)
        wanted = Entry(token, "", inputs)
        with self._lock:
            if wanted.identity and any(one.identity == wanted.identity for one in self._entries):
                raise RefusedError(f"AlreadyExists: {' '.join(wanted.identity)}")
        if token in HELD:
            identity, computed = HELD[token].create(self._aws, declared)
        else:
            identity, computed = REGISTERED[token].create(self._aws, declared)
            if not computed:
                # It belongs to another resource, and AWS makes an id for it.
                identity = f"{identity}-{secrets.token_hex(4)}"
        properties = {**inputs, **computed}
        self._keep(Entry(token, identity, properties))
        return identity, properties

    def update(
        self, token: str, name: str, old: Entry, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change a resource; all its properties."""
        self._require(old)
        computed = {*old.properties} - known_inputs(token)
        properties = {**inputs, **{key: old.properties[key] for key in computed}}
        if token in HELD:
            held = HELD[token]
            if held.update is not None:
                held.update(self._aws, old.id, inputs)
            else:
                held.create(self._aws, DeclaredResource(name=name, inputs=inputs))
        elif token == JOB_DEFINITION:
            arn, _, revision = str(old.properties["arn"]).rpartition(":")
            properties["arn"] = f"{arn}:{int(revision) + 1}"
        self._keep(Entry(token, old.id, properties), without=old)
        return properties

    def read(self, token: str, identity: str) -> Entry | None:
        """What is known of a resource; None if it is not there."""
        found = [one for one in self._entries if (one.token, one.id) == (token, identity)]
        return found[-1] if found else None

    def delete(self, token: str, identity: str, properties: Mapping[str, Any]) -> None:
        """Delete a resource, unless it is in use or guarded. What is gone already is no error."""
        entry = self.read(token, identity)
        if entry is None:
            return
        users = rules.HOLDS.get(token, frozenset())
        own = frozenset(
            str(entry.properties[key]) for key in ("arn", "name") if entry.properties.get(key)
        ) | {identity}
        for one in self._entries:
            if one.token in users and one.names(own):
                raise RefusedError(f"InUse: {token} {identity} is used by {one.token} {one.id}")
        if token in HELD:
            try:
                HELD[token].delete(self._aws, identity, properties)
            except ClientError as error:
                if not is_gone(error):
                    raise
        self._keep(None, without=entry)

    def _require(self, entry: Entry) -> None:
        if self.read(entry.token, entry.id) is None:
            raise RefusedError(f"NotFound: {entry.token} {entry.id}")

    def _keep(self, entry: Entry | None, *, without: Entry | None = None) -> None:
        with self._lock:
            if without is not None:
                at = [(one.token, one.id) for one in self._entries].index(
                    (without.token, without.id)
                )
                del self._entries[at]
            if entry is not None:
                self._entries.append(entry)
            listed = [
                {"token": one.token, "id": one.id, "properties": one.properties}
                for one in self._entries
            ]
            atomic_write(self._file, json.dumps(listed), mode=0o600)
