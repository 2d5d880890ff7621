"""Invalidations: one for a batch, repeated alike, and nothing is lost when it fails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.unit.test_deliver import World
from tests.unit.test_settings import COMPLETE
from worker.bootstrap import invalidation
from worker.domain.errors import SafelightError, SettingsError, Throttled
from worker.domain.events import event_of
from worker.entrypoints import lambda_invalidate
from worker.services.invalidate import Invalidate
from worker.services.messages import asset_event
from worker.settings import Settings

FIRST, SECOND = (f"{one * 8}-1111-4111-8111-{one * 12}" for one in "12")


class Edges:
    """Remembers what it was told to forget."""

    def __init__(self, error: SafelightError | None = None) -> None:
        self.told: list[tuple[list[str], str]] = []
        self.error = error

    def forget(self, tags: Sequence[str], *, once: str) -> None:
        """See ``EdgeCaches.forget``."""
        if self.error is not None:
            raise self.error
        self.told.append((list(tags), once))


def body(asset: str, identity: str = "e-1", kind: str = "asset.erased") -> str:
    """An event as the bus puts it into a queue."""
    return json.dumps({"id": identity, "detail-type": kind, "detail": {"asset": asset}})


def handle(edges: Edges, *bodies: str) -> list[str]:
    """The messages that the function keeps."""
    records = [{"messageId": f"m-{n}", "body": text} for n, text in enumerate(bodies)]
    answer = lambda_invalidate.handle({"Records": records}, Invalidate(edges=edges))
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_a_batch_is_one_invalidation_with_one_tag_for_each_asset() -> None:
    """Several events of an asset are one tag, whatever the number of its files."""
    edges = Edges()

    kept = handle(edges, body(SECOND), body(FIRST, "e-2", "asset.held"), body(FIRST, "e-3"))

    assert kept == []
    ((tags, _),) = edges.told
    assert tags == [f"a:{FIRST}", f"a:{SECOND}"]


def test_the_same_events_are_the_same_request_and_others_are_not() -> None:
    """A batch that is delivered twice is invalidated once; an event that is sent anew is new."""
    edges = Edges()
    one, other = body(FIRST, "e-1"), body(SECOND, "e-2")

    for batch in ([one, other], [other, one, one], [one], [body(FIRST, "e-9"), other]):
        handle(edges, *batch)

    references = [once for _, once in edges.told]
    assert references[0] == references[1]
    assert len(set(references)) == 3
    assert all(len(once) <= 128 for once in references)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        "[" * 100_000,
        body("../../etc"),
        body(f"{FIRST},b"),
        body("1"),
        json.dumps({"id": 1, "detail-type": "a", "detail": {"asset": FIRST}}),
        json.dumps({"id": "1", "detail-type": "a", "detail": {"asset": None}}),
        json.dumps({"id": "1", "detail-type": "a", "detail": "text"}),
    ],
)
def test_a_broken_message_stays_and_holds_up_no_other_one(broken: str) -> None:
    """It ends with the dead letters; the tag of the other one is sent."""
    edges = Edges()

    assert handle(edges, broken, body(SECOND)) == ["m-0"]
    assert [tags for tags, _ in edges.told] == [[f"a:{SECOND}"]]


@pytest.mark.parametrize("error", [Throttled("3,000 are in progress"), SafelightError("no")])
def test_every_message_comes_again_if_no_invalidation_was_accepted(error: SafelightError) -> None:
    """No message of the batch counts as done."""
    assert handle(Edges(error), body(FIRST), "broken", body(SECOND)) == ["m-1", "m-0", "m-2"]


def test_a_call_without_messages_sends_nothing() -> None:
    """It wires the function."""
    edges = Edges()

    assert handle(edges) == []
    assert edges.told == []


def test_without_a_distribution_the_function_does_not_start() -> None:
    """A mistake in the settings is named by its variable."""
    with pytest.raises(SettingsError, match="SAFELIGHT_DISTRIBUTION"):
        invalidation(Settings.from_environment(COMPLETE))


def test_only_a_record_that_replaces_a_version_says_so() -> None:
    """The first outcome of an asset has nothing before it."""
    (record,) = World().catalog.records.values()

    assert "replaces" not in event_of(record).detail
    told = event_of(replace(record, replaces="0123456789abcdef")).detail
    assert told["replaces"] == "0123456789abcdef"


def test_an_event_is_read_as_the_bus_sends_it() -> None:
    """Id of the bus, type and asset."""
    found = asset_event(body(FIRST, "e-7"))

    assert (found.id, found.type, found.asset) == ("e-7", "asset.erased", FIRST)
