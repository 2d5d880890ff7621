"""What the API answers when something is wrong: problems with stable codes, whoever is at fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.api.rig import Api
from tests.unit.test_errors import every_class, example
from worker.domain.errors import (
    AccessDenied,
    EngineError,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.entrypoints.api.app import BODY_BYTES, Rates
from worker.entrypoints.api.problems import MEDIA_TYPE, answer


def test_every_wrong_field_is_listed() -> None:
    """At once, each by its path; unknown ones are refused."""
    api = Api()
    wrong = {
        "name": "",
        "size": "12",
        "type": "jpeg",
        "tags": ["fine", ""],
        "attributes": {"a": 1},
        "sha256": "xyz",
        "method": "ftp",
        "colour": "red",
    }

    answered = api.call("POST", "/uploads", wrong)

    assert answered.status_code == 422
    assert answered.headers["content-type"] == MEDIA_TYPE
    body = answered.json()
    assert (body["status"], body["code"]) == (422, "request_invalid")
    assert {one["path"] for one in body["errors"]} == {
        *("body.name", "body.size", "body.type", "body.tags.1", "body.attributes.a"),
        *("body.sha256", "body.method", "body.colour"),
    }


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/assets?limit=0", "query.limit"),
        ("/assets?limit=201", "query.limit"),
        ("/assets?status=lost", "query.status"),
        ("/assets?from=yesterday", "query.from"),
        ("/assets/not-an-id", "path.asset"),
        ("/assets/..%2f..%2fetc", ""),
        ("/uploads/1", "path.asset"),
    ],
)
def test_wrong_paths_and_queries_are_told_likewise(path: str, wrong: str) -> None:
    """Ids that are not ids are never looked for."""
    api = Api()

    answered = api.call("GET", path)

    if not wrong:
        assert (answered.status_code, answered.json()["code"]) == (404, "route_missing")
        return
    assert answered.status_code == 422
    assert [one["path"] for one in answered.json()["errors"]] == [wrong]
    assert api.catalog.fuse.calls == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"1" * 5000])
def test_what_is_no_json_object_is_no_request(body: bytes) -> None:
    """And no error of ours."""
    api = Api()
    headers = {
        "authorization": f"Bearer {api.token()}",
        "content-type": "application/json",
    }

    answered = api.client.post("/uploads", content=body, headers=headers)

    assert answered.status_code in {400, 422}
    assert answered.json()["code"] == "request_invalid"


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("stauts=accepted", "query.stauts"),
        ("limit=1&limit=2", "query.limit"),
        ("from=2026-02-01&to=2026-01-01", "query.to"),
    ],
)
def test_a_query_that_would_find_something_else_is_refused(query: str, wrong: str) -> None:
    """A filter that is passed over would list everything."""
    api = Api()

    answered = api.call("GET", f"/assets?{query}")

    assert answered.status_code == 422
    assert [one["path"] for one in answered.json()["errors"]] == [wrong]
    assert api.call("GET", "/assets?limit=2&status=accepted").status_code == 200


@pytest.mark.parametrize(
    "query", ["from=0001-01-01T00:00:00%2B10:00", "to=9999-12-31T23:59:59-10:00"]
)
def test_the_ends_of_the_calendar_are_moments_too(query: str) -> None:
    """In UTC they would have no date; they are no error of ours."""
    api = Api()
    asset = api.begin()["asset"]

    answered = api.call("GET", f"/assets?{query}")

    assert [one["id"] for one in answered.json()["assets"]] == [asset]


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", "json"])
def test_a_body_that_is_said_to_be_no_json_is_not_read(type_: str) -> None:
    """It is told so, and not that JSON is no object; of a missing body it is told that."""
    api = Api()
    headers = {"authorization": f"Bearer {api.token()}", "content-type": type_}

    answered = api.client.post("/uploads", content=b'{"name": "a", "size": 1}', headers=headers)
    empty = api.client.post("/uploads", headers={"authorization": f"Bearer {api.token()}"})

    assert (answered.status_code, answered.json()["code"]) == (415, "body_no_json")
    assert (empty.status_code, empty.json()["errors"][0]["path"]) == (422, "body")


def test_damaged_json_is_told_with_the_place() -> None:
    """The place in the body is no name of a field."""
    api = Api()
    headers = {"authorization": f"Bearer {api.token()}", "content-type": "application/json"}

    answered = api.client.post("/uploads", content=b'{"name": }', headers=headers)

    (wrong,) = answered.json()["errors"]
    assert wrong["path"] == "body"
    assert wrong["message"] == "is not JSON: Expecting value at character 9"


@pytest.mark.parametrize(
    "text", ["", " ", "\u2003", "a\n", "\x7f", "a\x85b", "\u202egpj", "x" * 129]
)
def test_a_tag_that_nobody_could_read_is_refused(text: str) -> None:
    """Blank ones, and those with control characters of either set."""
    api = Api()

    answered = api.call("POST", "/uploads", {"name": "a", "size": 1, "tags": [text]})

    assert answered.status_code == 422
    assert api.catalog.records == {}


def test_ten_thousand_tags_are_refused_in_one_line() -> None:
    """The answer does not list each of them."""
    api = Api()

    answered = api.call(
        "POST", "/uploads", {"name": "a", "size": 1, "tags": [str(n) for n in range(10_000)]}
    )

    assert answered.status_code == 422
    assert [one["path"] for one in answered.json()["errors"]] == ["body.tags"]
    assert len(answered.content) < 1_000


def test_a_body_that_is_too_large_is_not_read() -> None:
    """Whether its length is announced or not."""
    api = Api()
    headers = {"authorization": f"Bearer {api.token()}"}
    chunk = b"x" * 65_536
    chunks = [chunk] * (BODY_BYTES // len(chunk) + 1)

    for content in (b"".join(chunks), iter(chunks)):
        answered = api.client.post("/uploads", content=content, headers=headers)
        assert (answered.status_code, answered.json()["code"]) == (413, "body_too_large")


def test_a_wrong_method_is_told_and_so_is_a_wrong_path() -> None:
    """405 with the methods that there are; 404 without any detail of ours."""
    api = Api()

    wrong, missing = api.call("PUT", "/assets"), api.call("GET", "/nothing")

    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"
    several = api.call("PUT", "/assets/01890a5d-ac96-774b-bcce-b302099a8057")
    assert several.headers["allow"] == "GET, PATCH, DELETE"
    # A redirect would name the host and scheme of what stands in front.
    assert api.call("GET", "/assets/").status_code == 404
    assert (missing.status_code, missing.json()["code"]) == (404, "route_missing")
    assert wrong.headers["content-type"] == missing.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize(
    "error",
    [EngineError("secret"), AccessDenied("secret"), ValueError("secret"), KeyError("secret")],
)
def test_an_error_of_ours_is_a_500_with_an_id(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the rest under that id, and the answer tells nothing of it."""
    api = Api()

    def fail(*_: Any, **__: Any) -> None:
        raise error

    api.catalog.by_owner = fail  # type: ignore[assignment, method-assign]

    answered = api.call("GET", "/assets")

    body = answered.json()
    assert (answered.status_code, body["code"]) == (500, "internal_error")
    assert "secret" not in answered.text
    (record,) = [one for one in caplog.records if getattr(one, "id", "") == body["id"]]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("error", [Throttled("queue x"), Unreachable("table y")])
def test_what_may_work_later_says_when(error: SafelightError) -> None:
    """503 with Retry-After, without names of services."""
    answered = answer(error)

    assert answered.status_code == 503
    assert int(answered.headers["retry-after"]) > 0
    assert error.message not in bytes(answered.body).decode()


@pytest.mark.parametrize("kind", every_class(), ids=lambda one: one.__name__)
def test_every_error_has_a_status(kind: type[SafelightError]) -> None:
    """That fits its kind: retryable ones are 503 and never another 5xx."""
    answered = answer(example(kind))
    body = json.loads(bytes(answered.body))

    assert body["status"] == answered.status_code
    if example(kind).retryable:
        assert answered.status_code == 503


def test_a_browser_is_told_that_the_answer_depends_on_its_page() -> None:
    """Only pages of listed origins may read answers, and caches keep them apart."""
    api = Api()

    mine = api.call("GET", "/assets", origin="https://www.example.com")
    other = api.call("GET", "/assets", origin="https://evil.example")
    none = api.call("GET", "/assets")
    preflight = api.client.options(
        "/uploads",
        headers={
            "origin": "https://www.example.com",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,idempotency-key",
        },
    )

    assert mine.headers["access-control-allow-origin"] == "https://www.example.com"
    assert "access-control-allow-origin" not in other.headers
    for answered in (mine, other, none, preflight):
        assert "Origin" in answered.headers["vary"]
    assert preflight.status_code == 200
    assert "idempotency-key" in preflight.headers["access-control-allow-headers"].lower()


def test_an_owner_who_asks_too_often_waits() -> None:
    """Others do not."""
    now = 0.0
    rates = Rates(2, clock=lambda: now)
    for _ in range(20):
        rates.take("ann")

    with pytest.raises(SafelightError) as caught:
        rates.take("ann")
    rates.take("bob")
    now = 0.5
    rates.take("ann")

    assert caught.value.code == "too_many_requests"
    assert answer(caught.value).status_code == 429


def test_markup_stays_text() -> None:
    """The API returns texts unchanged, and the snippet escapes them."""
    api = Api()
    asset = api.begin(tags=["<b>"], attributes={"<i>": "<script>"})["asset"]

    shown = api.call("GET", f"/assets/{asset}").json()

    assert (shown["tags"], shown["attributes"]) == (["<b>"], {"<i>": "<script>"})
    assert shown["snippet"] == ""
