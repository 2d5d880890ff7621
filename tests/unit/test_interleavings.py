"""Workers and people in every order that dice find: everything agrees in the end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.unit.interleavings import Story, TimedStore, one_thread
from tests.unit.pictures import encoded, photo
from worker.domain.errors import Throttled
from worker.local.faults.shrink import smallest
from worker.services.invariants import Invariant

PICTURES = [encoded(photo(100, 70, seed=number), "JPEG") for number in range(3)]
STORIES = int(os.environ.get("SAFELIGHT_STORIES", "60"))
"""`SAFELIGHT_STORIES=2500` takes a minute."""
KNOWN = {
    65: "whoever dies while it records an original that a deletion has brought to light leaves the"
    " files of that attempt, if the upload's own event was handled meanwhile",
    267: "a removal that ended between the record and files that came late leaves those files, if"
    " somebody uploads to the key before the removal is repeated",
}
"""Stories of the first 2,500 that end with files that nothing names (`orphan`): docs/faults.md,
"What is left". A catalog that refused a second record of the same object version would mend the
first, but its record would have the deletion's place in the order and not the upload's."""

__all__ = ["one_thread"]


@pytest.mark.usefixtures("one_thread")
def test_everything_agrees_whatever_the_order() -> None:
    """Calls of workers and people between each other, errors, deaths, messages twice."""
    for seed in range(STORIES):
        story = Story(seed, pictures=PICTURES)
        found = story.run()
        assert bool(found) == (seed in KNOWN), f"seed {seed}: {story.struck}: {found}"


@pytest.mark.usefixtures("one_thread")
def test_a_seed_is_a_story() -> None:
    """The same calls in the same order with the same end."""
    told = []
    for _ in range(2):
        story = Story(5, pictures=PICTURES)
        story.run()
        told.append((story.turns.calls, story.struck, [one.id for one in story.catalog.told]))
    assert told[0] == told[1]
    assert len(told[0][0]) > 30


class Forgetful(TimedStore):
    """A store whose adapter takes a refused write for done: an answer means nothing."""

    def put(self, *where: Any, **more: Any) -> str:
        """As the port says, but for one thing."""
        try:
            return super().put(*where, **more)
        except Throttled:
            return "etag"


@pytest.mark.usefixtures("one_thread")
def test_a_lost_write_is_found_and_shrunk_to_itself() -> None:
    """A planted defect: the stories find it, and little more is left of all that happened."""

    def broken(seed: int, strikes: Mapping[int, str] | None = None) -> Story | None:
        story = Story(seed, strikes=strikes, pictures=PICTURES, make_store=Forgetful)
        return story if any(one.rule is Invariant.FILE for one in story.run()) else None

    found = next(story for seed in range(100) if (story := broken(seed)) and len(story.struck) > 2)

    def fails(strikes: Sequence[tuple[int, str]]) -> bool:
        return broken(found.seed, dict(strikes)) is not None

    small = smallest(sorted(found.struck.items()), fails)
    assert len(small) <= 2 < len(found.struck)
    again = broken(found.seed, dict(small))
    assert again is not None
    lost = [again.turns.calls[number - 1] for number, how in small if how == "before"]
    assert any(call.endswith("store.put") for call in lost)
