"""``--json``: every command prints one of three shapes, the one that docs/commands.md names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from tests.golden import Golden, shape
from tests.unit.cli_pipeline import Pipeline, pipeline
from tests.unit.memory_ledger import counted
from tests.unit.test_tuning_curve import curve
from tests.unit.traces import write_trace
from worker.adapters import emf
from worker.domain import metrics
from worker.domain.asset import AssetRecord, Status, Verdict
from worker.domain.job import JobRequest
from worker.domain.ledger import Trip
from worker.domain.review import Review
from worker.domain.workflow import RunState
from worker.entrypoints.cli import cli, run
from worker.entrypoints.cli.submit import KindGroup
from worker.local import address
from worker.services import tuning_curve

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
SHAPES: dict[str, str] = dict(
    re.findall(r"^\| `([a-z ]+)` \| (object|array|lines) \| \S.*\|$", PAGE.read_text(), re.M)
)
ELSEWHERE = {
    "api document": "tests/unit/api/test_document.py holds every word of it",
    "upgrades": "tests/integration/test_delivery.py runs it",
    "webhooks test": "tests/unit/test_cli_webhooks.py runs it",
    "up": "tests/integration/test_local_stack.py runs it",
    "infra plan": "tests/infra/test_plan.py runs it",
    "infra graph": "the same",
    "infra preflight": "tests/infra/test_preflight.py runs it",
    "cost prices update": "tests/unit/test_price_update.py runs it",
    "chaos run": "starts a stack; tests/integration/test_faults.py runs it",
    "bench": "measures for minutes",
    "bench api": "starts a stack",
    "bench delete": "starts a stack",
    "bench delivery": "measures for minutes",
    "bench pipeline": "measures for minutes",
    "bench jail": "measures the machine",
    "bench reviews": "starts a stack",
    "bench tracing": "starts a stack",
    "bench video": "measures for minutes",
    "load": "tests/integration/test_load.py runs it",
}
"""Commands that are not run here, each with why, or where they are."""


class Setting:
    """One of everything that commands work on."""

    def __init__(self, folder: Path, world: Pipeline) -> None:
        self.folder, self.world = folder, world
        self.photo, self.broken = folder / "photo.png", folder / "broken.jpg"
        Image.effect_noise((40, 30), 40).convert("RGB").save(self.photo)
        self.jpeg = folder / "photo.jpg"
        Image.open(self.photo).save(self.jpeg)
        self.broken.write_bytes(b"\xff\xd8\xff\xe0")
        self.outputs = folder / "outputs.json"
        self.curve = folder / "durations.json"
        self.curve.write_text(tuning_curve.written(curve((1024, 1.0), (1769, 0.6))))
        self.outputs.write_text(json.dumps({"environment": _settings()}))
        self.record: AssetRecord = world.record("uploads/a.jpg")
        self.video: AssetRecord = world.record("uploads/video.mp4", Status.PROCESSING, code="video")
        self.run = f"{self.video.asset}-{self.video.version}"
        world.workflows.start("video", self.run, {})
        world.workflows.state = RunState.FAILED
        request = JobRequest(name="job", kind="poster", inputs=("f",), output="o")
        self.job = world.jobs.submit(request)
        held = world.record("uploads/held.jpg", Status.REVIEW, code="held", second=1)
        self.review = world.catalog.open_review(
            Review(
                asset=held.asset,
                version=held.version,
                reason=Verdict(code="held", message="why"),
                asked_at=held.updated_at,
                token="secret-token",
                execution="arn:run",
            )
        ).id
        self.dead = "http://127.0.0.1:9/1/dead.fifo"
        world.queue.send(self.dead, [("no JSON", "g", "1")])
        self.event = folder / "event.json"
        self.event.write_text('{"specversion": "1.0", "id": "e", "type": "asset.accepted"}')
        world.secrets.texts["/safelight/webhooks/shop"] = "whsec_" + "YWJj" * 11
        write_trace(world.data, self.record)
        (world.data / "logs").mkdir(exist_ok=True)
        metrics.add(metrics.UPLOADS, outcome="accepted")
        (line,) = emf.lines(metrics.take(), "ingest", "Safelight/local", now=0)
        (world.data / "logs" / "counted.log").write_text(json.dumps(line))
        now = datetime.now(UTC).isoformat()
        world.ledger.add("shard", [counted(1, time=now)])
        world.ledger.trip(Trip(day=now[:10], time=now, usd=2.0, limit=1.0))
        events = world.data / address.EVENTS
        events.write_text('{"id": "e", "type": "asset.accepted", "asset": "a", "time": "t"}\n')

    def words(self, command: str) -> list[object]:
        """The rest of a command line, whatever it ends with."""
        there: dict[str, list[object]] = {
            "process": [self.photo, self.broken, "--out", self.folder / "out", "--jobs", "1"],
            "inspect": [self.photo],
            "plan": [self.photo],
            "compare": [self.photo, self.photo],
            "cost": [],
            "cost prices show": [],
            "cost recipe": [self.jpeg],
            "cost escalation": [],
            "repack": [self.jpeg, "--out", self.folder / "packed"],
            "recipes list": [],
            "events schema": ["job.started"],
            "recipes show": ["default"],
            "recipes lint": ["default"],
            "workflow list": [],
            "workflow show": ["approve"],
            "workflow lint": ["approve"],
            "workflow compile": ["approve"],
            "samples": [self.folder / "samples"],
            "deliver explain": [
                f"/{self.record.asset}/{self.record.version}/w/auto",
                *("--header", "Accept: image/webp", "--header", "ECT: 2g"),
            ],
            "deliver translate": [
                "https://i.example/_/rs:fill:300:400/bl:2/plain/http://a.example/a.jpg"
            ],
            "tune": ["--from", self.curve],
            "simulate": ["--preset", "dev", "--images-per-day", "1e5", "--steady", "10s"],
            "infra docs": ["--out", self.folder / "docs"],
            "infra env": ["--outputs", self.outputs],
        }
        stack: dict[str, list[object]] = {
            "put": [self.photo, self.broken],
            "assets list": [],
            "assets show": [self.record.asset],
            "assets tag": [self.record.asset, "sea"],
            "assets rm": [self.record.asset, self.video.asset],
            "assets hold": [self.record.asset, "--reason", "why"],
            "assets publish": [self.record.asset],
            "assets retry": [self.video.asset],
            "workflow runs": ["video"],
            "workflow resume": ["video", self.run],
            "review list": [],
            "review show": [self.review],
            "review approve": [self.review, "--reviewer", "ann"],
            "review reject": [self.review, "--reviewer", "ann", "--reason", "why"],
            "api token": [],
            "cost report": ["--by", "owner"],
            "cost resume": [],
            "events tail": ["--all", "--count", "1"],
            "trace": [self.record.asset],
            "logs": [self.record.asset],
            "events replay": ["--since", "2026-01-01"],
            "check": ["--no-served"],
            "dlq list": [],
            "dlq show": [],
            "dlq redrive": [],
            "dlq drop": ["--all"],
            "webhooks list": [],
            "webhooks send": ["shop", self.event],
            "webhooks redrive": ["shop"],
            "webhooks rotate": ["shop"],
            "webhooks retire": ["shop"],
            "backfill": ["s3://intake/", "--state", self.folder / "state.json", "--dry-run"],
            "submit": ["denoise", self.photo],
            "jobs list": [],
            "jobs show": [self.job],
            "jobs logs": [self.job],
            "jobs stop": [self.job],
            "chaos spot": ["--probability", "0"],
            "metrics": [],
        }
        if command in there:
            return there[command]
        return [*stack[command], "--data", self.world.data]


def _settings() -> dict[str, str]:
    from tests.unit.cli_pipeline import ENVIRONMENT

    return {name: text for name, text in ENVIRONMENT.items() if name.startswith("SAFELIGHT_")}


@pytest.fixture
def setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Setting]:
    """A pipeline with one of everything."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as world:
        yield Setting(tmp_path, world)


def leaves(command: click.Command, path: str = "") -> Iterator[str]:
    """Names of all commands that do something."""
    # The kinds of submit are one command, as docs/commands.md sees it.
    if not isinstance(command, click.Group) or isinstance(command, KindGroup):
        yield path
        return
    context = click.Context(command)
    if command.invoke_without_command:
        yield path
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, f"{path} {name}".strip())


def test_the_page_knows_every_command() -> None:
    """And no other."""
    assert sorted(SHAPES) == sorted(leaves(cli))


def test_the_keys_of_every_command_are_held(golden: Golden) -> None:
    """Of each that is run here; and of none that is no more."""
    assert {*golden.read("json")} == {*SHAPES} - {*ELSEWHERE}


def _object(text: str) -> bool:
    return isinstance(json.loads(text), dict)


def _array(text: str) -> bool:
    value: Any = json.loads(text)
    return isinstance(value, list) and all(isinstance(each, dict | str) for each in value)


def _lines(text: str) -> bool:
    return all(isinstance(json.loads(line), dict) for line in text.splitlines())


CHECKS: dict[str, Callable[[str], bool]] = {"object": _object, "array": _array, "lines": _lines}


@pytest.mark.parametrize("command", [name for name in SHAPES if name not in ELSEWHERE])
def test_a_command_prints_its_shape(
    command: str,
    setting: Setting,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of standard output is that shape, with these keys, however the command ends."""
    # What these two write takes seconds, and is tested elsewhere.
    monkeypatch.setattr("worker.samples.write", lambda folder: [folder / "a.jpg"])
    monkeypatch.setattr("worker.infra.page.every_component", lambda: None)
    monkeypatch.setattr("worker.infra.page.write", lambda _: "text")
    code = run([*command.split(), *map(str, setting.words(command)), "--json"])
    said = capsys.readouterr()

    assert code == (1 if command in ("process", "check") else 0), said.err
    assert CHECKS[SHAPES[command]](said.out), said.out
    assert bool(said.out) != (command == "jobs logs"), "nothing was printed"
    lines = (
        [json.loads(line) for line in said.out.splitlines()] if SHAPES[command] == "lines" else []
    )
    golden.check_part("json", command, shape(lines or json.loads(said.out or "[]")))


@pytest.mark.parametrize("command", ["assets list", "dlq list", "dlq show", "jobs list"])
def test_an_empty_list_is_an_empty_array(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No words for people."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as world:
        assert world.json(*command.split()) == []


@pytest.mark.parametrize("command", [*SHAPES, "submit poster"])
def test_wrong_use_is_an_object_on_standard_error(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is on standard output."""
    assert run([*command.split(), "--json", "--nonsense"]) == 2
    said = capsys.readouterr()

    assert said.out == ""
    assert json.loads(said.err)["error"]["code"] == "usage"
