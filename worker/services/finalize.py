"""Heavy uploads: make the final record from the results of their jobs.

It may run twice, in any order, and be killed anywhere. The catalog's commit is conditional on the
sequencer, and allows one transition from ``processing``. ``services.commit`` has the steps around
it, as for ordinary pictures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from worker.codec import build
from worker.domain import trace
from worker.domain.asset import (
    AssetRecord,
    LogEntry,
    MediaType,
    Status,
    StoredMedia,
    Verdict,
    VideoInfo,
    medium_of,
    workflow_of,
)
from worker.domain.errors import (
    AlreadyRecorded,
    EngineError,
    ObjectMissing,
    Superseded,
)
from worker.domain.image import (
    Dropped,
    Format,
    Measures,
    MediaFormat,
    Metadata,
    Probe,
    StoredRendition,
    Tags,
)
from worker.domain.keys import prefix_of, version_prefix
from worker.domain.moderation import Moderation, ModerationRules
from worker.ports import Catalog, ObjectStore
from worker.recipes import DeploymentRecipes
from worker.services.access import Access
from worker.services.commit import after_commit, timeline_entry
from worker.services.job_results import (
    FinishedJob,
    StoredOutput,
    mapping,
    number,
    objects,
    read_result,
    whole,
    word,
)
from worker.services.moderate import FirstLook, UploadedContent, moderated, undecided
from worker.services.originals import quarantine

THREADS = 16
"""Deletions at the same time."""

PROCESS = "batch-process"
TRANSCODE, METADATA = "transcode", "video-metadata"
POSTER, STORYBOARD, PREVIEW = "poster", "storyboard", "preview"
NEEDED = {MediaType.IMAGE: (PROCESS,), MediaType.VIDEO: (TRANSCODE, POSTER, METADATA)}
"""Kinds of jobs whose results are required to accept an upload."""
WANTED = {
    MediaType.IMAGE: (PROCESS,),
    MediaType.VIDEO: (*NEEDED[MediaType.VIDEO], STORYBOARD, PREVIEW),
}
"""The same, with the kinds whose results are optional."""
CHUNKS = f"{TRANSCODE}/parts/"
"""Folder of the encoded chunks of a divided transcode, until they are joined."""

_MOST_WARNINGS = 16
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class FinalizeOutcome(StrEnum):
    """Outcome of a heavy upload."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REVIEW = "review"
    DELETED = "deleted"
    """The original was deleted while jobs ran: their files are removed."""
    FAILED = "failed"
    """A job failed for a reason other than the upload, which still waits."""
    STALE = "stale"
    """A newer upload is recorded, or the asset is erased: the files of this upload are removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizePolicy:
    """Configuration of the service."""

    delivery_bucket: str
    quarantine_bucket: str
    recipes: DeploymentRecipes
    """Of pictures; and whether a person is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """The end of a job, as reported by the state machine."""

    kind: str
    failed: bool
    error: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The result of finishing an upload."""

    outcome: FinalizeOutcome
    record: AssetRecord | None = None


class Finalizer:
    """The use case."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        catalog: Catalog,
        policy: FinalizePolicy,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Wire it; ``now`` is for records only: nothing is ordered by it."""
        self._store, self._catalog = store, catalog
        self._policy, self._now = policy, now
        self._access = Access(catalog=catalog, store=store, bucket=policy.delivery_bucket, now=now)

    # --- finish -----------------------------------------------------------------------------

    def finish(self, asset: str, version: str, jobs: Sequence[JobReport] = ()) -> Finished:
        """Commit the results of an upload's jobs.

        Raises:
            TransientError: a store does not answer; the steps so far are safe to repeat.
            EngineError: a result of a job is unusable.
        """
        record = self._catalog.get(asset)
        if record is None or record.version != version:
            return self._stale(asset, version)
        if record.status is not Status.PROCESSING:
            # Committed by an earlier call, which may have died before the steps after the commit.
            self._after_commit(record)
            return Finished(outcome=FinalizeOutcome(record.status.value), record=record)
        medium = medium_of(record)
        found = {kind: self._read(record, kind) for kind in WANTED[medium]}
        for kind in NEEDED[medium]:
            verdict = found[kind]
            if isinstance(verdict, Verdict):
                return self._reject(record, verdict)
        if any(found[kind] is None for kind in NEEDED[medium]):
            return self._fail(record, jobs)
        done = {kind: one for kind, one in found.items() if isinstance(one, FinishedJob)}
        if any(one.input_etag not in ("", record.source.etag) for one in done.values()):
            # Overwritten while it waited: the newer upload's own event follows.
            return self._stale(asset, version)
        return self._accept(record, done, medium)

    def _read(self, record: AssetRecord, kind: str) -> FinishedJob | Verdict | None:
        # A picture's renditions have the keys that ingest would have used.
        below = "" if kind == PROCESS else f"{kind}/"
        folder = version_prefix(record) + below
        return read_result(self._store, self._policy.delivery_bucket, folder, kind)

    def _accept(
        self, record: AssetRecord, done: Mapping[str, FinishedJob], medium: MediaType
    ) -> Finished:
        recipe = self._policy.recipes.load(record.chosen_recipe)
        status = Status.REVIEW if recipe.approval else Status.ACCEPTED
        base = replace(
            record,
            status=status,
            verdict=None,
            workflow=workflow_of(recipe, status),
            updated_at=self._time(),
        )
        if medium is MediaType.VIDEO:
            made = video_record(base, done)
        else:
            made = image_record(base, done[PROCESS], self._manifest(done[PROCESS]))
        if recipe.moderation is not None:
            made = moderated(made, self._moderation(made, recipe.moderation), recipe.workflow)
        if made.status is Status.REJECTED:
            quarantine(self._store, self._policy.quarantine_bucket, made)
        return self._commit(made)

    def _moderation(self, made: AssetRecord, rules: ModerationRules) -> Moderation:
        """The verdict that follows from earlier verdicts; without one the workflow asks both
        moderators."""
        assert made.metadata is not None  # only for accepted uploads
        content = UploadedContent(
            version=made.version,
            phash=made.metadata.measures.phash,
            same=self._catalog.by_content(made.metadata.sha256),
        )
        look = FirstLook(catalog=self._catalog, now=self._now)
        return look.earlier(rules, content) or undecided(self._time())

    def _manifest(self, result: FinishedJob) -> Mapping[str, Any]:
        output = result.output(word(result.details, "manifest", 900))
        try:
            value = json.loads(self._store.get(self._policy.delivery_bucket, output.key)[0])
        except (ObjectMissing, ValueError, RecursionError) as error:
            raise EngineError(f"{output.key}: {error}") from error
        if not isinstance(value, dict):
            raise EngineError(f"{output.key}: not an object")
        return value

    def _reject(self, record: AssetRecord, verdict: Verdict) -> Finished:
        rejected = replace(record, status=Status.REJECTED, verdict=verdict, updated_at=self._time())
        # A missing original is rejected too: no files can be made of it.
        quarantine(self._store, self._policy.quarantine_bucket, rejected)
        return self._commit(rejected)

    def _fail(self, record: AssetRecord, jobs: Sequence[JobReport]) -> Finished:
        """Add the failed jobs to the timeline. The asset waits until a person acts."""
        time = self._time()
        for job in jobs:
            if job.failed:
                entry = LogEntry(
                    time=time,
                    kind="job_failed",
                    detail={
                        "version": record.version,
                        "job": job.kind,
                        "error": job.error[:100],
                        "cause": job.cause[:1000],
                        trace.NAME: record.source.trace,
                    },
                    id=f"{record.version}-{job.kind}",
                )
                self._catalog.log(record.asset, entry)
        if self._catalog.get(record.asset) is None:  # erased since it was looked at
            return self._stale(record.asset, record.version)
        return Finished(outcome=FinalizeOutcome.FAILED, record=record)

    def _commit(self, record: AssetRecord) -> Finished:
        try:
            committed = self._catalog.commit(record, timeline_entry(record))
        except Superseded:
            return self._stale(record.asset, record.version)
        except AlreadyRecorded:
            # A concurrent run of the same finish was faster.
            known = self._catalog.get(record.asset)
            if known is None or known.version != record.version:
                return Finished(outcome=FinalizeOutcome.STALE)
            committed = known
        self._after_commit(committed)
        return Finished(outcome=FinalizeOutcome(committed.status.value), record=committed)

    def _after_commit(self, record: AssetRecord) -> None:
        """The steps after a commit; a retry that finds the commit repeats them."""
        unmade = record.status is Status.DELETED and not record.renditions
        if record.status is Status.REJECTED or unmade:
            self._delete_below(prefix_of(record.asset, record.version))
        elif record.film is not None:
            # Chunks of several machines: they are joined by now, and as large as the video itself.
            self._delete_below(version_prefix(record) + CHUNKS)
        if record.status is Status.REVIEW or record.moderation is not None:
            # Jobs have written closed files, unless the recipe was changed or the asset was held
            # meanwhile.
            self._access.follow(record.asset)
        after_commit(self._store, record)

    def _stale(self, asset: str, version: str) -> Finished:
        """Remove the files of a stale upload; for an erased asset also the results of its jobs."""
        self._delete_below(prefix_of(asset, version))
        if self._catalog.get(asset) is None:
            self._catalog.delete(asset)
        return Finished(outcome=FinalizeOutcome.STALE)

    def _delete_below(self, prefix: str) -> None:
        bucket = self._policy.delivery_bucket
        keys = [found.key for found in self._store.list(bucket, prefix)]
        # A long video has ten thousand segments, and the function a minute.
        with ThreadPoolExecutor(THREADS, thread_name_prefix="delete") as pool:
            for done in [pool.submit(self._store.delete, bucket, key) for key in keys]:
                done.result()

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- the record of a picture --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _ManifestPicture:
    """The part of a manifest's entry that a record needs."""

    probe: Probe
    metadata: Metadata
    renditions: tuple[StoredRendition, ...]
    dropped: tuple[Dropped, ...]


def image_record(
    record: AssetRecord, result: FinishedJob, manifest: Mapping[str, Any]
) -> AssetRecord:
    """The record with the results of the job.

    The job runs the same engine by the same recipe and stores renditions under the same names: the
    record is the one that ingest would have made.

    Raises:
        EngineError: a result of the job is unusable.
    """
    digest = word(mapping(manifest, "recipe"), "digest", 64)
    if digest != record.recipe_digest:
        raise EngineError(f"the job went by another recipe than {record.recipe}: {digest[:16]}")
    pictures = objects(manifest, "pictures")
    if len(pictures) != 1:
        raise EngineError(f"the job has made {len(pictures)} pictures of one")
    listed = objects(pictures[0], "renditions")
    renditions = [{**one, "key": one.get("path")} for one in listed]
    picture = build(_ManifestPicture, {**pictures[0], "renditions": renditions})

    def stored(made: StoredRendition) -> StoredRendition:
        file = result.output(made.key)
        kept = made.quality if made.ssimulacra2 is not None else None
        return replace(
            made, bytes=file.bytes, key=file.key, sha256=file.sha256, quality=kept, ssim=None
        )

    return replace(
        record,
        probe=picture.probe,
        metadata=picture.metadata,
        renditions=tuple(map(stored, picture.renditions)),
        dropped=picture.dropped,
    )


# --- the record of a video ----------------------------------------------------------------------


def video_record(record: AssetRecord, results: Mapping[str, FinishedJob]) -> AssetRecord:
    """The record with the results of the jobs. Reads no file.

    Args:
        record: record of the upload; its status does not change.
        results: results by kind; the kinds in ``NEEDED`` must be present.

    Raises:
        EngineError: a result of a job is unusable.
    """
    transcoded, facts, poster = results[TRANSCODE], results[METADATA], results[POSTER]
    posters = tuple(_posters(poster))
    if not posters:
        raise EngineError("the poster job has stored no picture")
    info = _video_info(facts, transcoded)
    taken = facts.details.get("taken_at")
    metadata = Metadata(
        sha256=facts.input_sha256,
        icc=None,
        # Metadata of the file, limited to fields that pictures have too.
        tags=Tags(taken_at=taken[:40] if isinstance(taken, str) and taken else None),
        measures=build(Measures, mapping(poster.details, "image_measures")),
    )
    return replace(
        record,
        film=info,
        metadata=metadata,
        renditions=(*posters, *_animated_previews(results.get(PREVIEW))),
        media=(*_playable(transcoded, info), *_accompanying(results, info)),
    )


def _video_info(facts: FinishedJob, transcoded: FinishedJob) -> VideoInfo:
    details = facts.details
    track = mapping(details, "video")
    return VideoInfo(
        container=word(details, "container", 100),
        duration_ms=round(number(details, "duration") * 1000),
        width=whole(track, "width"),
        height=whole(track, "height"),
        frame_rate=word(track, "fps_text", 40),
        codec=word(track, "codec", 40),
        bit_depth=whole(track, "bit_depth"),
        hdr=bool(track.get("hdr", False)),
        audio_tracks=len(objects(details, "audio")),
        subtitle_tracks=len(objects(details, "subtitles")),
        # Warnings from the header, and warnings from decoding the whole file.
        warnings=tuple(dict.fromkeys((*_warnings(facts), *_warnings(transcoded)))),
    )


def _warnings(result: FinishedJob) -> tuple[str, ...]:
    found = result.details.get("warnings", [])
    if not isinstance(found, list) or len(found) > _MOST_WARNINGS:
        raise EngineError(f"{result.kind}: its warnings are no list of codes")
    if not all(isinstance(one, str) and _CODE.fullmatch(one) for one in found):
        raise EngineError(f"{result.kind}: a warning is no code")
    return tuple(found)


def _posters(result: FinishedJob) -> Iterator[StoredRendition]:
    for output, format_ in _pictures(result):
        yield _picture(output, POSTER, format_, result.details, frames=1)


def _animated_previews(result: FinishedJob | None) -> Iterator[StoredRendition]:
    for output, format_ in _pictures(result) if result is not None else ():
        assert result is not None
        made = _made_file(result, output)
        frames = whole(made, "frames")
        picture = _picture(output, PREVIEW, format_, made, frames=frames)
        # A still picture has no duration.
        length = round(1000 * number(result.details, "seconds")) if frames > 1 else None
        yield replace(picture, duration_ms=length)


def _pictures(result: FinishedJob) -> Iterator[tuple[StoredOutput, Format]]:
    known = {format_.media_type: format_ for format_ in Format}
    for output in result.outputs:
        if output.content_type in known:
            yield output, known[output.content_type]


def _picture(
    output: StoredOutput, name: str, format_: Format, said: Mapping[str, Any], *, frames: int
) -> StoredRendition:
    return StoredRendition(
        name=name,
        format=format_,
        width=whole(said, "width"),
        height=whole(said, "height"),
        frames=frames,
        bytes=output.bytes,
        key=output.key,
        sha256=output.sha256,
    )


def _made_file(result: FinishedJob, output: StoredOutput) -> Mapping[str, Any]:
    """A file that a job has stored, as its result describes it."""
    for made in objects(result.details, "files"):
        if word(made, "name", 900) == output.name:
            return made
    raise EngineError(f"the {result.kind} job says nothing of {output.name}")


def _playable(result: FinishedJob, info: VideoInfo) -> Iterator[StoredMedia]:
    """The playable files: the HLS master playlist, the DASH manifest, and a progressive file."""
    rungs = objects(result.details, "rungs")
    largest = max(rungs, key=lambda rung: whole(rung, "width"), default={})
    found = False
    for said, name, format_ in (
        ("master", "stream", MediaFormat.HLS),
        ("dash", "stream", MediaFormat.DASH),
        ("mp4", "film", MediaFormat.MP4),
    ):
        if result.details.get(said) is None:
            continue
        found = True
        file = result.output(word(result.details, said, 900))
        yield replace(
            _media(file, name, format_, info.duration_ms),
            width=whole(largest, "width"),
            height=whole(largest, "height"),
        )
    if not found:
        raise EngineError("the transcode job has stored nothing that plays")


def _accompanying(results: Mapping[str, FinishedJob], info: VideoInfo) -> Iterator[StoredMedia]:
    """The video preview, and the WebVTT index of the sprite sheets."""
    for output in _of_type(results.get(STORYBOARD), MediaFormat.VTT):
        yield _media(output, STORYBOARD, MediaFormat.VTT, info.duration_ms)
    for output in _of_type(results.get(PREVIEW), MediaFormat.MP4):
        made = _made_file(results[PREVIEW], output)
        length = round(1000 * number(results[PREVIEW].details, "seconds"))
        yield replace(
            _media(output, PREVIEW, MediaFormat.MP4, length),
            width=whole(made, "width"),
            height=whole(made, "height"),
        )


def _of_type(result: FinishedJob | None, format_: MediaFormat) -> Iterator[StoredOutput]:
    for output in result.outputs if result is not None else ():
        if output.content_type.partition(";")[0] == format_.media_type:
            yield output


def _media(file: StoredOutput, name: str, format_: MediaFormat, duration_ms: int) -> StoredMedia:
    return StoredMedia(
        name=name,
        format=format_,
        bytes=file.bytes,
        key=file.key,
        sha256=file.sha256,
        duration_ms=duration_ms,
    )
