"""Files that are viewed often are encoded again: when it pays, once, under the same address."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.fakes import Fuse, Killed
from tests.unit.pictures import encoded, photo
from tests.unit.test_ingest import POLICY
from tests.unit.test_ingest import World as Intake
from worker import prices, recipes
from worker.domain import trace
from worker.domain.asset import CLOSED, PUBLIC, AssetRecord, Status
from worker.domain.delivery import PictureKey
from worker.domain.errors import DamagedInput, Reason, Throttled
from worker.domain.image import Format, Recipe, StoredRendition
from worker.domain.keys import CACHE_TAG, cache_tag
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.prices import GIGABYTE
from worker.services.access import Access
from worker.services.popularity import Popularity
from worker.services.recipe_store import RecipeStore
from worker.services.upgrade import EFFORT, Upgrade, Upgrades

PHOTO = encoded(photo(1200, 800, seed=4), "JPEG")
PRICE, NEED = prices.load()
TEXT = """
name = "hot"
version = 1

[[renditions]]
name = "large"
width = 512
height = 512
formats = ["jpeg", { format = "jxl", quality = 75, effort = 3 }, { format = "webp", quality = 80 }]
minimum_saving = -1.0

[[renditions]]
name = "small"
width = 128
height = 128
formats = ["jpeg", { format = "jxl", quality = 75, effort = 3 }]
minimum_saving = -1.0
"""
RECIPE = recipes.parse(TEXT, subject="hot")
MANY = 100_000_000


class World(Intake):
    """An accepted asset, and the service."""

    def __init__(self, fuse: Fuse | None = None, text: str = TEXT) -> None:
        """Ingest it."""
        recipe = recipes.parse(text, subject="hot")
        super().__init__(fuse, replace(POLICY, recipe=recipe))
        RecipeStore(self.store, "delivery").keep(recipe)
        done = self.ingest(self.store.upload("intake", "a.jpg", PHOTO))
        assert done.record is not None
        self.asset = done.asset
        self.first = done.record
        self.catalog.told.clear()
        self.fuse.calls.clear()
        self.encoded = 0

    @property
    def record(self) -> AssetRecord:
        """What the catalog says."""
        return self.catalog.records[self.asset]

    def file(self, name: str, format_: Format = Format.JXL) -> StoredRendition:
        """A file of the record."""
        (found,) = (
            one for one in self.record.renditions if (one.name, one.format) == (name, format_)
        )
        return found

    def stored(self, one: StoredRendition) -> Any:
        """What lies under its key."""
        return self.store.versions["delivery", one.key][-1]

    def run(self, data: bytes, recipe: Recipe) -> ProcessedImage:
        """The engine, counted."""
        self.encoded += 1
        return engine.process(data, recipe)

    def upgrades(self, **changes: Any) -> Upgrades:
        """The service."""
        given: dict[str, Any] = {
            "catalog": self.catalog,
            "store": self.store,
            "bucket": "delivery",
            "recipes": RecipeStore(self.store, "delivery"),
            "prices": PRICE,
            "need": NEED,
            "process": self.run,
        }
        return Upgrades(**{**given, **changes})

    def popular(self, **views: int) -> Popularity:
        """Views of files, by name and format: ``large_jxl=5``."""
        found: Counter[PictureKey] = Counter()
        for text, count in views.items():
            name, _, ending = text.partition("_")
            format_ = next(one for one in Format if one.extension == ending)
            found[self.key(name=name, format=format_)] = count
        return Popularity(views=found)

    def key(self, **parts: Any) -> PictureKey:
        """A file as a log names it."""
        return PictureKey(asset=self.asset, version=self.first.version, **parts)

    def plan(self, **views: int) -> tuple[Upgrade, ...]:
        """What is worth it in a day, with money enough."""
        return self.upgrades().plan(self.popular(**views), days=1.0, budget=1_000)


def test_a_hot_file_is_replaced_under_its_address() -> None:
    """With fewer bytes, its headers and the cache tag; record and edges are told."""
    world = World()
    old = world.file("large")

    (upgrade,) = world.plan(large_jxl=MANY)
    done = world.upgrades().apply(upgrade)

    new = world.file("large")
    assert (done.files, done.kept, done.reason) == (1, 0, "")
    assert (new.key, new.width, new.height) == (old.key, old.width, old.height)
    assert new.bytes == old.bytes - done.bytes_saved < old.bytes * 0.98
    kept = world.stored(new)
    assert new.sha256 == hashlib.sha256(kept.data).hexdigest()
    assert (kept.content_type, kept.cache_control[-9:]) == ("image/jxl", "immutable")
    assert kept.metadata == {
        CACHE_TAG: cache_tag(world.asset),
        trace.NAME: world.record.source.trace,
        EFFORT: "6",
    }
    assert kept.tags == {}
    event, edges = world.catalog.told
    assert (event.type, event.asset) == ("asset.upgraded", world.asset)
    assert (edges.type, edges.detail["cause"]) == ("asset.invalidated", "upgraded")
    others = [one for one in world.record.renditions if one.key != old.key]
    assert others == [one for one in world.first.renditions if one.key != old.key]


def test_views_of_several_files_of_an_asset_are_one_invalidation() -> None:
    """Each file by its own views. Widths are files of their own, which no record lists."""
    world = World()
    views = world.popular(large_jxl=MANY, small_jxl=MANY // 2)
    views.views[world.key(width=320, format=Format.JXL)] = MANY

    (upgrade,) = world.upgrades().plan(views, days=1.0, budget=1_000)

    assert {one.rendition.name: one.views for one in upgrade.files} == {
        "large": MANY,
        "small": MANY // 2,
    }
    once = PRICE.invalidation_path + 2 * PRICE.get_request
    assert upgrade.costs == pytest.approx(once + sum(one.costs for one in upgrade.files))
    world.upgrades().apply(upgrade)
    told = [event.type for event in world.catalog.told]
    assert told == ["asset.upgraded", "asset.upgraded", "asset.invalidated"]


def test_the_rule_is_views_times_bytes_saved_times_the_price() -> None:
    """It holds to the last view: one fewer is not worth encoding and an invalidation."""
    world = World()
    one = world.file("large")
    megapixels = one.width * one.height / 1e6
    costs = PRICE.invalidation_path + 2 * PRICE.get_request + PRICE.put_request
    costs += megapixels * NEED.jxl_upgrade_seconds / 3600 * PRICE.vcpu_hour
    each = one.bytes * NEED.jxl_upgrade_saving / GIGABYTE * PRICE.transfer_gigabyte
    enough = int(costs / each / NEED.popular_days) + 1

    assert len(world.plan(large_jxl=enough)) == 1
    assert world.plan(large_jxl=enough - 1) == ()
    twice = world.upgrades().plan(world.popular(large_jxl=enough), days=2.0, budget=1_000)
    assert twice == ()


def test_the_budget_goes_to_what_gains_most() -> None:
    """And is not exceeded by the last one."""
    world = World()
    other = world.ingest(
        world.store.upload("intake", "b.jpg", encoded(photo(1200, 800, seed=9), "JPEG"))
    ).record
    assert other is not None
    views = world.popular(large_jxl=MANY)
    views.views[
        PictureKey(asset=other.asset, version=other.version, name="large", format=Format.JXL)
    ] = 10 * MANY
    both = world.upgrades().plan(views, days=1.0, budget=1_000)
    assert [one.record.asset for one in both] == [other.asset, world.asset]

    few = world.upgrades().plan(views, days=1.0, budget=both[0].costs * 1.5)

    assert [one.record.asset for one in few] == [other.asset]
    assert world.upgrades().plan(views, days=1.0, budget=0) == ()


def test_no_file_is_tried_twice() -> None:
    """Neither one that was replaced nor one that came out no smaller."""
    world = World()
    (upgrade,) = world.plan(large_jxl=MANY, small_jxl=MANY)

    def grown(data: bytes, recipe: Recipe) -> ProcessedImage:
        made = world.run(data, recipe)
        return replace(
            made,
            renditions=tuple(
                replace(one, data=one.data + b"\0" * (10**6 if one.name == "small" else 0))
                for one in made.renditions
            ),
        )

    before = world.stored(world.file("small")).data
    done = world.upgrades(process=grown).apply(upgrade)

    assert (done.files, done.kept, world.encoded) == (1, 1, 1)
    assert world.stored(world.file("small")).data == before
    assert world.stored(world.file("small")).metadata[EFFORT] == "6"
    assert world.plan(large_jxl=MANY, small_jxl=MANY) == ()


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("effort = 3", "effort = 6"),
        TEXT.replace("quality = 75, effort = 3", "lossless = true"),
        TEXT.replace('{ format = "jxl", quality = 75, effort = 3 }', '"webp"').replace(
            ', { format = "webp", quality = 80 }', ""
        ),
    ],
    ids=["at that effort", "lossless", "another format"],
)
def test_what_a_higher_effort_does_not_help_is_left(text: str) -> None:
    """However often it is viewed."""
    world = World(text=text)

    assert world.plan(large_jxl=MANY, large_webp=MANY, large_jpg=MANY) == ()
    assert world.encoded == 0


@pytest.mark.parametrize("status", sorted({*Status} - PUBLIC))
def test_only_files_that_everybody_may_read_are_looked_at(status: Status) -> None:
    """A log may be older than what happened to the asset."""
    world = World()
    world.catalog.records[world.asset] = replace(world.record, status=status)

    assert world.plan(large_jxl=MANY) == ()


def test_logs_name_what_they_like() -> None:
    """Assets, versions and files that are not there cost a look, and nothing else."""
    world = World()
    views = world.popular(none_jxl=MANY, large_avif=MANY)
    views.views[replace(world.key(name="large", format=Format.JXL), version="f" * 16)] = MANY
    views.views[
        replace(
            world.key(name="large", format=Format.JXL),
            asset="22222222-2222-4222-8222-222222222222",
        )
    ] = MANY

    assert world.upgrades().plan(views, days=1.0, budget=1_000) == ()
    assert "store.get" not in world.fuse.calls


def test_an_original_that_cannot_be_encoded_again_keeps_its_files() -> None:
    """Damaged by the judgement of today, or gone: the code says why."""
    world = World()
    (upgrade,) = world.plan(large_jxl=MANY)

    def refused(data: bytes, recipe: Recipe) -> ProcessedImage:
        raise DamagedInput(Reason.CORRUPT, "no")

    assert world.upgrades(process=refused).apply(upgrade).reason == Reason.CORRUPT.value
    world.store.versions["intake", "a.jpg"].clear()
    assert world.upgrades().apply(upgrade).reason == "object_missing"
    assert world.record == world.first
    assert world.catalog.told == []


def test_what_may_pass_is_raised_and_nothing_is_marked() -> None:
    """The next run tries again."""
    world = World()
    (upgrade,) = world.plan(large_jxl=MANY)

    def busy(data: bytes, recipe: Recipe) -> ProcessedImage:
        raise Throttled("busy")

    with pytest.raises(Throttled):
        world.upgrades(process=busy).apply(upgrade)

    assert len(world.plan(large_jxl=MANY)) == 1


def test_a_run_that_was_killed_is_completed_by_the_next_one() -> None:
    """At every call: in the end file, record and edges agree, and nothing is left half done."""
    calm = World()
    calm.upgrades().apply(calm.plan(large_jxl=MANY)[0])
    calls = len(calm.fuse.calls)
    for step in range(1, calls + 1):
        world = World()
        world.fuse.burns_at, world.fuse.error = step, Killed
        with pytest.raises(Killed):
            world.upgrades().apply(world.plan(large_jxl=MANY)[0])
        world.fuse.burns_at = None

        for upgrade in world.plan(large_jxl=MANY):
            world.upgrades().apply(upgrade)

        new = world.file("large")
        assert world.stored(new).data == calm.stored(calm.file("large")).data
        assert (new.bytes, new.sha256) == (calm.file("large").bytes, calm.file("large").sha256)
        assert world.plan(large_jxl=MANY) == ()


@pytest.mark.parametrize("event", ["erased", "replaced", "held"])
def test_what_happens_to_the_asset_meanwhile_counts(event: str) -> None:
    """No file comes back, none of an old version stays open, and none of a held asset either."""
    world = World()
    (upgrade,) = world.plan(large_jxl=MANY)
    old = world.file("large")

    def meanwhile(data: bytes, recipe: Recipe) -> ProcessedImage:
        made = world.run(data, recipe)
        if event == "erased":
            for one in world.record.renditions:
                world.store.delete("delivery", one.key)
            world.catalog.delete(world.asset)
        elif event == "replaced":
            world.ingest(
                world.store.upload("intake", "a.jpg", encoded(photo(1200, 800, seed=8), "JPEG"))
            )
        else:
            Access(catalog=world.catalog, store=world.store, bucket="delivery").hold(world.asset)
        return made

    done = world.upgrades(process=meanwhile).apply(upgrade)

    kept = world.store.versions["delivery", old.key]
    if event == "held":
        assert done.files == 1
        assert kept[-1].tags == CLOSED
        assert world.record.status is Status.REVIEW
    else:
        assert done.files == 0
        assert kept == []
