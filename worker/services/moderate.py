"""Moderation in tiers: earlier verdicts, a classifier, Rekognition; people come after them.

``FirstLook`` runs in ingest: its decisions need no AWS calls except reads of the catalog.
``ModerateStage`` is the stage ``moderate`` of a workflow: it examines undecided pictures and the
sample. docs/moderation.md explains the tiers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import TypeVar

from worker.domain.asset import (
    PUBLIC,
    AssetRecord,
    LogEntry,
    MediaType,
    Status,
    StoredMedia,
    Verdict,
    medium_of,
)
from worker.domain.delivery import same_shape
from worker.domain.errors import (
    AssetMissing,
    ConfigurationError,
    Conflict,
    EngineError,
    ObjectMissing,
    SafelightError,
    Throttled,
)
from worker.domain.image import Format, MediaFormat, Recipe, Rendition, StoredRendition
from worker.domain.keys import blurred_key, cache_metadata
from worker.domain.moderation import (
    MODERATION_HELD,
    MODERATION_REJECTED,
    MODERATION_UNDECIDED,
    Moderation,
    ModerationOutcome,
    ModerationRules,
    ModerationTier,
    Seen,
    Unavailable,
    judged,
    said,
    together,
    wording,
)
from worker.domain.workflow import StageCall
from worker.imaging.stills import blurred, cut, stills
from worker.ports import Catalog, Moderator, ObjectStore
from worker.services.access import Access
from worker.services.breaker import OptionalWork, never
from worker.subprocesses.sandbox import FirstTry, SandboxLimits, here

MOST_STILLS = 4
"""Most stills of an animation, or of a picture with several crops."""
VIDEO_STILLS = 8
"""Stills of a video: its poster, and frames of its storyboard. Each is a call of Rekognition."""
CLEAR_SIDE = 640
"""Pixels of the longer side that suffice for moderation; Rekognition and classifiers reduce a
picture further."""
DISTANCE = 3
"""Most bits in which near duplicates differ: the limit of the catalog's search."""
BRIEF = "public, max-age=10"
"""Cache-Control of a blurred picture, which is soon replaced or removed."""
POSTER = "poster"
GIVE_UP = "unavailable"
"""Parameter of the stage that the state machine sets after its last retry."""
NO_CLASSIFIER = (
    "moderation has the tier classifier, and this deployment has no classifier: set "
    'SAFELIGHT_CLASSIFIER, or tiers = ["earlier", "rekognition"] in the recipe'
)
STAGE_LIMITS = SandboxLimits(cpu_seconds=60, wall_seconds=60, memory_bytes=1 << 30)
_TURNS = 5
_SEVERE = frozenset({ModerationOutcome.REJECT, ModerationOutcome.HOLD})
_REKOGNITION = ModerationTier.REKOGNITION.value
_CUE = re.compile(r"^([\w./-]{1,200})#xywh=(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})$", re.MULTILINE)

_log = logging.getLogger(__name__)

Stills = Callable[[], Sequence[bytes]]
"""Returns JPEGs to examine; called only if a moderator is asked."""
Picture = TypeVar("Picture", Rendition, StoredRendition)


# --- which pictures ---------------------------------------------------------------------------


def looked_at(renditions: Iterable[Picture], whole: tuple[int, int]) -> Sequence[Picture]:
    """The renditions that together show everything that is delivered of a picture.

    One uncropped rendition is enough. If all are cropped, one of each aspect ratio is needed. For
    an animation an animated rendition is needed too, because its stills show only the first frame.

    Args:
        renditions: renditions of one original.
        whole: width and height of the original, upright.
    """
    usable = [one for one in renditions if one.format is not Format.JXL and not one.same_as]
    moving: list[Picture] = _of_each_cut([one for one in usable if one.frames > 1], whole)
    if len(moving) == 1 and same_shape((moving[0].width, moving[0].height), whole):
        return moving
    still: list[Picture] = _of_each_cut([one for one in usable if one.frames == 1], whole)
    return (moving + still)[:MOST_STILLS]


def _of_each_cut(usable: Sequence[Picture], whole: tuple[int, int]) -> list[Picture]:
    complete = [one for one in usable if same_shape((one.width, one.height), whole)]
    groups: list[list[Picture]] = [complete] if complete else []
    for one in () if complete else usable:
        size = (one.width, one.height)
        alike = (each for each in groups if same_shape(size, (each[0].width, each[0].height)))
        group = next(alike, None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return [_clearest(group) for group in groups]


def _clearest(alike: Sequence[Picture]) -> Picture:
    """Of several sizes and formats, the common format with no more pixels than needed."""
    common = [one for one in alike if one.format is Format.JPEG] or alike
    large = [one for one in common if max(one.width, one.height) >= CLEAR_SIDE]
    size = min if large else max
    return size(large or common, key=lambda one: one.width * one.height)


def stills_of(renditions: Sequence[Rendition], whole: tuple[int, int]) -> Sequence[bytes]:
    """JPEGs of an upload's renditions, for moderators.

    Raises:
        EngineError: it has no suitable rendition.
    """
    chosen = looked_at(renditions, whole)
    if not chosen:
        raise EngineError("there is no rendition that a moderator could look at")
    moving = sum(one.frames > 1 for one in chosen)
    each = (MOST_STILLS - len(chosen) + moving) // max(1, moving)
    return [
        still
        for one in chosen
        for still in stills(
            one.data, one.format, size=(one.width, one.height), frames=one.frames, most=each
        )
    ]


# --- what follows for a record ------------------------------------------------------------------


def moderated(record: AssetRecord, found: Moderation | None, workflow: str) -> AssetRecord:
    """A record that is about to be committed, with the effects of a verdict.

    Args:
        record: the record without moderation.
        found: the verdict; None if the recipe has no moderation.
        workflow: the recipe's workflow for escalated uploads.
    """
    if found is None:
        return record
    record = replace(record, moderation=found)
    if found.outcome is ModerationOutcome.REJECT:
        rejected = replace(record, status=Status.REJECTED, workflow="")
        return replace(rejected, verdict=verdict_of(found), renditions=())
    if found.waits:
        return replace(record, status=Status.REVIEW, verdict=verdict_of(found), workflow=workflow)
    return replace(record, workflow=workflow) if found.sampled else record


def put_blurred(store: ObjectStore, bucket: str, record: AssetRecord, data: bytes) -> None:
    """Store the blurred picture that is served during a review.

    Raises:
        TransientError: the store does not answer.
    """
    key = blurred_key(record)
    store.put(
        bucket,
        key,
        data,
        content_type=Format.JPEG.media_type,
        cache_control=BRIEF,
        metadata=cache_metadata(key, record.source.trace),
    )


def verdict_of(found: Moderation) -> Verdict:
    """Why an asset is rejected or waits: a code and a sentence for a person."""
    code = MODERATION_HELD
    if found.outcome is ModerationOutcome.REJECT:
        code = MODERATION_REJECTED
    elif found.outcome is ModerationOutcome.UNCERTAIN:
        code = MODERATION_UNDECIDED
    return Verdict(code=code, message=wording(found))


def undecided(time: str) -> Moderation:
    """The verdict of a picture that no moderator has examined yet."""
    return Moderation(outcome=ModerationOutcome.UNCERTAIN, tier=ModerationTier.EARLIER, time=time)


def unavailable(rules: ModerationRules, error: str, time: str) -> Moderation:
    """The verdict of the recipe if no moderator can be asked.

    Args:
        rules: of the recipe.
        error: code of the error.
        time: ISO 8601 UTC.
    """
    passes = rules.unavailable is Unavailable.PASS
    return Moderation(
        outcome=ModerationOutcome.PASS if passes else ModerationOutcome.HOLD,
        tier=ModerationTier.UNAVAILABLE,
        time=time,
        error=error,
    )


def drawn(version: str, share: float) -> bool:
    """Whether a version belongs to the random sample. The answer is the same each time."""
    return int(version[:8], 16) < share * 2**32


# --- at upload ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedContent:
    """The facts about an upload that moderation uses."""

    version: str
    phash: str
    same: Sequence[AssetRecord] = ()
    """Assets with identical bytes."""


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """The tiers that need no workflow."""

    catalog: Catalog
    classifier: Moderator | None = None
    now: Callable[[], datetime] = field(default=_utc)
    put_off: Callable[[OptionalWork], bool] = field(default=never)
    """Whether sampling is paused."""

    def check(self, recipe: Recipe) -> None:
        """Raise ConfigurationError if a recipe needs a classifier and there is none."""
        rules = recipe.moderation
        wanted = rules is not None and ModerationTier.CLASSIFIER in rules.tiers
        if wanted and self.classifier is None:
            raise ConfigurationError(f"recipe {recipe.name}: {NO_CLASSIFIER}")

    def judge(self, rules: ModerationRules, content: UploadedContent, look: Stills) -> Moderation:
        """The verdict of the tiers ``earlier`` and ``classifier``.

        Args:
            rules: of the recipe.
            content: content of the upload.
            look: returns JPEGs for the classifier; called only if it is asked.

        Raises:
            TransientError: the catalog does not answer.
        """
        time = stamp(self.now())
        known = self.earlier(rules, content)
        if known is not None:
            return known
        if ModerationTier.CLASSIFIER not in rules.tiers:
            return undecided(time)
        if self.classifier is None:
            raise ConfigurationError(NO_CLASSIFIER)
        try:
            found = ask(self.classifier, look(), rules, ModerationTier.CLASSIFIER, time)
        except SafelightError as error:
            _log.warning("the classifier has failed: %s: %s", error.code, error.message)
            if ModerationTier.REKOGNITION in rules.tiers:
                return replace(undecided(time), error=error.code)
            return unavailable(rules, error.code, time)
        sampled = found.outcome is ModerationOutcome.PASS and drawn(content.version, rules.sample)
        sampled = sampled and not self.put_off(OptionalWork.MODERATION)
        return replace(found, sampled=sampled)

    def earlier(self, rules: ModerationRules, content: UploadedContent) -> Moderation | None:
        """The verdict that follows from earlier verdicts, if there is one.

        For identical bytes the decision of a person counts, else the labels of Rekognition, by the
        current rules. For near duplicates only a rejection or a hold counts, and leads to a person:
        a picture with a few changed pixels must not inherit an approval.

        Raises:
            TransientError: the catalog does not answer.
        """
        if ModerationTier.EARLIER not in rules.tiers:
            return None
        time = stamp(self.now())
        same = [(one.asset, one.moderation) for one in content.same if one.moderation is not None]
        decided = [one for one in same if one[1].tier is ModerationTier.PERSON]
        if decided:
            asset, last = max(decided, key=lambda one: one[1].time)
            return _following(last, asset, last.outcome, time)
        for asset, known in same:
            if known.model == _REKOGNITION and known.minimum <= rules.minimum:
                seen = Seen(
                    labels=known.labels, model=known.model, model_version=known.model_version
                )
                again = judged(seen, rules, tier=ModerationTier.REKOGNITION, time=time)
                return replace(again, tier=ModerationTier.EARLIER, earlier=asset)
        if not rules.near_duplicates:
            return None
        for one in self.catalog.similar(content.phash, distance=DISTANCE):
            found = one.record.moderation
            if found is not None and found.outcome in _SEVERE:
                held = _following(found, one.record.asset, ModerationOutcome.HOLD, time)
                return replace(held, distance=one.distance)
        return None


def _following(known: Moderation, asset: str, outcome: ModerationOutcome, time: str) -> Moderation:
    return replace(
        known,
        outcome=outcome,
        tier=ModerationTier.EARLIER,
        earlier=asset,
        distance=0,
        sampled=False,
        error="",
        pictures=0,
        time=time,
    )


def copied(of: AssetRecord, time: str) -> Moderation | None:
    """The verdict on an upload whose files are copied from an accepted asset of the same bytes and
    recipe. If that asset waits for a verdict, so does this one."""
    known = of.moderation
    if known is None:
        return None
    following = _following(known, of.asset, known.outcome, time)
    return replace(following, sampled=known.sampled)


def ask(
    moderator: Moderator,
    pictures: Sequence[bytes],
    rules: ModerationRules,
    tier: ModerationTier,
    time: str,
) -> Moderation:
    """Ask a moderator about some pictures of an asset, and judge its labels by the rules.

    If the last automatic tier is uncertain, the asset is held for a person.

    Raises:
        SafelightError: the moderator does not answer, or its response is invalid.
    """
    seen = together([moderator.look(one, minimum=rules.minimum) for one in pictures])
    found = replace(judged(seen, rules, tier=tier, time=time), pictures=len(pictures))
    last = ModerationTier.REKOGNITION not in rules.tiers
    if last and found.outcome is ModerationOutcome.UNCERTAIN:
        return replace(found, outcome=ModerationOutcome.HOLD)
    return found


def stamp(moment: datetime) -> str:
    """A time in the format of records."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- in a workflow ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerateStage:
    """The stage ``moderate``. Safe to repeat: a recorded verdict is not requested again."""

    catalog: Catalog
    store: ObjectStore
    access: Access
    bucket: str
    """The delivery bucket."""
    recipe: Callable[[str], Recipe]
    """The recipe of a digest."""
    rekognition: Moderator
    classifier: Moderator | None = None
    now: Callable[[], datetime] = field(default=_utc)
    first: FirstTry = here
    """Decodes: the files are of this deployment's own making, of an upload nevertheless."""
    limits: SandboxLimits = STAGE_LIMITS

    def run(self, call: StageCall) -> Mapping[str, str]:
        """Moderate a version; returns the outcome of moderation, or ``stale``.

        With the parameter ``GIVE_UP`` no moderator is asked, and the recipe decides.

        Raises:
            TransientError: a moderator or a store does not answer; the state machine retries.
            EngineError: a response is invalid.
            ConfigurationError: the asset's recipe has no [moderation].
        """
        for _ in range(_TURNS):
            record = self.catalog.get(call.asset)
            if record is None or _stale(record, call.version):
                return {"outcome": "stale"}
            with suppress(Conflict):  # changed meanwhile: read again
                try:
                    return {"outcome": self._decide(record, call).value}
                except (AssetMissing, ObjectMissing):
                    if self.catalog.get(call.asset) == record:
                        raise
        raise Throttled(f"asset {call.asset}: others changed it {_TURNS} times in a row")

    def _decide(self, record: AssetRecord, call: StageCall) -> ModerationOutcome:
        known = record.moderation
        if known is None:
            raise ConfigurationError(
                f"asset {record.asset}: its recipe {record.recipe} has no [moderation], and a "
                "workflow asks for it"
            )
        if known.asks:
            rules = self.recipe(record.recipe_digest).moderation
            if rules is None:
                raise ConfigurationError(f"recipe {record.recipe}: it has no [moderation] any more")
            look = cache(lambda: self._stills(record))
            found = self._found(known, rules, call, look)
            self._write(record, found, look)
            return found.outcome
        if known.waits and known.tier is not ModerationTier.CLASSIFIER:
            # An earlier call has recorded it, and may have died before it changed the files.
            self.access.follow(record.asset)
        return known.outcome

    def _found(
        self, known: Moderation, rules: ModerationRules, call: StageCall, look: Stills
    ) -> Moderation:
        time = stamp(self.now())
        if call.parameters.get(GIVE_UP) is True:
            error = known.error or "unavailable"
            if known.sampled:  # the picture has passed; a failed sample does not hold it
                return replace(known, sampled=False, error=error)
            return unavailable(rules, error, time)
        asked = known.tier is ModerationTier.CLASSIFIER
        if self.classifier is not None and ModerationTier.CLASSIFIER in rules.tiers and not asked:
            tier = ModerationTier.CLASSIFIER
            found = ask(self.classifier, look(), rules, tier, time)
            if found.outcome is not ModerationOutcome.UNCERTAIN:
                return found
        if ModerationTier.REKOGNITION not in rules.tiers:
            return unavailable(rules, "no_tier", time)
        return ask(self.rekognition, look(), rules, ModerationTier.REKOGNITION, time)

    def _write(self, record: AssetRecord, found: Moderation, look: Stills) -> None:
        waits = found.waits or found.outcome is ModerationOutcome.REJECT
        if found.outcome is ModerationOutcome.BLUR:
            small = self.first(blurred, look()[0], limits=self.limits)
            put_blurred(self.store, self.bucket, record, small)
        # An asset that a person holds stays held for that reason.
        decision = (Status.REVIEW, verdict_of(found)) if waits and not record.held else None
        self.catalog.update(
            record.asset, moderation=found, decision=decision, revision=record.revision
        )
        self.catalog.log(record.asset, line(record.version, found))
        if waits and record.status in PUBLIC:
            self.access.follow(record.asset)

    # --- pictures -----------------------------------------------------------------------------

    def _stills(self, record: AssetRecord) -> Sequence[bytes]:
        """JPEGs of an asset's stored files.

        Raises:
            ObjectMissing: the asset was erased meanwhile.
            EngineError: there is no suitable file.
        """
        if medium_of(record) is MediaType.VIDEO:
            return self._video_stills(record)
        assert record.probe is not None  # a rendition of an accepted picture
        whole = (record.probe.upright_width, record.probe.upright_height)
        found = [
            Rendition(
                name=one.name,
                format=one.format,
                width=one.width,
                height=one.height,
                frames=one.frames,
                data=self.store.get(self.bucket, one.key)[0],
                sha256=one.sha256,
                quality=None,
            )
            for one in looked_at(record.renditions, whole)
        ]
        return self.first(stills_of, found, whole, limits=self.limits)

    def _video_stills(self, record: AssetRecord) -> Sequence[bytes]:
        posters = [one for one in record.renditions if one.name == POSTER]
        if not posters:
            raise EngineError(f"asset {record.asset} has no poster to look at")
        poster = _clearest(posters)
        data, _ = self.store.get(self.bucket, poster.key)
        size = (poster.width, poster.height)
        poster_still = partial(stills, size=size)
        pictures = [*self.first(poster_still, data, poster.format, limits=self.limits)]
        tracks = [one for one in record.media if one.format is MediaFormat.VTT]
        sheets: dict[str, bytes] = {}
        for name, box in _cues(self.store, self.bucket, tracks)[: VIDEO_STILLS - 1]:
            if name not in sheets:
                sheets[name], _ = self.store.get(self.bucket, name)
            pictures.append(self.first(cut, sheets[name], box, limits=self.limits))
        return pictures


def _stale(record: AssetRecord, version: str) -> bool:
    gone = record.status in (Status.DELETED, Status.REJECTED)
    return record.version != version or gone


def line(version: str, found: Moderation) -> LogEntry:
    """The timeline entry of a verdict."""
    return LogEntry(
        time=found.time,
        kind="moderated",
        detail={"version": version} | said(found),
        id=f"{version}-moderated",
    )


def _cues(
    store: ObjectStore, bucket: str, tracks: Sequence[StoredMedia]
) -> Sequence[tuple[str, tuple[int, int, int, int]]]:
    """Parts of storyboard sheets, evenly spread over the video: keys and boxes in pixels.

    A job of Safelight has written the track: ``worker.video.storyboard``.
    """
    if not tracks:
        return ()
    data, _ = store.get(bucket, tracks[0].key)
    folder = tracks[0].key.rpartition("/")[0]
    found = _CUE.findall(data.decode("utf-8", "replace"))
    most = VIDEO_STILLS - 1
    count = min(len(found), most)
    chosen = [found[len(found) * (2 * part + 1) // (2 * count)] for part in range(count)]
    return [
        (f"{folder}/{name}", (int(left), int(top), int(width), int(height)))
        for name, left, top, width, height in chosen
    ]
