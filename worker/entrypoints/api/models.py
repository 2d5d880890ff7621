"""Request and response models of the API. Unknown fields are refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from worker.domain.asset import MediaType, Status, UploadMethod, UploadRoute
from worker.domain.errors import InputError
from worker.domain.review import MOST_REASON, Choice, ReviewState
from worker.domain.user_metadata import (
    MAX_ATTRIBUTES,
    MAX_ID,
    MAX_NAME,
    MAX_TAGS,
    MAX_VALUE,
    RECIPE_NAME,
    check_id,
)
from worker.services.upload import LineKind

Printable = r"^[^\x00-\x1f\x7f-\x9f]*$"


def _readable(text: str) -> str:
    """The text, if it is readable by the rules for tags."""
    try:
        check_id(text, "text")
    except InputError as error:
        raise ValueError(error.message) from None
    return text


Tag = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME, pattern=Printable),
    AfterValidator(_readable),
]
AttributeName = Tag
AttributeValue = Annotated[str, StringConstraints(max_length=MAX_VALUE, pattern=Printable)]
Owner = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID, pattern=Printable),
    AfterValidator(_readable),
]
Size = Annotated[int, Field(strict=True, ge=1, le=5 * 1024**4)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- problems -----------------------------------------------------------------------------------


class WrongField(_Wire):
    """One mistake of a request."""

    path: str = Field(description="Where it is: `body.size`, `query.limit`.")
    message: str
    code: str = ""


class ProblemDocument(_Wire):
    """An error (RFC 9457). `code` is stable; `docs/errors.md` lists all."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[WrongField] = Field(default_factory=list, description="Every wrong field.")
    id: str | None = Field(default=None, description="Of an error of ours: the log has it.")


# --- uploads ------------------------------------------------------------------------------------


class NewUpload(_Wire):
    """An announced upload."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="Of the file, as people see it."
    )
    size: Size = Field(description="Bytes.")
    type: Annotated[
        str,
        StringConstraints(max_length=127, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$"),
    ] = Field(
        default="application/octet-stream",
        description="Media type. What the file really is, is found out from its content.",
    )
    owner: Owner | None = Field(
        default=None, description="Only an administrator may name somebody else."
    )
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)
    attributes: dict[AttributeName, AttributeValue] = Field(
        default_factory=dict, max_length=MAX_ATTRIBUTES
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        default=None, description="Hex. The store refuses other bytes. Of uploads in one piece."
    )
    method: UploadMethod | None = Field(
        default=None,
        description="`put`: one request; `post`: a form; `multipart`: parts. Without it, by size.",
    )
    rate: Annotated[int, Field(strict=True, ge=1, le=10**11)] | None = Field(
        default=None,
        description="Bytes a second that get through, as far as the client knows: sizes the parts.",
    )
    network: LineKind | None = Field(
        default=None, description="The kind of connection, if the client does not know its rate."
    )
    route: UploadRoute | None = Field(
        default=None,
        description="`accelerated`: through the nearest edge (S3 Transfer Acceleration);"
        " `distribution`: through CloudFront, no forms. The deployment must offer the route;"
        " its default applies if this is missing.",
    )
    recipe: Annotated[str, StringConstraints(pattern=rf"^{RECIPE_NAME}$")] | None = Field(
        default=None,
        description="Name of a recipe that this deployment lets its users choose.",
    )


class Ticket(_Wire):
    """A request to send to the store unchanged, without a token."""

    method: str = Field(description="`PUT` with the file as body, or `POST` a form.")
    url: str
    headers: dict[str, str] = Field(description="Send exactly these.")
    fields: dict[str, str] = Field(
        description="Fields of a form, in this order. The file comes last, as `file`."
    )


class PartTicket(_Wire):
    """The request that sends one part."""

    number: int
    offset: int = Field(description="Of its first byte in the file.")
    size: int = Field(description="Bytes.")
    url: str = Field(description="`PUT` the bytes here, without further headers.")


class UploadedPartModel(_Wire):
    """A part that the store has."""

    number: int
    size: int
    etag: str


class Upload(_Wire):
    """The state of an upload, and the next requests to send."""

    asset: str = Field(description="The id of the asset, which exists from now on.")
    status: Status = Field(description="`waiting` until the file is there.")
    key: str
    method: UploadMethod | None = Field(description="None once the original was processed.")
    size: int
    expires_at: datetime | None = Field(description="When the upload is given up.")
    tickets_expire_at: datetime | None = Field(description="Ask again for new ones.")
    ticket: Ticket | None = Field(description="Of an upload in one piece.")
    part_size: int | None = None
    part_count: int | None = None
    tickets: list[PartTicket] = Field(
        default_factory=list, description="Of some parts that are not there yet."
    )
    parts: list[UploadedPartModel] = Field(
        default_factory=list, description="That are there; only `GET` looks."
    )


class PartNumbers(_Wire):
    """The parts to make tickets for."""

    numbers: list[Annotated[int, Field(strict=True, ge=1, le=10_000)]] = Field(
        min_length=1, max_length=1000
    )
    route: UploadRoute | None = Field(default=None, description="As when the upload began.")


class S3Request(_Wire):
    """A request of a client that uses the S3 protocol, in the form of Uppy's `signRequest`."""

    method: Literal["PUT", "GET", "POST", "DELETE"]
    key: Annotated[str, StringConstraints(max_length=1024)] = Field(
        default="", description="The client's name of the file; the API chooses its own key."
    )
    uploadId: UUID | None = Field(  # noqa: N815 - S3's name
        default=None, description="Id of the asset; the first request has none."
    )
    partNumber: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None  # noqa: N815
    contentType: Annotated[str, StringConstraints(max_length=255)] | None = Field(  # noqa: N815
        default=None, description="Taken from `file`."
    )
    file: NewUpload | None = Field(
        default=None, description="For the first request, as for `POST /uploads`."
    )


class SignedS3Request(_Wire):
    """A request to send unchanged, or the store's response if the API has made the request
    itself."""

    url: str = Field(description="A URL of the store, or a `data:` URL with the store's response.")
    key: str = Field(description="The id of the asset.")
    headers: dict[str, str] | None = Field(default=None, description="Send exactly these.")
    fields: dict[str, str] | None = Field(
        default=None, description="Fields of a form, in this order. The file comes last, as `file`."
    )


# --- assets -------------------------------------------------------------------------------------


class FocalPoint(_Wire):
    """The centre of crops, as fractions of the upright width and height."""

    x: Share
    y: Share


class VerdictModel(_Wire):
    """The reason of an asset's status."""

    code: str
    message: str


class Placeholder(_Wire):
    """What to show until the picture has loaded."""

    thumbhash: str = Field(description="Base64, evanw.github.io/thumbhash.")
    dominant: str = Field(description="`#rrggbb`.")
    palette: list[str]


class PictureSourceModel(_Wire):
    """A picture in one format, for a `<source>`."""

    type: str = Field(description="Media type.")
    src: str
    srcset: str


class PictureModel(_Wire):
    """The values for `<img srcset>`, not escaped. `worker.domain.markup` makes HTML from them."""

    src: str = Field(description="For programs that do not know `srcset`.")
    srcset: str = Field(description="URLs by width, up to that of the widest rendition.")
    sizes: str = Field(description="For a picture with `loading=lazy`; your own is better.")
    width: int = Field(description="Pixels of the largest file, as `height`.")
    height: int
    alt: str = Field(description="The title that the file has, or empty: say what it shows.")
    background: str | None = Field(
        description="Colour until the file is there; null for pictures with transparency."
    )
    sources: list[PictureSourceModel] = Field(
        description="Fixed formats, best first, for `<picture>`. Every client can show the last."
    )


class RenditionModel(_Wire):
    """A file made from the original."""

    name: str
    format: str
    media_type: str
    width: int
    height: int
    bytes: int
    frames: int = 1
    duration_ms: int | None = None
    url: str = Field(description="Ready to use; it may end, then ask again.")


class FirstViewModel(_Wire):
    """A file that is made at its first view. Its size in bytes is unknown."""

    name: str
    format: str
    media_type: str
    width: int
    height: int
    frames: int = 1
    url: str


class OriginalModel(_Wire):
    """The original."""

    name: str
    key: str
    bytes: int
    format: str | None = None
    width: int | None = Field(default=None, description="Upright.")
    height: int | None = None
    warnings: list[str] = Field(default_factory=list)


class VideoModel(_Wire):
    """Facts about a video."""

    duration_ms: int
    width: int
    height: int
    frame_rate: str
    codec: str
    hdr: bool
    audio_tracks: int
    subtitle_tracks: int


class AssetSummary(_Wire):
    """An asset in a list."""

    id: str
    status: Status
    media: MediaType
    owner: str
    original: OriginalModel
    verdict: VerdictModel | None
    recipe: str
    version: str
    tags: list[str]
    attributes: dict[str, str]
    focal_point: FocalPoint | None
    placeholder: Placeholder | None
    picture: PictureModel | None = Field(description="How to show a picture; null without one.")
    renditions: list[RenditionModel] = Field(description="Files that exist.")
    first_view: list[FirstViewModel] = Field(
        default_factory=list,
        description="Files that the recipe leaves to their first view: each URL works at once.",
    )
    video: VideoModel | None
    created_at: str
    updated_at: str
    revision: int
    expires_at: str | None = Field(
        description="Of an upload that has not arrived: when it is given up."
    )


class TimelineEntry(_Wire):
    """An entry of an asset's timeline."""

    time: str
    kind: str
    detail: dict[str, str]


class JobModel(_Wire):
    """A job of an asset."""

    id: str
    asset: str
    kind: str
    state: str
    progress: float | None = Field(description="Share done, 0 to 1.")
    reason: str = ""
    created_at: str
    updated_at: str


class NewJob(_Wire):
    """A job to submit."""

    kind: Annotated[str, StringConstraints(max_length=40)] = Field(
        description="`transcode`, `poster`, `denoise` ...: docs/jobs.md has all."
    )
    assets: list[UUID] = Field(min_length=1, max_length=100, description="The inputs, in order.")
    parameters: dict[AttributeName, AttributeValue] = Field(
        default_factory=dict, max_length=MAX_ATTRIBUTES, description="As docs/jobs.md has them."
    )
    urgent: bool = False


class BoundingBoxModel(_Wire):
    """A bounding box, as fractions of the upright picture, 0 to 1."""

    left: float
    top: float
    width: float
    height: float


class LabelModel(_Wire):
    """A label that a model has given to the picture."""

    name: str
    tag: str = Field(description="Lists assets with the label: `GET /assets?tag=label:dog`.")
    confidence: float = Field(description="0 to 100.")
    source: str
    model_version: str
    boxes: list[BoundingBoxModel] = Field(description="Where it is, the largest first.")
    refused: bool = Field(description="Somebody has removed its tag.")


# --- reviews ------------------------------------------------------------------------------------


class ReviewDecisionModel(_Wire):
    """The decision of one person."""

    reviewer: str = Field(description="Subject of the person's token.")
    decision: Choice
    reason: str
    time: str


class ReviewSummary(_Wire):
    """A review of one version of an asset."""

    id: str
    state: ReviewState
    version: str
    reason: VerdictModel = Field(description="Why people are asked.")
    asked_at: str
    deadline: str | None = Field(description="Null: people may take as long as they like.")
    escalated: bool = Field(description="A first deadline has passed.")
    needed: int = Field(description="People who must approve. One is enough to reject.")
    decisions: list[ReviewDecisionModel] = Field(description="Oldest first, one a person.")
    default: Choice | None = Field(description="What counts because nobody decided in time.")
    closed_at: str | None


class ReviewItem(ReviewSummary):
    """A review in a list, with its asset."""

    asset: str
    name: str = Field(description="Of the original.")
    owner: str
    media: MediaType
    placeholder: Placeholder | None
    picture: PictureModel | None = Field(
        description="As of an asset; only of a single review, because each address is signed."
    )
    moderation: dict[str, Any] | None = Field(description="What moderation saw and decided.")
    labels: list[LabelModel] = Field(description="What a model has seen, most confident first.")


class ReviewModel(ReviewItem):
    """A review with everything that a reviewer needs. URLs are signed, because the files are
    closed."""

    original: OriginalModel
    renditions: list[RenditionModel] = Field(
        description="Pictures, and videos in one file; each URL works for ten minutes."
    )
    video: VideoModel | None
    tags: list[str]
    attributes: dict[str, str]
    metadata: dict[str, Any] | None = Field(description="What the file says of itself.")


class ReviewList(_Wire):
    """A page of reviews, with the cursor of the next page."""

    reviews: list[ReviewItem]
    cursor: str | None = Field(description="Of the next page; none on the last one.")


class ReviewReason(_Wire):
    """The reason of a reviewer's decision."""

    reason: Annotated[str, StringConstraints(max_length=MOST_REASON, pattern=Printable)] = Field(
        default="", description="Kept with the asset. To reject there must be one."
    )


class Asset(AssetSummary):
    """Everything about an asset."""

    snippet: str = Field(
        description="HTML that shows it: `<img srcset>`, or `<picture>` without a distribution,"
        " or `<video>`."
    )
    metadata: dict[str, Any] | None = Field(description="What the file says of itself.")
    measures: dict[str, Any] | None = Field(description="Of the pixels: sharpness and the like.")
    labels: list[LabelModel] = Field(description="What a model has seen, most confident first.")
    moderation: dict[str, Any] | None = Field(description="What moderation saw and decided.")
    timeline: list[TimelineEntry] = Field(description="Newest first.")
    jobs: list[JobModel] = Field(description="Oldest first.")
    reviews: list[ReviewSummary] = Field(description="Oldest first.")
    tiles: str | None = Field(
        description="URL of a Deep Zoom descriptor, once a `deepzoom` job has made tiles."
    )
    settled: str = Field(
        description="Why the asset takes no focal point and is not reprocessed; empty if both work."
    )


class AssetPage(_Wire):
    """A page of assets, newest first, with the cursor of the next page."""

    assets: list[AssetSummary]
    cursor: str | None = Field(description="Of the next page; none on the last one.")


class SimilarAsset(_Wire):
    """An asset that looks similar."""

    distance: int = Field(description="Bits in which the perceptual hashes differ, 0 to 3.")
    asset: AssetSummary


class SimilarAssets(_Wire):
    """Similar assets, nearest first."""

    assets: list[SimilarAsset]


class FileAddress(_Wire):
    """A signed URL of a file: everybody who has it can read the file until it expires."""

    url: str


class AssetChange(_Wire):
    """Changes of an asset; everything else stays."""

    add_tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)
    remove_tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)
    attributes: dict[AttributeName, AttributeValue | None] = Field(
        default_factory=dict,
        max_length=2 * MAX_ATTRIBUTES,
        description="New values by name; null removes one.",
    )
    focal_point: FocalPoint | None = Field(
        default=None, description="What cuts keep in the middle; null removes it."
    )
    revision: int | None = Field(
        default=None, ge=1, description="Refuse if the asset has another one by now."
    )


class Health(_Wire):
    """The API works."""

    status: str
    version: str
