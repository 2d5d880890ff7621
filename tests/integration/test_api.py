"""The API of a running local stack: tickets are used against a store that checks signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.integration.api_client import ApiClient, send, use
from tests.integration.running import Running, picture, stack, until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One stack for all tests here."""
    with stack(tmp_path_factory.mktemp("api") / "data") as made:
        yield made


@pytest.fixture
def api(running: Running) -> ApiClient:
    """Its API, for an owner with rights over their own assets."""
    return client(running, "ann")


def client(running: Running, owner: str, *scopes: str) -> ApiClient:
    """The API for somebody, with a token as the command makes it."""
    chosen = [word for one in scopes for word in ("--scope", one)]
    made = running.json("api", "token", "--owner", owner, *chosen)
    return ApiClient(made["api"], made["token"])


def photo(folder: Path, name: str = "a.jpg", colour: str = "teal") -> bytes:
    """A JPEG."""
    return picture(folder, name, colour).read_bytes()


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_an_upload_becomes_renditions(api: ApiClient, tmp_path: Path, method: str) -> None:
    """However it came; its owner, tags and addresses are there, and readable without a token."""
    data = photo(tmp_path, colour=f"#{hashlib.sha256(method.encode()).hexdigest()[:6]}")

    begun = api.upload(f"{method}.jpg", data, method=method, tags=["sea"], type="image/jpeg")
    until(lambda: api.get(f"/assets/{begun['asset']}")["status"] == "accepted")

    shown = api.get(f"/assets/{begun['asset']}")
    assert (shown["owner"], shown["tags"], shown["original"]["name"]) == (
        *("ann", ["sea"], f"{method}.jpg"),
    )
    assert [one["kind"] for one in shown["timeline"]][-1] == "waiting"
    for one in shown["renditions"]:
        status, body = send("GET", one["url"])
        assert (status, len(body)) == (200, one["bytes"])
    assert shown["snippet"].startswith("<img ")


def test_a_ticket_is_good_for_one_file_only(api: ApiClient, tmp_path: Path) -> None:
    """Another size, type, digest or key is refused by the store, and so is a second use."""
    data = photo(tmp_path, colour="navy")
    wanted = {
        "name": "one.jpg",
        "size": len(data),
        "type": "image/jpeg",
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    ticket = api.post("/uploads", wanted)["ticket"]
    url = urlsplit(ticket["url"])
    elsewhere = {**ticket, "url": urlunsplit(url._replace(path=url.path.replace("one", "two")))}
    longer = {**ticket, "url": ticket["url"].replace("X-Amz-Expires=3600", "X-Amz-Expires=9999")}
    without = {
        **ticket,
        "headers": {
            name: text for name, text in ticket["headers"].items() if name != "if-none-match"
        },
    }

    assert use(ticket, data[:-1]) == 403
    assert use(ticket, data + b"x") == 403
    assert (
        use({**ticket, "headers": {**ticket["headers"], "content-type": "text/html"}}, data) == 403
    )
    assert use(elsewhere, data) == 403
    assert use(longer, data) == 403
    assert use(without, data) == 403
    assert use(ticket, b"y" * len(data)) == 400  # the digest
    assert use(ticket, data) == 200
    assert use(ticket, data) == 412


def test_a_form_is_good_for_its_key_size_and_type_only(api: ApiClient, tmp_path: Path) -> None:
    """Every field is a condition; the emulator does not look at checksums of forms."""
    data = photo(tmp_path, colour="maroon")
    ticket = api.post(
        "/uploads", {"name": "f.jpg", "size": len(data), "type": "image/jpeg", "method": "post"}
    )["ticket"]

    def changed(**fields: str) -> dict[str, Any]:
        names = {name.replace("_", "-"): text for name, text in fields.items()}
        return {**ticket, "fields": {**ticket["fields"], **names}}

    key = ticket["fields"]["key"]
    assert use(ticket, data + b"x") >= 400
    assert use(changed(key=key.replace("f.jpg", "g.jpg")), data) == 403
    assert use({**ticket, "fields": {**ticket["fields"], "Content-Type": "text/html"}}, data) == 403
    assert use(changed(x_amz_meta_owner="bob"), data) == 403
    assert use(ticket, data) == 201


def test_parts_are_joined_once_they_are_right(api: ApiClient) -> None:
    """Missing and short parts are named; a part sent twice counts once; order does not matter."""
    size = 2 * 5 * 1024**2 + 9
    begun = api.post("/uploads", {"name": "p.bin", "size": size, "method": "multipart", "rate": 1})
    asset = begun["asset"]
    first, second, third = begun["tickets"]
    assert [first["size"], second["size"], third["size"]] == [5 * 1024**2, 5 * 1024**2, 9]

    assert send("PUT", third["url"], b"z" * 9)[0] == 200
    assert send("PUT", first["url"], b"a")[0] == 403  # its length is signed
    status, problem = api.ask("POST", f"/uploads/{asset}/complete")
    assert (status, problem["code"]) == (409, "upload_incomplete")
    assert "missing: 1, 2" in problem["detail"]

    (renewed,) = api.post(f"/uploads/{asset}/parts", {"numbers": [2]})["tickets"]
    for _ in range(2):
        assert send("PUT", renewed["url"], b"b" * 5 * 1024**2)[0] == 200
    assert send("PUT", first["url"], b"a" * 5 * 1024**2)[0] == 200
    shown = api.get(f"/uploads/{asset}")
    assert ([one["number"] for one in shown["parts"]], shown["tickets"]) == ([1, 2, 3], [])

    for _ in range(2):
        assert api.ask("POST", f"/uploads/{asset}/complete")[0] == 200
    status, problem = api.ask("POST", f"/uploads/{asset}/abort")
    assert (status, problem["code"]) == (409, "upload_finished")
    assert send("PUT", first["url"], b"a" * 5 * 1024**2)[0] == 404


def test_what_is_deleted_stays_so(api: ApiClient, running: Running, tmp_path: Path) -> None:
    """Files, record and originals go, and a ticket that is still valid brings nothing back."""
    data = photo(tmp_path, colour="gold")
    begun = api.upload("gone.jpg", data)
    asset = begun["asset"]
    until(lambda: api.get(f"/assets/{asset}")["status"] == "accepted")
    url = api.get(f"/assets/{asset}")["renditions"][0]["url"]

    assert api.deleted(asset)

    assert send("GET", url)[0] == 410
    assert api.ask("GET", f"/assets/{asset}") == (410, api.ask("GET", f"/assets/{asset}")[1])
    assert asset not in {one["id"] for one in api.get("/assets")["assets"]}
    assert use(begun["ticket"], data) == 200
    until(lambda: running.app.queue.depth(running.app.settings.queue_url, taken=True) == 0)
    assert api.ask("GET", f"/assets/{asset}")[0] == 410


def test_a_focal_point_moves_the_cuts(api: ApiClient, tmp_path: Path) -> None:
    """Cropped renditions change; uncropped renditions stay the same."""
    begun = api.upload("focus.jpg", photo(tmp_path, colour="plum"))
    asset = begun["asset"]
    until(lambda: api.get(f"/assets/{asset}")["status"] == "accepted")
    before = api.get(f"/assets/{asset}")

    def files(shown: dict[str, Any]) -> dict[str, bytes]:
        return {
            f"{one['name']}.{one['format']}": send("GET", one["url"])[1]
            for one in shown["renditions"]
        }

    old = files(before)  # the addresses lead to the new version later
    changed = api.patch(f"/assets/{asset}", {"focal_point": {"x": 0.05, "y": 0.5}})
    assert changed["focal_point"] == {"x": 0.05, "y": 0.5}
    until(lambda: api.get(f"/assets/{asset}")["version"] != before["version"])

    after = api.get(f"/assets/{asset}")
    assert after["focal_point"] == {"x": 0.05, "y": 0.5}
    new = files(after)
    assert old["thumbnail.jpeg"] != new["thumbnail.jpeg"]
    assert old["medium.jpeg"] == new["medium.jpeg"]


def test_a_rendition_that_was_lost_is_made_again(
    api: ApiClient, running: Running, tmp_path: Path
) -> None:
    """Under the same key, with the same bytes, while the others are served."""
    begun = api.upload("again.jpg", photo(tmp_path, colour="salmon"))
    asset = begun["asset"]
    until(lambda: api.get(f"/assets/{asset}")["status"] == "accepted")
    record = running.app.catalog.get(asset)
    assert record is not None
    lost, store = record.renditions[0], running.root_app.store
    bucket = running.app.settings.delivery_bucket
    store.delete(bucket, lost.key)

    status, _ = api.ask("POST", f"/assets/{asset}/reprocess")

    assert status == 202
    # In the bucket: a request of delivery would make the file itself, from a stored one.
    until(lambda: any(store.list(bucket, lost.key)))
    assert hashlib.sha256(store.get(bucket, lost.key)[0]).hexdigest() == lost.sha256
    assert send("GET", api.get(f"/assets/{asset}")["renditions"][0]["url"])[0] == 200


def test_a_job_of_an_asset_runs_for_its_owner(
    running: Running, api: ApiClient, tmp_path: Path
) -> None:
    """It is listed with the asset, and nobody else sees it."""
    begun = api.upload("work.jpg", photo(tmp_path, colour="linen"))
    asset = begun["asset"]
    until(lambda: api.get(f"/assets/{asset}")["status"] == "accepted")

    job = api.post("/jobs", {"kind": "denoise", "assets": [asset]})
    until(lambda: api.get(f"/jobs/{job['id']}")["state"] in {"SUCCEEDED", "FAILED"})

    assert api.get(f"/jobs/{job['id']}")["state"] == "SUCCEEDED"
    assert job["id"] in [one["id"] for one in api.get(f"/assets/{asset}")["jobs"]]
    assert client(running, "bob").ask("GET", f"/jobs/{job['id']}")[0] == 404


def test_only_what_is_ones_own_is_seen(running: Running, api: ApiClient, tmp_path: Path) -> None:
    """With real tokens of two owners and of an administrator."""
    asset = api.upload("mine.jpg", photo(tmp_path, colour="khaki"))["asset"]
    bob, admin = client(running, "bob"), client(running, "root", "admin")

    assert bob.ask("GET", f"/assets/{asset}")[0] == 404
    assert bob.ask("DELETE", f"/assets/{asset}")[0] == 404
    assert asset not in {one["id"] for one in bob.get("/assets")["assets"]}
    assert admin.get(f"/assets/{asset}")["owner"] == "ann"
