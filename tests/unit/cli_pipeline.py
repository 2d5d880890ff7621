"""A pipeline for commands: stores in memory, jobs, and the address of a stack that does not run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fakes import MemoryCatalog, MemoryStore
from tests.unit.memory_ledger import MemoryLedger
from tests.unit.memory_queue import MemoryQueue
from worker.bootstrap import Application
from worker.domain.asset import (
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Status,
    Verdict,
    asset_id_of,
    version_of,
)
from worker.domain.errors import ConfigurationError
from worker.domain.image import Format, StoredRendition
from worker.domain.label import Label
from worker.domain.workflow import Run, RunState
from worker.entrypoints.cli import run
from worker.local import address
from worker.local.batch.jobs import LocalJobs
from worker.settings import Settings

ENDPOINT = "http://127.0.0.1:9"
"""Nobody listens there: a command that asks AWS for anything fails."""
ENVIRONMENT = {
    "SAFELIGHT_TABLE": "t",
    "SAFELIGHT_INTAKE_BUCKET": "intake",
    "SAFELIGHT_DELIVERY_BUCKET": "delivery",
    "SAFELIGHT_QUARANTINE_BUCKET": "quarantine",
    "SAFELIGHT_EVENT_BUS": "bus",
    "SAFELIGHT_QUEUE_URL": f"{ENDPOINT}/1/work.fifo",
    "SAFELIGHT_DLQ_URL": f"{ENDPOINT}/1/dead.fifo",
    "SAFELIGHT_WEBHOOKS": json.dumps(
        {
            "shop": {
                "url": f"{ENDPOINT}/hook",
                "events": ["asset.*"],
                "queue": f"{ENDPOINT}/1/webhook-shop",
                "dead_letters": f"{ENDPOINT}/1/webhook-shop-dead",
            }
        }
    ),
    "SAFELIGHT_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "SAFELIGHT_API_SECRET": "a-secret-of-the-tests-which-is-long-enough",
    "AWS_REGION": "eu-north-1",
    "AWS_ENDPOINT_URL": ENDPOINT,
}
OUTPUTS = {
    "workQueue": f"{ENDPOINT}/1/work.fifo",
    "workDeadLetters": f"{ENDPOINT}/1/dead.fifo",
    "uploadsQueue": f"{ENDPOINT}/1/uploads",
    "uploadsDeadLetters": f"{ENDPOINT}/1/uploads-dead",
    "heavyDeadLetters": f"{ENDPOINT}/1/heavy-dead",
    "invalidationsQueue": f"{ENDPOINT}/1/invalidations",
    "invalidationsDeadLetters": f"{ENDPOINT}/1/invalidations-dead",
    "outboxDeadLetters": f"{ENDPOINT}/1/outbox-dead",
}


class MemorySecrets:
    """Texts by name."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def read(self, name: str) -> str:
        """See ``ports.Secrets``."""
        if name not in self.texts:
            raise ConfigurationError(f"there is no parameter {name}", code="secret_missing")
        return self.texts[name]

    def write(self, name: str, text: str) -> None:
        """See ``ports.Secrets``."""
        self.texts[name] = text


class Starts:
    """State machines that are started and never run."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        self.state = RunState.RUNNING

    def start(self, workflow: str, name: str, payload: object) -> str:
        """See ``ports.Workflows``."""
        self.names.append((workflow, name))
        return f"run-of-{name}"

    def answer(self, token: str, output: object) -> None:
        """See ``ports.Workflows``."""
        raise AssertionError(f"nothing waits here: {output}")

    def runs(self, workflow: str, state: RunState | None = None, *, limit: int) -> Sequence[Run]:
        """See ``ports.Executions``."""
        names = [name for of, name in self.names if of == workflow][:limit]
        found = [self.run(workflow, name) for name in reversed(names)]
        return [run for run in found if run is not None and state in (None, run.state)]

    def run(self, workflow: str, name: str) -> Run | None:
        """See ``ports.Executions``."""
        if (workflow, name) not in self.names:
            return None
        return Run(
            id=f"run-of-{name}",
            workflow=workflow,
            name=name,
            state=self.state,
            started_at="2026-05-09T07:00:00.000000Z",
            stopped_at="" if self.state is RunState.RUNNING else "2026-05-09T08:00:00.000000Z",
            error="" if self.state is RunState.RUNNING else "ApprovalFailed",
            cause="" if self.state is RunState.RUNNING else "A stage failed.",
            input={"asset": name[:36], "version": name[37:53]},
            states=("Begin", "Labels", "People"),
        )


class Pipeline:
    """What commands reach with ``--data``, and what they say."""

    def __init__(self, data: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self.store = MemoryStore()
        self.catalog = MemoryCatalog()
        self.queue = MemoryQueue()
        self.secrets = MemorySecrets()
        self.workflows = Starts()
        self.jobs = LocalJobs(data / address.JOBS)
        self.ledger = MemoryLedger()
        self.capture = capture

    def assemble(self, settings: Settings, _clients: object = None) -> Application:
        """What takes the place of ``bootstrap.assemble``."""
        return Application(
            settings=settings,
            store=self.store,
            catalog=self.catalog,
            queue=self.queue,
            secrets=self.secrets,
            workflows=self.workflows,
            ledger=self.ledger,
        )

    @property
    def starts(self) -> list[tuple[str, str]]:
        """Machine and name of every run that was started."""
        return self.workflows.names

    def run(self, *words: object, code: int = 0) -> tuple[str, str]:
        """What a command writes to standard output and to standard error."""
        found = run([*map(str, words), "--data", str(self.data)])
        said = self.capture.readouterr()
        assert found == code, said
        return said.out, said.err

    def json(self, *words: object, code: int = 0) -> Any:
        """The one JSON document that a command prints."""
        return json.loads(self.run(*words, "--json", code=code)[0])

    def error(self, *words: object) -> dict[str, Any]:
        """The error that a wrong command ends with."""
        found: dict[str, Any] = json.loads(self.run(*words, "--json", code=2)[1])["error"]
        return found

    def record(
        self,
        key: str,
        status: Status = Status.ACCEPTED,
        *,
        code: str = "",
        second: int = 0,
        owner: str = "",
        tags: frozenset[str] = frozenset(),
        labels: tuple[Label, ...] = (),
    ) -> AssetRecord:
        """Let an upload of this key be recorded so, in this second of a minute."""
        upload = self.store.upload("intake", key, key.encode())
        time = f"2026-01-01T00:00:{second:02}.000000Z"
        version = version_of(upload.etag, upload.sequencer, "d")
        verdict = Verdict(code=code, message="for a reason") if code else None
        record = AssetRecord(
            asset=asset_id_of("intake", key),
            source=ObjectVersion(**{**_fields(upload), "time": time}),
            recipe="default",
            recipe_digest="d",
            version=version,
            status=status,
            owner=owner,
            tags=tags,
            labels=labels,
            verdict=verdict,
            renditions=() if verdict else (_rendition(version),),
            created_at=time,
            updated_at=time,
        )
        entry = LogEntry(time=time, kind=status.value, id=version)
        return self.catalog.commit(record, entry)


def _fields(upload: ObjectVersion) -> dict[str, Any]:
    return {name: getattr(upload, name) for name in ObjectVersion.__slots__}


def _rendition(version: str) -> StoredRendition:
    return StoredRendition(
        name="thumbnail",
        format=Format.JPEG,
        width=256,
        height=256,
        frames=1,
        bytes=11_000,
        key=f"00/{version}/thumbnail.jpg",
        sha256="0" * 64,
    )


@contextmanager
def pipeline(
    data: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline that commands find in ``data`` as long as the block lasts."""
    with address.owned(data):
        address.write(
            address.Address(data=data, endpoint=ENDPOINT, outputs=OUTPUTS, environment=ENVIRONMENT)
        )
        made = Pipeline(data, capture)
        patch.setattr("worker.bootstrap.assemble", made.assemble)
        yield made
