"""The stage ``label`` of a workflow: asks a model for labels of a picture and records them.

Each call costs money. So the model is called once for a picture and the same rules, even if another
recipe, crop, copy or retry makes another version; ``reprocess`` calls it again. If the recipe
centres crops on labels and the files were cropped otherwise, the asset is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from worker.domain.asset import SERVED, AssetRecord, LogEntry
from worker.domain.delivery import same_shape
from worker.domain.errors import Conflict, EngineError, ObjectMissing, Throttled
from worker.domain.image import Recipe, StoredRendition
from worker.domain.label import Label, LabelRules, succeed, tags_after, usable
from worker.domain.workflow import StageCall
from worker.imaging.stills import stills
from worker.ports import Catalog, Labeller, ObjectStore, Queue
from worker.recipes import focused, point_of
from worker.services.moderate import POSTER, STAGE_LIMITS, looked_at
from worker.services.remake import announce, settled
from worker.subprocesses.sandbox import FirstTry, SandboxLimits, here

LABELLED = "labelled"
"""Outcome: labels are recorded. Also the kind of the timeline entry."""
UNLABELLED = "unlabelled"
"""Outcome: the recipe has no labels, and the model was not called."""
STALE = "stale"
"""Outcome: the version is no longer recorded, or none of its files is served."""
_TURNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStage:
    """The use case. Safe to repeat."""

    catalog: Catalog
    store: ObjectStore
    bucket: str
    """The delivery bucket."""
    recipe: Callable[[str], Recipe]
    """The recipe of a digest."""
    labeller: Labeller
    queue: Queue
    queue_url: str
    """URL of the queue that the ingest function reads."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    first: FirstTry = here
    """Decodes: the files are of this deployment's own making, of an upload nevertheless."""
    limits: SandboxLimits = STAGE_LIMITS

    def run(self, call: StageCall) -> Mapping[str, str]:
        """Label a version; the outcome is ``labelled``, ``unlabelled`` or ``stale``.

        Raises:
            TransientError: the model or a store does not answer; the state machine retries.
            EngineError: the model's response is invalid, or there is no picture to send.
        """
        seen: Sequence[Label] | None = None
        for _ in range(_TURNS):
            record = self.catalog.get(call.asset)
            if record is None or _stale(record, call.version):
                return {"outcome": STALE}
            recipe = self.recipe(record.recipe_digest)
            rules = recipe.labels
            if rules is None:
                return {"outcome": UNLABELLED}
            if record.labelled == rules.mark:
                self._follow(record, recipe)
                return {"outcome": LABELLED}
            if seen is None:
                try:
                    seen = self._known(record, rules) or self._look(record, rules)
                except ObjectMissing:
                    if self.catalog.get(call.asset) == record:
                        raise
                    continue  # erased or replaced meanwhile
            with suppress(Conflict):  # changed meanwhile: read again, without a new call
                self._write(record, rules, seen)
        raise Throttled(f"asset {call.asset}: others changed it {_TURNS} times in a row")

    def _known(self, record: AssetRecord, rules: LabelRules) -> Sequence[Label]:
        """Labels of identical bytes. Posters of videos are not compared."""
        if record.metadata is None or record.film is not None:
            return ()
        for one in self.catalog.by_content(record.metadata.sha256):
            if one.asset != record.asset and one.labelled == rules.mark:
                return [label for label in one.labels if not label.refused]
        return ()

    def _look(self, record: AssetRecord, rules: LabelRules) -> Sequence[Label]:
        picture, whole = shown(record)
        data, _ = self.store.get(self.bucket, picture.key)
        size = (picture.width, picture.height)
        still = partial(stills, size=size, frames=picture.frames)
        (jpeg,) = self.first(still, data, picture.format, limits=self.limits)
        found = usable(self.labeller.label(jpeg, minimum=rules.confidence), rules)
        # A box in a cropped file is not a box in the whole picture.
        return found if whole else tuple(replace(one, boxes=()) for one in found)

    def _write(self, record: AssetRecord, rules: LabelRules, seen: Sequence[Label]) -> None:
        labels = succeed(record.labels, seen)
        tags = tags_after(record.tags, record.labels, labels if rules.tags else ())
        self.catalog.update(
            record.asset,
            labels=labels,
            labelled=rules.mark,
            add_tags=tags - record.tags,
            remove_tags=record.tags - tags,
            revision=record.revision,
        )
        version = {one.model_version for one in seen}
        entry = LogEntry(
            time=self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            kind=LABELLED,
            detail={
                "version": record.version,
                "labels": ", ".join(f"{one.name} {one.confidence:.0f}" for one in seen[:10])[:300],
                "model": " ".join(sorted({one.source for one in seen} | version)),
            },
            id=f"{record.version}-{LABELLED}-{rules.mark}",
        )
        self.catalog.log(record.asset, entry)

    def _follow(self, record: AssetRecord, recipe: Recipe) -> None:
        """Have the asset made again if its files were cropped around another point than the labels
        give."""
        wanted = point_of(record, recipe)
        if wanted is None or focused(recipe, wanted).digest == record.recipe_digest:
            return
        if not settled(record, self.catalog.jobs(record.asset)):
            announce(self.queue, self.queue_url, record, sender="safelight:workflow")


def shown(record: AssetRecord) -> tuple[StoredRendition, bool]:
    """The file of an asset that the model gets, and whether it shows the whole picture.

    Of a video it is the poster.

    Raises:
        EngineError: there is no file that could be sent.
    """
    files, size = record.renditions, (0, 0)
    if record.film is not None:
        files = tuple(one for one in files if one.name == POSTER)
        size = (record.film.width, record.film.height)
    elif record.probe is not None:
        size = (record.probe.upright_width, record.probe.upright_height)
    found = looked_at(files, size) if all(size) else ()
    if not found:
        raise EngineError(f"asset {record.asset} has no file that a model could look at")
    best = max(found, key=lambda one: one.width * one.height)
    return best, same_shape((best.width, best.height), size)


def _stale(record: AssetRecord, version: str) -> bool:
    # Without a digest the asset is about to be made again, and is labelled then.
    return record.version != version or record.status not in SERVED or record.recipe_digest == ""
