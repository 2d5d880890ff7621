"""Taking an asset back: nothing that was made of it stays where it is served."""

from __future__ import annotations

import pytest

from tests.unit.heavy_uploads.test_handler import application
from tests.unit.heavy_uploads.world import World
from worker.errors import AssetMissing
from worker.services.erase import erase


def erased(world: World) -> None:
    """Erase the world's one asset."""
    settings = application(world).settings
    erase(world.record.asset, catalog=world.catalog, store=world.store, settings=settings)


@pytest.mark.parametrize("finished", [True, False], ids=["accepted", "still waiting"])
def test_everything_made_of_a_video_goes(finished: bool) -> None:
    """Segments too, which no record names; and what jobs have left before they were all done."""
    world = World()
    world.leave_all()
    if finished:
        world.heavy.finish(world.record.asset, world.record.version)
    erased(world)
    assert world.store.keys("delivery") == set()
    assert world.store.keys("intake") == set()
    assert world.catalog.get(world.record.asset) is None


def test_what_is_not_there_cannot_be_erased() -> None:
    """It says so."""
    world = World()
    erased(world)
    with pytest.raises(AssetMissing):
        erased(world)
