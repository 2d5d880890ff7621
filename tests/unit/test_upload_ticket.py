"""Uploads through the distribution: what the API signs passes at the edge, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.edge.engines import needs_njs
from tests.edge.ticket_function import FUNCTION, answers, event
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.edge_tickets import EdgeTickets
from worker.adapters.aws.uploads import S3UploadStore
from worker.domain.asset import UploadRoute
from worker.ports import UploadTicket

SECRET = "ab" * 32
KEY = "a9/uploads/01890a5d-ac96-774b-bcce-b302099a8057/b\u00e4r (1) & co.jpg"
CONDITIONS: dict[str, Any] = {
    "size": 5,
    "media_type": "image/jpeg",
    "metadata": {"owner": "ann"},
    "sha256": "ab" * 32,
}
pytestmark = needs_njs


def signer(now: float = 0.0, key: str = SECRET) -> S3UploadStore:
    """Tickets of a moment, in seconds from now."""
    edge = EdgeTickets(url="https://media.example.com", key=key, now=lambda: time.time() + now)
    return S3UploadStore(AwsClients({}), edge=edge)


def whole(now: float = 0.0, key: str = SECRET) -> UploadTicket:
    """The ticket of a file."""
    made = signer(now, key)
    return made.put("intake", KEY, **CONDITIONS, seconds=900, route=UploadRoute.DISTRIBUTION)


def part(number: int = 2) -> UploadTicket:
    """The ticket of a part of seven bytes."""
    route = UploadRoute.DISTRIBUTION
    return signer().parts("intake", KEY, "UP/ID+", {number: 7}, seconds=900, route=route)[number]


def sent(ticket: UploadTicket, size: int = 5, **more: Any) -> dict[str, Any]:
    """The request of a client that does as the ticket says, with headers of a browser."""
    usual = {"host": "media.example.com", "origin": "https://a.example", "accept": "*/*"}
    return event(
        "PUT", ticket.url, {**usual, "content-length": str(size), **ticket.headers, **more}
    )


def verdict(*requests: dict[str, Any]) -> list[int]:
    """200 for what passes, else the status of the answer."""
    return [found.get("statusCode", 200) for found in answers(requests, SECRET)]


def test_the_function_is_one_that_cloudfront_takes() -> None:
    """At most 10,240 bytes with its key, and ASCII."""
    text = FUNCTION.read_text(encoding="ascii")
    assert text.count("${KEY}") == 1
    assert len(text) + len(SECRET) < 10_240


def test_what_was_signed_passes() -> None:
    """A file and a part; the bucket gets S3's own parameters and nothing of the ticket."""
    first, second = answers([sent(whole(), authorization="x"), sent(part(), 7)], SECRET)

    assert first["uri"] == (
        "/a9/uploads/01890a5d-ac96-774b-bcce-b302099a8057/b%C3%A4r%20%281%29%20%26%20co.jpg"
    )
    assert first["querystring"] == {}
    assert "authorization" not in first["headers"]
    assert first["headers"]["if-none-match"] == {"value": "*"}
    assert second["querystring"] == {"uploadId": {"value": "UP/ID+"}, "partNumber": {"value": "2"}}


def test_a_browser_may_ask_before() -> None:
    """The bucket answers a preflight request by its rules."""
    asks = event("OPTIONS", whole().url, {"origin": "https://a.example"})
    assert verdict(asks) == [200]


CHANGES: dict[str, dict[str, Any]] = {
    "size": {"content-length": "6"},
    "no size": {"content-length": ()},
    "size twice": {"content-length": ("5", "6")},
    "type": {"content-type": "text/html"},
    "checksum": {"x-amz-checksum-sha256": "AAAA"},
    "owner": {"x-amz-meta-owner": "bob"},
    "owner twice": {"x-amz-meta-owner": ("ann", "bob")},
    "more metadata": {"x-amz-meta-recipe": "archive"},
    "access list": {"x-amz-acl": "public-read"},
    "storage class": {"x-amz-storage-class": "GLACIER"},
    "copy": {"x-amz-copy-source": "/intake/other"},
    "overwriting": {"if-none-match": "x"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_request_than_the_signed_one_is_refused(change: dict[str, Any]) -> None:
    """With each condition that a presigned request of S3 has."""
    changed = sent(whole(), **{name: texts for name, texts in change.items() if texts != ()})
    for name in (name for name, texts in change.items() if texts == ()):
        del changed["request"]["headers"][name]

    assert verdict(changed) == [403]


@pytest.mark.parametrize("missing", ["if-none-match", "content-type", "x-amz-checksum-sha256"])
def test_a_condition_that_is_left_out_is_refused(missing: str) -> None:
    """Without If-None-Match, a ticket would be for more than one use."""
    request = sent(whole())
    del request["request"]["headers"][missing]

    assert verdict(request) == [403]


URLS = {
    "another key": ("co.jpg", "co.png"),
    "another asset": ("01890a5d", "01890a5e"),
    "later": ("expires=", "expires=9"),
    "no end": ("expires=", "expired="),
    "no ticket": ("ticket=", "tocket="),
    "an empty ticket": ("ticket=", "ticket=&was="),
    "two tickets": ("ticket=", "ticket=0&ticket="),
    "a part": ("?", "?uploadId=U&partNumber=1&"),
}


@pytest.mark.parametrize("change", URLS.values(), ids=URLS)
def test_another_address_than_the_signed_one_is_refused(change: tuple[str, str]) -> None:
    """Key, end and part are in the signature."""
    ticket = whole()
    assert change[0] in ticket.url
    changed = UploadTicket(method="PUT", url=ticket.url.replace(*change), headers=ticket.headers)

    assert verdict(sent(changed)) == [403]


def test_another_parameter_makes_no_other_operation() -> None:
    """``?tagging`` and the like do not reach the bucket."""
    ticket = whole()
    changed = UploadTicket(method="PUT", url=ticket.url + "&tagging=", headers=ticket.headers)

    (passed,) = answers([sent(changed)], SECRET)

    assert passed["querystring"] == {}


def test_a_part_is_of_its_number_and_size() -> None:
    """Its type does not matter: browsers set one of their own."""
    ticket = part()
    other = UploadTicket(method="PUT", url=ticket.url.replace("partNumber=2", "partNumber=3"))
    typed = sent(ticket, 7, **{"content-type": "application/x"})

    assert verdict(sent(ticket, 7), typed, sent(ticket, 8), sent(other, 7)) == [200, 200, 403, 403]


def test_tickets_end_and_keys_change() -> None:
    """An hour of a wrong clock is an hour; a ticket of an earlier key is none."""
    old, other = whole(now=-901), whole(key="cd" * 32)

    assert verdict(sent(old), sent(other), sent(whole(now=3600))) == [403, 403, 200]
    (refused,) = answers([sent(old)], SECRET)
    assert refused["body"] == (
        "<Error><Code>AccessDenied</Code><Message>The ticket has expired.</Message></Error>"
    )
    assert refused["headers"]["access-control-allow-origin"] == {"value": "*"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH"])
def test_originals_are_neither_read_nor_deleted_there(method: str) -> None:
    """Nor is an upload begun or completed: the API does that."""
    request = sent(whole())
    request["request"]["method"] = method

    assert verdict(request) == [405]


@pytest.mark.parametrize(
    "path", ["/", "/recipes/x.json", "/a9/uploads/x/a.jpg", "/../uploads/" + "0" * 36 + "/a"]
)
def test_only_keys_of_uploads_are_taken(path: str) -> None:
    """Even if somebody had the key to sign another one."""
    edge = EdgeTickets(url="https://media.example.com", key=SECRET)
    url = edge.sign(path[1:], size=5, seconds=60, headers={})
    request = event("PUT", url, {"content-length": "5"})

    assert verdict(request) == [403]
