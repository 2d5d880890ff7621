"""The OpenAPI document: written down, current, and true to what is answered."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.api.rig import Api
from worker.entrypoints.cli.api import document

WRITTEN = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_written_document_is_current() -> None:
    """``safelight api document > docs/openapi.json`` writes it anew."""
    assert WRITTEN.read_text("utf-8") == document()


def test_it_is_served_to_everybody() -> None:
    """Without a token; version 3.1."""
    answered = Api().client.get("/openapi.json")

    assert answered.status_code == 200
    assert answered.json()["openapi"].startswith("3.1.")
    assert answered.json() == json.loads(document())


def test_every_operation_can_end_as_a_problem() -> None:
    """Problems have their own media type, and no operation another form of error."""
    paths = json.loads(document())["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            for status in ("4XX", "5XX"):
                (media_type,) = operation["responses"][status]["content"]
                assert media_type == "application/problem+json", (method, path)
            assert "422" not in operation["responses"]


def test_the_service_says_that_it_works() -> None:
    """To whoever looks, without asking anything else."""
    api = Api()

    answered = api.client.get("/healthz")

    assert answered.json()["status"] == "ok"
    assert api.catalog.fuse.calls == []
