"""Builds responses from records, with URLs, a placeholder and a snippet of HTML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from html import escape

from worker.codec import plain
from worker.domain.asset import (
    SERVED,
    AssetRecord,
    JobRecord,
    LogEntry,
    Status,
    StoredMedia,
    medium_of,
)
from worker.domain.image import MediaFormat, StoredRendition
from worker.domain.job import JobStatus
from worker.domain.keys import delivery_key
from worker.domain.label import Label
from worker.domain.markup import Addresses, PictureMarkup, image_html, picture_html, picture_of
from worker.domain.moderation import told
from worker.domain.review import Review
from worker.entrypoints.api import models
from worker.ports import UploadTicket
from worker.services.upload import UploadState, part_sizes


def upload(state: UploadState) -> models.Upload:
    """The state of an upload."""
    record, sizes = state.record, part_sizes(state.record)
    pending = record.upload
    starts = {number: (number - 1) * (pending.part_size if pending else 0) for number in sizes}
    return models.Upload(
        asset=record.asset,
        status=record.status,
        key=record.source.key,
        method=pending.method if pending else None,
        size=record.source.size,
        expires_at=pending.expires_at if pending else None,  # type: ignore[arg-type]
        tickets_expire_at=state.expires_at or None,  # type: ignore[arg-type]
        ticket=_ticket(state.ticket) if state.ticket else None,
        part_size=pending.part_size if pending and sizes else None,
        part_count=len(sizes) or None,
        tickets=[
            models.PartTicket(
                number=number, offset=starts[number], size=sizes[number], url=ticket.url
            )
            for number, ticket in state.tickets.items()
        ],
        parts=[
            models.UploadedPartModel(number=one.number, size=one.size, etag=one.etag)
            for one in state.parts
        ],
    )


def _ticket(ticket: UploadTicket) -> models.Ticket:
    return models.Ticket(
        method=ticket.method,
        url=ticket.url,
        headers=dict(ticket.headers),
        fields=dict(ticket.fields),
    )


def summary(record: AssetRecord, addresses: Addresses) -> models.AssetSummary:
    """An asset in a list."""
    verdict = record.verdict
    waiting = record.status is Status.WAITING and record.upload is not None
    return models.AssetSummary(
        id=record.asset,
        status=record.status,
        media=medium_of(record),
        owner=record.owner,
        original=_original(record),
        verdict=models.VerdictModel(code=verdict.code, message=verdict.message)
        if verdict
        else None,
        recipe=record.recipe,
        version=record.version,
        tags=sorted(record.tags),
        attributes=dict(record.attributes),
        focal_point=models.FocalPoint(x=record.focal_point[0], y=record.focal_point[1])
        if record.focal_point
        else None,
        placeholder=_placeholder(record),
        picture=_picture(picture_of(record, addresses)),
        renditions=_files(record, addresses),
        # Without a distribution no function makes them.
        first_view=[
            models.FirstViewModel(
                name=one.name,
                format=one.format.value,
                media_type=one.format.media_type,
                width=one.width,
                height=one.height,
                frames=one.frames,
                url=addresses.of(delivery_key(record, one.name, one.format.extension)),
            )
            for one in (record.first_view if addresses.negotiated else ())
        ],
        video=_video(record),
        created_at=record.created_at,
        updated_at=record.updated_at,
        revision=record.revision,
        expires_at=record.upload.expires_at if waiting and record.upload else None,
    )


def asset(
    record: AssetRecord,
    timeline: Iterable[LogEntry],
    jobs: Iterable[JobRecord],
    addresses: Addresses,
    *,
    reviews: Iterable[Review],
    tiles: str | None,
    settled: str,
) -> models.Asset:
    """A whole asset.

    Args:
        reviews: of all its versions, oldest first.
        tiles: key of the tiles' descriptor.
        settled: see ``services.remake.settled``.
    """
    metadata = record.metadata
    return models.Asset(
        **dict(summary(record, addresses)),
        snippet=_snippet(record, addresses),
        metadata=plain(metadata.tags) if metadata else None,
        measures=plain(metadata.measures) if metadata else None,
        labels=[label(one) for one in record.labels],
        moderation=told(record.moderation) if record.moderation else None,
        timeline=[
            models.TimelineEntry(time=one.time, kind=one.kind, detail=dict(one.detail))
            for one in timeline
        ],
        jobs=[job(one) for one in jobs],
        reviews=[review_summary(one) for one in reviews],
        tiles=addresses.of(tiles) if tiles else None,
        settled=settled,
    )


def label(seen: Label) -> models.LabelModel:
    """A label."""
    boxes = [models.BoundingBoxModel.model_validate(asdict(box)) for box in seen.boxes]
    return models.LabelModel(
        name=seen.name,
        tag=seen.tag,
        confidence=seen.confidence,
        source=seen.source,
        model_version=seen.model_version,
        boxes=boxes,
        refused=seen.refused,
    )


def _placeholder(record: AssetRecord) -> models.Placeholder | None:
    if record.metadata is None:
        return None
    measures = record.metadata.measures
    return models.Placeholder(
        thumbhash=measures.thumbhash,
        dominant=measures.dominant,
        palette=list(measures.palette),
    )


def _picture(found: PictureMarkup | None) -> models.PictureModel | None:
    return None if found is None else models.PictureModel.model_validate(asdict(found))


def _original(record: AssetRecord) -> models.OriginalModel:
    probe, video = record.probe, record.film
    return models.OriginalModel(
        name=record.source.key.rpartition("/")[2],
        key=record.source.key,
        bytes=record.source.size,
        format=probe.format.value if probe else None,
        width=probe.upright_width if probe else video.width if video else None,
        height=probe.upright_height if probe else video.height if video else None,
        warnings=list(record.warnings),
    )


def _files(record: AssetRecord, addresses: Addresses) -> list[models.RenditionModel]:
    return [
        *(
            _file(one, addresses, duration_ms=one.duration_ms, frames=one.frames)
            for one in record.renditions
        ),
        *(_file(one, addresses, duration_ms=one.duration_ms or None) for one in record.media),
    ]


def _file(
    one: StoredRendition | StoredMedia,
    addresses: Addresses,
    *,
    duration_ms: int | None,
    frames: int = 1,
) -> models.RenditionModel:
    return models.RenditionModel(
        name=one.name,
        format=one.format.value,
        media_type=one.format.media_type,
        width=one.width,
        height=one.height,
        bytes=one.bytes,
        frames=frames,
        duration_ms=duration_ms,
        url=addresses.of(one.key),
    )


def _video(record: AssetRecord) -> models.VideoModel | None:
    video = record.film
    if video is None:
        return None
    return models.VideoModel(
        duration_ms=video.duration_ms,
        width=video.width,
        height=video.height,
        frame_rate=video.frame_rate,
        codec=video.codec,
        hdr=video.hdr,
        audio_tracks=video.audio_tracks,
        subtitle_tracks=video.subtitle_tracks,
    )


def job(record: JobRecord, status: JobStatus | None = None) -> models.JobModel:
    """A job, with its runner's status if that was read."""
    percent = record.percent
    progress = percent / 100 if percent is not None else None
    if status is not None and status.progress is not None:
        progress = status.progress
    return models.JobModel(
        id=f"{record.asset}.{record.id}",
        asset=record.asset,
        kind=record.kind,
        state=status.state.value if status else record.state,
        progress=progress,
        reason=(status.trouble or status.reason) if status else "",
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


# --- reviews ------------------------------------------------------------------------------------


def review_summary(review: Review) -> models.ReviewSummary:
    """A review without its asset. It never contains the task token or the waiting run."""
    return models.ReviewSummary(
        id=review.id,
        state=review.state,
        version=review.version,
        reason=models.VerdictModel(code=review.reason.code, message=review.reason.message),
        asked_at=review.asked_at,
        deadline=review.deadline or None,
        escalated=review.escalated,
        needed=review.needed,
        decisions=[
            models.ReviewDecisionModel(
                reviewer=one.reviewer, decision=one.decision, reason=one.reason, time=one.time
            )
            for one in review.decisions
        ],
        default=review.default,
        closed_at=review.closed_at or None,
    )


def review_item(review: Review, record: AssetRecord) -> models.ReviewItem:
    """A review in a list. If a newer version is recorded by now, the review of the earlier version
    is shown without the asset."""
    current = record.version == review.version
    return models.ReviewItem(
        **dict(review_summary(review)),
        asset=record.asset,
        name=record.source.key.rpartition("/")[2],
        owner=review.owner,
        media=medium_of(record),
        placeholder=_placeholder(record) if current else None,
        picture=None,
        moderation=told(record.moderation) if current and record.moderation else None,
        labels=[label(one) for one in record.labels] if current else [],
    )


def review(review: Review, record: AssetRecord, addresses: Addresses) -> models.ReviewModel:
    """A whole review.

    Args:
        addresses: makes signed URLs, which are valid for closed files.
    """
    current = record.version == review.version
    item = dict(review_item(review, record))
    files = _files(record, addresses) if current else []
    return models.ReviewModel(
        **item | {"picture": _picture(picture_of(record, addresses)) if current else None},
        original=_original(record),
        # Each segment of a playlist would need its own URL.
        renditions=[one for one in files if one.format != MediaFormat.HLS],
        video=_video(record),
        tags=sorted(record.tags),
        attributes=dict(record.attributes),
        metadata=plain(record.metadata.tags) if record.metadata else None,
    )


# --- HTML ---------------------------------------------------------------------------------------


def _snippet(record: AssetRecord, addresses: Addresses) -> str:
    """HTML that shows an asset; empty if there is nothing to show yet.

    All URLs and texts are escaped, because names are untrusted.
    """
    if record.status not in SERVED:
        return ""
    if record.film is not None:
        return _video_snippet(record, addresses)
    picture = picture_of(record, addresses)
    if picture is None:
        return ""
    # Without a distribution each URL is of one file, and the page must name the formats.
    return image_html(picture) if addresses.negotiated else picture_html(picture)


def _video_snippet(record: AssetRecord, addresses: Addresses) -> str:
    video = record.film
    assert video is not None
    posters = [one for one in record.renditions if one.frames == 1]
    poster = f' poster="{escape(addresses.of(posters[0].key))}"' if posters else ""
    order = (MediaFormat.HLS, MediaFormat.MP4)
    sources = [
        f'  <source src="{escape(addresses.of(one.key))}" type="{one.format.media_type}">\n'
        for wanted in order
        for one in record.media
        if one.format is wanted and one.name != "preview"
    ]
    size = f'width="{video.width}" height="{video.height}"'
    return f"<video controls playsinline {size}{poster}>\n{''.join(sources)}</video>"
