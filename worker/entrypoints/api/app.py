"""The routes: parse, one service call, encode. ``create`` makes the app for a server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders

import worker
from worker.bootstrap import Application
from worker.domain import trace
from worker.domain.asset import AssetRecord, JobRecord, Status
from worker.domain.delivery import url_path
from worker.domain.errors import AssetMissing, NotAllowed, RequestError
from worker.domain.markup import Addresses
from worker.domain.review import Choice, ReviewState
from worker.domain.user_metadata import MAX_ID, UserMetadata
from worker.entrypoints.api import models, s3_clients, views
from worker.entrypoints.api.jobs import AssetJobs
from worker.entrypoints.api.problems import (
    MEDIA_TYPE,
    ProblemRoute,
    answer,
    install,
    wrong_fields,
)
from worker.entrypoints.api.tokens import ADMIN, READ, REVIEW, WRITE, Tokens
from worker.entrypoints.api.trace_context import TraceContext
from worker.services.find_assets import AssetFilter
from worker.services.job_results import tiles_key
from worker.services.owned_assets import Caller, OwnedAssets
from worker.services.remake import settled
from worker.services.review import FoundReview
from worker.services.upload import UploadRequest, Uploads

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from worker.ports import Jobs

BODY_BYTES = 262_144
"""Most bytes of a request's body. Files go to the store."""
BURST_SECONDS = 10
MOST_OWNERS = 10_000
"""Most owners whose request rate one process tracks."""
ADDRESS_SECONDS = 3_600
"""Validity of the signed URL of a rendition."""
ORIGINAL_SECONDS = 600
"""Validity of the signed URL of an original."""
REVIEW_SECONDS = 600
"""Validity of the signed URL of a closed file for a reviewer."""
DESCRIPTION = """\
Upload pictures and videos, and read, find, change and delete what was made of them.

`POST /uploads` makes an asset and says how to send its file to the store: the file never passes
through this API. Errors are `application/problem+json` with a stable `code`. A token (JWT) says who
calls; assets of others do not exist for the caller.
"""


# No slots: cached_property stores its value in __dict__.
@dataclass(frozen=True, kw_only=True)
class ApiServices:
    """The services of the routes.

    Args:
        jobs: runs heavy work; None if nothing does.
    """

    app: Application
    jobs: Jobs | None = None

    @cached_property
    def uploads(self) -> Uploads:
        """Uploads."""
        return self.app.uploads

    @cached_property
    def assets(self) -> OwnedAssets:
        """Assets."""
        app = self.app
        eraser = app.eraser(self.jobs)
        return OwnedAssets(
            catalog=app.catalog,
            eraser=eraser,
            bucket=app.settings.intake_bucket,
            queue=app.queue,
            queue_url=app.settings.queue_url,
            restart=lambda record: app.runs.restart(record.asset, record.version),
            breaker=app.breaker,
        )

    @cached_property
    def jobs_of_assets(self) -> AssetJobs:
        """Jobs."""
        return AssetJobs(app=self.app, jobs=self.jobs)

    @cached_property
    def tokens(self) -> Tokens:
        """The verification of tokens."""
        return Tokens(self.app.settings)

    @cached_property
    def rates(self) -> Rates:
        """The rate limiter."""
        return Rates(self.app.settings.api_rate)

    @property
    def addresses(self) -> Addresses:
        """The URLs of public files in the delivery bucket."""
        negotiated = self.app.settings.delivery_url is not None
        # A response contains a URL several times; signing it once is enough.
        return Addresses(of=cache(self._address), negotiated=negotiated)

    def _address(self, key: str) -> str:
        base = self.app.settings.delivery_url
        if base is not None:
            return base.rstrip("/") + url_path(key)
        bucket = self.app.settings.delivery_bucket
        assert self.app.upload_store is not None
        return self.app.upload_store.readable(bucket, key, seconds=ADDRESS_SECONDS)

    @property
    def signed_addresses(self) -> Addresses:
        """Signed URLs of closed files, for reviewers."""
        bucket, store = self.app.settings.delivery_bucket, self.app.upload_store
        assert store is not None
        sign = partial(store.readable, bucket, seconds=REVIEW_SECONDS)
        return Addresses(of=cache(sign), negotiated=False)

    def tiles(self, record: AssetRecord, jobs: Iterable[JobRecord]) -> str | None:
        """Key of the descriptor of an asset's tiles; None without tiles, or if each tile would need
        its own signed URL."""
        settings = self.app.settings
        if settings.delivery_url is None:
            return None
        return tiles_key(record, jobs, settings.delivery_bucket)


class Rates:
    """A token bucket for each owner. It is local to this process; several processes may serve one
    owner.

    Args:
        rate: requests a second.
    """

    def __init__(self, rate: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, owner: str) -> None:
        """Count a request.

        Raises:
            RequestError: ``too_many_requests``.
        """
        most, now = self._rate * BURST_SECONDS, self._clock()
        with self._lock:
            left, then = self._left.pop(owner, (float(most), now))
            left = min(most, left + (now - then) * self._rate)
            self._left[owner] = (max(left - 1, 0.0), now)
            if len(self._left) > MOST_OWNERS:
                self._left.popitem(last=False)
        if left < 1:
            said = f"more than {self._rate} requests a second; wait a little"
            raise RequestError(said, code="too_many_requests")


# --- what routes take ---------------------------------------------------------------------------

_bearer = HTTPBearer(
    auto_error=False, bearerFormat="JWT", scheme_name="token", description="A JSON Web Token."
)


# Both are coroutines, because FastAPI runs plain functions in another thread.
async def _services(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services()
    return services


async def _caller(
    services: Annotated[ApiServices, Depends(_services)],
    request: Request,
    scopes: SecurityScopes,
    _: Annotated[Any, Depends(_bearer)],
) -> Caller:
    """The caller, if the token has the scope that the route requires."""
    tokens = services.tokens
    if tokens.asks:
        holder = await run_in_threadpool(tokens.identify, request)
    else:
        holder = tokens.identify(request)
    for scope in scopes.scopes:
        if not holder.may(scope):
            prefix = services.app.settings.api_scope_prefix
            raise NotAllowed(f"this needs the scope {prefix}{scope}")
    services.rates.take(holder.caller.owner)
    request.scope["route"].check(request)
    return holder.caller


Services = Annotated[ApiServices, Depends(_services)]
Reader = Annotated[Caller, Security(_caller, scopes=[READ])]
Writer = Annotated[Caller, Security(_caller, scopes=[WRITE])]
Reviewer = Annotated[Caller, Security(_caller, scopes=[REVIEW])]
Administrator = Annotated[Caller, Security(_caller, scopes=[ADMIN])]
"""Paths of routes that other modules add."""
AssetId = Annotated[UUID, Path(description="Of the asset.")]
JobId = Annotated[
    str,
    Path(
        max_length=200,
        pattern=r"^[0-9a-fA-F-]{36}\.[A-Za-z0-9:_-]+$",
        description="Of the job, as the API has named it: asset and job.",
    ),
]
ReviewId = Annotated[str, Path(max_length=80, description="Of the review, as the API named it.")]
Limit = Annotated[int, Query(ge=1, le=200)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=MAX_ID,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key again is the same upload, and answers again.",
    ),
]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request cannot be done.", "model": models.ProblemDocument},
    "5XX": {"description": "It cannot be done now.", "model": models.ProblemDocument},
}
router = APIRouter(route_class=ProblemRoute, responses=_PROBLEMS)


# --- uploads ------------------------------------------------------------------------------------


@router.post("/uploads", status_code=201, tags=["uploads"])
def begin_upload(
    services: Services,
    caller: Writer,
    body: models.NewUpload,
    idempotency_key: IdempotencyKey = None,
) -> models.Upload:
    """Begin an upload: the asset is created with the status `waiting`."""
    wanted = _wanted(caller, body)
    return views.upload(services.uploads.begin(caller, wanted, key=idempotency_key or ""))


def _wanted(caller: Caller, body: models.NewUpload) -> UploadRequest:
    owner = body.owner if body.owner is not None and caller.admin else None
    return UploadRequest(
        name=body.name,
        size=body.size,
        media_type=body.type,
        metadata=UserMetadata(
            owner=owner or caller.require_owner(body.owner) or caller.owner,
            tags=frozenset(body.tags),
            attributes=body.attributes,
            recipe=body.recipe or "",
        ),
        sha256=(body.sha256 or "").lower(),
        method=body.method,
        rate=body.rate,
        network=body.network,
        route=body.route,
    )


@router.post("/uploads/sign", response_model_exclude_none=True, tags=["uploads"])
def sign_s3_request(
    services: Services, caller: Writer, body: models.S3Request
) -> models.SignedS3Request:
    """Sign a request of a client that uses the S3 protocol (Uppy), for any step of an upload."""
    first = None
    if body.file is not None and body.uploadId is None:
        first = replace(_wanted(caller, body.file), method=s3_clients.method_of(body))
    return s3_clients.signed(services.uploads, caller, body, first)


@router.get("/uploads/{asset}", tags=["uploads"])
def show_upload(services: Services, caller: Reader, asset: AssetId) -> models.Upload:
    """Show the state of an upload, the parts that have arrived, and tickets for missing parts."""
    return views.upload(services.uploads.show(caller, str(asset)))


@router.post("/uploads/{asset}/parts", tags=["uploads"])
def upload_parts(
    services: Services, caller: Writer, asset: AssetId, body: models.PartNumbers
) -> models.Upload:
    """Make tickets for parts; expired tickets are replaced."""
    numbers = sorted(set(body.numbers))
    state = services.uploads.parts(caller, str(asset), numbers, route=body.route)
    return views.upload(state)


@router.post("/uploads/{asset}/complete", tags=["uploads"])
def complete_upload(services: Services, caller: Writer, asset: AssetId) -> models.Upload:
    """Join the parts into one file. A repeated call changes nothing."""
    return views.upload(services.uploads.complete(caller, str(asset)))


@router.post("/uploads/{asset}/abort", status_code=204, tags=["uploads"])
def abort_upload(services: Services, caller: Writer, asset: AssetId) -> None:
    """Abort an upload: its parts and its asset are removed."""
    services.uploads.abort(caller, str(asset))


# --- assets -------------------------------------------------------------------------------------


@router.get(
    "/assets",
    tags=["assets"],
    response_model=models.AssetPage,
    responses={304: {"description": "The list has not changed.", "content": {}}},
)
def list_assets(
    *,
    services: Services,
    caller: Reader,
    owner: Annotated[models.Owner | None, Query(description="Yours, unless you may all.")] = None,
    status: Annotated[Status | None, Query()] = None,
    tag: Annotated[models.Tag | None, Query()] = None,
    confidence: Annotated[
        float | None,
        Query(ge=0, le=100, description="Least confidence of the label that `tag` is of."),
    ] = None,
    key: Annotated[str | None, Query(max_length=1024, description="`*` is any text.")] = None,
    since: Annotated[datetime | None, Query(alias="from", description="Not older.")] = None,
    until: Annotated[datetime | None, Query(alias="to", description="Older.")] = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=2048)] = None,
    if_none_match: Annotated[str | None, Header(description="`ETag` of an answer.")] = None,
) -> Response:
    """List assets, newest first. A page may have fewer than asked for and still not be the last."""
    if since is not None and until is not None and _utc(since) >= _utc(until):
        raise wrong_fields(to="is not later than from")
    if confidence is not None and tag is None:
        raise wrong_fields(confidence="needs tag, the tag of a label")
    wanted = AssetFilter(
        status=status,
        owner=owner,
        tag=tag,
        confidence=confidence,
        key=key,
        since=_utc(since) if since else None,
        until=_utc(until) if until else None,
    )
    page = services.assets.find(caller, wanted, limit=limit, cursor=cursor)
    found = models.AssetPage(
        assets=[views.summary(one, services.addresses) for one in page.records], cursor=page.cursor
    )
    body = found.model_dump_json().encode()
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    # A polling page gets a body only if the list has changed.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if tag in (if_none_match or ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/assets/{asset}", tags=["assets"])
def show_asset(services: Services, caller: Reader, asset: AssetId) -> models.Asset:
    """Show an asset: renditions with their URLs, metadata, timeline, jobs."""
    record = services.assets.show(caller, str(asset))
    catalog = services.app.catalog
    jobs = catalog.jobs(record.asset)
    return views.asset(
        record,
        catalog.timeline(record.asset),
        jobs,
        services.addresses,
        reviews=catalog.reviews_of(record.asset),
        tiles=services.tiles(record, jobs),
        settled=settled(record, jobs),
    )


@router.get("/assets/{asset}/original", tags=["assets"])
def original_of_asset(services: Services, caller: Reader, asset: AssetId) -> models.FileAddress:
    """Sign a URL of the original that is valid for ten minutes."""
    source = services.assets.show(caller, str(asset)).source
    if not source.etag:
        raise AssetMissing(f"the original of {asset} has not arrived")
    assert services.app.upload_store is not None
    url = services.app.upload_store.readable(source.bucket, source.key, seconds=ORIGINAL_SECONDS)
    return models.FileAddress(url=url)


@router.patch("/assets/{asset}", tags=["assets"])
def change_asset(
    services: Services, caller: Writer, asset: AssetId, body: models.AssetChange
) -> models.AssetSummary:
    """Change tags, attributes and focal point. A new focal point makes cropped renditions again."""
    point = body.focal_point
    said = "focal_point" in body.model_fields_set
    record = services.assets.change(
        caller,
        str(asset),
        add_tags=body.add_tags,
        remove_tags=body.remove_tags,
        attributes=body.attributes,
        focal_point=... if not said else None if point is None else (point.x, point.y),
        revision=body.revision,
    )
    return views.summary(record, services.addresses)


@router.post("/assets/{asset}/reprocess", status_code=202, tags=["assets"])
def reprocess_asset(services: Services, caller: Writer, asset: AssetId) -> models.AssetSummary:
    """Make all files again; the old files are served until then. Failed jobs are restarted."""
    return views.summary(services.assets.reprocess(caller, str(asset)), services.addresses)


@router.delete("/assets/{asset}", status_code=204, tags=["assets"])
def delete_asset(services: Services, caller: Writer, asset: AssetId) -> None:
    """Delete an asset with all its files. Its id is never reused."""
    services.assets.delete(caller, str(asset))


@router.get("/assets/{asset}/similar", tags=["assets"])
def similar_assets(
    services: Services, caller: Reader, asset: AssetId, limit: Limit = 20
) -> models.SimilarAssets:
    """List the assets that look most like one."""
    found = services.assets.similar(caller, str(asset), limit)
    return models.SimilarAssets(
        assets=[
            models.SimilarAsset(
                distance=one.distance, asset=views.summary(one.record, services.addresses)
            )
            for one in found
        ]
    )


# --- jobs ---------------------------------------------------------------------------------------


@router.post("/jobs", status_code=202, tags=["jobs"])
def submit_job(services: Services, caller: Writer, body: models.NewJob) -> models.JobModel:
    """Submit a job on one or several assets; the job is listed with the first."""
    record, status = services.jobs_of_assets.submit(
        caller,
        body.kind,
        [str(one) for one in body.assets],
        parameters=body.parameters,
        urgent=body.urgent,
    )
    return views.job(record, status)


@router.get("/jobs/{job}", tags=["jobs"])
def show_job(services: Services, caller: Reader, job: JobId) -> models.JobModel:
    """Show the state of a job."""
    return views.job(*services.jobs_of_assets.show(caller, job))


@router.delete("/jobs/{job}", status_code=204, tags=["jobs"])
def stop_job(services: Services, caller: Writer, job: JobId) -> None:
    """Stop a job; a job that has ended does not change."""
    services.jobs_of_assets.stop(caller, job)


# --- reviews ------------------------------------------------------------------------------------


@router.get("/reviews", tags=["reviews"])
def list_reviews(
    services: Services,
    caller: Reviewer,
    state: Annotated[ReviewState, Query()] = ReviewState.OPEN,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=2048)] = None,
) -> models.ReviewList:
    """List open reviews by deadline, or those in another state, newest first. A page may have fewer
    than asked for and still not be the last."""
    page = services.app.reviews.find(caller, state, limit=limit, cursor=cursor)
    return models.ReviewList(
        reviews=[views.review_item(one, page.records[one.asset]) for one in page.reviews],
        cursor=page.cursor,
    )


@router.get("/reviews/{review}", tags=["reviews"])
def show_review(services: Services, caller: Reviewer, review: ReviewId) -> models.ReviewModel:
    """Show a review, with signed URLs of the closed files."""
    return _review(services, services.app.reviews.show(caller, review))


@router.post("/reviews/{review}/approve", tags=["reviews"])
def approve_review(
    services: Services, caller: Reviewer, review: ReviewId, body: models.ReviewReason
) -> models.ReviewModel:
    """Approve. A repeated decision changes nothing."""
    found = services.app.reviews.decide(caller, review, Choice.APPROVE, body.reason)
    return _review(services, found)


@router.post("/reviews/{review}/reject", tags=["reviews"])
def reject_review(
    services: Services, caller: Reviewer, review: ReviewId, body: models.ReviewReason
) -> models.ReviewModel:
    """Reject, with a reason. One person is enough."""
    found = services.app.reviews.decide(caller, review, Choice.REJECT, body.reason)
    return _review(services, found)


def _review(services: ApiServices, found: FoundReview) -> models.ReviewModel:
    return views.review(found.review, found.record, services.signed_addresses)


# --- the API itself -----------------------------------------------------------------------------


@router.get("/healthz", tags=["api"])
def health() -> models.Health:
    """Check that the API runs. Calls no other service, and needs no token."""
    return models.Health(status="ok", version=worker.__version__)


def create(services: Callable[[], ApiServices], *, origins: tuple[str, ...] = ()) -> FastAPI:
    """The app.

    Args:
        services: returns the services; called with each request.
        origins: origins of pages that may call the API from a browser.
    """
    app = FastAPI(
        title="Safelight",
        version=worker.__version__,
        summary="Image and video pipeline",
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's documentation pages load scripts from other hosts
        redoc_url=None,
        # A redirect would need the host and scheme of the gateway.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    app.include_router(router)
    install(app)
    app.openapi = partial(_document, app)  # type: ignore[method-assign]
    app.add_middleware(BodyLimit)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["authorization", "content-type", "idempotency-key", trace.NAME],
            expose_headers=["retry-after"],
            max_age=3_600,
        )
        app.add_middleware(VaryOrigin)
    app.add_middleware(TraceContext)
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; problems have their own media type, and no route has another 422."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                for status, response in operation["responses"].items():
                    if status in _PROBLEMS:
                        response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
        for unused in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema


class VaryOrigin:
    """Adds ``Vary: Origin`` to every response. Starlette adds it only to responses with an
    ``Origin``, so a cache could return other responses to browsers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "origin" not in headers.get("vary", "").lower():
                    headers.add_vary_header("Origin")
            await send(message)

        await self._app(scope, receive, say if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses larger bodies while they arrive, whatever their headers say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            size, more = size + len(chunks[-1]), message.get("more_body", False)
            if size > BODY_BYTES:
                await _too_large()(scope, receive, send)
                return
        whole: Message = {"type": "http.request", "body": b"".join(chunks), "more_body": False}
        given = [whole]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)


def _too_large() -> Response:
    from starlette.exceptions import HTTPException

    return answer(HTTPException(413, f"a body has at most {BODY_BYTES:,} bytes"))


def _utc(moment: datetime) -> str:
    """A time in the format of records; without an offset it is UTC. On the first and the last day
    of the calendar a conversion to UTC may be impossible: there the offset is ignored."""
    with suppress(OverflowError):
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
