"""Who may do what with the routes that the local stack adds to the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from tests.unit.api.rig import Api
from tests.unit.api.test_rights import WRONG_TOKENS
from tests.unit.api.test_work import accepted
from tests.unit.traces import write_trace
from worker.adapters import emf
from worker.adapters.event_log import EventLog
from worker.domain import metrics
from worker.domain.events import Event
from worker.local.console import Operations, serve, serve_operations
from worker.local.records import LocalTraces
from worker.services.dead_letters import QueuePair

OPEN = {"/", "/console", "/console/config.json", "/console/{name:path}"}
"""Files of the page; what they may hold is tested with a whole stack."""
NEEDS = {
    ("GET", "/changes"): "read",
    ("GET", "/operations"): "admin",
    ("POST", "/operations/redrive"): "admin",
    ("GET", "/traces/{asset}"): "admin",
}
"""The scope of each route that needs a token."""
BODIES = {"/operations/redrive": {"cause": "unreachable"}}
each_route = pytest.mark.parametrize(("method", "path"), NEEDS, ids=str)


class Console:
    """The API on fakes, with the routes of the local stack."""

    def __init__(self, events: Path) -> None:
        """Add them."""
        self.api, self.log, self.folder = Api(), EventLog(events), events.parent
        operations = Operations(
            services=self.api.services,
            queue=self.api.queue,
            pairs=(QueuePair(queue="work.fifo", dead_letters="dead.fifo"),),
            events=events,
            traces=LocalTraces(data=events.parent),
            logs=lambda: sorted(events.parent.glob("*.log")),
        )
        serve_operations(self.api.app, operations)
        serve(self.api.app, {}, {})
        self.client = TestClient(self.api.app)

    def ask(self, method: str, path: str, asset: str, token: str | None, **more: Any) -> Any:
        """One request about an asset."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        body = more.pop("body", BODIES.get(path))
        return self.client.request(
            method, path.replace("{asset}", asset), json=body, headers=headers, **more
        )

    def tell(self, *assets: str) -> None:
        """What the pipeline does after it has changed assets."""
        time = "2026-11-29T12:00:00.000000Z"
        self.log.publish(
            [Event(id=one, type="asset.accepted", asset=one, time=time) for one in assets]
        )


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """One of its own."""
    return Console(tmp_path / "events.jsonl")


def test_every_route_of_the_local_stack_is_known_here(console: Console) -> None:
    """A new one has to say who may use it."""
    documented = set(console.api.app.openapi()["paths"])
    found = {
        (method, route.path)
        for route in iter_route_contexts(console.api.app.routes)
        if route.path not in documented | OPEN | {"/openapi.json"}
        for method in route.methods or ()
    }
    assert found == set(NEEDS)


@each_route
def test_nobody_gets_in_without_a_valid_token(console: Console, method: str, path: str) -> None:
    """And is told so before anything else, wrong bodies and wrong ids included."""
    asset = accepted(console.api)
    for asked in ({}, {"body": {"nonsense": 1}}, {"params": {"nonsense": 1}}):
        answered = console.ask(method, path, asset, None, **asked)
        assert (answered.status_code, answered.json()["code"]) == (401, "token_missing")
    for why, (token, code) in WRONG_TOKENS.items():
        answered = console.ask(method, path, asset, token)
        assert (answered.status_code, answered.json()["code"]) == (401, code), why


@each_route
def test_the_scope_decides(console: Console, method: str, path: str) -> None:
    """The right to write reads nothing, the right to read operates nothing, ``admin`` is all."""
    asset = accepted(console.api)
    write_trace(console.folder, console.api.catalog.records[asset])
    lacking = ("write",) if NEEDS[method, path] == "read" else ("read", "write")
    refused = console.ask(method, path, asset, console.api.token("ann", *lacking))
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert f"safelight:{NEEDS[method, path]}" in refused.json()["detail"]
    enough = console.ask(method, path, asset, console.api.token("ann", NEEDS[method, path]))
    admin = console.ask(method, path, asset, console.api.token("root", "admin"))
    assert (enough.status_code, admin.status_code) == (200, 200)


@each_route
def test_unknown_parameters_are_refused(console: Console, method: str, path: str) -> None:
    """As by every route of the API."""
    asset = accepted(console.api)
    token = console.api.token("root", "admin")
    answered = console.ask(method, path, asset, token, params={"colour": "red"})
    assert [one["path"] for one in answered.json()["errors"]] == ["query.colour"]


def test_changes_are_told_to_those_whose_assets_they_are_of(console: Console) -> None:
    """From any cursor, the first one of the log too; an administrator is told all."""
    mine, theirs = accepted(console.api, "ann", b"a"), accepted(console.api, "bob", b"b")
    console.tell(mine, theirs, "01890a5d-ac96-774b-bcce-b302099a8057")

    def told(owner: str, *scopes: str) -> tuple[list[str], list[str]]:
        token = console.api.token(owner, *scopes)
        answered = console.ask("GET", "/changes", "", token, params={"cursor": "0-0"}).json()
        return [one["id"] for one in answered["assets"]], answered["gone"]

    assert told("ann") == ([mine], [])
    assert told("bob") == ([theirs], [])
    everything, gone = told("root", "admin")
    assert set(everything) == {mine, theirs}
    assert gone == ["01890a5d-ac96-774b-bcce-b302099a8057"]


def test_a_deleted_asset_is_gone_for_its_owner_and_for_nobody_else(console: Console) -> None:
    """Its tombstone is not shown as an asset."""
    asset = accepted(console.api, "ann")
    assert console.api.call("DELETE", f"/assets/{asset}").status_code == 204
    console.tell(asset)
    for owner, gone in (("ann", [asset]), ("bob", [])):
        params = {"cursor": "0-0"}
        answered = console.ask("GET", "/changes", "", console.api.token(owner), params=params)
        assert (answered.json()["assets"], answered.json()["gone"]) == ([], gone)


def test_operations_have_what_the_logs_have_counted(console: Console) -> None:
    """Each metric with the figure of its statistic; logs that end anywhere do no harm."""
    metrics.take()
    metrics.add(metrics.UPLOADS, 2, outcome="accepted")
    metrics.add(metrics.BYTES_IN, 1_500_000)
    counted = [
        json.dumps(one) for one in emf.lines(metrics.take(), "ingest", "Safelight/x", now=1.8e9)
    ]
    (console.folder / "w.log").write_text("\n".join([*counted, counted[0][:40]]))

    token = console.api.token("root", "admin")
    found = console.ask("GET", "/operations", "", token).json()["metrics"]

    assert [(one["metric"], one["dimensions"], one["value"], one["text"]) for one in found] == [
        ("BytesIn", {}, 1_500_000, "1,500,000 B"),
        ("Uploads", {"outcome": "accepted"}, 2, "2"),
    ]
