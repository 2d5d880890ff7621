"""What is made again, and jobs: for owners, on their own assets, with nothing else as input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batch.job_services import JobServices
from tests.unit.api.rig import Api
from tests.unit.batch.attempts import MemoryTransfers, attempt
from tests.unit.pictures import encoded, photo
from worker import recipes
from worker.domain.asset import JobRecord, ObjectVersion, Status
from worker.domain.delivery import url_path
from worker.domain.errors import JobMissing
from worker.domain.image import Fit, Gravity
from worker.domain.job import JobRequest, JobState, JobStatus
from worker.domain.keys import version_prefix
from worker.domain.label import BoundingBox, Label
from worker.services.job_results import tiles_key
from worker.services.messages import changes_in

DATA = encoded(photo(60, 40), "JPEG")


class ListedJobs:
    """``ports.Jobs`` that keeps what was submitted."""

    def __init__(self) -> None:
        """Start empty."""
        self.requests: dict[str, JobRequest] = {}
        self.stopped: list[str] = []

    def submit(self, request: JobRequest) -> str:
        """See the port."""
        self.requests[request.name] = request
        return request.name

    def describe(self, job: str) -> JobStatus:
        """See the port."""
        if job not in self.requests:
            raise JobMissing(job)
        return JobStatus(
            id=job, name=job, kind="denoise", state=JobState.RUNNING, progress=0.5, doing="work"
        )

    def named(self, prefix: str) -> list[JobStatus]:
        """See the port."""
        return []

    def stop(self, job: str, reason: str) -> None:
        """See the port."""
        self.stopped.append(job)


def accepted(api: Api, owner: str = "ann", data: bytes = DATA) -> str:
    """An asset whose original is there and was accepted."""
    made = api.begin(owner, size=len(data))
    upload = api.store.upload("intake", made["key"], data)
    record = api.catalog.records[made["asset"]]
    api.catalog.records[made["asset"]] = replace(
        record,
        status=Status.ACCEPTED,
        upload=None,
        source=upload,
        recipe_digest="d" * 64,
        version="0123456789abcdef",
    )
    return str(made["asset"])


# --- made again ---------------------------------------------------------------------------------


def test_a_focal_point_is_kept_and_announced() -> None:
    """To the hundredth; the message is that of the upload itself."""
    api = Api()
    asset = accepted(api)

    answered = api.call("PATCH", f"/assets/{asset}", {"focal_point": {"x": 0.123, "y": 1}})

    assert answered.json()["focal_point"] == {"x": 0.12, "y": 1.0}
    (body,) = api.queue.bodies("work.fifo")
    (upload,) = changes_in(body)
    assert isinstance(upload, ObjectVersion)
    source = api.catalog.records[asset].source
    assert (upload.key, upload.sequencer, upload.etag) == (
        *(source.key, source.sequencer, source.etag),
    )
    assert upload.version_id == source.version_id


def test_the_same_point_again_makes_nothing() -> None:
    """Nor does a change of something else; taking the point away does."""
    api = Api()
    asset = accepted(api)
    changes: list[tuple[Any, int]] = [
        ({"focal_point": {"x": 0.5, "y": 0.5}}, 1),
        ({"focal_point": {"x": 0.5, "y": 0.5}}, 1),
        ({"add_tags": ["x"]}, 1),
        ({"focal_point": None}, 2),
        ({"focal_point": None}, 2),
    ]

    for change, messages in changes:
        assert api.call("PATCH", f"/assets/{asset}", change).status_code == 200
        assert len(api.queue.bodies("work.fifo")) == messages
    assert api.catalog.records[asset].focal_point is None


@pytest.mark.parametrize(
    "point",
    [
        {"x": 1.1, "y": 0},
        {"x": "0.5", "y": 0},
        {"x": 0, "y": True},
        {"x": "left", "y": 0},
        {"x": 0.5},
        [0, 1],
    ],
)
def test_a_point_outside_of_the_picture_is_refused(point: Any) -> None:
    """The request is refused without a write."""
    api = Api()
    asset = accepted(api)

    assert api.call("PATCH", f"/assets/{asset}", {"focal_point": point}).status_code == 422
    assert api.queue.bodies("work.fifo") == []


def test_a_recipe_is_focused_where_it_cuts() -> None:
    """And is itself where it does not, or where nobody has named a point."""
    recipe = recipes.load("default")

    focused = recipes.focused(recipe, (0.2, 0.3))

    assert focused.digest != recipe.digest
    assert recipes.parse(recipes.dump(focused)).digest == focused.digest
    for before, after in zip(recipe.renditions, focused.renditions, strict=True):
        if before.fit is Fit.COVER:
            assert (after.gravity, after.focal_point) == (Gravity.FOCAL, (0.2, 0.3))
        else:
            assert after == before
    assert recipes.focused(recipe, None) is recipe


def test_what_was_made_is_made_again() -> None:
    """The record stays as it is, but counts as made by no recipe; twice is twice."""
    api = Api()
    asset = accepted(api)

    for _ in range(2):
        answered = api.call("POST", f"/assets/{asset}/reprocess")
        assert (answered.status_code, answered.json()["status"]) == (202, "accepted")

    assert api.catalog.records[asset].recipe_digest == ""
    assert len(api.queue.bodies("work.fifo")) == 2


@pytest.mark.parametrize("status", [Status.WAITING, Status.REJECTED, Status.DELETED])
def test_what_was_never_made_is_not_made_again(status: Status) -> None:
    """A conflict, with a code of its own."""
    api = Api()
    asset = accepted(api)
    record = api.catalog.records[asset]
    api.catalog.records[asset] = replace(record, status=status)

    for method, path, body in (
        ("POST", f"/assets/{asset}/reprocess", None),
        ("PATCH", f"/assets/{asset}", {"focal_point": {"x": 0, "y": 0}}),
    ):
        answered = api.call(method, path, body)
        assert (answered.status_code, answered.json()["code"]) == (409, "asset_unmade")
    assert api.queue.bodies("work.fifo") == []


# --- deleted ------------------------------------------------------------------------------------


def test_the_id_of_a_deleted_asset_stays_taken() -> None:
    """It answers 410 to its owner, 404 to others, and no upload is newer than its end."""
    api = Api()
    asset = accepted(api)

    assert api.call("DELETE", f"/assets/{asset}").status_code == 204

    assert api.call("GET", f"/assets/{asset}").json()["code"] == "asset_erased"
    assert api.call("GET", f"/assets/{asset}", owner="bob").status_code == 404
    assert api.call("GET", "/assets").json()["assets"] == []
    assert api.store.keys("intake") == set()
    late = api.store.upload("intake", api.catalog.records[asset].source.key, DATA)
    assert not late.newer_than(api.catalog.records[asset].source.sequencer)


# --- jobs ---------------------------------------------------------------------------------------


def test_a_job_works_on_the_originals_of_its_assets() -> None:
    """Its name leads back to the asset, in whose list it is."""
    jobs = ListedJobs()
    api = Api(jobs=jobs)
    asset = accepted(api)

    answered = api.call(
        "POST",
        "/jobs",
        {"kind": "denoise", "assets": [asset], "parameters": {"strength": "5"}},
    )

    assert answered.status_code == 202, answered.text
    job = answered.json()
    (request,) = jobs.requests.values()
    source = api.catalog.records[asset].source
    assert request.inputs == (f"s3://intake/{source.key}",)
    assert (request.asset, request.output[:14]) == (asset, "s3://delivery/")
    assert request.traceparent == source.trace
    assert not request.closed
    assert job["id"] == f"{asset}.{request.name}"
    shown = api.call("GET", f"/jobs/{job['id']}").json()
    assert (shown["state"], shown["progress"]) == ("RUNNING", 0.5)
    assert [one["id"] for one in api.call("GET", f"/assets/{asset}").json()["jobs"]] == [job["id"]]
    assert api.call("DELETE", f"/jobs/{job['id']}").status_code == 204
    assert jobs.stopped == [request.name]


def test_what_a_job_makes_of_a_held_asset_is_closed() -> None:
    """From the first write, as the asset's own files are."""
    jobs = ListedJobs()
    api = Api(jobs=jobs)
    asset = accepted(api)
    api.catalog.update(asset, decision=(Status.REVIEW, None))

    answered = api.call("POST", "/jobs", {"kind": "denoise", "assets": [asset]})

    assert answered.status_code == 202, answered.text
    (request,) = jobs.requests.values()
    assert request.closed


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"SAFELIGHT_DELIVERY_URL": "https://cdn.example"}, "https://cdn.example{}image.dzi"),
        # Each tile would need a signed address of its own.
        ({}, None),
    ],
)
def test_tiles_that_a_job_made_have_an_address(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: str | None
) -> None:
    """A real job in memory makes them; those of an original that has been replaced are no tiles."""
    api = Api(environment, jobs=ListedJobs())
    asset = accepted(api)
    assert api.call("GET", f"/assets/{asset}").json()["tiles"] is None
    submitted = api.call("POST", "/jobs", {"kind": "deepzoom", "assets": [asset]})
    assert submitted.status_code == 202, submitted.text
    (request,) = api.jobs.requests.values()
    monkeypatch.setenv("SAFELIGHT_TABLE", "catalog")
    line = ["deepzoom", "--input", *request.inputs, "--output", request.output, "--asset", asset]
    services = JobServices(api.store, MemoryTransfers(api.store), api.catalog)

    # The second time nothing is made, and the job's line keeps what it says of the tiles.
    for _ in range(2):
        ended = attempt(*line, services=services, environment={"AWS_BATCH_JOB_ID": request.name})
        assert ended.code == 0, ended.lines

    folder = request.output.removeprefix("s3://delivery/")
    tiles = api.call("GET", f"/assets/{asset}").json()["tiles"]
    assert tiles == (found.format(url_path(folder)) if found else None)
    assert f"{folder}image.dzi" in api.store.keys("delivery")
    record = api.catalog.records[asset]
    newer = replace(record, source=replace(record.source, etag="another"))
    assert tiles_key(newer, api.catalog.jobs(asset), "delivery") is None


def test_what_jobs_made_is_not_made_again() -> None:
    """A conflict that says why, as the asset does; jobs asked for beside change nothing."""
    api = Api(jobs=ListedJobs())
    asset = accepted(api)
    assert api.call("POST", "/jobs", {"kind": "denoise", "assets": [asset]}).status_code == 202
    assert api.call("GET", f"/assets/{asset}").json()["settled"] == ""
    record = api.catalog.records[asset]
    output = f"s3://delivery/{version_prefix(record)}"
    times = {"created_at": "2026-11-29T12:00:00Z", "updated_at": "2026-11-29T12:00:00Z"}
    api.catalog.put_job(
        JobRecord(
            asset=asset,
            id="heavy",
            kind="batch-process",
            state="SUCCEEDED",
            detail={"output": output},
            **times,
        )
    )

    said = api.call("GET", f"/assets/{asset}").json()["settled"]

    assert "made by jobs" in said
    for method, path, body in (
        ("POST", f"/assets/{asset}/reprocess", None),
        ("PATCH", f"/assets/{asset}", {"focal_point": {"x": 0, "y": 0}}),
    ):
        answered = api.call(method, path, body)
        assert (answered.status_code, answered.json()["code"]) == (409, "asset_unmade")
        assert said in answered.json()["detail"]


def test_a_job_is_its_owners() -> None:
    """Under the id of another asset of theirs it is not found, and of course not by others."""
    jobs = ListedJobs()
    api = Api(jobs=jobs)
    asset, other = accepted(api), accepted(api, data=encoded(photo(50, 40), "JPEG"))
    job = api.call("POST", "/jobs", {"kind": "denoise", "assets": [asset]}).json()["id"]
    name = job.partition(".")[2]

    assert api.call("GET", f"/jobs/{job}", owner="bob").status_code == 404
    assert api.call("DELETE", f"/jobs/{job}", owner="bob").status_code == 404
    assert api.call("GET", f"/jobs/{other}.{name}").status_code == 404
    assert jobs.stopped == []


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        ({"kind": "nonsense"}, "body.kind", "there is no kind"),
        ({"kind": "batch-process"}, "body.kind", "no work on assets"),
        ({"kind": "transcode-plan"}, "body.kind", "no work on assets"),
        (
            *({"kind": "denoise", "parameters": {"strength": "many"}},),
            *("body.parameters.strength", "number"),
        ),
        (
            *({"kind": "denoise", "parameters": {"colour": "red"}},),
            *("body.parameters.colour", "not a parameter"),
        ),
        ({"kind": "transcode"}, "body.assets", "takes videos"),
    ],
)
def test_what_no_job_can_be_is_refused(body: dict[str, Any], path: str, said: str) -> None:
    """With every mistake in the words of the API, before anything is submitted."""
    jobs = ListedJobs()
    api = Api(jobs=jobs)
    asset = accepted(api)

    answered = api.call("POST", "/jobs", {"assets": [asset], **body})

    assert answered.status_code == 422
    (wrong,) = answered.json()["errors"]
    assert wrong["path"] == path
    assert said in wrong["message"]
    assert "s3://" not in wrong["message"]
    assert jobs.requests == {}


def test_an_asset_is_not_named_twice_in_a_job() -> None:
    """One picture beside itself is no panorama."""
    api = Api(jobs=ListedJobs())
    asset = accepted(api)

    answered = api.call("POST", "/jobs", {"kind": "stitch", "assets": [asset, asset]})

    assert [one["path"] for one in answered.json()["errors"]] == ["body.assets"]


def test_two_owners_assets_do_not_meet_in_a_job() -> None:
    """Somebody else's input is as good as missing."""
    jobs = ListedJobs()
    api = Api(jobs=jobs)
    mine, theirs = accepted(api, "ann"), accepted(api, "bob")

    answered = api.call("POST", "/jobs", {"kind": "stitch", "assets": [mine, theirs]})

    assert (answered.status_code, answered.json()["code"]) == (404, "asset_missing")
    assert jobs.requests == {}


def test_an_asset_without_an_original_gets_no_job() -> None:
    """It waits for one."""
    api = Api(jobs=ListedJobs())
    asset = api.begin()["asset"]

    answered = api.call("POST", "/jobs", {"kind": "denoise", "assets": [asset]})

    assert (answered.status_code, answered.json()["code"]) == (409, "original_missing")


# --- what a page asks for again and again -----------------------------------------------------


def test_an_unchanged_list_costs_no_bytes() -> None:
    """Until an asset changes; whose list it is decides, not who has asked before."""
    api = Api()
    asset = accepted(api)
    first = api.call("GET", "/assets")
    tag = first.headers["etag"]

    again = api.call("GET", "/assets", if_none_match=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert first.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"
    assert {"Authorization", "Origin"} <= {*first.headers["vary"].split(", ")}
    assert api.call("GET", "/assets", owner="bob", if_none_match=tag).status_code == 200
    api.call("PATCH", f"/assets/{asset}", {"add_tags": ["best"]})
    changed = api.call("GET", "/assets", if_none_match=tag)
    assert changed.json()["assets"][0]["tags"] == ["best"]


def test_labels_are_shown_and_searched() -> None:
    """By the tag of a label, and by how certain the model was; a person may refuse one."""
    api = Api()
    asset, other = accepted(api), accepted(api)
    box = BoundingBox(left=0.25, top=0.5, width=0.125, height=0.5)
    dog = Label(name="Dog", confidence=98.5, model_version="3.0", boxes=(box,))
    api.catalog.update(asset, labels=(dog,), add_tags=[dog.tag])
    api.catalog.update(other, add_tags=[dog.tag])  # a person says so: nobody knows how certain

    def listed(query: str) -> set[str]:
        return {one["id"] for one in api.call("GET", f"/assets?{query}").json()["assets"]}

    assert listed("tag=label:dog") == {asset, other}
    assert listed("tag=label:dog&confidence=98.5") == {asset}
    assert listed("tag=label:dog&confidence=99") == set()
    for wrong in ("confidence=50", "tag=label:dog&confidence=101", "tag=x&confidence=nan"):
        answered = api.call("GET", f"/assets?{wrong}")
        assert (answered.status_code, answered.json()["code"]) == (422, "request_invalid"), wrong
    assert api.call("GET", f"/assets/{asset}").json()["labels"] == [
        {
            "name": "Dog",
            "tag": "label:dog",
            "confidence": 98.5,
            "source": "rekognition",
            "model_version": "3.0",
            "boxes": [{"left": 0.25, "top": 0.5, "width": 0.125, "height": 0.5}],
            "refused": False,
        }
    ]
    api.call("PATCH", f"/assets/{asset}", {"remove_tags": ["label:dog"]})
    (shown,) = api.call("GET", f"/assets/{asset}").json()["labels"]
    assert shown["refused"]


def test_an_original_has_an_address_for_a_while() -> None:
    """Ten minutes; before it has arrived there is none."""
    api = Api()
    asset = accepted(api)
    waiting = api.begin()["asset"]

    url = api.call("GET", f"/assets/{asset}/original").json()["url"]
    missing = api.call("GET", f"/assets/{waiting}/original")

    assert url == f"https://intake.example/{api.catalog.records[asset].source.key}?seconds=600"
    assert (missing.status_code, missing.json()["code"]) == (404, "asset_missing")
