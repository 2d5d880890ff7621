"""The stage ``label`` of a workflow: asks a model what is in a picture, and keeps what it says.

Each question costs money. So it is asked once for a picture by the same rules, whatever other
recipe, crop, copy or repeat makes another version; ``reprocess`` asks again. Where the recipe
wants cuts to go by labels, and the files were cut otherwise, the asset is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.domain.asset import SERVED, AssetRecord, LogEntry
from worker.domain.delivery import same_shape
from worker.domain.errors import Conflict, EngineError, ObjectMissing, Throttled
from worker.domain.image import Recipe, StoredRendition
from worker.domain.label import Label, LabelRules, succeed, tags_after, usable
from worker.domain.workflow import StageCall
from worker.imaging.stills import stills
from worker.ports import Catalog, Labeller, ObjectStore, Queue
from worker.recipes import focused, point_of
from worker.services.moderate import POSTER, looked_at
from worker.services.remake import announce, settled

LABELLED = "labelled"
"""Outcome: labels are recorded. Also the kind of the line in the timeline."""
UNLABELLED = "unlabelled"
"""Outcome: the recipe wants none, and nobody was asked."""
STALE = "stale"
"""Outcome: the version is no longer the one that is recorded, or nothing is served of it."""
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
    """Of the queue that the ingest function reads."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def run(self, call: StageCall) -> Mapping[str, str]:
        """Label a version; the outcome is ``labelled``, ``unlabelled`` or ``stale``.

        Raises:
            TransientError: the model or a store does not answer: the machine tries again.
            EngineError: the model's answer is none, or there is nothing to look at.
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
            with suppress(Conflict):  # changed meanwhile: read again, but do not ask again
                self._write(record, rules, seen)
        raise Throttled(f"asset {call.asset}: others changed it {_TURNS} times in a row")

    def _known(self, record: AssetRecord, rules: LabelRules) -> Sequence[Label]:
        """What was seen in the same bytes; of a video no two posters are compared."""
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
        (jpeg,) = stills(data, picture.format, size=size, frames=picture.frames)
        found = usable(self.labeller.label(jpeg, minimum=rules.confidence), rules)
        # A place in a cut is none in the picture.
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
        """Have the asset made again if its files are cut otherwise than its labels say."""
        wanted = point_of(record, recipe)
        if wanted is None or focused(recipe, wanted).digest == record.recipe_digest:
            return
        if not settled(record, self.catalog.jobs(record.asset)):
            announce(self.queue, self.queue_url, record, sender="safelight:workflow")


def shown(record: AssetRecord) -> tuple[StoredRendition, bool]:
    """The file of an asset that the model gets, and whether it is of the whole picture.

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
    # Without a digest it is about to be made again, and labelled then.
    return record.version != version or record.status not in SERVED or record.recipe_digest == ""
