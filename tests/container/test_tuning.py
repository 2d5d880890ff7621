"""`safelight tune` in the Lambda image: real uploads under the limits of each size."""

from __future__ import annotations

import pytest

from tests.container.engine import LAMBDA, Engine
from tests.unit.pictures import encoded, photo, quadrants
from worker.bench import tuning
from worker.services.tune import Photo

pytestmark = pytest.mark.timeout(300)


def test_a_size_that_is_too_small_is_left_out(engine: Engine, figures: list[str]) -> None:
    """The kernel ends the function with little memory; the others have done every upload."""
    assert engine.client.ping()
    # A decoder holds all coefficients of a progressive picture: 180 MB of this one.
    hungry = encoded(quadrants(10_000, 6_000), "JPEG", progressive=True)
    photos = [
        Photo(name="hungry.jpg", data=hungry),
        Photo(name="small.jpg", data=encoded(photo(640, 480), "JPEG")),
    ]

    found = tuning.measure(
        LAMBDA,
        photos,
        (250, 1024, 1769),
        rounds=1,
        batch=1,
        recipe="default",
        today="2026-11-30",
    )

    assert found.failed == {250: "out_of_memory"}
    assert [one.memory for one in found.points] == [1024, 1769]
    assert [one.uploads for one in found.points] == [2, 2]
    assert found.photos.pixels == (10_000 * 6_000 + 640 * 480) / 2
    for one in found.points:
        assert one.longest is not None
        assert one.init_seconds is not None
        assert 0 < one.seconds <= one.longest
        assert one.init_seconds > 0
        assert one.peak is not None
        assert one.peak > 180
        figures.append(
            f"an upload with {one.memory} MB: {one.seconds:.2f} s, start {one.init_seconds:.2f} s,"
            f" peak {one.peak} MB"
        )
