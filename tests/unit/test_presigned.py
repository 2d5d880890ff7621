"""Tickets of S3, address by address: version 4, the host of the region, every condition."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs

import pytest

from tests.unit.api.rig import ENVIRONMENT
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.edge_tickets import EdgeTickets
from worker.adapters.aws.uploads import S3UploadStore
from worker.bootstrap import assemble
from worker.domain.asset import UploadRoute
from worker.domain.errors import ConfigurationError, SettingsError
from worker.settings import Settings, UploadClass

KEY = "a9/uploads/01890a5d-ac96-774b-bcce-b302099a8057/b\u00e4r 1.jpg"
SHA256 = "ab" * 32
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@contextmanager
def frozen() -> Iterator[None]:
    """Signatures of one moment: botocore takes the time from one function."""
    with (
        patch("botocore.auth.get_current_datetime", return_value=MOMENT),
        patch("botocore.signers.get_current_datetime", return_value=MOMENT),
    ):
        yield


def store(region: str, token: str = "") -> S3UploadStore:
    """Of an account that does not exist (AWS's own example key)."""
    environment = {
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        **({"AWS_SESSION_TOKEN": token} if token else {}),
    }
    return S3UploadStore(AwsClients(environment))


CONDITIONS: dict[str, Any] = {
    "size": 5,
    "media_type": "image/jpeg",
    "metadata": {"owner": "ann"},
    "sha256": SHA256,
    "seconds": 900,
}

PUT = (
    "https://safelight-intake.s3.{region}.amazonaws.com"
    "/a9/uploads/01890a5d-ac96-774b-bcce-b302099a8057/b%C3%A4r%201.jpg"
    "?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2F{region}%2Fs3%2Faws4_request"
    "&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900"
    "&X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost%3Bif-none-match"
    "%3Bx-amz-checksum-sha256%3Bx-amz-meta-owner{token}&X-Amz-Signature={signature}"
)
PART = (
    "https://safelight-intake.s3.{region}.amazonaws.com"
    "/a9/uploads/01890a5d-ac96-774b-bcce-b302099a8057/b%C3%A4r%201.jpg"
    "?uploadId=UP%2FID&partNumber=2&X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2F{region}%2Fs3%2Faws4_request"
    "&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900"
    "&X-Amz-SignedHeaders=content-length%3Bhost{token}&X-Amz-Signature={signature}"
)
TOKEN = "TOKEN/+="
QUOTED = "&X-Amz-Security-Token=TOKEN%2F%2B%3D"
SIGNATURES = {
    ("us-east-1", ""): (
        "d9cddbdea39cd9b5f6260d666fd830b87bdfadd6e15b53470ac0ff5f36a2163f",
        "71d5c5d76c411606424b1fc3691014937b58b32063a40c3acf1b66ce0a3d75d3",
        "4fb296a3adc12ee5fdc4aeb7a5dcbbf623d473c233c5fc215144739c2689e413",
    ),
    ("us-east-1", TOKEN): (
        "5eef874caa0a34f6d8344f7791a2c69f8bf35b7ffe099738621404969070c052",
        "548a5b96d75531aedc5971149a2affb19963b5dd2c7faa865b633bf0a7088d64",
        "4dd08ce9e9bc2e2219cdaee2d5541b3fd5a84509bc6475747ec1e3cdb433e27c",
    ),
    ("eu-central-1", ""): (
        "ea14905ab829fe9a3206536e8e95391c4c812980efe09c3c9dfc1e9f4dcb2328",
        "79963cd7fecd29f1a99ec32f3b433da23fbd1f05f3edb2ff341f328ec08733d6",
        "ff73f878a4c8b6db0a3cf7896f33fa948ff49e73fd48f020dfcc8194b6604b4f",
    ),
    ("eu-central-1", TOKEN): (
        "aa1a8e95a92bde2cac6c651791ccce951aa12d2574af089a70d42a2cdd60f60f",
        "2e971133eba5e6290b4d7ce83f3f9250497f693188243048335fd92de4c2c626",
        "73b59957835771ae7ddfb66aab2b0b293c3da97ad2dc0c223f97d13d39ecbeed",
    ),
}
"""Of a whole file, a part and a form, by region and session token."""
everywhere = pytest.mark.parametrize(("region", "token"), SIGNATURES)


@everywhere
def test_the_address_of_a_file(region: str, token: str) -> None:
    """Length, type, digest, owner and If-None-Match are signed; the client sends these headers."""
    with frozen():
        ticket = store(region, token).put("safelight-intake", KEY, **CONDITIONS)

    assert ticket.method == "PUT"
    assert ticket.url == PUT.format(
        region=region, token=QUOTED if token else "", signature=SIGNATURES[region, token][0]
    )
    assert ticket.headers == {
        "content-type": "image/jpeg",
        "if-none-match": "*",
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(SHA256)).decode(),
        "x-amz-meta-owner": "ann",
    }


@everywhere
def test_the_address_of_a_part(region: str, token: str) -> None:
    """Its length is signed, and nothing else needs to be sent."""
    with frozen():
        found = store(region, token).parts("safelight-intake", KEY, "UP/ID", {2: 7}, seconds=900)

    assert found[2].url == PART.format(
        region=region, token=QUOTED if token else "", signature=SIGNATURES[region, token][1]
    )
    assert found[2].headers == {}


@everywhere
def test_the_policy_of_a_form(region: str, token: str) -> None:
    """Every field but the signature is a condition, and the size has no room."""
    with frozen():
        ticket = store(region, token).form("safelight-intake", KEY, **CONDITIONS)

    fields = dict(ticket.fields)
    policy = json.loads(base64.b64decode(fields.pop("policy")))
    assert ticket.url == f"https://safelight-intake.s3.{region}.amazonaws.com/"
    assert fields.pop("x-amz-signature") == SIGNATURES[region, token][2]
    assert policy["expiration"] == "2026-01-02T03:19:05Z"
    exact = {
        name: text
        for one in policy["conditions"]
        if isinstance(one, dict)
        for name, text in one.items()
    }
    assert exact == {**fields, "bucket": "safelight-intake"}
    assert fields["key"] == KEY
    ranges = [one for one in policy["conditions"] if isinstance(one, list)]
    assert ranges == [["content-length-range", 5, 5]]


def test_uploads_have_their_storage_class_at_once() -> None:
    """A later transition would be paid. It is signed, in a form too; not at the edge."""
    edge = EdgeTickets(url="https://media.example.com/", key="ab" * 32)
    clients = store("eu-central-1")._clients
    made = S3UploadStore(clients, edge=edge, storage_class=UploadClass.INTELLIGENT_TIERING)
    put = made.put("safelight-intake", KEY, **CONDITIONS)
    form = made.form("safelight-intake", KEY, **CONDITIONS)
    there = made.put("safelight-intake", KEY, **CONDITIONS, route=UploadRoute.DISTRIBUTION)

    named = {"x-amz-storage-class": "INTELLIGENT_TIERING"}
    assert put.headers.items() >= named.items()
    assert "x-amz-storage-class" in parse_qs(put.url)["X-Amz-SignedHeaders"][0].split(";")
    assert form.fields.items() >= named.items()
    assert named in json.loads(base64.b64decode(form.fields["policy"]))["conditions"]
    assert "x-amz-storage-class" not in there.headers


TICKETS = (
    "75dcf035494ec735cb9b1faa3b9509db8f41959689a8ea7eef3c2576494c38b9",
    "9cfc99dc9c4f4b6073c604601b116a5fdf47f0e16ab8edaeef04c076afcb6bbc",
)
"""Of a file and of a part: HMAC-SHA-256 of the lines of pulumi/functions/upload_ticket.js."""
ACCELERATED = {
    ("us-east-1", ""): (
        "4f54bc167d0fd74ff9033cee9705886d66ccf968aa06b668205125ff8fd423b1",
        "c2895d1a2e7559cb23bd94513b99a44ec32f44433c296f699586e7d701dcf388",
        "4fb296a3adc12ee5fdc4aeb7a5dcbbf623d473c233c5fc215144739c2689e413",
    ),
    ("us-east-1", TOKEN): (
        "654d57e6b2039e1cdf192bafcba7f0baefb69bfeda50db63c21a67a2295dcda0",
        "f9a0893a1373f51af8b705e17b04eca14a81c295c79dcecc651a8bcea33f1c2f",
        "4dd08ce9e9bc2e2219cdaee2d5541b3fd5a84509bc6475747ec1e3cdb433e27c",
    ),
    ("eu-central-1", ""): (
        "87961d0f682703275259b2b61c23f999be5f2434a575159c06864e718ef6ed81",
        "b0817c58d0082d830020a350726bbb5e739aae46998bde3e06418ada6def3b7c",
        "ff73f878a4c8b6db0a3cf7896f33fa948ff49e73fd48f020dfcc8194b6604b4f",
    ),
    ("eu-central-1", TOKEN): (
        "a8ca5e5bc58f80e2f1af8a89a28f934bac46f19192a50c69878c2ef38203f6d1",
        "05179c0d2e5eecebddf8f61695eaf6120564b940029d5d4f824a6e3718c0e2d6",
        "73b59957835771ae7ddfb66aab2b0b293c3da97ad2dc0c223f97d13d39ecbeed",
    ),
}
"""Of a whole file, a part and a form, by region and session token, at the host of the edge."""
EDGE = "safelight-intake.s3-accelerate.amazonaws.com"


@everywhere
def test_through_the_edge_every_condition_is_kept(region: str, token: str) -> None:
    """Another host, and with it another signature; the region of the bucket stays signed."""
    edge = UploadRoute.ACCELERATED
    with frozen():
        made = store(region, token)
        put = made.put("safelight-intake", KEY, **CONDITIONS, route=edge)
        parts = made.parts("safelight-intake", KEY, "UP/ID", {2: 7}, seconds=900, route=edge)
        form = made.form("safelight-intake", KEY, **CONDITIONS, route=edge)
        plain = made.put("safelight-intake", KEY, **CONDITIONS)
        plain_form = made.form("safelight-intake", KEY, **CONDITIONS)

    whole, part, policy = ACCELERATED[region, token]
    given = {"region": region, "token": QUOTED if token else ""}
    regional = f"safelight-intake.s3.{region}.amazonaws.com"
    assert put.url == PUT.format(**given, signature=whole).replace(regional, EDGE)
    assert put.headers == plain.headers
    assert parts[2].url == PART.format(**given, signature=part).replace(regional, EDGE)
    assert form.url == f"https://{EDGE}/"
    # A policy names no host: the same form, signed alike.
    assert form.fields == plain_form.fields
    assert form.fields["x-amz-signature"] == policy


def test_a_ticket_of_the_distribution() -> None:
    """Address by address, as the function at the edge reads it; without a key there is none."""
    edge = EdgeTickets(url="https://media.example.com/", key="ab" * 32, now=lambda: 1_767_323_045)
    made = S3UploadStore(AwsClients({}), edge=edge)
    route = UploadRoute.DISTRIBUTION
    put = made.put("safelight-intake", KEY, **CONDITIONS, route=route)
    parts = made.parts("safelight-intake", KEY, "UP/ID", {2: 7}, seconds=900, route=route)

    key = "a9/uploads/01890a5d-ac96-774b-bcce-b302099a8057/b%C3%A4r%201.jpg"
    path = f"https://media.example.com/{key}"
    assert put.url == f"{path}?expires=1767323945&ticket={TICKETS[0]}"
    assert put.headers["if-none-match"] == "*"
    assert parts[2].url == (
        f"{path}?uploadId=UP%2FID&partNumber=2&expires=1767323945&ticket={TICKETS[1]}"
    )
    with pytest.raises(ConfigurationError, match="SAFELIGHT_UPLOAD_KEY"):
        store("eu-central-1").put("safelight-intake", KEY, **CONDITIONS, route=route)


def test_a_distribution_without_a_key_is_found_at_the_start() -> None:
    """With each setting that is missing, and not at the first upload."""
    settings = Settings.from_environment({**ENVIRONMENT, "SAFELIGHT_UPLOAD_ROUTES": "distribution"})

    with pytest.raises(SettingsError) as raised:
        assemble(settings, AwsClients({"AWS_REGION": "eu-central-1"}))

    assert [one.path for one in raised.value.problems] == [
        *("SAFELIGHT_DELIVERY_URL", "SAFELIGHT_UPLOAD_KEY")
    ]
