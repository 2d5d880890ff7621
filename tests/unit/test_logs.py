"""Log lines: ids in each, and nothing of a person, whatever an error says."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aws_lambda_powertools import Logger
from hypothesis import given
from hypothesis import strategies as st

from batch.reporting import Identity, JobReporter
from worker.domain import redaction, trace
from worker.domain.errors import Unreachable
from worker.entrypoints import logs

ASSET = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ENTRYPOINTS = Path(logs.__file__).parent


@pytest.fixture
def written() -> Iterator[tuple[Logger, io.StringIO]]:
    """A function's logger that writes to memory; those of services go on as they were."""
    out = io.StringIO()
    made = logs.logger("test-of-logs")
    stream = made.registered_handler
    assert isinstance(stream, logging.StreamHandler)
    stream.setStream(out)
    services = [logging.getLogger(name) for name in ("safelight", "worker")]
    before = [(one, list(one.handlers), one.propagate, one.level) for one in services]
    yield made, out
    for one, handlers, propagate, level in before:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """What was written."""
    return [json.loads(one) for one in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("get s3://intake/uploads/ann smith.jpg: no answer", "get s3://intake/…: no answer"),
        ("get s3://intake/a: b/ann.jpg: NoSuchKey: gone", "get s3://intake/…: gone"),
        (f"s3://intake/7d/uploads/{ASSET}/ann.jpg", f"s3://intake/7d/uploads/{ASSET}/…"),
        (f"copy s3://x/ann.jpg s3://y/{ASSET[:2]}/{ASSET}/v/large.webp", None),
        (f"s3://delivery/7d/{ASSET}/v/large.webp: gone", None),
        ("s3://delivery/recipes/0a.json", None),
        ("s3://bucket/", None),
        ("https://b.example/k?X-Amz-Signature=abc&x=1 failed", "https://b.example/k?… failed"),
        ("https://ann:secret@b.example/hook", "https://…@b.example/hook"),
        ("ann.smith+x@mail.example.com is wrong", "…@… is wrong"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("eyJhbGciOiJub25l.eyJzdWIi.c2ln is no token", "… is no token"),
        ("whsec_YWJjZGVm is short", "whsec_… is short"),
        ("throttled: 3 of 7 in 1.5 s", None),
    ],
)
def test_a_text_says_nothing_of_a_person(said: str, left: str | None) -> None:
    """Names of files, addresses, signatures and tokens go; ids and codes stay."""
    if said.startswith("copy"):
        left = f"copy s3://x/…s3://y/{ASSET[:2]}/{ASSET}/v/large.webp"
    assert redaction.redacted(said) == (said if left is None else left)


@given(
    st.text(min_size=1, max_size=40).filter(
        lambda name: name.strip() == name and ": " not in name and name.isprintable()
    )
)
def test_no_name_of_a_file_is_logged(name: str) -> None:
    """However it is written: blanks, quotes, signs, other scripts."""
    secret = f"anna{name}schmidt"
    for key in (secret, f"uploads/{secret}", f"7d/uploads/{ASSET}/{quote(secret)}"):
        left = redaction.redacted(f"put s3://intake/{key}: ServiceUnavailable")
        assert "anna" not in left
        assert "schmidt" not in left
        assert left.endswith(": ServiceUnavailable")


def test_whole_events_are_cut() -> None:
    """Long texts, long lists and deep objects are cut."""
    event = {"Records": [{"body": "x" * 100_000}] * 1_000, "a": {"b": {"c": {"d": {"e": 1}}}}}
    left = redaction.line({"event": event, "exception": "y" * 100_000, "n": 7, "none": None})

    assert len(json.dumps(left)) < 60 * redaction.MOST_TEXT
    assert len(left["event"]["Records"]) == redaction.MOST_ITEMS
    assert left["event"]["a"]["b"]["c"] == {"d": "…"}
    assert len(left["exception"]) == 4 * redaction.MOST_TEXT + 1
    assert (left["n"], left["none"]) == (7, None)


def test_a_line_names_its_trace_and_an_error_is_cleaned(
    written: tuple[Logger, io.StringIO],
) -> None:
    """Message, fields and traceback."""
    logger, out = written
    with trace.bind(SENT):
        try:
            raise Unreachable("get s3://intake/uploads/ann smith.jpg: no answer")
        except Unreachable:
            logger.exception("no answer", extra={"asset": ASSET, "who": "ann@mail.example"})
    logger.info("of nothing")

    first, second = lines(out)
    assert (first["traceparent"], first["asset"], first["who"]) == (SENT, ASSET, "…@…")
    assert first["exception_name"] == "Unreachable"
    assert "no answer" in first["exception"]
    assert "smith" not in out.getvalue()
    assert "traceparent" not in second


def test_lines_of_services_go_the_same_way(written: tuple[Logger, io.StringIO]) -> None:
    """As JSON, with the trace, cleaned, and once."""
    logger, out = written
    logs.adopt(logger)
    logs.adopt(logger)
    with trace.bind(SENT):
        logging.getLogger("worker.services.deliver").warning("%s failed", "s3://intake/ann.jpg")
        logging.getLogger("safelight.review").info("ok", extra={"review": "r"})

    first, second = lines(out)
    assert (first["message"], first["service"]) == ("s3://intake/…", "test-of-logs")
    assert (second["review"], second["traceparent"]) == ("r", SENT)


def test_each_line_of_a_job_names_asset_and_trace() -> None:
    """And says nothing of what the original is called."""
    out = io.StringIO()
    identity = Identity(
        kind="poster", job="j", asset=ASSET, traceparent=SENT, output="s3://results/of/a person/"
    )
    with JobReporter(identity, out) as reporter:
        reporter.event("failed", code="x", message="s3://intake/ann.mov: it is none")

    started, failed = lines(out)
    assert {one["asset"] for one in (started, failed)} == {ASSET}
    assert {one["traceparent"] for one in (started, failed)} == {SENT}
    assert started["output"] == "s3://results/of/a person/"
    assert failed["message"] == "s3://intake/…: it is none"


def test_every_function_logs_this_way() -> None:
    """None makes a logger of its own, and each hands it to the services."""
    functions = sorted(ENTRYPOINTS.glob("lambda_*.py"))
    assert len(functions) >= 8
    for path in functions:
        text = path.read_text("utf-8")
        assert "logger = logs.logger(" in text, path.name
        assert "logs.adopt(logger)" in text, path.name
        assert "aws_lambda_powertools import Logger" not in text, path.name
        assert "extra=event" not in text, path.name
