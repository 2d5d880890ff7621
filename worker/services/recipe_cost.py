"""Measures the cost of a recipe on pictures, as it is and with all files made at upload.

Prices and assumptions are those of ``worker/prices.toml``. Not counted: what every upload costs
whatever its recipe (queue, catalog, download), and delivery.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import InputError
from worker.domain.image import Recipe
from worker.prices import GIGABYTE, Assumptions, Prices
from worker.recipes import all_at_upload
from worker.services.examine import LIMITS, read
from worker.subprocesses import sandbox

UPLOADS = 1_000_000
"""Number of uploads that costs are given for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeCost:
    """Of one way to make the files: per upload, and in US dollars per million uploads."""

    files_at_upload: float
    files_at_first_view: float
    """Those that are viewed."""
    cpu_seconds: float
    """Of the engine, first views included."""
    stored_bytes: float
    """Of files, without the original."""
    compute_usd: float
    requests_usd: float
    storage_month_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CostComparison:
    """A recipe as it is, and with everything made at upload."""

    recipe: str
    pictures: int
    viewed: float
    """Share of the files made at first view that anybody asks for, 0 to 1."""
    as_it_is: RecipeCost
    all_at_upload: RecipeCost


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSample:
    """Of one picture."""

    cpu: float
    """Seconds of the engine at upload."""
    sizes: tuple[int, ...]
    """Bytes of each file that is made then."""
    later: tuple[tuple[float, int], ...]
    """Seconds and bytes of each file that is made at first view."""


def compare(
    paths: Sequence[Path], recipe: Recipe, *, viewed: float, price: Prices, need: Assumptions
) -> CostComparison:
    """Measure a recipe on pictures and price it. Each is decoded in the sandbox.

    Raises:
        InputError: a picture cannot be read, or there is none.
        Rejected: the recipe does not accept one.
    """
    if not paths:
        raise InputError("name a picture at least", code="input_missing")
    data = [read(path, recipe.limits.bytes) for path in paths]

    def measured(chosen: Recipe) -> RecipeCost:
        found = []
        for one in data:
            cpu, sizes, later = sandbox.run(measure, one, chosen, limits=LIMITS)
            found.append(CostSample(cpu=cpu, sizes=sizes, later=later))
        return _cost(found, viewed, price, need)

    return CostComparison(
        recipe=recipe.name,
        pictures=len(paths),
        viewed=viewed,
        as_it_is=measured(recipe),
        all_at_upload=measured(all_at_upload(recipe)),
    )


def measure(
    data: bytes, recipe: Recipe
) -> tuple[float, tuple[int, ...], tuple[tuple[float, int], ...]]:
    """The fields of ``CostSample``: this runs in the sandbox. Everything is made once before,
    without measuring."""
    from worker.imaging import engine
    from worker.imaging.plan import AllowedFile, plan_file

    engine.process(data, recipe)
    begin = time.process_time()
    made = engine.process(data, recipe)
    cpu = time.process_time() - begin
    stored = {f"{one.name}.{one.format.extension}": one for one in made.renditions}
    specs = {spec.name: spec for spec in recipe.renditions}
    later = []
    for one in made.first_view:
        file = AllowedFile(recipe=recipe, spec=specs[one.name], format=one.format)
        known = [each.stored_as(name) for name, each in stored.items()]
        name = plan_file(made.probe, file, known).source
        if name is not None:
            source = stored[name].stored_as(name)
            file = AllowedFile(recipe=recipe, spec=file.spec, format=one.format, source=source)
        content = data if name is None else stored[name].data
        call = (content, file, made.metadata.tags, made.probe)
        engine.make_file(*call)
        begin = time.process_time()
        size = len(engine.make_file(*call).data)
        later.append((time.process_time() - begin, size))
    sizes = tuple(len(one.data) for one in made.renditions)
    return cpu, sizes, tuple(later)


def _cost(
    found: Sequence[CostSample], viewed: float, price: Prices, need: Assumptions
) -> RecipeCost:
    count = len(found)
    files = sum(len(one.sizes) for one in found) / count
    views = viewed * sum(len(one.later) for one in found) / count
    cpu = sum(one.cpu + viewed * sum(seconds for seconds, _ in one.later) for one in found) / count
    stored = (
        sum(sum(one.sizes) + viewed * sum(size for _, size in one.later) for one in found) / count
    )
    # The function waits for the store and the catalog, too.
    seconds = cpu + views * need.seconds_fixed
    # A record read, a claim, the source read, the file written.
    each_view = price.invocation + price.read_unit + price.write_unit + price.get_request
    requests = files * price.put_request + views * (each_view + price.put_request)
    return RecipeCost(
        files_at_upload=files,
        files_at_first_view=views,
        cpu_seconds=cpu,
        stored_bytes=stored,
        compute_usd=UPLOADS * seconds * need.gigabytes * price.gigabyte_second,
        requests_usd=UPLOADS * requests,
        storage_month_usd=UPLOADS * stored / GIGABYTE * price.storage_month,
    )
