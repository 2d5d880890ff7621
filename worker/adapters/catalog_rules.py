"""The rules a catalog keeps: which record may follow which, and what a change of tags may be.

An adapter reads a record, asks here what should follow, and writes it on condition that the record
is still the one it read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import EllipsisType

from worker.domain.asset import (
    DECISIONS,
    SERVED,
    TRANSITIONS,
    AssetRecord,
    LogEntry,
    Status,
    Verdict,
    sort_key,
)
from worker.domain.errors import AlreadyRecorded, Conflict, EngineError, InputError, Superseded
from worker.domain.image import StoredRendition
from worker.domain.label import Label, make_room, refuse
from worker.domain.moderation import Moderation
from worker.domain.user_metadata import check_id, check_tags, merged

MAX_SAME_CONTENT = 25
"""Assets with identical bytes in one answer."""
MAX_SIMILAR = 50
"""Near duplicates in one answer."""
PHASH_DIGITS = 16


def order(sequencer: str) -> str:
    """A sequencer as text whose lexical order is the order of uploads; equal means the same.

    ``asset.sort_key`` pads with zeros on the right. Zero is the lowest digit, so leaving all
    trailing zeros out keeps the order, and takes 18 bytes instead of 64.
    """
    return sort_key(sequencer).rstrip("0")


def next_record(known: AssetRecord | None, new: AssetRecord, *, now: str) -> AssetRecord:
    """The record to store when the outcome ``new`` arrives and ``known`` is recorded.

    Args:
        known: the record that is there. If it is held, an accepted outcome waits for a person too.
        new: the outcome. Tags and attributes of a newer upload join those that are there.
        now: ISO 8601 UTC, for times that ``new`` leaves open.

    Raises:
        Superseded: ``known`` is of a newer upload, or the asset that ``new`` was made of is erased.
        AlreadyRecorded: ``known`` is of this upload and recipe, and final.
    """
    check_id(new.asset, "asset id")
    if new.owner:
        check_id(new.owner, "owner")
    updated = new.updated_at or now
    if known is None:
        if new.revision:
            raise Superseded(f"asset {new.asset}: it was erased meanwhile")
        check_tags(new.tags, new.attributes)
        created = new.created_at or updated
        return replace(new, created_at=created, updated_at=updated, revision=1)
    check_supersedes(known, new)
    revision = known.revision + 1
    if new.status is Status.DELETED:
        # All else stays as it is by now: it may be more than the one knew who saw it go.
        return replace(
            known,
            status=Status.DELETED,
            verdict=new.verdict,
            updated_at=updated,
            revision=revision,
        )
    if known.held and new.status is Status.ACCEPTED:
        # Neither another recipe nor another upload of its owner lets it out.
        new = replace(new, status=Status.REVIEW, verdict=known.verdict)
    tags, attributes = known.tags, known.attributes
    same_upload = order(new.source.sequencer) == order(known.source.sequencer)
    if not same_upload:
        tags -= {one.tag for one in known.labels}
        tags, attributes = merged((tags, attributes), (new.tags, new.attributes))
    # An owner whom the API has let ask for the upload is more certain than metadata of the object.
    asked = known.owner if known.upload is not None else ""
    return replace(
        new,
        owner=asked or new.owner or known.owner,
        tags=tags,
        attributes=attributes,
        # Of this picture, and of no other one that takes its place.
        focal_point=known.focal_point if same_upload else new.focal_point,
        labels=known.labels if same_upload else new.labels,
        labelled=known.labelled if same_upload else new.labelled,
        created_at=known.created_at,
        updated_at=updated,
        replaces=known.version if known.version != new.version else known.replaces,
        revision=revision,
    )


def check_supersedes(known: AssetRecord, new: AssetRecord) -> None:
    """Raise what :func:`next_record` raises, if it would."""
    there, here = order(known.source.sequencer), order(new.source.sequencer)
    if there > here:
        raise Superseded(f"asset {new.asset}: a newer upload is recorded")
    if there < here:
        return
    # Another recipe makes another version, of any original that is still there.
    another = known.recipe_digest != new.recipe_digest and known.status is not Status.DELETED
    # The status waits for people's decisions: processing the same upload again does not decide.
    made = known.status in SERVED and new.status is not Status.DELETED
    if not another and (made or new.status not in TRANSITIONS[known.status]):
        raise AlreadyRecorded(f"asset {new.asset}: this upload is recorded as {known.status}")


def amended(
    known: AssetRecord,
    *,
    add_tags: Iterable[str],
    remove_tags: Iterable[str],
    set_attributes: Mapping[str, str] | None,
    remove_attributes: Iterable[str],
    focal_point: tuple[float, float] | EllipsisType | None = ...,
    labels: tuple[Label, ...] | None = None,
    labelled: str | None = None,
    again: bool = False,
    decision: tuple[Status, Verdict | None] | None = None,
    rendition: StoredRendition | None = None,
    moderation: Moderation | None = None,
    revision: int | None,
    now: str,
) -> AssetRecord:
    """The record after a change of what people say of it; ``known`` itself if nothing changes.

    A tag that is both removed and added is present afterwards. Without ``labels`` it is people who
    change tags: a label whose tag they remove is refused, and tags of labels make room for theirs.

    Raises:
        Conflict: ``revision`` is given and is not that of ``known``; ``undecidable``: nothing can
            be decided of an asset in this status.
        InputError: a tag or attribute is too long or empty, or there are too many.
    """
    if revision is not None and revision != known.revision:
        raise Conflict(
            f"asset {known.asset} is at revision {known.revision}, not at {revision}: read it again"
        )
    gone = frozenset(remove_attributes)
    added, removed = frozenset(add_tags), frozenset(remove_tags)
    tags = (known.tags - removed) | added
    if labels is None:
        labels = refuse(known.labels, removed=removed, added=added)
        tags = make_room(tags, labels, keep=added)
    kept = {name: value for name, value in known.attributes.items() if name not in gone}
    attributes = kept | dict(set_attributes or {})
    point = known.focal_point if isinstance(focal_point, EllipsisType) else focal_point
    changed = replace(
        known,
        tags=tags,
        attributes=attributes,
        focal_point=point,
        labels=labels,
        labelled="" if again else known.labelled if labelled is None else labelled,
        recipe_digest="" if again else known.recipe_digest,
        moderation=moderation or known.moderation,
    )
    if decision is not None:
        changed = _decided(changed, *decision)
    if rendition is not None:
        changed = _with_file(changed, rendition)
    if changed == known:
        return known
    check_tags(tags, attributes)
    return replace(changed, updated_at=now, revision=known.revision + 1)


def _decided(known: AssetRecord, status: Status, verdict: Verdict | None) -> AssetRecord:
    if known.status not in DECISIONS.get(status, frozenset()):
        said = f"asset {known.asset} is {known.status.value}: it cannot become {status.value}"
        raise Conflict(said, code="undecidable")
    if status is Status.REJECTED:
        # Its files go; what was measured stays, so that the same picture is known again.
        known = replace(known, renditions=(), media=(), dropped=(), first_view=())
    # A decided asset waits for no workflow any more.
    workflow = known.workflow if status is Status.REVIEW else ""
    return replace(known, status=status, verdict=verdict, workflow=workflow)


def _with_file(known: AssetRecord, file: StoredRendition) -> AssetRecord:
    """The record with a file in place of the one of the same key."""
    if all(one.key != file.key for one in known.renditions):
        raise Conflict(f"asset {known.asset} has no file {file.key} (any more)")
    files = tuple(file if one.key == file.key else one for one in known.renditions)
    return replace(known, renditions=files)


def entry_id(entry: LogEntry) -> str:
    """Distinguishes entries with the same time: the id, or a digest of the entry."""
    if entry.id:
        check_id(entry.id, "log entry id")
        return entry.id
    text = repr((entry.kind, sorted(entry.detail.items())))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# --- perceptual hashes ------------------------------------------------------------------------


def known_hash(record: AssetRecord) -> str | None:
    """The perceptual hash of a record, lower case; None if the asset was never measured.

    Raises:
        EngineError: it is not a hash: the engine made something else.
    """
    if record.metadata is None:
        return None
    try:
        return check_hash(record.metadata.measures.phash)
    except InputError as error:
        raise EngineError(f"asset {record.asset}: {error.message}") from error


def check_hash(phash: str) -> str:
    """A perceptual hash in lower case. Raises InputError unless it is 16 hex digits."""
    lower = phash.lower()
    if len(lower) != PHASH_DIGITS or not set(lower) <= set("0123456789abcdef"):
        raise InputError(f"a perceptual hash is {PHASH_DIGITS} hex digits, not {phash[:40]!r}")
    return lower


MAX_DISTANCE = 3
"""Of four bands at least one is untouched by three changed bits, not by four."""


def check_distance(distance: int) -> None:
    """Raise InputError unless the index can find everything within so many bits."""
    if not 0 <= distance <= MAX_DISTANCE:
        raise InputError(f"the distance is 0 to {MAX_DISTANCE} bits, not {distance}")


def hamming_distance(a: str, b: str) -> int:
    """Bits in which two perceptual hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def bands(phash: str) -> tuple[str, str, str, str]:
    """The four 16-bit parts of a hash, four hex digits each."""
    return (phash[:4], phash[4:8], phash[8:12], phash[12:])
