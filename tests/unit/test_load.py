"""Load: what is planned, how it is sent, and what the check at the end finds."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.load_world import API, FakeDeployment, outcome, problem, rendition
from worker import recipes, samples
from worker.client import ApiError
from worker.codec import build, plain
from worker.domain.errors import InputError, MixError, Rejected
from worker.domain.image import Format
from worker.domain.load import (
    Flaw,
    LoadReport,
    LoadStage,
    Mix,
    MixFile,
    PlannedUpload,
    UploadOutcome,
    figures,
    percentile,
    schedule,
)
from worker.imaging.probe import probe
from worker.job_context import Stop
from worker.samples.catalogue import SAMPLES
from worker.services import load_mix
from worker.services.load import LoadOptions, LoadRun, _Clock
from worker.services.load_mix import FilledMix, marked

GOOD = MixFile(name="good.bin", share=0.75)
BAD = MixFile(name="bad.bin", share=0.25, expect="truncated")
MIX = Mix(files=(GOOD, BAD), duplicates=0.2)
MAKERS = {one.name: one.make for one in SAMPLES}


def sent(
    deployment: FakeDeployment,
    *,
    mix: Mix = MIX,
    rate: float = 200.0,
    seconds: float = 0.1,
    give_up: float = 30.0,
    stop: Stop | None = None,
    token: str | Callable[[], str] = "token",
) -> LoadReport:
    """A run of a fifth of a second on a deployment in memory."""
    options = LoadOptions(
        api=API,
        token=token,
        filled=FilledMix(
            mix=mix, contents={"good.bin": b"good" * 50_000, "bad.bin": b"bad" * 20_000}
        ),
        rate=rate,
        seconds=seconds,
        give_up=give_up,
        look=0.02,
        tag="load-test",
    )
    load = LoadRun(
        options, stop=stop, events=lambda: deployment.events, transport=lambda: deployment
    )
    return anyio.run(load.run)


def flaws(report: LoadReport) -> Counter[Flaw]:
    """How often each flaw was found."""
    return Counter(one.flaw for one in report.findings)


# --- what is planned ----------------------------------------------------------------------------


def test_the_same_seed_plans_the_same_uploads() -> None:
    """And another one plans others."""
    one, same, other = (list(schedule(MIX, rate=50, seconds=20, seed=n)) for n in (1, 1, 2))

    assert one == same
    assert one != other


def test_uploads_come_as_often_and_as_the_mix_says() -> None:
    """Of some thousands: the rate, the shares, and gaps as of a Poisson process."""
    mix = replace(MIX, abandoned=0.1, cut=0.1, slow=0.1)
    found = list(schedule(mix, rate=100, seconds=60, seed=7))

    count = len(found)
    gaps = [after.at - before.at for before, after in itertools.pairwise(found)]
    mean = math.fsum(gaps) / len(gaps)
    deviation = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert count == pytest.approx(6000, rel=0.05)
    assert deviation == pytest.approx(mean, rel=0.05)  # as exponential gaps have it
    assert sum(one.file is GOOD for one in found) / count == pytest.approx(0.75, abs=0.02)
    assert sum(one.duplicate_of is not None for one in found) / count == pytest.approx(
        0.18, abs=0.02
    )
    for trait in (
        [one.abandoned for one in found],
        [one.cut for one in found if not one.abandoned],
        [one.bytes_per_second is not None for one in found],
    ):
        assert sum(trait) / len(trait) == pytest.approx(0.1, abs=0.02)


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_a_copy_is_of_an_earlier_upload_of_its_file_that_arrives(
    seed: int, duplicates: float, abandoned: float
) -> None:
    """So that there is something that it can be a copy of; and numbers follow the time."""
    mix = replace(MIX, duplicates=duplicates, abandoned=abandoned)
    found = list(schedule(mix, rate=20, seconds=2, seed=seed))

    assert [one.number for one in found] == list(range(len(found)))
    assert [one.at for one in found] == sorted(one.at for one in found)
    for one in found:
        if one.duplicate_of is not None:
            first = found[one.duplicate_of]
            assert (first.number < one.number, first.file, first.duplicate_of) == (
                True,
                one.file,
                None,
            )
            assert not first.abandoned
            assert not one.abandoned


def test_latencies_count_from_the_planned_time_and_leave_abandoned_uploads_out() -> None:
    """A client that begins late has waited since its time."""
    outcomes = [
        UploadOutcome(
            number=number,
            at=float(number),
            file="a",
            expect="accepted",
            bytes=1,
            begun=number + 5.0,
            uploaded=number + 6.0 + number / 100,
            abandoned=number == 10,
        )
        for number in range(11)
    ]

    found = figures(outcomes, LoadStage.UPLOADED)

    assert (found.count, round(found.p50, 2), round(found.longest, 2)) == (10, 6.04, 6.09)
    assert found.per_second == pytest.approx(10 / 15.09)
    assert figures([], LoadStage.SERVED).count == 0


def test_percentiles_are_values_by_the_nearest_rank() -> None:
    """Never something between two values."""
    assert [percentile([1, 2, 3, 4], share) for share in (0.01, 0.5, 0.51, 1)] == [1, 2, 3, 4]
    assert percentile([], 0.5) == 0


# --- mixes --------------------------------------------------------------------------------------


def mistakes(folder: Path, text: str) -> str:
    """What is wrong with a mix."""
    path = folder / "mix.toml"
    path.write_text(text)
    with pytest.raises(MixError) as caught:
        load_mix.read(path, makers=lambda: MAKERS)
    assert caught.value.code == "mix_invalid"
    return "\n".join(map(str, caught.value.problems))


ONE = '[[files]]\nsample = "compass.svg"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "files: is missing"),
        ("files = []", "files: must have 1 to 100 entries, has 0"),
        ("files = [1]", "files[0]: must be a table"),
        (ONE, "files[0].share: is missing"),
        (ONE + "share = 0.9", "files: the shares are 0.9 together, must be 1"),
        (ONE + "share = 1.5", "files[0].share: must be 1e-06 to 1, is 1.5"),
        (ONE + "share = nan", "files[0].share: must be 1e-06 to 1, is nan"),
        (ONE + 'share = "1"', 'files[0].share: must be a number, is the text "1"'),
        (ONE + "share = 1\nexpct = 1", 'files[0].expct: unknown key; did you mean "expect"?'),
        (ONE + 'share = 1\nexpect = "fine"', "files[0].expect: must be accepted, rejected"),
        (ONE + 'share = 1\nmethod = "ftp"', "files[0].method: must be post, put or multipart"),
        (ONE + 'share = 1\npath = "a.jpg"', "files[0]: needs exactly one of sample and path, not"),
        ("[[files]]\nshare = 1", "files[0]: needs exactly one of sample and path, has neither"),
        ('[[files]]\nsample = "compas.svg"\nshare = 1', 'did you mean "compass.svg"?'),
        ('[[files]]\npath = "gone.jpg"\nshare = 1', "files[0].path: "),
        ('[[files]]\npath = "../a.jpg"\nshare = 1', "files[0].path: must be relative"),
        ('[[files]]\npath = "/etc/passwd"\nshare = 1', "files[0].path: must be relative"),
        ('[[files]]\npath = "link.jpg"\nshare = 1', "stay in its folder"),
        ('[[files]]\npath = "*.png"\nshare = 1', "files[0].path: names 0 files"),
        ('[[files]]\npath = "m*"\nshare = 1\nscale = 2', "files[0].scale: has no effect"),
        (ONE + "share = 0.5\n" + ONE + "share = 0.5", "files[1]: compass.svg is listed twice"),
        (ONE + "share = 1\n[clients]\nslow = 2", "clients.slow: must be 0 to 1, is 2"),
        (ONE + "share = 1\n[clients]\nslow_bytes_per_second = 0", "clients.slow_bytes_per_second"),
        (ONE + "share = 1\n[client]", 'client: unknown key; did you mean "clients"?'),
        ("files = ", "not valid TOML"),
    ],
)
def test_every_mistake_of_a_mix_has_its_path(tmp_path: Path, text: str, said: str) -> None:
    """Before anything is sent."""
    (tmp_path / "link.jpg").symlink_to("/etc/hostname")

    assert said in mistakes(tmp_path, text)


def test_a_pattern_shares_its_share_among_its_files(tmp_path: Path) -> None:
    """Evenly; the paths begin at the folder that is named."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "mix.toml").write_text('[[files]]\npath = "*.jpg"\nshare = 1\nexpect = "corrupt"')

    found = load_mix.read(tmp_path / "mix.toml", folder=folder, makers=dict)

    assert found.contents == {"a.jpg": b"a.jpg", "b.jpg": b"b.jpg"}
    assert [(one.share, one.expect) for one in found.mix.files] == [(0.5, "corrupt")] * 2


def test_the_mix_that_ships_can_be_read() -> None:
    """It has files that are rejected, copies, and connections that fail."""
    path = Path(samples.__file__).with_name("load.toml")
    small = {name: lambda _: b"content" for name in MAKERS}

    mix = load_mix.read(path, makers=lambda: small).mix

    assert math.fsum(one.share for one in mix.files) == pytest.approx(1)
    assert {one.expect for one in mix.files} > {"accepted", "truncated"}
    assert min(mix.duplicates, mix.abandoned, mix.cut, mix.slow) > 0


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_a_mark_changes_bytes_and_no_verdict(sample: Any) -> None:
    """Of each sample: the same format and size, or the same rejection."""
    data = sample.make(0.05)
    recipe = recipes.load("default")

    def verdict(content: bytes) -> object:
        try:
            found = probe(content, recipe.limits, formats=frozenset(Format))
        except Rejected as error:
            return error.code
        return found.format, found.width, found.height, found.frames

    one, two = marked(data, "load-1 1"), marked(data, "load-1 2")

    assert (one != two) == bool(data)
    assert verdict(one) == verdict(two) == verdict(data)


# --- runs ---------------------------------------------------------------------------------------


def test_a_deployment_that_works_has_no_findings() -> None:
    """Each upload has all its times, in their order; copies have the bytes of what they repeat."""
    deployment = FakeDeployment()

    report = sent(deployment)

    assert report.findings == ()
    assert len(report.outcomes) == len(list(schedule(MIX, rate=200, seconds=0.1, seed=1)))
    assert report.events == len(report.outcomes)
    assert report.renditions == 4 * sum(one.status == "accepted" for one in report.outcomes)
    for one in report.outcomes:
        assert one.begun is not None
        assert one.ticket is not None
        assert one.uploaded is not None
        assert one.accepted is not None
        assert one.at <= one.begun <= one.ticket <= one.uploaded
        assert (one.served is not None) == (one.status == "accepted")
        assert len(deployment.bodies[one.asset]) == one.bytes
        if one.duplicate_of is not None:
            first = report.outcomes[one.duplicate_of]
            assert deployment.bodies[one.asset] == deployment.bodies[first.asset]
    distinct = {
        one.duplicate_of if one.duplicate_of is not None else one.number for one in report.outcomes
    }
    assert len(set(deployment.bodies.values())) == len(distinct)


def test_a_report_comes_back_from_its_json() -> None:
    """`--out` and `--from`, and what simulations read."""
    report = sent(FakeDeployment())

    written = json.dumps(plain(report, defaults=True))

    assert build(LoadReport, json.loads(written)) == report
    assert build(LoadReport, json.loads(json.dumps(plain(report)))) == report


def test_clients_leave_are_cut_and_are_slow() -> None:
    """An abandoned upload leaves a waiting asset; a broken connection causes the whole file to be
    sent again."""
    deployment = FakeDeployment()
    mix = replace(MIX, duplicates=0, abandoned=0.3, cut=0.4, slow=0.3, slow_bytes_per_second=10**6)

    report = sent(deployment, mix=mix)

    left = [one for one in report.outcomes if one.abandoned]
    cut = [one for one in report.outcomes if one.cut]
    slow = [one for one in report.outcomes if one.slow and not one.abandoned]
    assert min(len(left), len(cut), len(slow)) > 0
    assert report.findings == ()
    assert {one.status for one in left} == {"waiting"}
    assert deployment.broken == len(left) + len(cut)
    assert [one.retries for one in cut] == [1] * len(cut)
    for one in slow:
        assert one.uploaded is not None
        assert one.begun is not None
        assert one.uploaded - one.begun >= 0.9 * one.bytes / 10**6


def lose(asset: dict[str, Any]) -> None:
    """Never decided."""
    asset |= {"status": "uploaded", "renditions": [], "timeline": [{"kind": "uploaded"}]}


def misjudge(asset: dict[str, Any]) -> None:
    """Rejected for no reason of the file's."""
    asset |= {"status": "rejected", "verdict": {"code": "corrupt", "message": ""}}


def decide_twice(asset: dict[str, Any]) -> None:
    """Two outcomes of one upload."""
    asset["timeline"].insert(0, {"kind": asset["status"]})


def render_twice(asset: dict[str, Any]) -> None:
    """Two files of one name."""
    asset["renditions"] = asset["renditions"] * 2


def shorten(asset: dict[str, Any]) -> None:
    """A file that is not as long as its record says."""
    asset["renditions"] = [{**one, "bytes": 11} for one in asset["renditions"][:1]] + (
        asset["renditions"][1:]
    )


def cut_original(asset: dict[str, Any]) -> None:
    """Another original than was sent."""
    asset["original"] = {"bytes": 1}


@pytest.mark.parametrize(
    ("change", "flaw", "text"),
    [
        (lose, Flaw.LOST, "is uploaded, not final"),
        (misjudge, Flaw.VERDICT, "is rejected, corrupt; the mix expects accepted"),
        (decide_twice, Flaw.DOUBLED, "its timeline says accepted 2 times"),
        (render_twice, Flaw.DOUBLED, "has 2 renditions a.jpeg"),
        (shorten, Flaw.FILES, "rendition a.jpeg has 10 bytes, not 11"),
        (cut_original, Flaw.FILES, "its original has 1 bytes"),
    ],
)
def test_what_goes_wrong_with_one_upload_is_found(
    change: Callable[[dict[str, Any]], None], flaw: Flaw, text: str
) -> None:
    """And nothing else is said to be wrong."""

    def once(asset: dict[str, Any]) -> None:
        if asset["id"] == "asset-1":
            change(asset)

    mix = Mix(files=(replace(GOOD, share=1.0),))
    report = sent(FakeDeployment(change=once), mix=mix, give_up=3)

    told = [one for one in report.findings if text in one.text]
    assert [(one.flaw, one.asset) for one in told] == [(flaw, "asset-1")]
    assert {one.asset for one in report.findings} == {"asset-1"}


def test_uploads_that_are_stuck_hide_no_others() -> None:
    """More than one look reads are never decided; what came after them is seen and served."""

    def first_ten(asset: dict[str, Any]) -> None:
        if int(asset["id"].removeprefix("asset-")) < 10:
            lose(asset)

    mix = Mix(files=(replace(GOOD, share=1.0),))
    report = sent(FakeDeployment(change=first_ten), mix=mix, give_up=3)

    stuck = {f"asset-{number}" for number in range(10)}
    assert {one.asset for one in report.findings if one.flaw is Flaw.LOST} == stuck
    assert len(report.outcomes) > 12
    for one in report.outcomes:
        assert (one.served is None) == (one.asset in stuck)


def test_fewer_files_than_other_uploads_have_are_found() -> None:
    """One upload of a file has a size less."""

    def once(asset: dict[str, Any]) -> None:
        if asset["id"] == "asset-1":
            del asset["renditions"][0]

    report = sent(FakeDeployment(change=once), mix=Mix(files=(replace(GOOD, share=1.0),)))

    assert [one.flaw for one in report.findings] == [Flaw.FILES]
    assert "has 3 renditions, others of good.bin have 4" in report.findings[0].text


def test_a_record_of_no_upload_is_found() -> None:
    """Something has made an asset of an upload twice."""

    def twice(asset: dict[str, Any]) -> None:
        if asset["id"] == "asset-1":
            deployment.assets["another"] = {**asset, "id": "another"}

    deployment = FakeDeployment(change=twice)

    report = sent(deployment)

    assert [(one.flaw, one.asset) for one in report.findings] == [(Flaw.DOUBLED, "another")]


def test_events_are_counted_by_their_ids() -> None:
    """Told twice with one id is allowed; two ids are two outcomes, none is a lost one."""

    def tell(asset: dict[str, Any]) -> list[Any]:
        return {
            "asset-1": [outcome(asset), outcome(asset)],
            "asset-2": [outcome(asset), outcome(asset, number=2)],
        }.get(asset["id"], [outcome(asset)])

    report = sent(FakeDeployment(tell=tell))

    assert [(one.flaw, one.asset) for one in report.findings] == [(Flaw.DOUBLED, "asset-2")]


def test_a_missing_file_is_found_and_not_served() -> None:
    """Delivery does not have what the record names."""

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        gone = request.url.path.startswith("/asset-1/")
        return httpx2.Response(404) if gone else None

    mix = Mix(files=(replace(GOOD, share=1.0),))
    report = sent(FakeDeployment(answer=answer), mix=mix, give_up=3)

    assert flaws(report) == {Flaw.FILES: 4}
    assert [one.asset for one in report.outcomes if one.served is None] == ["asset-1"]


def test_refusals_that_pass_cost_time_and_nothing_else() -> None:
    """429 and 503 of the API, and a store that is slow for a moment."""
    refused: Counter[str] = Counter()

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        kind = f"{request.method} {request.url.host}"
        refused[kind] += 1
        if kind == "POST api.test" and refused[kind] in {2, 5}:
            return problem(429 if refused[kind] == 2 else 503, "too_many_requests", retry_after="0")
        if kind == "PUT store.test" and refused[kind] == 3:
            return httpx2.Response(503)
        return None

    report = sent(FakeDeployment(answer=answer))

    assert report.findings == ()
    assert sum(one.retries for one in report.outcomes) == 3


def test_a_slow_api_makes_no_lost_uploads() -> None:
    """One look takes longer than the time after which uploads are given up."""
    report = sent(FakeDeployment(thinks=0.5), give_up=0.2)

    assert report.findings == ()
    assert all(one.accepted is not None for one in report.outcomes)


def test_a_token_that_ends_during_the_run_leaves_a_report() -> None:
    """The report names refused uploads, and that the rest could not be checked."""

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        ended = len(deployment.assets) >= 5 and request.url.host == "api.test"
        return problem(401, "token_expired") if ended else None

    deployment = FakeDeployment(answer=answer)

    report = sent(deployment, give_up=3)

    found = flaws(report)
    assert found[Flaw.REFUSED] > 0
    assert found[Flaw.UNCHECKED] >= 5
    assert {one.error for one in report.outcomes if one.uploaded is None} == {"token_expired"}
    assert len(report.outcomes) == len(list(schedule(MIX, rate=200, seconds=0.1, seed=1)))


def test_a_deployment_that_dies_leaves_a_report() -> None:
    """Clients that are still trying are given up after their time."""

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if len(deployment.assets) >= 5:
            raise httpx2.ConnectError("refused", request=request)
        return None

    deployment = FakeDeployment(answer=answer)

    report = sent(deployment, give_up=0.3)

    assert "given_up" in {one.error for one in report.outcomes}
    assert flaws(report)[Flaw.UNCHECKED] > 0


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(401, "token_invalid"), "token_invalid"),
        (httpx2.Response(200, text="<html>"), "answer_invalid"),
        (None, "unreachable"),
    ],
)
def test_nothing_is_sent_to_what_refuses_or_is_no_api(
    answer: httpx2.Response | None, code: str
) -> None:
    """A wrong token, another server, and none."""

    def answered(request: httpx2.Request) -> httpx2.Response:
        if answer is None:
            raise httpx2.ConnectError("refused", request=request)
        return answer

    deployment = FakeDeployment(answer=answered)

    with pytest.raises(ApiError) as caught:
        sent(deployment)
    assert caught.value.code == code
    assert deployment.assets == {}


def test_a_token_file_that_goes_away_leaves_a_report() -> None:
    """The report contains the uploads sent before."""
    deployment = FakeDeployment()

    def token() -> str:
        if len(deployment.assets) >= 5:
            raise InputError("the file is gone", code="input_missing")
        return "token"

    report = sent(deployment, give_up=3, token=token)

    assert {one.error for one in report.outcomes if one.uploaded is None} == {"input_missing"}
    assert set(flaws(report)) == {Flaw.REFUSED, Flaw.UNCHECKED}


def test_a_stop_ends_the_sending_and_the_rest_is_checked() -> None:
    """Sending stops; uploads in transit are aborted, which is not a finding."""
    stop = Stop()

    def change(_: dict[str, Any]) -> None:
        if len(deployment.bodies) == 5:
            stop.request()

    deployment = FakeDeployment(change=change)

    report = sent(deployment, seconds=60.0, rate=50.0, stop=stop)

    assert report.stopped
    assert 5 <= len(report.outcomes) < 100
    assert report.findings == ()


def test_clocks_that_differ_do_not_move_latencies() -> None:
    """The difference lies between what was asked and what was answered."""
    clock = _Clock()
    for least, most in ((9.9, 10.3), (9.8, 10.1)):
        clock.add(least, most)

    assert clock.difference == pytest.approx(10.0)
    clock.add(-1, 1)  # jumps: the middle one of what was seen
    assert clock.difference == pytest.approx(9.95)
    assert _Clock().difference == 0


def test_a_planned_upload_expects_what_its_client_does() -> None:
    """An abandoned upload expects a waiting asset, whatever the file is."""
    one = PlannedUpload(number=0, at=0, file=BAD)

    assert (one.expect, replace(one, abandoned=True).expect) == ("truncated", "waiting")
    assert rendition("a", "b", "c")["url"].endswith("/a/b.c")
