"""Uploads through the API: from the first call to the original, with everything that goes wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.api.rig import Api
from worker.domain.asset import Status, asset_id_of, folder_of
from worker.services.upload import (
    MOST_PARTS,
    SMALLEST_PART,
    file_name,
    new_asset_id,
    part_size,
)

MEBIBYTE = 1024**2


def test_the_asset_exists_from_the_first_call_on() -> None:
    """It waits, is listed, and its key leads back to it."""
    api = Api()

    made = api.begin(tags=["sea"], attributes={"roll": "12"})

    record = api.catalog.records[made["asset"]]
    assert record.status is Status.WAITING
    assert (record.owner, {*record.tags}) == ("ann", {"sea"})
    assert record.attributes == {"roll": "12"}
    assert asset_id_of("intake", made["key"]) == made["asset"]
    assert folder_of(made["key"]) is not None
    (listed,) = api.call("GET", "/assets?status=waiting").json()["assets"]
    assert (listed["id"], listed["status"]) == (made["asset"], "waiting")
    assert listed["original"]["name"] == "harbour.jpg"


def test_an_upload_begins_with_one_write_and_no_request_to_the_store() -> None:
    """It is what every user waits for."""
    api = Api()

    api.begin()

    assert api.catalog.fuse.calls == ["catalog.commit"]
    assert api.store.fuse.calls == api.uploads.calls == []


@pytest.mark.parametrize(
    ("wanted", "method"),
    [
        ({"size": 1}, "put"),
        ({"size": 16 * MEBIBYTE}, "put"),
        ({"size": 16 * MEBIBYTE + 1}, "multipart"),
        ({"size": 1, "method": "post"}, "post"),
        ({"size": 1, "method": "multipart"}, "multipart"),
        ({"size": 8 * MEBIBYTE, "rate": 100_000}, "multipart"),  # a minute and more
        ({"size": 4 * MEBIBYTE, "rate": 1_000}, "put"),  # less than a part
        ({"size": 6 * MEBIBYTE, "network": "3g"}, "multipart"),
        ({"size": 6 * MEBIBYTE, "network": "4g"}, "put"),
        ({"size": 6 * MEBIBYTE, "network": "3g", "rate": 10**7}, "put"),  # it knows better
    ],
)
def test_size_rate_and_choice_decide_how_it_comes(wanted: dict[str, Any], method: str) -> None:
    """Small files in one request, large or slow ones in parts."""
    made = Api().begin(**wanted)

    assert made["method"] == method
    assert (made["ticket"] is None) is (method == "multipart")
    assert bool(made["tickets"]) is (method == "multipart")


def test_a_form_is_signed_for_exactly_what_was_asked_for() -> None:
    """Key, size, type, labels and digest."""
    api = Api()
    made = api.begin(method="post", sha256="AB" * 32, tags=["sea"])

    fields = made["ticket"]["fields"]
    assert made["ticket"]["method"] == "POST"
    assert (fields["key"], fields["size"], fields["sha256"]) == (made["key"], "1000", "ab" * 32)
    assert "'owner': 'ann'" in fields["metadata"]


def test_the_parts_cover_the_file() -> None:
    """All but the last have one size; none is missing or doubled."""
    api = Api()
    size = 3 * 16 * MEBIBYTE + 7

    made = api.begin(size=size)

    assert made["part_count"] == 4
    assert [one["offset"] for one in made["tickets"]] == [n * 16 * MEBIBYTE for n in range(4)]
    assert sum(one["size"] for one in made["tickets"]) == size
    assert made["tickets"][-1]["size"] == 7


@pytest.mark.parametrize(
    ("size", "rate"),
    [(1, None), (10**9, 1), (10**9, 10**10), (5 * 1024**4, 1), (5 * 1024**4, None)],
)
def test_parts_are_within_the_limits_of_the_store(size: int, rate: int | None) -> None:
    """Never too small, never too many, whole mebibytes."""
    chosen = part_size(size, rate)

    assert chosen >= SMALLEST_PART
    assert chosen % MEBIBYTE == 0
    assert -(-size // chosen) <= MOST_PARTS


def test_an_upload_in_parts_goes_on_after_a_break() -> None:
    """The response lists the parts that have arrived, with tickets for missing parts."""
    api = Api()
    made = api.begin(size=40 * MEBIBYTE)
    api.fill(made["asset"], {2: 16 * MEBIBYTE})

    shown = api.call("GET", f"/uploads/{made['asset']}").json()

    assert [one["number"] for one in shown["parts"]] == [2]
    assert [one["number"] for one in shown["tickets"]] == [1, 3]


def test_tickets_are_renewed_many_at_once() -> None:
    """For any parts, in any order, doubled ones once; another way than the first is possible."""
    api = Api(ROUTES)
    made = api.begin(size=40 * MEBIBYTE)

    answered = api.call(
        "POST", f"/uploads/{made['asset']}/parts", {"numbers": [3, 1, 3], "route": "accelerated"}
    ).json()

    assert [one["number"] for one in answered["tickets"]] == [1, 3]
    assert all(one["url"].startswith("https://edge.") for one in answered["tickets"])


def test_a_part_that_does_not_exist_gets_no_ticket() -> None:
    """The mistake names the parts that there are."""
    api = Api()
    made = api.begin(size=40 * MEBIBYTE)

    answered = api.call("POST", f"/uploads/{made['asset']}/parts", {"numbers": [1, 4]})

    assert answered.status_code == 422
    (error,) = answered.json()["errors"]
    assert "parts 1 to 3, no 4" in error["message"]


@pytest.mark.parametrize(
    ("told", "size"),
    [
        ({}, 16),
        ({"network": "4g"}, 16),
        ({"network": "2g"}, 5),
        ({"rate": 500_000}, 8),
        ({"rate": 20_000_000}, 287),
        ({"rate": 10**9}, 512),
        ({"rate": 1, "network": "4g"}, 5),
    ],
)
def test_parts_take_a_quarter_of_a_minute_on_the_line_of_the_client(
    told: dict[str, Any], size: int
) -> None:
    """As far as the client says what its line is like, within the limits of the store."""
    made = Api().begin(size=10**9, **told)

    assert made["part_size"] == size * MEBIBYTE


ROUTES = {"SAFELIGHT_UPLOAD_ROUTES": "direct,accelerated"}


@pytest.mark.parametrize("size", [1_000, 40 * MEBIBYTE])
@pytest.mark.parametrize(
    ("offered", "wanted", "edge"),
    [
        ("direct,accelerated", None, False),
        ("direct,accelerated", "accelerated", True),
        ("accelerated,direct", None, True),
        ("accelerated,direct", "direct", False),
    ],
)
def test_tickets_go_the_way_that_was_asked_for(
    offered: str, wanted: str | None, edge: bool, size: int
) -> None:
    """The first one of the settings, unless asked; new tickets go the same way."""
    api = Api({"SAFELIGHT_UPLOAD_ROUTES": offered})
    made = api.begin(size=size, **({"route": wanted} if wanted else {}))
    shown = api.call("GET", f"/uploads/{made['asset']}").json()

    urls = [
        one["url"] for answer in (made, shown) for one in (answer["tickets"] or [answer["ticket"]])
    ]
    assert {url.startswith("https://edge.") for url in urls} == {edge}


def test_a_way_that_there_is_not_is_refused() -> None:
    """At the beginning and when tickets are renewed; nothing is begun."""
    api = Api()
    wanted = {"name": "a.jpg", "size": 40 * MEBIBYTE}
    begun = api.call("POST", "/uploads", {**wanted, "route": "accelerated"})
    assert api.uploads.calls == []
    made = api.call("POST", "/uploads", wanted).json()
    renewed = api.call(
        "POST", f"/uploads/{made['asset']}/parts", {"numbers": [1], "route": "accelerated"}
    )

    for answered in (begun, renewed):
        assert answered.status_code == 422
        assert answered.json()["errors"] == [
            {
                "path": "body.route",
                "message": "must be one of: direct",
                "code": "route_unavailable",
            }
        ]


def test_a_form_does_not_go_through_the_distribution() -> None:
    """Asked for, it is refused; where that is the usual way, forms go directly."""
    api = Api({"SAFELIGHT_UPLOAD_ROUTES": "distribution,direct"})
    wanted = {"name": "a.jpg", "size": 1, "method": "post"}
    refused = api.call("POST", "/uploads", {**wanted, "route": "distribution"})
    form, whole = api.begin(method="post"), api.begin()

    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["path"], error["code"]) == ("body.method", "route_unavailable")
    assert form["ticket"]["url"] == "https://intake.example/"
    assert whole["ticket"]["url"].startswith("https://edge.")


OWN = {"SAFELIGHT_RECIPE": "modern", "SAFELIGHT_RECIPES": "avatar,/opt/recipes/shop.toml"}


@pytest.mark.parametrize("recipe", ["modern", "avatar", "shop"])
def test_an_upload_may_choose_a_recipe(recipe: str) -> None:
    """It is in the record, which no client can write, and in the signed metadata."""
    api = Api(OWN)
    made = api.begin(recipe=recipe, method="post", tags=[f"{n:0>100}" for n in range(40)])

    record = api.catalog.records[made["asset"]]
    assert (record.chosen_recipe, record.recipe) == (recipe, recipe)
    assert f"'recipe': '{recipe}'" in made["ticket"]["fields"]["metadata"]
    assert api.call("GET", f"/assets/{made['asset']}").json()["recipe"] == recipe


@pytest.mark.parametrize("recipe", ["none", "opt", "shop-2"])
def test_a_recipe_that_there_is_not_is_refused(recipe: str) -> None:
    """The mistake names those that there are for everybody, and nothing is begun."""
    api = Api(OWN)
    wanted = {"name": "a.jpg", "size": 1, "recipe": recipe}
    answered = api.call("POST", "/uploads", wanted)

    assert answered.status_code == 422
    assert answered.json()["errors"] == [
        {
            "path": "body.recipe",
            "message": f"no recipe is called {recipe}; choose one of: avatar, modern, shop",
            "code": "recipe_unknown",
        }
    ]
    assert not api.catalog.records


@pytest.mark.parametrize("recipe", ["../default", "/opt/recipes/shop.toml", "", "A", "a" * 65])
def test_a_recipe_is_a_name(recipe: str) -> None:
    """No path, and nothing that a header could not carry."""
    wanted = {"name": "a.jpg", "size": 1, "recipe": recipe}
    answered = Api(OWN).call("POST", "/uploads", wanted)

    assert answered.status_code == 422
    assert [one["path"] for one in answered.json()["errors"]] == ["body.recipe"]


def test_recipes_that_are_not_for_everybody_are_an_administrators() -> None:
    """Each shipped one can be tried by somebody."""
    api = Api(OWN)
    wanted = {"name": "a.jpg", "size": 1, "recipe": "archive"}
    refused = api.call("POST", "/uploads", wanted)
    token = api.token("root", "read", "write", "admin")
    taken = api.client.post("/uploads", json=wanted, headers={"authorization": f"Bearer {token}"})

    assert (refused.status_code, refused.json()["code"]) == (403, "recipe_not_allowed")
    assert taken.status_code == 201
    assert api.catalog.records[taken.json()["asset"]].chosen_recipe == "archive"


def test_another_recipe_is_another_request() -> None:
    """The idempotency key is of the whole request."""
    api = Api(OWN)
    codes = [
        api.call(
            "POST",
            "/uploads",
            {"name": "a.jpg", "size": 1, "recipe": recipe},
            idempotency_key="k",
        ).status_code
        for recipe in ("avatar", "avatar", "shop")
    ]

    assert codes == [201, 201, 422]


WHOLE = {1: 16 * MEBIBYTE, 2: 16 * MEBIBYTE, 3: 8 * MEBIBYTE}


def test_completing_twice_completes_once() -> None:
    """The second call finds what the first one has done, even if ingest was there in between."""
    api = Api()
    asset = api.begin(size=40 * MEBIBYTE)["asset"]
    api.fill(asset, WHOLE)

    first = api.call("POST", f"/uploads/{asset}/complete")
    second = api.call("POST", f"/uploads/{asset}/complete")

    assert [first.status_code, second.status_code] == [200, 200]
    assert first.json()["status"] == second.json()["status"] == "uploaded"
    assert api.uploads.calls.count("complete") == 1
    assert len(api.store.keys("intake")) == 1


def test_a_completion_whose_answer_was_lost_is_found() -> None:
    """The object is there and the parts are gone: that is what was asked for."""
    api = Api()
    made = api.begin(size=40 * MEBIBYTE)
    api.fill(made["asset"], WHOLE)
    upload = api.catalog.records[made["asset"]].upload
    assert upload is not None
    parts = api.uploads.uploaded("intake", made["key"], upload.upload_id)
    api.uploads.complete("intake", made["key"], upload.upload_id, parts)

    answered = api.call("POST", f"/uploads/{made['asset']}/complete")

    assert (answered.status_code, answered.json()["status"]) == (200, "uploaded")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "missing: 1, 2, 3"),
        ({1: 16 * MEBIBYTE, 3: 8 * MEBIBYTE}, "missing: 2"),
        ({**WHOLE, 2: 5}, "of another size: 2"),
        ({**WHOLE, 3: 8 * MEBIBYTE + 1}, "of another size: 3"),
        ({**WHOLE, 4: 1}, "of another size: 4"),
    ],
)
def test_what_is_not_whole_is_not_completed(parts: dict[int, int], said: str) -> None:
    """The message names the parts; they can still be sent."""
    api = Api()
    asset = api.begin(size=40 * MEBIBYTE)["asset"]
    api.fill(asset, parts)

    answered = api.call("POST", f"/uploads/{asset}/complete")

    assert (answered.status_code, answered.json()["code"]) == (409, "upload_incomplete")
    assert said in answered.json()["detail"]
    assert api.store.keys("intake") == set()
    api.fill(asset, WHOLE)
    if 4 not in parts:
        assert api.call("POST", f"/uploads/{asset}/complete").status_code == 200


def test_an_upload_in_one_piece_has_no_parts() -> None:
    """It needs no completion either."""
    api = Api()
    asset = api.begin()["asset"]

    for path in ("parts", "complete"):
        body = {"numbers": [1]} if path == "parts" else None
        answered = api.call("POST", f"/uploads/{asset}/{path}", body)
        assert (answered.status_code, answered.json()["code"]) == (409, "upload_unparted")


def test_an_upload_that_is_given_up_leaves_nothing() -> None:
    """Parts go, and its id stays taken; doing it again is no mistake."""
    api = Api()
    asset = api.begin(size=40 * MEBIBYTE)["asset"]

    answered = [api.call("POST", f"/uploads/{asset}/abort").status_code for _ in range(2)]

    assert answered == [204, 204]
    assert api.uploads.parts_of == {}
    assert api.call("GET", f"/uploads/{asset}").json()["code"] == "asset_erased"


def test_a_ticket_of_an_upload_that_was_given_up_brings_nothing_back() -> None:
    """The tombstone is newer than any upload, so ingest removes objects that arrive later."""
    api = Api()
    made = api.begin()
    api.call("POST", f"/uploads/{made['asset']}/abort")

    late = api.store.upload("intake", made["key"], b"x")

    assert not late.newer_than(api.catalog.records[made["asset"]].source.sequencer)
    assert api.call("GET", "/assets").json()["assets"] == []


def test_what_has_arrived_is_not_given_up() -> None:
    """An abort that loses against a completion says so, and removes nothing."""
    api = Api()
    made = api.begin(size=40 * MEBIBYTE)
    api.store.upload("intake", made["key"], b"x")

    answered = api.call("POST", f"/uploads/{made['asset']}/abort")

    assert (answered.status_code, answered.json()["code"]) == (409, "upload_finished")
    assert made["asset"] in api.catalog.records


def test_an_aborted_upload_cannot_be_completed() -> None:
    """It is over."""
    api = Api()
    asset = api.begin(size=40 * MEBIBYTE)["asset"]
    api.fill(asset, WHOLE)
    api.call("POST", f"/uploads/{asset}/abort")

    assert api.call("POST", f"/uploads/{asset}/complete").status_code == 410
    assert api.store.keys("intake") == set()


def later(api: Api, hours: float) -> None:
    """The clock of the use case goes on."""
    moment = datetime.now(UTC) + timedelta(hours=hours)
    made = api.services.app.uploads
    api.services.__dict__["uploads"] = replace(made, now=lambda: moment)
    assets = api.services.assets
    api.services.__dict__["assets"] = replace(assets, now=lambda: moment)


def test_an_upload_that_never_arrives_is_over() -> None:
    """It is listed no more, gets no tickets, and cannot be completed."""
    api = Api()
    parted = api.begin(size=40 * MEBIBYTE)["asset"]
    whole = api.begin()["asset"]
    api.fill(parted, WHOLE)
    later(api, 24.1)

    assert api.call("GET", "/assets").json()["assets"] == []
    assert api.call("GET", f"/uploads/{whole}").json()["ticket"] is None
    assert api.call("GET", f"/uploads/{parted}").json()["tickets"] == []
    answered = api.call("POST", f"/uploads/{parted}/complete")
    assert (answered.status_code, answered.json()["code"]) == (410, "upload_expired")


def test_the_same_key_is_the_same_upload() -> None:
    """Of one owner; another owner's is another one."""
    api = Api()
    wanted = {"name": "a.jpg", "size": 40 * MEBIBYTE}

    def begun(owner: str) -> Any:
        return api.call("POST", "/uploads", wanted, owner=owner, idempotency_key="k-1").json()

    first, second, other = begun("ann"), begun("ann"), begun("bob")

    assert first["asset"] == second["asset"] != other["asset"]
    assert first["key"] == second["key"]
    assert api.uploads.calls.count("begin") == 2
    assert second["tickets"]


def test_a_key_belongs_to_one_request() -> None:
    """Another request with it is a mistake of the client."""
    api = Api()
    for size, status in ((1, 201), (2, 422)):
        answered = api.call(
            "POST", "/uploads", {"name": "a.jpg", "size": size}, idempotency_key="k-1"
        )
        assert answered.status_code == status
    assert answered.json()["code"] == "upload_reused"


def test_a_repeated_request_after_the_upload_changes_nothing() -> None:
    """It finds the asset, whatever has become of it."""
    api = Api()
    wanted = {"name": "a.jpg", "size": 1}
    first = api.call("POST", "/uploads", wanted, idempotency_key="k").json()
    record = api.catalog.records[first["asset"]]
    api.catalog.records[first["asset"]] = replace(record, status=Status.ACCEPTED, upload=None)

    again = api.call("POST", "/uploads", wanted, idempotency_key="k").json()

    assert (again["asset"], again["status"], again["ticket"]) == (
        *(first["asset"], "accepted", None),
    )


@pytest.mark.parametrize("other", [{"name": "b.jpg"}, {"size": 2}])
def test_a_key_stays_with_its_request_after_the_upload(other: dict[str, Any]) -> None:
    """Another file is not told to be there because the one before it is."""
    api = Api()
    wanted = {"name": "a.jpg", "size": 1}
    first = api.call("POST", "/uploads", wanted, idempotency_key="k").json()
    record = api.catalog.records[first["asset"]]
    api.catalog.records[first["asset"]] = replace(record, status=Status.ACCEPTED, upload=None)

    answered = api.call("POST", "/uploads", {**wanted, **other}, idempotency_key="k")

    assert (answered.status_code, answered.json()["code"]) == (422, "upload_reused")


def test_a_key_of_a_deleted_asset_begins_nothing() -> None:
    """The answer is that for its id, and no success with an asset that is not there."""
    api = Api()
    wanted = {"name": "a.jpg", "size": 1}
    asset = api.call("POST", "/uploads", wanted, idempotency_key="k").json()["asset"]
    api.call("DELETE", f"/assets/{asset}")

    answered = api.call("POST", "/uploads", wanted, idempotency_key="k")

    assert (answered.status_code, answered.json()["code"]) == (410, "asset_erased")


def test_too_large_an_upload_gets_no_ticket() -> None:
    """The limit is a setting."""
    api = Api({"SAFELIGHT_UPLOAD_BYTES": "100"})

    answered = api.call("POST", "/uploads", {"name": "a", "size": 101})

    assert answered.status_code == 422
    assert answered.json()["errors"][0] == {
        "path": "body.size",
        "message": "must be at most 100 bytes",
        "code": "too_large",
    }


def test_labels_that_are_too_much_for_an_object_stay_with_the_record() -> None:
    """The object carries the owner alone."""
    api = Api()
    tags = [f"{number:0>100}" for number in range(40)]

    made = api.begin(tags=tags, method="post")

    assert api.catalog.records[made["asset"]].tags == set(tags)
    assert made["ticket"]["fields"]["metadata"] == "{'owner': 'ann'}"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("harbour.jpg", "harbour.jpg"),
        ("../../etc/passwd", "_._etc_passwd"),
        ("C:\\fake\\a.jpg", "C__fake_a.jpg"),
        ("<script>alert(1)</script>.png", "_script_alert(1)__script_.png"),
        ("a\x00b\nc.gif", "a_b_c.gif"),
        ("Mu\u0308nchen.jpg", "M\u00fcnchen.jpg"),
        ("\u202egpj.exe", "_gpj.exe"),
        (" . ", "file"),
        (".jpg", "jpg"),
        ("\ud800.jpg", "_.jpg"),
        ("写真.jpg", "写真.jpg"),
        ("a" * 300 + ".jpg", "a" * 196 + ".jpg"),
        ("写" * 100 + ".jpg", "写" * 65 + ".jpg"),
    ],
)
def test_odd_names_become_plain_ones(name: str, kept: str) -> None:
    """A key contains no path, command or markup; letters of all languages stay."""
    assert file_name(name) == kept


def test_ids_are_in_the_order_of_time() -> None:
    """Version 7 of RFC 9562."""
    first, second = new_asset_id(), new_asset_id()

    assert first[14] == second[14] == "7"
    assert first[19] in "89ab"
    assert first[:13] <= second[:13]
