"""Encodes files that are viewed often once more, at a higher effort: fewer bytes, same address.

The rule: views x bytes saved x price of a gigabyte must be more than encoding and the invalidation
cost. ``worker/prices.toml`` has the prices, and what a higher effort saves and takes, as measured.

The new file replaces the old one under its key. The object says at which effort it was encoded, so
that no file is tried twice, not even one that came out no smaller. Edges are told once for an
asset. Everything may be repeated: a run that was ended is completed by the next one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from worker.domain.asset import PUBLIC, AssetRecord
from worker.domain.delivery import PictureKey
from worker.domain.errors import AssetMissing, Conflict, EngineError, ObjectMissing, SafelightError
from worker.domain.image import Encoding, Format, Recipe, StoredRendition
from worker.domain.keys import IMMUTABLE, cache_metadata
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.imaging.probe import probe
from worker.ports import Catalog, ObjectStore
from worker.prices import GIGABYTE, Assumptions, Prices
from worker.services.access import Access, invalidate, tags_of
from worker.services.deliver import substitute
from worker.services.popularity import Popularity
from worker.services.recipe_store import RecipeStore
from worker.subprocesses import sandbox
from worker.subprocesses.sandbox import SandboxLimits

EFFORTS: Mapping[Format, int] = {Format.JXL: 6, Format.AVIF: 4}
"""Efforts of the second encoding. JPEG XL at 7 gives the bytes of 6 and takes a fifth longer."""
EFFORT = "encoder-effort"
"""Metadata of an object: it was encoded again at this effort, or that was no use."""
LEAST_SAVED = 0.02
"""Share of the bytes. A file that saves less stays as it is."""
MOST_LOOKED_AT = 5_000
"""Assets of a run, the most viewed ones: each costs a read of the catalog."""
LIMITS = SandboxLimits(cpu_seconds=300, wall_seconds=300, memory_bytes=3_000_000_000)
"""Of one asset. An original that takes more keeps its files."""

Engine: TypeAlias = Callable[[bytes, Recipe], ProcessedImage]


def sandboxed(data: bytes, recipe: Recipe) -> ProcessedImage:
    """The engine in a child process: the original is from outside, as on its first day."""
    found = probe(data, recipe.limits, formats=recipe.formats)
    return sandbox.run(engine.process, data, recipe, found, "", limits=LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewedFile:
    """A file that may be encoded again."""

    rendition: StoredRendition
    views: int
    """In the time that the log is of."""
    saves: float
    """US dollars, expected, while the assumption of ``popular_days`` holds."""
    costs: float
    """US dollars of processor time and requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """Files of one asset that are worth it together."""

    record: AssetRecord
    files: tuple[ViewedFile, ...]
    costs: float
    """US dollars, the invalidation included."""

    @property
    def saves(self) -> float:
        """US dollars, expected."""
        return sum(one.saves for one in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """The result for an asset."""

    asset: str
    files: int = 0
    """Replaced."""
    kept: int = 0
    """That came out no smaller."""
    bytes_saved: int = 0
    reason: str = ""
    """Why nothing was done: a code of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrades:
    """The use case.

    Args:
        recipes: by which the files were made.
        process: the engine, in a child process that may crash.
    """

    catalog: Catalog
    store: ObjectStore
    bucket: str
    recipes: RecipeStore
    prices: Prices
    need: Assumptions
    process: Engine = sandboxed

    def plan(self, popularity: Popularity, *, days: float, budget: float) -> tuple[Upgrade, ...]:
        """The upgrades that pay, by falling ratio of gain to cost, within the budget.

        Args:
            days: that the log is of.
            budget: US dollars.
        """
        found = (self._upgrade(key, views, days) for key, views in _by_asset(popularity))
        worth = [one for one in found if one is not None]
        worth.sort(key=lambda one: one.saves / one.costs, reverse=True)
        chosen, left = [], budget
        for one in worth:
            if one.costs <= left:
                chosen.append(one)
                left -= one.costs
        return tuple(chosen)

    def apply(self, upgrade: Upgrade) -> Upgraded:
        """Encode the files, replace them, record them and invalidate them. Files that cannot be
        encoded stay unchanged.

        Raises:
            TransientError: a store does not answer; the next run completes it.
        """
        record = upgrade.record
        keys = frozenset(one.rendition.key for one in upgrade.files)
        try:
            made = self._encode(record, keys)
        except SafelightError as error:
            if error.retryable:
                raise
            return Upgraded(asset=record.asset, reason=error.code)
        done: list[int] = []
        kept = 0
        for one in upgrade.files:
            data = made.get(one.rendition.key)
            if data is None or len(data) > one.rendition.bytes * (1 - LEAST_SAVED):
                self._mark(one.rendition)
                kept += 1
            elif self._replace(record, one.rendition, data):
                done.append(one.rendition.bytes - len(data))
        if done:
            self._tell(record.asset)
        return Upgraded(asset=record.asset, files=len(done), kept=kept, bytes_saved=sum(done))

    # --- which files ------------------------------------------------------------------------

    def _upgrade(
        self, at: tuple[str, str], views: Mapping[PictureKey, int], days: float
    ) -> Upgrade | None:
        asset, version = at
        record = self.catalog.get(asset)
        if record is None or record.version != version or record.status not in PUBLIC:
            return None
        sums: dict[str, int] = defaultdict(int)
        for key, count in views.items():
            # A width is a file of its own, made at its first view, which no record lists.
            sent = substitute(record.renditions, key) if key.name else None
            if sent is not None and sent.format is key.format:
                sums[sent.key] += count
        stored = [one for one in record.renditions if sums.get(one.key)]
        files = [self._viewed(one, sums[one.key], days) for one in stored]
        # The invalidation is paid once, and reading the original too.
        once = self.prices.invalidation_path + 2 * self.prices.get_request
        worth = tuple(one for one in files if one is not None and one.saves > one.costs)
        costs = once + sum(one.costs for one in worth)
        if not worth or sum(one.saves for one in worth) <= costs:
            return None
        try:
            recipe = self.recipes.load(record.recipe_digest)
        except (ObjectMissing, EngineError):
            return None
        may = frozenset(one.key for one in stored if _encoding(recipe, one) is not None)
        left = tuple(one for one in worth if one.rendition.key in may and self._untried(one))
        again = Upgrade(record=record, files=left, costs=once + sum(one.costs for one in left))
        return again if left and again.saves > again.costs else None

    def _viewed(self, one: StoredRendition, views: int, days: float) -> ViewedFile | None:
        measured = {
            Format.JXL: (self.need.jxl_upgrade_saving, self.need.jxl_upgrade_seconds),
            Format.AVIF: (self.need.avif_upgrade_saving, self.need.avif_upgrade_seconds),
        }
        if one.format not in measured or one.frames > 1:
            return None
        share, seconds = measured[one.format]
        sent = views / days * self.need.popular_days * one.bytes * share
        hours = seconds * one.width * one.height / 1e6 / 3600
        return ViewedFile(
            rendition=one,
            views=views,
            saves=sent / GIGABYTE * self.prices.transfer_gigabyte,
            costs=hours * self.prices.vcpu_hour + self.prices.put_request,
        )

    def _untried(self, one: ViewedFile) -> bool:
        try:
            found = self.store.head(self.bucket, one.rendition.key)
        except ObjectMissing:
            return False
        # One that was replaced, and whose record does not say so yet, is looked at again.
        return EFFORT not in found.metadata or found.size != one.rendition.bytes

    # --- what is done -----------------------------------------------------------------------

    def _encode(self, record: AssetRecord, keys: frozenset[str]) -> Mapping[str, bytes]:
        """New bytes by key, of those files whose picture has the same size."""
        source, recipe = record.source, self.recipes.load(record.recipe_digest)
        stored = {(one.name, one.format): one for one in record.renditions if one.key in keys}
        data, _ = self.store.get(
            source.bucket, source.key, version_id=source.version_id, etag=source.etag or None
        )
        made = self.process(data, _upgraded(recipe, tuple(stored.values())))
        found = {}
        for one in made.renditions:
            old = stored.get((one.name, one.format))
            if old is not None and (one.width, one.height) == (old.width, old.height):
                found[old.key] = one.data
        return found

    def _replace(self, record: AssetRecord, old: StoredRendition, data: bytes) -> bool:
        """Replace a file and say so in the record; False if it is not the asset's any more."""
        self.store.put(
            self.bucket,
            old.key,
            data,
            content_type=old.format.media_type,
            cache_control=IMMUTABLE,
            metadata={
                **cache_metadata(old.key, record.source.trace),
                EFFORT: str(EFFORTS[old.format]),
            },
            tags=tags_of(record),
        )
        new = replace(old, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        try:
            self.catalog.update(record.asset, rendition=new)
        except (AssetMissing, Conflict):
            # Erased, or replaced by another version, whose files are served: no record names it.
            self.store.delete(self.bucket, old.key)
            return False
        return True

    def _mark(self, one: StoredRendition) -> None:
        """Try a file no more."""
        self.store.renew(self.bucket, one.key, metadata={EFFORT: str(EFFORTS[one.format])})

    def _tell(self, asset: str) -> None:
        """Close files that are held by now, and invalidate the new files."""
        access = Access(catalog=self.catalog, store=self.store, bucket=self.bucket)
        record = self.catalog.get(asset)
        if record is None:
            return
        if record.status not in PUBLIC:
            access.follow(asset)
        invalidate(self.catalog, record, "upgraded")


def _by_asset(
    popularity: Popularity,
) -> Iterator[tuple[tuple[str, str], Mapping[PictureKey, int]]]:
    """Views by asset and version, the most viewed assets first."""
    found: dict[tuple[str, str], dict[PictureKey, int]] = defaultdict(dict)
    for key, views in popularity.hot():
        found[key.asset, key.version][key] = views
    ordered = sorted(found.items(), key=lambda one: -sum(one[1].values()))
    yield from ordered[:MOST_LOOKED_AT]


def _encoding(recipe: Recipe, stored: StoredRendition) -> Encoding | None:
    """How a file was encoded, if a higher effort makes the same picture of fewer bytes."""
    for spec in recipe.renditions:
        for one in spec.encodings if spec.name == stored.name else ():
            if one.format is stored.format:
                plain = not one.lossless and not one.repack and one.target is None
                return one if plain and one.effort < EFFORTS.get(one.format, 0) else None
    return None


def _upgraded(recipe: Recipe, stored: Sequence[StoredRendition]) -> Recipe:
    """The recipe of these files alone, at a higher effort."""
    wanted: dict[str, list[Encoding]] = defaultdict(list)
    for one in stored:
        encoding = _encoding(recipe, one)
        if encoding is not None:
            wanted[one.name].append(replace(encoding, effort=EFFORTS[encoding.format]))
    specs = tuple(
        replace(spec, encodings=tuple(wanted[spec.name]), minimum_saving=-1.0)
        for spec in recipe.renditions
        if wanted.get(spec.name)
    )
    return replace(recipe, renditions=specs)
