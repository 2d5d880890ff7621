"""One endpoint for a client that speaks S3: every request of an upload, and those that are none."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from tests.unit.api.rig import Api
from worker.domain.asset import is_tombstone

MEBIBYTE = 1024**2
FILE = {"name": "a.jpg", "size": 20 * MEBIBYTE, "type": "image/jpeg"}


def sign(api: Api, method: str, **more: Any) -> Any:
    """What is signed, or done."""
    answered = api.call("POST", "/uploads/sign", {"method": method, "key": "file-1", **more})
    assert answered.status_code == 200, answered.text
    return answered.json()


def xml(signed: Any) -> str:
    """What the store would have answered."""
    scheme, _, text = signed["url"].partition(",")
    assert scheme == "data:application/xml"
    return unquote(text)


def test_a_small_file_gets_a_form() -> None:
    """Its size is a condition, which a request of S3 by itself does not name."""
    api = Api()
    signed = sign(api, "PUT", contentType="image/jpeg", file={**FILE, "size": 9, "tags": ["sea"]})

    record = api.catalog.records[signed["key"]]
    assert ({*record.tags}, record.source.size) == ({"sea"}, 9)
    assert (signed["url"], signed["fields"]["size"]) == ("https://intake.example/", "9")
    assert "headers" not in signed


def test_a_large_file_goes_in_parts() -> None:
    """Begun, sent, listed after a reload, and completed: each request by its own name."""
    api = Api()
    begun = sign(api, "POST", file=FILE)
    asset = begun["key"]
    assert xml(begun) == (
        f"<InitiateMultipartUploadResult><UploadId>{asset}</UploadId>"
        "</InitiateMultipartUploadResult>"
    )

    part = sign(api, "PUT", uploadId=asset, partNumber=2)
    assert (part["url"].rpartition("?")[2], part["key"]) == (f"part=2&size={4 * MEBIBYTE}", asset)
    api.fill(asset, {1: 16 * MEBIBYTE})
    assert xml(sign(api, "GET", uploadId=asset)) == (
        "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>&quot;1&quot;</ETag></Part>"
        "</ListPartsResult>"
    )
    api.fill(asset, {2: 4 * MEBIBYTE})
    for _ in range(2):  # the answer may get lost
        assert f"<Key>{asset}</Key>" in xml(sign(api, "POST", uploadId=asset))
    assert api.uploads.calls.count("complete") == 1


def test_an_upload_can_be_given_up() -> None:
    """Parts and record go; a mark stays."""
    api = Api()
    asset = sign(api, "POST", file=FILE)["key"]

    assert "Abort" in xml(sign(api, "DELETE", uploadId=asset))
    assert all(map(is_tombstone, api.catalog.records.values()))


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"method": "PUT"}, "body.method"),
        ({"method": "GET", "file": FILE}, "body.method"),
        ({"method": "DELETE"}, "body.method"),
        ({"method": "PUT", "uploadId": "{asset}"}, "body.method"),
        ({"method": "PUT", "file": FILE, "partNumber": 1}, "body.method"),
        ({"method": "GET", "uploadId": "{asset}", "partNumber": 1}, "body.method"),
        ({"method": "PUT", "uploadId": "{asset}", "partNumber": 3}, "body.numbers"),
        ({"method": "PATCH"}, "body.method"),
        ({"method": "GET", "uploadId": "../x"}, "body.uploadId"),
        ({"method": "POST", "file": {**FILE, "recipe": "none"}}, "body.file.recipe"),
        ({"method": "POST", "file": {**FILE, "colour": "red"}}, "body.file.colour"),
    ],
)
def test_what_no_upload_asks_for_is_refused(request_: dict[str, Any], path: str) -> None:
    """With the field; nothing is begun."""
    api = Api()
    asset = sign(api, "POST", file=FILE)["key"]
    wanted = {name: asset if text == "{asset}" else text for name, text in request_.items()}

    answered = api.call("POST", "/uploads/sign", wanted)

    assert answered.status_code == 422
    assert [one["path"] for one in answered.json()["errors"]] == [path]
    assert set(api.catalog.records) == {asset}
