"""The group of an upload event: one for an object, short for every key."""

from __future__ import annotations

import ast
import json
import string
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.services import ordering

KEYS = st.text(min_size=1, max_size=300)


def _notification(
    key: str, *, sequencer: str = "0A", name: str = "ObjectCreated:Put", bucket: str = "intake"
) -> dict[str, Any]:
    encoded = quote_plus(key, errors="surrogatepass")
    item = {"key": encoded, "sequencer": sequencer}
    return {"Records": [{"eventName": name, "s3": {"bucket": {"name": bucket}, "object": item}}]}


def _event_bridge(key: str, *, sequencer: str = "0A") -> dict[str, Any]:
    return {
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "intake"}, "object": {"key": key, "sequencer": sequencer}},
    }


def _answer(body: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    (answer,) = ordering.handler([{"messageId": "1", "body": text}], None)
    return answer


@given(key=KEYS)
def test_ids_are_short_and_plain_for_every_key(key: str) -> None:
    """SQS takes up to 128 letters, digits and marks; a key may be anything."""
    answer = _answer(_notification(key))

    for name in ("group", "deduplication"):
        assert len(answer[name]) == 64
        assert set(answer[name]) <= set(string.hexdigits)


@given(key=KEYS)
def test_both_kinds_of_events_name_one_group(key: str) -> None:
    """Keys are encoded in one and plain in the other; the object is the same."""
    assert _answer(_notification(key))["group"] == _answer(_event_bridge(key))["group"]


def test_one_object_is_one_group_and_each_upload_counts() -> None:
    """A repetition is known by its deduplication id, a newer upload is not dropped for it."""
    first, again, newer = (
        _answer(_notification("a.jpg", sequencer=sequencer)) for sequencer in ("01", "01", "02")
    )

    assert first == again
    assert first["group"] == newer["group"]
    assert first["deduplication"] != newer["deduplication"]


def test_other_objects_are_other_groups() -> None:
    """Key and bucket both count, and do not run into each other."""
    groups = {
        _answer(_notification(key, bucket=bucket))["group"]
        for bucket, key in [("intake", "a"), ("intake", "b"), ("other", "a"), ("intakea", "")]
    }

    assert len(groups) == 4


def test_a_deletion_is_no_repetition_of_the_upload() -> None:
    """Their deduplication ids differ for any sequencers."""
    made = _answer(_notification("a.jpg"))
    gone = _answer(_notification("a.jpg", name="ObjectRemoved:Delete"))

    assert made["deduplication"] != gone["deduplication"]


def test_the_body_goes_on_as_it_came() -> None:
    """Parsed, as the pipe's input template wants it."""
    body = _notification("Ein Bild + mehr.jpg")

    assert _answer(body)["body"] == body


def test_s3s_test_event_is_left_out() -> None:
    """It is sent once, when the notification is made."""
    assert ordering.handler([{"body": json.dumps({"Event": "s3:TestEvent"})}]) == []


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[" * 100_000,
        [],
        None,
        5,
        {},
        {"Records": []},
        {"Records": {}},
        {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": 5}}}]},
        {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "a"}}}]},
        {"Records": [{"s3": {"bucket": {"name": 5}, "object": {"key": "a", "sequencer": "1"}}}]},
        {"detail": {"bucket": {"name": "b"}, "object": {"key": "a", "sequencer": 7}}},
        {"detail": "x"},
    ],
    ids=lambda body: str(body)[:30],
)
def test_what_is_no_upload_goes_on_alone(body: Any) -> None:
    """One bad message stops neither the pipe nor its neighbours; ingest names the fault."""
    text = body if isinstance(body, str) else json.dumps(body)
    good = _notification("a.jpg")

    bad, neighbour = ordering.handler([{"body": text}, {"body": json.dumps(good)}])

    assert bad["group"] == bad["deduplication"] != neighbour["group"]
    assert neighbour == _answer(good)


def test_the_file_can_be_deployed_alone() -> None:
    """It is the whole function: the standard library is all there is."""
    tree = ast.parse(Path(ordering.__file__).read_text())
    modules = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }

    assert modules <= set(sys.stdlib_module_names)
