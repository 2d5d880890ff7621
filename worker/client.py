"""A Python client of the API: uploads that survive bad connections, assets and reviews.

    with Client("https://api.example.com", token) as api:
        asset = api.upload("harbour.jpg", tags=["holiday"])
        print(api.wait(asset)["renditions"])

``AsyncClient`` is the same with ``await``. Both need the extra ``client``, and no credentials of
AWS: the API signs the requests to the store.

After a broken connection an upload resumes with the interrupted part. After a restart of the
process it resumes with the missing parts, if it has a state file. Requests are retried with
exponential backoff and jitter, and expired tickets are renewed.
"""

from __future__ import annotations

import mimetypes
import random
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, get_args
from urllib.parse import quote, urlsplit

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx2

from worker.client_answers import (
    LONGEST_PAUSE,
    ApiError,
    Json,
    form,
    problem_of,
    read_object,
    refusal_of,
    retry_after,
    store_code,
)
from worker.client_files import (
    FileSpan,
    LocalFile,
    Progress,
    SentBytes,
    UploadMemory,
    UploadMeter,
    file_body,
)

__all__ = ["ApiError", "AsyncClient", "Client", "ClientOptions", "UploadOptions"]

Token = str | Callable[[], str]
ReviewState = Literal["open", "approved", "rejected", "expired", "withdrawn"]
Decision = Literal["approve", "reject"]

ATTEMPTS = 10
"""Attempts of one request, the first included. Their delays add up to about two minutes."""
FIRST_PAUSE = 0.25
"""Seconds. A delay is random, up to this value doubled with each attempt ("full jitter": Amazon
Builders' Library, "Timeouts, retries, and backoff with jitter")."""
PARALLEL = 4
"""Most parts that are sent in parallel."""
WIDEN_AFTER = 8
"""Parts that must arrive in a row before one more is sent in parallel."""
TICKETS_AT_ONCE = 20
RENEWALS = 3
"""Tickets in a row that the store may refuse before the upload fails."""
TIMEOUT = httpx2.Timeout(60, connect=15)
"""Seconds without a transferred byte. A whole request may take longer on a slow connection."""
_UPLOAD = ("asset", "status", "ticket", "part_size", "part_count", "tickets", "parts")
"""Fields of an upload that the client needs."""
PENDING = frozenset({"waiting", "uploaded", "processing"})
"""Statuses of an asset that change by themselves."""
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of the store after which a request may be sent again."""
_API_AGAIN = _AGAIN - {500}
"""The same for the API. Its 500 reports a defect and is not retried."""
_STORE_AGAIN = frozenset(
    {"RequestTimeout", "SlowDown", "OperationAborted", "ConditionalRequestConflict"}
)
_ANEW = frozenset({"upload_expired", "asset_erased", "asset_missing"})
"""Codes of the API for an upload that cannot continue."""


class ClientOptions(TypedDict, total=False):
    """Options of a client."""

    http: httpx2.AsyncClient
    """Your own HTTP client, for a proxy, certificates or timeouts. It is closed with this
    client."""
    attempts: int
    """Attempts of each request."""
    parallel: int
    """Most parts that are sent in parallel. A broken connection halves the number, because all
    parallel parts are lost together."""
    pause: float
    """Seconds, see ``FIRST_PAUSE``."""


class UploadOptions(TypedDict, total=False):
    """Options of an upload."""

    name: str
    """Name that people see; by default that of the file."""
    media_type: str
    """By default guessed from the name."""
    owner: str
    """Another owner than the caller; only an administrator may set it."""
    tags: Sequence[str]
    attributes: Mapping[str, str]
    sha256: str
    """Hex digits; the store then refuses other bytes. Only for uploads in one request."""
    method: Literal["put", "post", "multipart"]
    """By default the API chooses."""
    rate: int
    """Bytes a second of the connection, from which the size of parts follows; by default the rate
    of the last upload."""
    route: Literal["direct", "accelerated", "distribution"]
    """A route that the API offers: see docs/upload-routes.md."""
    recipe: str
    """Name of a recipe that the API lets its users choose."""
    state: str | Path
    """Path of a small file that stores the state of the upload until it is done. A second call with
    the same file and arguments, also in another process, resumes the upload."""
    progress: Progress


class ChangeOptions(TypedDict, total=False):
    """Changes of an asset; everything else stays."""

    add_tags: Sequence[str]
    remove_tags: Sequence[str]
    attributes: Mapping[str, str | None]
    """New values; None removes one."""
    focal_point: tuple[float, float] | None
    """Fractions of width and height, 0 to 1; None removes the focal point."""
    revision: int
    """Expected revision: the change is refused if the asset has another one."""


class AsyncClient:
    """The asynchronous client of the API (asyncio or Trio).

    Args:
        api: its address.
        token: a JSON Web Token, or a function that returns one and is called before each request.

    Raises:
        TypeError: there is no such option.
        ValueError: the URL is not an HTTP URL, or an option is not a number of at least one.
    """

    def __init__(self, api: str, token: Token, **options: Unpack[ClientOptions]) -> None:
        _check_client(api, options)
        self._api, self._token = api.rstrip("/"), token
        self._attempts = options.get("attempts", ATTEMPTS)
        self._parallel = options.get("parallel", PARALLEL)
        self._first_pause = options.get("pause", FIRST_PAUSE)
        self._http = options.get("http") or httpx2.AsyncClient(timeout=TIMEOUT)
        self._rate: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # --- uploads ----------------------------------------------------------------------------

    async def upload(self, file: str | Path, **options: Unpack[UploadOptions]) -> str:
        """Upload a file and return the id of its asset. The original is then in the store.

        Args:
            file: must not change meanwhile.
            options: see ``UploadOptions``.

        Raises:
            ApiError: with the code of the API, or one of this client.
            OSError: the file cannot be read.
            TypeError: there is no such option, or ``tags`` is a text instead of a list.
        """
        _check_names(options, UploadOptions)
        if isinstance(options.get("tags"), str):  # each of its letters would be a tag
            raise TypeError("tags is a list of texts")
        path = Path(file)
        source = await anyio.to_thread.run_sync(LocalFile.of, path)
        guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        wanted: Json = {
            "name": options.get("name") or path.name,
            "size": source.size,
            "type": options.get("media_type") or guessed,
            "owner": options.get("owner"),
            "tags": list(options.get("tags", ())),
            "attributes": dict(options.get("attributes", {})),
            "sha256": options.get("sha256"),
            "method": options.get("method"),
            "recipe": options.get("recipe"),
        }
        memory = UploadMemory.of(options.get("state"), self._api, wanted, source)
        line = {
            "rate": options.get("rate") or self._rate,
            "route": options.get("route"),
        }
        meter = UploadMeter(source.size, options.get("progress"))
        for last in (False, True):
            try:
                asset = await self._upload(source, {**wanted, **line}, memory, meter)
            except ApiError as error:
                anew = error.code == "upload_expired" or (memory.known and error.code in _ANEW)
                if last or not anew:
                    raise
            else:
                memory.forget()
                self._rate = meter.rate() or self._rate
                return asset
            memory.renew()  # the store does not have this upload any more
            meter.begin_at(0)
        raise AssertionError  # the second round returns or raises

    async def _upload(
        self, source: LocalFile, wanted: Json, memory: UploadMemory, meter: UploadMeter
    ) -> str:
        body = {field: value for field, value in wanted.items() if value is not None}
        memory.write()
        begun = await self._ask(
            "POST", "/uploads", body, headers={"idempotency-key": memory.key}, fields=_UPLOAD
        )
        asset: str = begun["asset"]
        if begun["status"] != "waiting":
            return asset  # completed by an earlier call
        try:
            if begun["part_count"]:
                await _Parts(self, source, meter, begun, known=memory.known).send()
            elif begun["ticket"]:
                await self._whole(source, meter, begun)
            else:
                raise ApiError(f"upload {asset} has expired", code="upload_expired")
            await anyio.to_thread.run_sync(source.check)
        except ApiError as error:
            if error.code == "file_changed":
                await self._discard(asset)
                memory.forget()
            raise
        return asset

    async def _discard(self, asset: str) -> None:
        try:
            await self.abort(asset)
        except ApiError as error:
            if error.code != "upload_finished":
                raise
            await self.delete(asset)

    async def _whole(self, source: LocalFile, meter: UploadMeter, begun: Json) -> None:
        ticket = begun["ticket"]

        async def renewed(*, refused: bool) -> Json | None:
            nonlocal ticket
            if refused:
                shown = await self._ask("GET", f"/uploads/{begun['asset']}", fields=_UPLOAD)
                ticket = shown["ticket"]
                if shown["status"] != "waiting":
                    return None
                if ticket is None:
                    raise ApiError(f"upload {begun['asset']} has expired", code="upload_expired")
            return dict(ticket)

        await self._send(renewed, FileSpan(source, 0, source.size), meter, _Line(1))

    async def _send(
        self,
        ticket_of: Callable[..., Awaitable[Json | None]],
        span: FileSpan,
        meter: UploadMeter,
        line: _Line,
    ) -> None:
        """Send bytes of a file to the store, and retry until they have arrived.

        Args:
            ticket_of: returns the ticket, or a new one if the store has refused the last. None:
                nothing is left to send.
        """
        refusals, least = 0, 0.0
        problem = ApiError("the store was not reached", code="unreachable")
        for attempt in range(self._attempts):
            if attempt:
                await self._pause(attempt - 1, least)
            async with line.slot():
                ticket = await ticket_of(refused=refusals > 0)
                if ticket is None:
                    return
                began = time.monotonic()
                with meter.attempt() as sent:
                    try:
                        answer = await self._use(ticket, span, sent)
                    except httpx2.TransportError as error:
                        line.cut(began)
                        problem = ApiError(f"the line to the store: {error!r}", code="unreachable")
                        continue
                    # 412: an earlier attempt stored the object but its response was lost. Only
                    # this upload uses the key.
                    if answer.is_success or answer.status_code == 412:
                        sent.arrived()
                        line.arrived()
                        return
            problem, least = refusal_of(answer), retry_after(answer)
            again = answer.status_code in _AGAIN or store_code(answer) in _STORE_AGAIN
            refusals = refusals + 1 if answer.status_code == 403 else 0
            if not again and not 0 < refusals <= RENEWALS:
                raise problem
        raise problem

    async def _use(self, ticket: Json, span: FileSpan, sent: SentBytes) -> httpx2.Response:
        """Send the request that a ticket describes."""
        head, tail, headers = form(ticket) if ticket.get("fields") else (b"", b"", {})
        headers |= ticket.get("headers") or {}
        headers["content-length"] = str(len(head) + span.size + len(tail))
        async with aclosing(file_body(span, sent, head=head, tail=tail)) as body:
            return await self._http.request(
                ticket.get("method", "PUT"), ticket["url"], content=body, headers=headers
            )

    async def _pause(self, attempt: int, least: float) -> None:
        most = min(LONGEST_PAUSE, self._first_pause * 2**attempt)
        await anyio.sleep(least + random.uniform(0, most))

    async def abort(self, asset: str) -> None:
        """Abort an upload: its parts and its asset are removed.

        Raises:
            ApiError: ``upload_finished``: the original has arrived; delete the asset instead.
        """
        await self._ask("POST", f"/uploads/{quote(asset, safe='')}/abort")

    # --- assets -----------------------------------------------------------------------------

    async def get(self, asset: str) -> Json:
        """An asset, as docs/openapi.json describes ``Asset``.

        Raises:
            ApiError: ``asset_missing``, ``asset_erased`` and others.
        """
        path = f"/assets/{quote(asset, safe='')}"
        shown: Json = await self._ask("GET", path, fields=("id", "status"))
        return shown

    async def wait(self, asset: str, *, seconds: float = 600) -> Json:
        """Wait until an asset is accepted, rejected or in review, and return it.

        Raises:
            ApiError: ``not_ready``: it took longer.
        """
        end, pause = time.monotonic() + seconds, 0.1
        while (shown := await self.get(asset))["status"] in PENDING:
            if time.monotonic() >= end:
                text = f"asset {asset} is {shown['status']} after {seconds:g} s"
                raise ApiError(text, code="not_ready")
            await anyio.sleep(min(pause, max(end - time.monotonic(), 0)))
            pause = min(pause * 1.5, 5.0)
        return shown

    async def list(self, **filters: str | None) -> AsyncIterator[Json]:
        """Assets, newest first, as ``AssetSummary``; loaded page by page.

        Args:
            filters: ``owner``, ``status``, ``tag``, ``key``, ``since`` and ``until`` (ISO 8601).
        """
        names = {"since": "from", "until": "to"}
        chosen = {names.get(one, one): text for one, text in filters.items() if text is not None}
        async with aclosing(self._pages("assets", chosen)) as found:
            async for one in found:
                yield one

    async def _pages(self, what: str, params: Json) -> AsyncGenerator[Json, None]:
        """The items of all pages of a list."""
        while True:
            page = await self._ask("GET", f"/{what}", params=params, fields=(what, "cursor"))
            for one in page[what]:
                yield one
            if page["cursor"] is None:
                return
            params = {**params, "cursor": page["cursor"]}

    async def change(self, asset: str, **changes: Unpack[ChangeOptions]) -> Json:
        """Change an asset and return it, as ``AssetSummary``."""
        _check_names(changes, ChangeOptions)
        body: Json = dict(changes)
        if (point := changes.get("focal_point")) is not None:
            body["focal_point"] = {"x": point[0], "y": point[1]}
        changed: Json = await self._ask("PATCH", f"/assets/{quote(asset, safe='')}", body)
        return changed

    async def delete(self, asset: str) -> None:
        """Delete an asset with all files made of it. It is no error if the asset is already
        deleted."""
        try:
            await self._ask("DELETE", f"/assets/{quote(asset, safe='')}")
        except ApiError as error:
            if error.code != "asset_erased":
                raise

    # --- reviews ----------------------------------------------------------------------------

    async def reviews(self, state: ReviewState = "open") -> AsyncIterator[Json]:
        """Open reviews, the nearest deadline first, as ``ReviewItem``; or reviews in another state,
        newest first. Loaded page by page."""
        async with aclosing(self._pages("reviews", {"state": state})) as found:
            async for one in found:
                yield one

    async def reviews_page(
        self, state: ReviewState = "open", *, limit: int = 50, cursor: str | None = None
    ) -> Json:
        """A page of the same, as ``ReviewList``: its ``cursor`` is None if it is the last.

        Args:
            limit: 1 to 200.
            cursor: of the page before.
        """
        params: Json = {"state": state, "limit": limit}
        if cursor is not None:
            params["cursor"] = cursor
        page: Json = await self._ask("GET", "/reviews", params=params, fields=("reviews", "cursor"))
        return page

    async def review(self, review: str) -> Json:
        """A review, as ``ReviewModel``. Its URLs are valid for ten minutes.

        Raises:
            ApiError: ``review_missing`` and others.
        """
        path = f"/reviews/{quote(review, safe='')}"
        shown: Json = await self._ask("GET", path, fields=("id", "state"))
        return shown

    async def decide(self, review: str, decision: Decision, reason: str = "") -> Json:
        """Approve or reject, and return the review. A repeated decision changes nothing.

        Args:
            reason: stored with the decision. A rejection needs one.

        Raises:
            ApiError: ``review_decided``: somebody else was faster; ``review_expired``,
                ``review_withdrawn``, ``review_same_reviewer`` and others.
            ValueError: the decision is invalid.
        """
        if decision not in get_args(Decision):
            raise ValueError(f"decide approve or reject, not {decision!r}")
        path = f"/reviews/{quote(review, safe='')}/{decision}"
        decided: Json = await self._ask("POST", path, {"reason": reason}, fields=("id", "state"))
        return decided

    async def _ask(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        fields: Sequence[str] = (),
    ) -> Any:
        """Send a request and return the JSON of the response. Every request may be repeated.

        Args:
            fields: names that the response must contain.
        """
        least, problem = 0.0, ApiError("the API was not reached", code="unreachable")
        for attempt in range(self._attempts):
            if attempt:
                await self._pause(attempt - 1, least)
            token = self._token if isinstance(self._token, str) else self._token()
            # A token that was read from a file may end with a newline.
            sent = {"authorization": f"Bearer {token.strip()}", **(headers or {})}
            try:
                answer = await self._http.request(
                    method, self._api + path, json=body, headers=sent, params=params
                )
            except httpx2.LocalProtocolError as error:  # a retry cannot help
                raise ApiError(
                    f"no request can be made: {error}", code="request_invalid"
                ) from error
            except httpx2.TransportError as error:
                said = str(error) or type(error).__name__
                problem = ApiError(f"the line to the API: {said}", code="unreachable")
                continue
            if answer.is_success:
                return read_object(answer, fields) if answer.content or fields else None
            problem, least = problem_of(answer), retry_after(answer)
            if answer.status_code not in _API_AGAIN:
                raise problem
        raise problem


class Client:
    """The synchronous client of the API. Use it in a ``with`` block, on any thread.

    See ``AsyncClient`` for arguments and errors. ``progress`` is called on another thread.
    """

    def __init__(self, api: str, token: Token, **options: Unpack[ClientOptions]) -> None:
        _check_client(api, options)
        self._make = partial(AsyncClient, api, token, **options)
        self._open = ExitStack()
        self._running: tuple[AsyncClient, anyio.from_thread.BlockingPortal] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            portal = opened.enter_context(anyio.from_thread.start_blocking_portal())
            client = opened.enter_context(portal.wrap_async_context_manager(self._make()))
            self._running, self._open = (client, portal), opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._running = None
        self._open.__exit__(*error)

    @property
    def _client(self) -> AsyncClient:
        return self._opened()[0]

    @property
    def _portal(self) -> anyio.from_thread.BlockingPortal:
        return self._opened()[1]

    def _opened(self) -> tuple[AsyncClient, anyio.from_thread.BlockingPortal]:
        if self._running is None:
            raise RuntimeError("this client is closed: use it in a with block")
        return self._running

    def upload(self, file: str | Path, **options: Unpack[UploadOptions]) -> str:
        """See ``AsyncClient.upload``."""
        return self._portal.call(partial(self._client.upload, file, **options))

    def abort(self, asset: str) -> None:
        """See ``AsyncClient.abort``."""
        self._portal.call(self._client.abort, asset)

    def get(self, asset: str) -> Json:
        """See ``AsyncClient.get``."""
        return self._portal.call(self._client.get, asset)

    def wait(self, asset: str, *, seconds: float = 600) -> Json:
        """See ``AsyncClient.wait``."""
        return self._portal.call(partial(self._client.wait, asset, seconds=seconds))

    def list(self, **filters: str | None) -> Iterator[Json]:
        """See ``AsyncClient.list``."""
        return self._each(self._client.list(**filters))

    def _each(self, found: AsyncIterator[Json]) -> Iterator[Json]:
        async def following() -> Json | None:
            return await anext(found, None)

        while (one := self._portal.call(following)) is not None:
            yield one

    def change(self, asset: str, **changes: Unpack[ChangeOptions]) -> Json:
        """See ``AsyncClient.change``."""
        return self._portal.call(partial(self._client.change, asset, **changes))

    def delete(self, asset: str) -> None:
        """See ``AsyncClient.delete``."""
        self._portal.call(self._client.delete, asset)

    def reviews(self, state: ReviewState = "open") -> Iterator[Json]:
        """See ``AsyncClient.reviews``."""
        return self._each(self._client.reviews(state))

    def reviews_page(
        self, state: ReviewState = "open", *, limit: int = 50, cursor: str | None = None
    ) -> Json:
        """See ``AsyncClient.reviews_page``."""
        ask = partial(self._client.reviews_page, state, limit=limit, cursor=cursor)
        return self._portal.call(ask)

    def review(self, review: str) -> Json:
        """See ``AsyncClient.review``."""
        return self._portal.call(self._client.review, review)

    def decide(self, review: str, decision: Decision, reason: str = "") -> Json:
        """See ``AsyncClient.decide``."""
        return self._portal.call(self._client.decide, review, decision, reason)


# --- the parts of an upload ---------------------------------------------------------------------


class _Parts:
    """An upload in parts: it sends the missing parts in parallel, then joins them."""

    def __init__(
        self,
        client: AsyncClient,
        source: LocalFile,
        meter: UploadMeter,
        begun: Json,
        *,
        known: bool,
    ) -> None:
        self._client, self._source, self._meter = client, source, meter
        self._path = f"/uploads/{begun['asset']}"
        self._size, self._count = begun["part_size"], begun["part_count"]
        self._missing = list(range(1, self._count + 1))
        self._tickets: dict[int, Json] = {one["number"]: one for one in begun["tickets"]}
        self._look = known
        self._asking = anyio.Lock()
        self._line = _Line(client._parallel)

    async def send(self) -> None:
        """Send the parts and join them. A part that the store has lost is sent again."""
        for last in (False, False, True):
            if self._look and not await self._ask_for_missing():
                return
            with _first_error():
                async with anyio.create_task_group() as tasks:
                    for number in self._missing:
                        tasks.start_soon(self._one, number)
            await anyio.to_thread.run_sync(self._source.check)
            try:
                await self._client._ask("POST", f"{self._path}/complete")
            except ApiError as error:
                if error.code != "upload_incomplete" or last:
                    raise
            else:
                return
            self._look = True

    async def _ask_for_missing(self) -> bool:
        """Whether parts are missing, and which."""
        shown = await self._client._ask("GET", self._path, fields=_UPLOAD)
        if shown["status"] != "waiting":
            return False
        there = {one["number"]: one["size"] for one in shown["parts"]}
        sizes = {number: self._span(number).size for number in range(1, self._count + 1)}
        self._missing = [one for one, size in sizes.items() if there.get(one) != size]
        self._meter.begin_at(self._source.size - sum(sizes[one] for one in self._missing))
        if self._missing and not shown["tickets"]:
            raise ApiError(f"upload {shown['asset']} has expired", code="upload_expired")
        self._tickets = {one["number"]: one for one in shown["tickets"]}
        return True

    async def _one(self, number: int) -> None:
        ticket_of = partial(self._ticket, number)
        await self._client._send(ticket_of, self._span(number), self._meter, self._line)

    async def _ticket(self, number: int, *, refused: bool) -> Json:
        async with self._asking:
            if refused or number not in self._tickets:
                # All held tickets expire at about the same time.
                rest = [one for one in self._missing if one >= number][:TICKETS_AT_ONCE]
                shown = await self._client._ask(
                    "POST", f"{self._path}/parts", {"numbers": rest}, fields=_UPLOAD
                )
                self._tickets |= {one["number"]: one for one in shown["tickets"]}
                if number not in self._tickets:
                    raise ApiError(f"there is no ticket for part {number}", code="answer_invalid")
        return {"url": self._tickets[number]["url"]}

    def _span(self, number: int) -> FileSpan:
        offset = (number - 1) * self._size
        return FileSpan(self._source, offset, min(self._size, self._source.size - offset))


class _Line:
    """Limits the number of parallel requests: it falls after a broken connection and rises as parts
    arrive (additive increase, multiplicative decrease, as in TCP: RFC 5681)."""

    def __init__(self, most: int) -> None:
        self._most, self._limiter = most, anyio.CapacityLimiter(most)
        self._narrowed, self._arrived = 0.0, 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a free slot."""
        turn = object()
        await self._limiter.acquire_on_behalf_of(turn)
        try:
            yield
        finally:
            self._limiter.release_on_behalf_of(turn)

    def cut(self, began: float) -> None:
        """Note a lost request. Requests that were in transit together count as one loss."""
        if began >= self._narrowed:
            self._limiter.total_tokens = max(1, int(self._limiter.total_tokens) // 2)
            self._narrowed, self._arrived = time.monotonic(), 0

    def arrived(self) -> None:
        """Note that a request has arrived."""
        self._arrived += 1
        if self._arrived % WIDEN_AFTER == 0 and self._limiter.total_tokens < self._most:
            self._limiter.total_tokens += 1


@contextmanager
def _first_error() -> Iterator[None]:
    """Raise the first error of a task group in place of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


# --- requests and answers -----------------------------------------------------------------------


def _check_names(given: Mapping[str, Any], known: type) -> None:
    """Raise TypeError for an unknown option."""
    wrong = sorted(set(given) - set(known.__annotations__))
    if wrong:
        names = ", ".join(known.__annotations__)
        raise TypeError(f"there is no option {wrong[0]}; there are {names}")


def _check_client(api: str, options: Mapping[str, Any]) -> None:
    _check_names(options, ClientOptions)
    url = urlsplit(api)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"not an address like https://api.example.com: {api!r}")
    for name in ("attempts", "parallel"):
        if options.get(name, 1) < 1:
            raise ValueError(f"{name} must be at least 1")
