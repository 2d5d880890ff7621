"""Makes a file at its first view: once, as the recipe of its version allows.

Nothing is written to the catalog's record: only the object in the delivery bucket shows that the
file exists. Its key begins with its version's prefix, so erasing or replacing an asset includes
it.

Many processes may request a missing file at the same time. One of them claims it (a conditional
write in the catalog) and makes it; the others poll the bucket for a few seconds. A claim expires,
so that a dead holder does not block the file. Until then no other process tries, so a picture that
crashes processes crashes at most one in ``CLAIM_SECONDS``.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from worker.domain import metrics
from worker.domain.asset import PUBLIC, AssetRecord
from worker.domain.delivery import WIDTHS, PictureKey, formats_for, whole_cut
from worker.domain.errors import (
    AssetMissing,
    EngineError,
    InputError,
    MemoryPressure,
    NotMade,
    ObjectMissing,
)
from worker.domain.image import (
    Fit,
    Format,
    Probe,
    Recipe,
    Rendition,
    RenditionSpec,
    StoredRendition,
)
from worker.domain.keys import IMMUTABLE, cache_metadata, version_prefix
from worker.imaging.plan import AllowedFile, Step, make_plan, plan_file
from worker.job_context import processors
from worker.ports import Catalog, ObjectStore, StoredObject
from worker.services.recipe_store import RecipeStore
from worker.subprocesses.sandbox import FirstTry, SandboxLimits, here

CLAIM_SECONDS = 30.0
"""Time for one process to make a file; equal to the delivery function's timeout."""
SANDBOX_SECONDS = 20.0
"""CPU and wall time of the sandbox: a client waits."""
WAIT_SECONDS = 4.0
"""Time that a request waits for a file that another process makes."""
FIRST_LOOK_SECONDS = 0.05
"""Delay before the first poll; each further delay is half as long again."""
LONGEST_LOOK_SECONDS = 0.5

FOUND = 4_096
"""Number of requests whose results are cached."""

_RENDERING = threading.BoundedSemaphore(processors())
"""Limits parallel renders to the number of cores: more would use memory without being faster."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstView:
    """The use case.

    Args:
        heavy_bytes, heavy_pixels: larger originals are not read here, as ingest does not.
        limits: of the sandbox.
        first: runs the engine at the first try of a file.
    """

    store: ObjectStore
    catalog: Catalog
    recipes: RecipeStore
    bucket: str
    heavy_bytes: int
    heavy_pixels: int
    limits: SandboxLimits
    first: FirstTry = here
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _found: dict[tuple[str, int, PictureKey], AllowedFile | None] = field(
        default_factory=dict, init=False, repr=False
    )
    """Cached results of the last requests, by record: making a plan takes longer than reading a
    cached file."""

    # --- what is allowed --------------------------------------------------------------------

    def find(self, record: AssetRecord, wanted: PictureKey) -> AllowedFile | None:
        """The file that the recipe has for a request, stored or not; None if it has none.

        The format is the requested format, else another one that the client accepts. A width is
        made like the next larger rendition of the whole picture.

        Raises:
            TransientError: the store does not answer.
        """
        known = (record.asset, record.revision, wanted)
        if known not in self._found:
            if len(self._found) >= FOUND:
                self._found.clear()
            self._found[known] = self._find(record, wanted)
        return self._found[known]

    def _find(self, record: AssetRecord, wanted: PictureKey) -> AllowedFile | None:
        probe = record.probe
        recipe = self._recipe(record.recipe_digest) if probe is not None else None
        if probe is None or recipe is None:
            return None
        dropped = {(one.name, one.format) for one in record.dropped}
        file = allowed(probe, recipe, wanted, dropped)
        if file is None or (wanted.width and wanted.width not in WIDTHS):
            return None
        return _with_source(file, probe, record.renditions)

    def can_make(self, record: AssetRecord, file: AllowedFile) -> bool:
        """Whether the source is small enough for this process to decode."""
        probe = record.probe
        if file.source is not None or probe is None:
            return probe is not None
        pixels = probe.pixels * (probe.frames if probe.animated else 1)
        return record.source.size <= self.heavy_bytes and pixels <= self.heavy_pixels

    def _recipe(self, digest: str) -> Recipe | None:
        try:
            return self.recipes.load(digest) if digest else None
        except (ObjectMissing, EngineError) as error:
            _log.warning("nothing is made by a recipe that is not there: %s", error.message)
            return None

    # --- once -------------------------------------------------------------------------------

    def make(self, record: AssetRecord, file: AllowedFile) -> tuple[bytes, StoredObject]:
        """The bytes of a file that is missing in the bucket, made by this or another process.

        Raises:
            NotMade: another process has not finished it within ``WAIT_SECONDS``, or has failed.
            AssetMissing: the asset was erased, replaced or held meanwhile; nothing is left.
            SafelightError: it cannot be made.
        """
        key = version_prefix(record) + file.name
        work = f"{record.version}/{file.name}"
        claims = self.catalog.claim(
            record.asset, work, holder=uuid.uuid4().hex, seconds=CLAIM_SECONDS
        )
        if not claims:
            return self._wait(key)
        made = self._smaller(record, file, self._made(record, file, claims))
        media_type = made.format.media_type
        metrics.add(metrics.BYTES_OUT, len(made.data))
        etag = self.store.put(
            self.bucket,
            key,
            made.data,
            content_type=media_type,
            cache_control=IMMUTABLE,
            metadata=cache_metadata(key, record.source.trace),
        )
        # If the asset was erased, replaced or held meanwhile, that call did not see this file.
        now = self.catalog.get(record.asset)
        if now is None or now.version != record.version or now.status not in PUBLIC:
            self.store.delete(self.bucket, key)
            raise AssetMissing(f"asset {record.asset} went while {file.name} was made")
        there = StoredObject(key=key, size=len(made.data), etag=etag, content_type=media_type)
        return made.data, there

    def _wait(self, key: str) -> tuple[bytes, StoredObject]:
        pause, deadline = FIRST_LOOK_SECONDS, self.clock() + WAIT_SECONDS
        while self.clock() < deadline:
            self.sleep(pause * random.uniform(0.8, 1.2))
            try:
                return self.store.get(self.bucket, key)
            except ObjectMissing:
                pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
        raise NotMade(f"{key} is not there yet")

    # --- the picture ------------------------------------------------------------------------

    def _made(self, record: AssetRecord, file: AllowedFile, claims: int) -> Rendition:
        packed = self._packed(record, file)
        if packed is not None:
            return packed
        lost: set[str] = set()
        while file.source is not None:
            try:
                data, _ = self.store.get(self.bucket, file.source.key)
            except ObjectMissing:  # deleted since the record was read: the next larger one
                lost.add(file.source.key)
                assert record.probe is not None
                left = [one for one in record.renditions if one.key not in lost]
                file = _with_source(file, record.probe, left)
                continue
            return self._render(data, record, file)
        if not self.can_make(record, file):
            raise InputError(
                f"the original of {record.asset} is too large", code="source_too_large"
            )
        source = record.source
        data, _ = self.store.get(
            source.bucket, source.key, version_id=source.version_id, etag=source.etag or None
        )
        return self._render(data, record, file, again=claims > 1)

    def _render(
        self, data: bytes, record: AssetRecord, file: AllowedFile, *, again: bool = False
    ) -> Rendition:
        """Run the engine, in a fresh sandbox if the original is decoded and an earlier attempt may
        have crashed on it."""
        from worker.imaging import engine  # late: stored files need no decoders
        from worker.subprocesses import sandbox

        tags = record.metadata.tags if record.metadata is not None else None
        alone = file.source is None and (again or engine.needs_sandbox(data))
        run: FirstTry = sandbox.run if alone else self.first
        try:
            with contextlib.nullcontext() if alone else _RENDERING:
                made = run(engine.make_file, data, file, tags, record.probe, limits=self.limits)
        except MemoryError:
            raise MemoryPressure(f"memory ran out while {file.name} was made") from None
        # A child has decoded hostile bytes: its answer may be a lie.
        if (made.name, made.format) != (file.spec.name, file.format):
            raise EngineError("the sandboxed engine returned a file that was not asked for")
        return made

    def _packed(self, record: AssetRecord, file: AllowedFile) -> Rendition | None:
        """The stored JPEG of the same rendition, packed as JPEG XL, if the recipe says so."""
        encoding = file.encoding
        name, format_ = file.spec.name, Format.JPEG
        jpeg = next(
            (one for one in record.renditions if (one.name, one.format) == (name, format_)), None
        )
        if encoding is None or not encoding.repack or jpeg is None or jpeg.gain_map:
            return None
        try:
            data, _ = self.store.get(self.bucket, jpeg.key)
        except ObjectMissing:
            return None
        from worker.imaging import engine

        return self.first(engine.repacked, data, jpeg, encoding.effort, limits=self.limits)

    def _smaller(self, record: AssetRecord, file: AllowedFile, made: Rendition) -> Rendition:
        """Apply the minimum-saving rule: if the file is no smaller than an earlier format of the
        recipe, a copy of that format is stored instead."""
        formats = [one.format for one in file.spec.encodings]
        before = formats[: formats.index(made.format)]
        rivals = [
            one
            for one in record.renditions
            if one.name == made.name and one.format in before and one.frames == made.frames
        ]
        rival = min(rivals, key=lambda one: one.bytes, default=None)
        saving = file.spec.minimum_saving
        alpha = record.probe is not None and record.probe.alpha
        if rival is None or saving < 0 or alpha:
            return made
        size = len(made.data)
        if size < rival.bytes and size <= (1 - saving) * rival.bytes:
            return made
        try:
            data, _ = self.store.get(self.bucket, rival.key)
        except ObjectMissing:
            return made
        return replace(made, format=rival.format, data=data, sha256=rival.sha256)


def allowed(
    probe: Probe,
    recipe: Recipe,
    wanted: PictureKey,
    dropped: Collection[tuple[str, Format]],
) -> AllowedFile | None:
    """The file that a request gets, of the recipe or of another width; without its source.

    Args:
        probe: of the original.
        recipe: of its version.
        wanted: the request.
        dropped: names and formats that were made at upload and dropped as no smaller.
    """
    steps = make_plan(probe, recipe).steps
    if wanted.name:
        steps = tuple(one for one in steps if one.name == wanted.name)
    else:
        whole = whole_cut([one.geometry.size for one in steps])
        narrow_first = sorted(steps, key=lambda one: one.geometry.size.width)
        steps = tuple(one for one in narrow_first if one.geometry.size in whole)
    if not steps:
        return None
    specs = {one.name: one for one in recipe.renditions}
    widest = steps[-1].geometry.size.width
    for format_ in formats_for(wanted.format, common=steps[0].outputs[0].encoding.format):
        mine = [one for one in steps if _makes(one, format_)]
        larger = next((one for one in mine if one.geometry.size.width > wanted.width), None)
        exact = [one for one in mine if one.geometry.size.width == wanted.width]
        if wanted.width and larger is not None and not exact:
            spec = _of_width(specs[larger.name], wanted.width)
            return AllowedFile(recipe=recipe, spec=spec, format=format_, widest=widest)
        kept = [one for one in (exact or mine) if (one.name, format_) not in dropped]
        if kept:
            spec = specs[kept[-1].name]
            return AllowedFile(recipe=recipe, spec=spec, format=format_, widest=widest)
    return None


def _makes(step: Step, format_: Format) -> bool:
    return any(one.encoding.format is format_ for one in step.outputs)


def _of_width(spec: RenditionSpec, width: int) -> RenditionSpec:
    """A rendition like another one, with another width in pixels."""
    if spec.fit is Fit.INSIDE:
        return replace(spec, name=f"w/{width}", width=width, height=None)
    assert spec.width is not None  # the recipe's rule: all other fits have both
    assert spec.height is not None
    height = max(1, round(spec.height * width / spec.width))
    return replace(spec, name=f"w/{width}", width=width, height=height)


def _with_source(file: AllowedFile, probe: Probe, stored: Sequence[StoredRendition]) -> AllowedFile:
    """The file with its source."""
    name = plan_file(probe, file, stored).source
    found = (one for one in stored if f"{one.name}.{one.format.extension}" == name)
    return replace(file, source=next(found, None))
