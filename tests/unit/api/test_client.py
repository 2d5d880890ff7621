"""The client against the API on fakes, and a store that answers as it is told."""

from __future__ import annotations

import json
import pickle
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.unit.api.rig import Api
from tests.unit.api.test_reviews import Moderated
from worker.client import ApiError, AsyncClient, Client

MEBIBYTE = 1024**2
NO_UPLOAD = "<Error><Code>NoSuchUpload</Code></Error>"


class Store:
    """Takes what it is sent, after the answers that were put before it."""

    def __init__(self, api: Api) -> None:
        """Stand for the store of an API."""
        self.api = api
        self.before: list[httpx2.Response | Exception] = []
        self.requests: list[httpx2.Request] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        self.requests.append(request)
        body = await request.aread()
        if self.before:
            answer = self.before.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        part = re.search(r"part=(\d+)&size=(\d+)", str(request.url))
        if part:
            assert len(body) == int(part[2])
            (upload,) = self.api.uploads.parts_of.values()
            upload[int(part[1])] = len(body)
        return httpx2.Response(200)

    @property
    def parts(self) -> list[int]:
        """Numbers of the parts that were sent, in their order."""
        found = [re.search(r"part=(\d+)", str(one.url)) for one in self.requests]
        return [int(one[1]) for one in found if one]


class Rig:
    """A client, its API and its store."""

    def __init__(self, before: Callable[[httpx2.Request], httpx2.Response | None]) -> None:
        """Let some answers of the API be others."""
        self.api = Moderated()
        self.store = Store(self.api)
        self.asked: list[httpx2.Request] = []
        self._before, self._app = before, httpx2.ASGITransport(app=self.api.app)

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the API."""
        self.asked.append(request)
        return self._before(request) or await self._app.handle_async_request(request)

    def http(self) -> httpx2.AsyncClient:
        """The network."""
        return httpx2.AsyncClient(
            transport=httpx2.MockTransport(self.answer),
            mounts={"all://intake.example": httpx2.MockTransport(self.store)},
        )

    def run(self, work: Callable[[AsyncClient], Awaitable[Any]], **more: Any) -> Any:
        """What some calls return."""

        async def whole() -> Any:
            options = {"attempts": 4, "pause": 0.0, "parallel": 1, "token": self.api.token}
            made = AsyncClient("https://api.example", http=self.http(), **{**options, **more})
            async with made as api:
                return await work(api)

        return anyio.run(whole)


def rig(before: Callable[[httpx2.Request], httpx2.Response | None] = lambda _: None) -> Rig:
    """One whose API answers by itself, except where said."""
    return Rig(before)


def file(folder: Path, size: int, name: str = "harbour.jpg") -> Path:
    """A file of some size."""
    path = folder / name
    path.write_bytes(b"x" * size)
    return path


def test_a_file_is_sent_as_the_ticket_says(tmp_path: Path) -> None:
    """With its headers, its length and no token; name and type come from the file."""
    made = rig()
    asset = made.run(lambda api: api.upload(file(tmp_path, 1_000)))

    (sent,) = made.store.requests
    record = made.api.catalog.records[asset]
    assert record.upload is not None
    assert (record.source.size, record.upload.media_type) == (1_000, "image/jpeg")
    assert sent.headers["content-length"] == "1000"
    assert (sent.headers["content-type"], sent.headers["if-none-match"]) == ("image/jpeg", "*")
    assert "authorization" not in sent.headers
    assert "transfer-encoding" not in sent.headers


def test_a_form_has_the_fields_before_the_file(tmp_path: Path) -> None:
    """In the order of the ticket; S3 ignores what comes after the file."""
    made = rig()
    made.run(lambda api: api.upload(file(tmp_path, 5), method="post"))

    (sent,) = made.store.requests
    names = re.findall(rb'name="([^"]+)"', sent.content)
    assert (names[0], names[-1]) == (b"key", b"file")
    assert sent.content.count(b"\r\n\r\nxxxxx\r\n") == 1
    assert sent.headers["content-length"] == str(len(sent.content))


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.ReadError("cut"),
        httpx2.Response(503, text="<Error><Code>SlowDown</Code></Error>"),
        httpx2.Response(400, text="<Error><Code>RequestTimeout</Code></Error>"),
        httpx2.Response(403, text="<Error><Code>AccessDenied</Code></Error>"),
    ],
    ids=["cut", "busy", "idle", "ended ticket"],
)
def test_a_request_is_sent_again(tmp_path: Path, answer: httpx2.Response | Exception) -> None:
    """After a cut, after an answer that asks for it, and with a new ticket."""
    made = rig()
    made.store.before = [answer]
    seen: list[int] = []
    path = file(tmp_path, 100)

    made.run(lambda api: api.upload(path, progress=lambda sent, _size: seen.append(sent)))

    assert len(made.store.requests) == 2
    assert seen == [100, 0, 100]
    renewed = [one for one in made.asked if one.method == "GET"]
    assert len(renewed) == (getattr(answer, "status_code", 0) == 403)


def test_what_has_arrived_is_not_sent_again(tmp_path: Path) -> None:
    """412 says that an attempt whose answer was lost has brought the file."""
    made = rig()
    made.store.before = [httpx2.ReadError("cut"), httpx2.Response(412)]

    made.run(lambda api: api.upload(file(tmp_path, 100)))

    assert len(made.store.requests) == 2


@pytest.mark.parametrize(
    ("answer", "code", "count"),
    [
        (httpx2.ReadError("cut"), "unreachable", 4),
        (httpx2.Response(403), "store_refused", 4),
        (httpx2.Response(400, text="<Error><Code>BadDigest</Code></Error>"), "store_refused", 1),
        (httpx2.Response(400, text="<!DOCTYPE x [<!ENTITY e 'e'>]><x>"), "store_refused", 1),
        (httpx2.Response(404, text=NO_UPLOAD), "upload_expired", 2),  # of two uploads
    ],
    ids=["cut", "ticket", "digest", "no answer of a store", "no upload"],
)
def test_what_does_not_help_ends(
    tmp_path: Path, answer: httpx2.Response | Exception, code: str, count: int
) -> None:
    """With one exception and its code, after as many attempts as make sense."""
    made = rig()
    made.store.before = [answer] * 10

    with pytest.raises(ApiError) as raised:
        made.run(lambda api: api.upload(file(tmp_path, 100)))

    assert (raised.value.code, len(made.store.requests)) == (code, count)


def test_only_missing_parts_are_sent(tmp_path: Path) -> None:
    """The state file remembers the upload, and is gone when it is done."""
    made = rig()
    path, state = file(tmp_path, 11 * MEBIBYTE), tmp_path / "state"
    made.run(lambda api: begin(api, path, state))
    assert state.exists()
    (parts,) = made.api.uploads.parts_of.values()
    parts[2] = 5 * MEBIBYTE
    seen: list[int] = []

    asset = made.run(
        lambda api: api.upload(path, rate=1, state=state, progress=lambda n, _: seen.append(n))
    )

    assert made.store.parts == [1, 3]
    assert (seen[0], seen[-1]) == (5 * MEBIBYTE, 11 * MEBIBYTE)
    assert not state.exists()
    assert list(made.api.catalog.records) == [asset]


async def begin(api: AsyncClient, path: Path, state: Path) -> None:
    """Begin an upload and be stopped before anything is sent."""

    def stop(_sent: int, _size: int) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await api.upload(path, rate=1, state=state, progress=stop)


def test_another_upload_is_not_gone_on_with(tmp_path: Path) -> None:
    """A state file is of one file and one request; of others, and of nonsense, it says nothing."""
    made = rig()
    path, state = file(tmp_path, 100), tmp_path / "state"

    made.run(lambda api: begin(api, path, state))
    made.run(lambda api: api.upload(path, tags=["sea"], state=state))
    state.write_text("[]")
    made.run(lambda api: api.upload(path, state=state))

    assert len(made.api.catalog.records) == 3


def test_what_has_expired_is_begun_anew(tmp_path: Path) -> None:
    """If the API has forgotten the stored upload, the client uploads the file again."""
    made = rig()
    path, state = file(tmp_path, 100), tmp_path / "state"
    made.run(lambda api: begin(api, path, state))
    (asset,) = made.api.catalog.records
    record = made.api.catalog.records[asset]
    assert record.upload is not None
    past = replace(record.upload, expires_at="2020-01-01T00:00:00.000000Z")
    made.api.catalog.records[asset] = replace(record, upload=past)

    uploaded = made.run(lambda api: api.upload(path, state=state))

    assert uploaded != asset
    assert made.api.catalog.records[uploaded].source.size == 100
    assert len(made.store.requests) == 1


def test_parts_that_the_store_has_lost_are_sent_again(tmp_path: Path) -> None:
    """The API says at the end what is missing."""
    made = rig()
    made.store.before = [httpx2.Response(200)]  # and nothing kept

    made.run(lambda api: api.upload(file(tmp_path, 6 * MEBIBYTE), rate=1))

    assert made.store.parts == [1, 2, 1]


def test_problems_of_the_api_are_errors(tmp_path: Path) -> None:
    """With code, status and every wrong field."""
    made = rig()

    with pytest.raises(ApiError) as raised:
        made.run(lambda api: api.upload(file(tmp_path, 10), tags=[""], sha256="no"))

    assert (raised.value.code, raised.value.status) == ("request_invalid", 422)
    assert {one["path"] for one in raised.value.errors} == {"body.tags.0", "body.sha256"}
    assert "body.sha256" in str(raised.value)


@pytest.mark.parametrize(
    ("answers", "code", "asked"),
    [
        ([httpx2.Response(503, headers={"retry-after": "0"})] * 2, None, 3),
        ([httpx2.Response(429, headers={"retry-after": "soon"})], None, 2),
        ([httpx2.Response(502, text="<html>")] * 9, "answer_invalid", 4),
        ([httpx2.Response(500, json={"code": "internal_error"})] * 9, "internal_error", 1),
        ([httpx2.Response(200, text="<html>")], "answer_invalid", 1),
    ],
    ids=["busy", "too fast", "away", "defect", "another server"],
)
def test_an_api_that_is_busy_is_asked_again(
    answers: list[httpx2.Response], code: str | None, asked: int
) -> None:
    """And one that has a defect is not."""
    given = iter(answers)
    made = rig(lambda _: next(given, None))
    asset = made.api.begin()["asset"]

    if code is None:
        assert made.run(lambda api: api.get(asset))["id"] == asset
    else:
        with pytest.raises(ApiError) as raised:
            made.run(lambda api: api.get(asset))
        assert raised.value.code == code
    assert len(made.asked) == asked


def test_a_list_goes_on_to_its_end() -> None:
    """Page by page, with the filters on each."""
    pages = iter([{"assets": [{"id": "1"}], "cursor": "next"}, {"assets": [], "cursor": None}])
    made = rig(lambda _: httpx2.Response(200, json=next(pages)))

    async def listed(api: AsyncClient) -> list[str]:
        return [one["id"] async for one in api.list(tag="sea", since="2026-01-01", owner=None)]

    assert made.run(listed) == ["1"]
    assert [dict(one.url.params) for one in made.asked] == [
        {"tag": "sea", "from": "2026-01-01"},
        {"tag": "sea", "from": "2026-01-01", "cursor": "next"},
    ]


def test_waiting_ends() -> None:
    """An asset that stays as it is is an error after the time that was given."""
    made = rig()
    asset = made.api.begin()["asset"]

    with pytest.raises(ApiError) as raised:
        made.run(lambda api: api.wait(asset, seconds=0.01))

    assert raised.value.code == "not_ready"


def test_a_focal_point_is_changed_only_if_it_is_named() -> None:
    """None removes it."""
    made = rig()
    asset = made.api.begin()["asset"]

    async def change(api: AsyncClient) -> None:
        await api.change(asset, attributes={"roll": "12"})
        await api.change(asset, focal_point=None)

    made.run(change)
    assert [json.loads(one.content) for one in made.asked] == [
        {"attributes": {"roll": "12"}},
        {"focal_point": None},
    ]


def test_code_that_does_not_await_gets_the_same(tmp_path: Path) -> None:
    """On its own thread, with the same exceptions; closed, it lets go of that thread."""
    made = rig()
    before = set(threading.enumerate())
    with Client("https://api.example", made.api.token(), http=made.http()) as api:
        asset = api.upload(file(tmp_path, 10))
        assert api.get(asset)["id"] == asset
        assert [one["id"] for one in api.list()] == [asset]
        with pytest.raises(ApiError, match="not_ready"):
            api.wait(asset, seconds=0)
        api.abort(asset)
        with pytest.raises(ApiError) as raised:
            api.get(asset)
    assert raised.value.code == "asset_erased"
    # Threads of earlier tests may end meanwhile: only what is new counts.
    for thread in set(threading.enumerate()) - before:
        thread.join(60)  # it has been told to end; the scheduler decides when
    assert not set(threading.enumerate()) - before


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json="yes"),
        httpx2.Response(200, json={}),
        httpx2.Response(204),
    ],
)
def test_an_answer_of_something_else_is_told_to_be_that(
    tmp_path: Path, answer: httpx2.Response
) -> None:
    """A proxy's page of success, or another API: one error with a code, whatever it holds."""
    made = rig(lambda _: answer)
    path = file(tmp_path, 10)

    async def listed(api: AsyncClient) -> list[Any]:
        return [one async for one in api.list()]

    for work in (lambda api: api.upload(path), lambda api: api.wait("x"), listed):
        with pytest.raises(ApiError) as caught:
            made.run(work)
        assert caught.value.code == "answer_invalid"


def test_what_cannot_be_meant_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """Misspelt options are no options, one text is no list of tags, no parts are no progress."""
    made, path = rig(), file(tmp_path, 10)
    wrong: list[Any] = [{"colour": "red"}, {"parallel": 0}, {"attempts": 0}]
    for more in wrong:
        with pytest.raises((TypeError, ValueError)):
            Client("https://api.example", "t", **more)
    for address in ("api.example", "ftp://api.example", "https://", ""):
        with pytest.raises(ValueError, match="address"):
            AsyncClient(address, "t")
    changes: Any = {"tags": ["sea"]}

    async def change(api: AsyncClient) -> None:
        await api.change("x", **changes)

    async def upload(api: AsyncClient, **options: Any) -> None:
        await api.upload(path, **options)

    for work in (partial(upload, tag=["sea"]), partial(upload, tags="sea"), change):
        with pytest.raises(TypeError):
            made.run(work)
    assert made.asked == []


def test_a_token_may_end_with_its_line() -> None:
    """As it was read from a file."""
    made = rig()

    async def listed(api: AsyncClient) -> list[Any]:
        return [one async for one in api.list()]

    assert made.run(listed, token=f"{made.api.token()}\n") == []


def test_a_client_that_is_not_open_says_so() -> None:
    """Before its block and after it; a second block opens it again."""
    made = rig()
    api = Client("https://api.example", made.api.token())
    with pytest.raises(RuntimeError, match="with block"):
        api.get("x")
    for _ in range(2):
        with api:
            pass
    with pytest.raises(RuntimeError, match="with block"):
        api.get("x")


def test_an_error_reaches_another_process_whole() -> None:
    """Pools of processes pickle what their workers raise."""
    error = ApiError("no", code="not_ready", status=409, errors=[{"path": "a"}])
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.code, copy.status) == (str(error), "not_ready", 409)


def test_an_upload_that_the_store_has_lost_is_begun_again_once(tmp_path: Path) -> None:
    """Without a state file, too; what is lost again is an error."""
    made = rig()
    lost = [httpx2.Response(404, text=NO_UPLOAD)]
    made.store.before = list(lost)
    path = file(tmp_path, 20 * MEBIBYTE)

    asset = made.run(lambda api: api.upload(path, method="put"))

    assert asset in made.api.catalog.records
    keys = [one.headers["idempotency-key"] for one in made.asked if one.url.path == "/uploads"]
    assert len(set(keys)) == 2
    made.store.before = [*lost, *lost]
    with pytest.raises(ApiError) as caught:
        made.run(lambda api: api.upload(path, method="put"))
    assert caught.value.code == "upload_expired"


# --- reviews ------------------------------------------------------------------------------------


def asked(made: Rig, count: int) -> list[str]:
    """So many reviews of assets of somebody else, nearest deadline first."""
    return [
        made.api.ask(number, deadline=f"2099-01-0{number}T00:00:00Z").id
        for number in range(1, count + 1)
    ]


def test_reviews_are_listed_shown_and_decided() -> None:
    """Page by page, by deadline; with the person of the token, and once."""
    made = rig()
    ids = asked(made, 3)

    async def work(api: AsyncClient) -> Any:
        listed = [one["id"] async for one in api.reviews()]
        shown = await api.review(ids[0])
        approved = await api.decide(ids[0], "approve")
        again = await api.decide(ids[0], "approve")
        rejected = await api.decide(ids[1], "reject", "a stolen logo")
        left = [one["id"] async for one in api.reviews()]
        over = [one["id"] async for one in api.reviews("rejected")]
        return listed, shown, approved, again, rejected, left, over

    token = made.api.token("rita", "review")
    listed, shown, approved, again, rejected, left, over = made.run(work, token=token)

    assert listed == ids
    assert (shown["state"], shown["reason"]["code"]) == ("open", "moderation_held")
    assert approved == again
    assert (approved["state"], approved["decisions"][0]["reviewer"]) == ("approved", "rita")
    assert (rejected["state"], rejected["decisions"][0]["reason"]) == ("rejected", "a stolen logo")
    assert (left, over) == ([ids[2]], [ids[1]])


def test_all_pages_of_reviews_are_read() -> None:
    """Asked for one after the other, with the cursor of the one before."""
    made = rig()
    ids = asked(made, 5)
    token = made.api.token("rita", "review")

    def one_a_page(request: httpx2.Request) -> httpx2.Response | None:
        if request.url.path != "/reviews" or "limit" in request.url.params:
            return None
        headers = {"authorization": request.headers["authorization"]}
        url = f"/reviews?limit=2&{request.url.query.decode()}"
        answer = made.api.client.get(url, headers=headers)
        return httpx2.Response(answer.status_code, json=answer.json())

    made._before = one_a_page

    async def work(api: AsyncClient) -> Any:
        return [one["id"] async for one in api.reviews()]

    assert made.run(work, token=token) == ids
    assert len(made.asked) == 3


@pytest.mark.parametrize(
    ("decision", "reason", "scopes", "code"),
    [
        ("reject", "", ("review",), "input_invalid"),
        ("approve", "", ("read",), "not_allowed"),
        ("approve", "x" * 5_000, ("review",), "request_invalid"),
    ],
)
def test_a_decision_that_is_refused_has_its_code(
    decision: Any, reason: str, scopes: tuple[str, ...], code: str
) -> None:
    """And nothing is decided."""
    made = rig()
    (review,) = asked(made, 1)
    token = made.api.token("rita", *scopes)
    with pytest.raises(ApiError) as raised:
        made.run(lambda api: api.decide(review, decision, reason), token=token)
    assert raised.value.code == code
    found = made.api.catalog.review(review)
    assert found is not None
    assert not found.decisions


def test_there_are_two_decisions() -> None:
    """Another word is refused before anything is sent: it would be a part of the address."""
    made = rig()
    with pytest.raises(ValueError, match="approve or reject"):
        made.run(lambda api: api.decide("x", "../uploads"))  # type: ignore[arg-type]
    assert not made.asked
