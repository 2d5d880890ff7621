"""Reviews over HTTP: lists, signed addresses of closed files, decisions, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jwt
import pytest

from tests.contract.catalogs import asset_id, at, entry, record
from tests.unit.api.rig import SECRET, Api
from worker.domain.asset import AssetRecord, Status, StoredMedia, Verdict, VideoInfo
from worker.domain.image import MediaFormat
from worker.domain.moderation import Moderation, ModerationOutcome, ModerationTier
from worker.domain.review import Review, ReviewState

SECRET_TOKEN = "AQCAAAAKgAAAAQ-a-task-token"
FAR = "2099-01-01T00:00:00Z"


class Moderated(Api):
    """An API with assets that people are asked about."""

    def ask(self, number: int = 1, *, of: dict[str, Any] | None = None, **changes: Any) -> Review:
        """An asset is held, and a state machine waits for people."""
        held = record(number, status=Status.REVIEW, **(of or {}))
        known: AssetRecord = self.catalog.commit(held, entry(held))
        asked = Review(
            asset=known.asset,
            version=known.version,
            owner=known.owner,
            reason=Verdict(code="moderation_held", message="rekognition saw violence 91 of 80"),
            asked_at=at(1),
            deadline=FAR,
            execution="arn:aws:states:run",
            stage="people",
            token=SECRET_TOKEN,
        )
        return self.catalog.open_review(replace(asked, **changes))

    def reviewer(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        person: str = "rita",
        scope: str = "review",
    ) -> Any:
        """One request of a reviewer; the answer."""
        headers = {"authorization": f"Bearer {self.token(person, scope)}"}
        answered = self.client.request(method, path, json=body, headers=headers)
        for secret in (SECRET_TOKEN, "arn:aws:states"):
            assert secret not in answered.text
        return answered


def test_open_reviews_are_listed_with_what_they_are_about() -> None:
    """Nearest deadline first, page by page, without an address that has to be signed."""
    api = Moderated()
    for number, day in ((1, 3), (2, 1), (3, 2)):
        api.ask(number, deadline=f"2099-01-0{day}T00:00:00Z")

    first = api.reviewer("GET", "/reviews?limit=2").json()
    second = api.reviewer("GET", f"/reviews?limit=2&cursor={first['cursor']}").json()

    assert [one["asset"] for one in first["reviews"]] == [asset_id(2), asset_id(3)]
    assert [one["asset"] for one in second["reviews"]] == [asset_id(1)]
    assert second["cursor"] is None
    one = first["reviews"][0]
    assert one["reason"] == {
        "code": "moderation_held",
        "message": "rekognition saw violence 91 of 80",
    }
    assert (one["state"], one["needed"], one["decisions"]) == ("open", 1, [])
    assert (one["name"], one["media"], one["picture"]) == ("IMG_0002.jpg", "image", None)
    assert one["placeholder"]["thumbhash"]
    assert "https://" not in str(first)


def test_a_review_has_signed_addresses_of_its_closed_files() -> None:
    """For ten minutes, past the distribution, and everything that a reviewer has to know."""
    api = Moderated({"SAFELIGHT_DELIVERY_URL": "https://cdn.example"})
    seen = Moderation(outcome=ModerationOutcome.HOLD, tier=ModerationTier.REKOGNITION)
    asked = api.ask(of={"moderation": seen, "tags": frozenset({"sea"})})

    shown = api.reviewer("GET", f"/reviews/{asked.id}").json()

    urls = [one["url"] for one in shown["renditions"]]
    assert len(urls) == 6
    assert all(url.startswith("https://delivery.example/") for url in urls)
    assert all(url.endswith("?seconds=600") for url in urls)
    assert "cdn.example" not in str(shown)
    assert shown["picture"]["src"] in urls
    assert shown["moderation"]["outcome"] == "hold"
    assert (shown["tags"], shown["original"]["bytes"]) == (["sea"], 1_234_567)
    assert shown["metadata"]["camera_make"] == "Apple"


def test_a_video_has_what_plays_in_one_file() -> None:
    """Segments of a stream would need an address each."""
    video = VideoInfo(
        container="mov", duration_ms=9, width=4, height=3, frame_rate="25", codec="h264"
    )
    media = tuple(
        StoredMedia(name="video", format=kind, bytes=1, key=f"aa/b/{kind.value}", sha256="0" * 64)
        for kind in (MediaFormat.HLS, MediaFormat.MP4)
    )
    api = Moderated()
    asked = api.ask(of={"film": video, "media": media})

    shown = api.reviewer("GET", f"/reviews/{asked.id}").json()

    assert shown["media"] == "video"
    assert "hls" not in {one["format"] for one in shown["renditions"]}
    assert "mp4" in {one["format"] for one in shown["renditions"]}


def test_a_reviewer_approves() -> None:
    """The response names reviewer, decision, reason and time; a repeated request gets the same
    response."""
    api = Moderated()
    asked = api.ask()
    path = f"/reviews/{asked.id}/approve"

    first = api.reviewer("POST", path, {"reason": "  harmless "})
    again = api.reviewer("POST", path, {"reason": "harmless"})

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() | {"renditions": first.json()["renditions"]}
    (said,) = first.json()["decisions"]
    assert (said["reviewer"], said["decision"], said["reason"]) == ("rita", "approve", "harmless")
    assert (first.json()["state"], first.json()["closed_at"]) == ("approved", said["time"])
    assert api.reviewer("GET", "/reviews").json()["reviews"] == []
    listed = api.reviewer("GET", "/reviews?state=approved").json()["reviews"]
    assert [one["id"] for one in listed] == [asked.id]


def test_the_reviewer_is_the_person_of_the_token() -> None:
    """Where an owner is a team, two people of it are two people."""
    api = Moderated({"SAFELIGHT_API_OWNER_CLAIM": "team"})
    asked = api.ask(needed=2, owner="news")

    def answered(person: str, team: str = "news") -> Any:
        claims = {
            "iss": "safelight",
            "aud": "safelight-api",
            "exp": 4_000_000_000,
            "sub": person,
            "team": team,
            "scope": "safelight:review-own",
        }
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        headers = {"authorization": f"Bearer {token}"}
        return api.client.post(f"/reviews/{asked.id}/approve", json={}, headers=headers)

    assert answered("eve", "sports").status_code == 404
    assert answered("rita").json()["state"] == "open"
    assert answered("rita").json()["code"] == "review_same_reviewer"
    assert answered("saul").json()["state"] == "approved"


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "after the deadline": ({"deadline": "2020-01-01T00:00:00Z"}, 409, "review_expired"),
    "expired": ({"state": ReviewState.EXPIRED}, 409, "review_expired"),
    "decided": ({"state": ReviewState.REJECTED}, 409, "review_decided"),
    "withdrawn": ({"state": ReviewState.WITHDRAWN}, 409, "review_withdrawn"),
    "of an older version": ({"version": "f" * 16}, 409, "review_withdrawn"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_decision_that_is_refused_says_why(why: str) -> None:
    """Each with a status and a stable code, and without an effect."""
    changes, status, code = REFUSED[why]
    api = Moderated()
    asked = api.ask(**changes)

    answered = api.reviewer("POST", f"/reviews/{asked.id}/approve", {})

    assert (answered.status_code, answered.json()["code"]) == (status, code)
    kept = api.catalog.review(asked.id)
    assert kept is not None
    assert kept.decisions == ()


@pytest.mark.parametrize(
    ("text", "status"),
    [("x", 404), (f"{asset_id(1)}.{'0' * 16}.1", 404), ("9" * 100, 422), ("%00", 404)],
)
def test_ids_that_are_not_ids_are_no_reviews(text: str, status: int) -> None:
    """A reviewer learns nothing but that there is none."""
    api = Moderated()

    for method, rest in (("GET", ""), ("POST", "/approve"), ("POST", "/reject")):
        body = {"reason": "x"} if method == "POST" else None
        assert api.reviewer(method, f"/reviews/{text}{rest}", body).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": "  "},
        {"reason": "x" * 1_001},
        {"reason": "a\x00b"},
        {"why": 1},
    ],
)
def test_to_reject_there_must_be_a_reason(body: dict[str, Any]) -> None:
    """One that can be read, and nothing else in the body."""
    api = Moderated()
    asked = api.ask()

    answered = api.reviewer("POST", f"/reviews/{asked.id}/reject", body)

    assert answered.status_code == 422
    assert api.catalog.review(asked.id) == asked


@pytest.mark.parametrize("query", ["?state=maybe", "?limit=0", "?limit=201", "?cursor=x", "?x=1"])
def test_wrong_filters_are_refused(query: str) -> None:
    """Not ignored."""
    assert Moderated().reviewer("GET", f"/reviews{query}").status_code == 422


def test_who_may_only_review_reads_no_assets() -> None:
    """The scope opens reviews and nothing else."""
    api = Moderated()
    asked = api.ask()

    assert api.reviewer("GET", f"/assets/{asked.asset}").status_code == 403
    assert api.reviewer("DELETE", f"/assets/{asked.asset}").status_code == 403
    assert api.reviewer("GET", f"/reviews/{asked.id}", scope="read").status_code == 403


def test_lists_of_one_owner_have_no_empty_pages() -> None:
    """Reviews of others are passed over."""
    api = Moderated()
    for number in range(1, 6):
        owner = "rita" if number == 5 else "others"
        api.ask(number, owner=owner, deadline=f"2099-01-0{number}T00:00:00Z")

    page = api.reviewer("GET", "/reviews?limit=1", scope="review-own").json()

    assert [one["asset"] for one in page["reviews"]] == [asset_id(5)]


def test_an_asset_has_the_history_of_its_reviews() -> None:
    """For its owner, oldest first, beside what moderation saw."""
    api = Moderated()
    seen = Moderation(outcome=ModerationOutcome.HOLD, tier=ModerationTier.REKOGNITION)
    asked = api.ask(of={"owner": "ann", "moderation": seen})
    api.reviewer("POST", f"/reviews/{asked.id}/reject", {"reason": "no"})

    shown = api.call("GET", f"/assets/{asked.asset}").json()

    (one,) = shown["reviews"]
    assert shown["moderation"]["tier"] == "rekognition"
    assert (one["id"], one["state"]) == (asked.id, "rejected")
    assert one["decisions"][0]["reason"] == "no"
    assert SECRET_TOKEN not in str(shown)
