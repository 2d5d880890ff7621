"""The bill: lines by hand, storage by age, what the edge fetches, and the pages that quote it."""

from __future__ import annotations

import re
from dataclasses import replace
from math import exp, inf
from typing import Any

import pytest

from tests.unit.bills import NEED, PAGE, PRICE, README, ROOT, curve, line, model, priced
from worker import prices
from worker.domain.bill import Design, Traffic
from worker.domain.errors import EngineError, InputError, ProblemsError
from worker.entrypoints.cli import run
from worker.infra.bill_design import of_preset
from worker.services.bill import bill
from worker.services.bill_levers import (
    NAIVE,
    effects,
    waterfall,
)
from worker.services.bill_lines import BillLines
from worker.services.bill_month import Month
from worker.services.edge_fetches import files_fetched
from worker.services.tuning_curve import Point

# --- lines by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "usd"),
    [
        # 300 million a month, $5 a million.
        ("S3, originals written", 1_500.00),
        # Read and looked at: 600 million at $0.40 a million.
        ("S3, originals read", 240.00),
        # 1 sent by S3, 1 received, 1 deleted: 900 million at $0.40 a million.
        ("SQS, uploads", 360.00),
        ("EventBridge Pipes", 120.00),
        # Three requests for each upload: 900 million at $0.50 a million.
        ("SQS FIFO, uploads", 450.00),
        # 300 million calls at $0.20 a million.
        ("Lambda, calls of ingest", 60.00),
        # 4.9 files of each upload at $5 a million.
        ("S3, files written", 7_350.00),
        # 3,000 million units at $0.625 a million.
        ("DynamoDB, writes", 1_875.00),
        ("EventBridge, events", 300.00),
        # 16 x 730 h at $0.03625; six endpoints in three zones at a cent an hour.
        ("EC2, baseline", 423.40),
        ("VPC, endpoints", 131.40),
        # 5 GB x 730 h x $0.084.
        ("Valkey, storage", 306.60),
    ],
)
def test_lines_of_ten_million_a_day_by_hand(name: str, usd: float) -> None:
    """Each figure is computed on paper from the published prices."""
    assert line(priced(), name).usd == pytest.approx(usd, abs=0.01)


@pytest.mark.parametrize(("memory", "usd"), [(1769, 2_142.16), (1536, 2_051.14), (1280, 1_951.14)])
def test_lambda_by_hand(memory: int, usd: float) -> None:
    """300 million x (0.1 + 0.21 x 1769/memory) s x memory/1024 GB x $0.0000133334."""
    assert line(priced(Design(memory=memory)), "Lambda, ingest").usd == pytest.approx(usd, abs=0.01)


def test_every_line_is_its_amount_times_its_price() -> None:
    """So that a person with a pocket calculator can check the bill, and its sum."""
    for design in (Design(), NAIVE, Design(compute_plan="year", table_plan=True, lazy=True)):
        found = priced(design, videos_per_day=1_000, month=7)
        for one in found.lines:
            assert one.usd == pytest.approx(one.amount * one.price)
            assert "" not in (one.formula, one.unit, one.name)
        assert found.total == pytest.approx(sum(one.amount * one.price for one in found.lines))
        assert found.total == pytest.approx(sum(found.of(group) for group, _ in found.groups()))


def test_transfer_takes_the_steps_of_its_price() -> None:
    """100 TB by hand: each part of the world begins with the dearest step."""
    views = 100 * 1024 * prices.GIGABYTE / 30
    need = replace(
        NEED, viewers_elsewhere=0.0, viewers_europe=0.5, modern_clients=0.0, jpeg_view=1.0
    )
    traffic = Traffic(images_per_day=1.0, views=views)
    found = bill(Design(cache_gigabytes=0), traffic, PRICE, need)
    sent = [one for one in found.lines if one.unit == "GB" and one.name.startswith("CloudFront")]

    # 50 TB each: 10 TB at $0.085, 40 TB at $0.080.
    each = 10_240 * 0.085 + 40_960 * 0.080
    assert sum(one.usd for one in sent) == pytest.approx(2 * each)
    assert [round(one.amount) for one in sent] == [10_240, 40_960, 10_240, 40_960]


def test_rekognition_of_everything_takes_its_steps() -> None:
    """300 million pictures a month are $88,450, as everybody would pay who asked about all."""
    found = priced(replace(Design(), moderated=1.0))

    assert found.named("Rekognition") == pytest.approx(88_450)
    assert [one.amount for one in found.lines if one.name.startswith("Rekognition")] == [
        1e6,
        4e6,
        30e6,
        265e6,
    ]


def test_functions_share_the_steps_of_their_price() -> None:
    """A hundred times the load passes 7.5 billion GB-seconds once, not in each function."""
    found = priced(images_per_day=1e9)
    seconds = [one for one in found.lines if one.unit == "GB-s"]
    total = sum(one.amount for one in seconds)

    assert sum(one.amount for one in seconds if one.price == 0.0000133334) == pytest.approx(7.5e9)
    assert sum(one.usd for one in seconds) == pytest.approx(PRICE.usd("gigabyte_second", total))


def test_transitions_are_paid_unless_uploads_name_their_class() -> None:
    """$10 a million lifecycle transitions; tickets name the class, and so does the preset."""
    moved = line(priced(Design(tier_at_upload=False)), "S3, transitions to Intelligent-Tiering")
    assert moved.usd == pytest.approx(3_000)
    assert not priced().named("S3, transitions")


def test_delivery_keeps_a_vcpu() -> None:
    """Somebody waits there: 1,769 MB whatever the ingest function has, if it has less."""
    small, large = (
        line(priced(Design(memory=size), misses=0.6), "Lambda, delivery") for size in (1024, 2048)
    )
    assert small.amount == pytest.approx(900e6 * 0.6 * 0.95 * 1.1 / 3 * 0.03 * 1769 / 1024)
    assert large.amount == pytest.approx(small.amount * 2048 / 1769)


# --- storage by age -----------------------------------------------------------------------------


def month(number: int) -> Month:
    """The month of a steady load."""
    return Month(design=Design(), traffic=Traffic(month=number), price=PRICE, need=NEED)


def test_a_months_own_uploads_are_kept_for_half_of_it() -> None:
    """Uploads come evenly; those of the months before are there all month."""
    assert [month(number).kept(0) for number in (1, 2, 12)] == pytest.approx([0.5, 1.5, 11.5])


def test_ages_add_up_to_the_whole() -> None:
    """Every byte is in one class, whatever the borders."""
    for number in (1, 2, 3, 4, 5, 36):
        parts = [(0, 30), (30, 90), (90, float("inf"))]
        assert sum(month(number).kept(*part) for part in parts) == pytest.approx(number - 0.5)


def test_ages_by_hand() -> None:
    """In month 2 the first month's uploads pass 30 days one after the other: half a month's worth
    of frequent storage is theirs, half is of the infrequent tier. In month 6 there is a month in
    the frequent tier, two in the infrequent one, and the rest."""
    assert month(2).kept(0, 30) == pytest.approx(1.0)
    assert month(2).kept(30, 90) == pytest.approx(0.5)
    assert [month(6).kept(*part) for part in ((0, 30), (30, 90), (90, 10**6))] == pytest.approx(
        [1, 2, 2.5]
    )


def test_storage_is_simulated_day_by_day() -> None:
    """The closed form agrees with a count of days."""
    for number, (low, high) in [(1, (0, 7)), (3, (0, 30)), (4, (30, 90)), (5, (90, 10**6))]:
        steps = 400
        seen = 0.0
        for step in range(steps):
            now = 30 * (number - 1) + 30 * (step + 0.5) / steps
            seen += max(min(now, high) - low, 0.0)
        assert month(number).kept(low, high) == pytest.approx(seen / steps / 30, rel=1e-3)


def test_originals_move_through_the_classes() -> None:
    """In month 6: a month frequent, two months infrequent, then Glacier with a transition each."""
    found = priced(month=6)
    gigabytes = 300e6 * 1e6 / 2**30

    assert line(found, "S3, originals, infrequent tier").usd == pytest.approx(
        2 * gigabytes * 0.0125
    )
    assert line(found, "S3, originals in Glacier IR").usd == pytest.approx(2.5 * gigabytes * 0.004)
    assert line(found, "S3, transitions to Glacier IR").usd == pytest.approx(300e6 * 20e-6)
    assert not [one for one in found.lines if "archive instant" in one.name]
    assert not [one for one in priced(month=3).lines if "Glacier" in one.name]


# --- designs ------------------------------------------------------------------------------------


def test_the_defaults_are_the_preset_prod() -> None:
    """A package without the Pulumi program prices the same."""
    assert of_preset("prod").design == Design()


def test_another_preset_is_another_bill() -> None:
    """`dev` waits for nobody: no machines, no cache, no alarms."""
    found = priced(of_preset("dev").design, images_per_day=0)

    assert found.total < 1
    assert found.compute_of_a_million == 0
    assert priced(images_per_day=0).total > 500


def test_lines_follow_the_choices() -> None:
    """Every used resource has a line, and unused resources have none."""
    assert "Lambda SnapStart, kept" in {one.name for one in priced(Design(snap_start=True)).lines}
    names = {one.name for one in priced(Design(ordering="standard", delivery=False)).lines}
    assert not {one for one in names if "FIFO" in one or "CloudFront" in one or "Pipes" in one}
    bare = priced(Design(second_format="", recovery=False, archive_days=0, observed=False))
    assert line(bare, "S3, files written").amount == 3 * 300e6


def test_a_plan_takes_off_duration_and_nothing_else() -> None:
    """Lambda 12 % of GB-seconds, never of calls; machines 27 %."""
    plain, plan = priced(), priced(Design(compute_plan="year"))
    duration = sum(one.usd for one in plain.lines if one.unit == "GB-s")

    assert plain.total - plan.total == pytest.approx(0.12 * duration + 0.27 * 423.40)
    assert 0.12 * duration < 0.12 * plain.of("Compute") + 0.12 * plain.of("Queues")


def test_measured_durations_replace_the_assumed_ones() -> None:
    """At the measured size the seconds are those measured; another recipe and another size take as
    much more, as a share, as they do of the assumed seconds; INIT is the measured one."""
    seen = curve(m1280=0.3, m1769=0.25)

    def seconds(design: Design, **load: Any) -> float:
        found = bill(design, Traffic(**load), PRICE, NEED, seen)
        each = line(found, "Lambda, ingest").amount / found.images
        return each / (design.memory / 1024)

    assert seconds(Design(memory=1280)) == pytest.approx(0.3)
    assert seconds(Design(memory=1769)) == pytest.approx(0.25)
    assert seconds(Design(memory=1769, second_format="jxl")) == pytest.approx(0.25 * 0.34 / 0.31)
    assert seconds(Design(memory=1769), megabytes=2.0) == pytest.approx(0.25 * 0.52 / 0.31)
    # Half of a vCPU: the engine takes twice as long, of what is measured and of what is priced.
    half = replace(seen, points=(Point(memory=885, uploads=9, seconds=0.5), *seen.points))
    found = bill(Design(memory=885), Traffic(megabytes=2.0), PRICE, NEED, half)
    slower = 1769 / 885
    share = (0.1 + 0.42 * slower) / (0.1 + 0.21 * slower)
    assert line(found, "Lambda, ingest").amount == pytest.approx(300e6 * 0.5 * share * 885 / 1024)
    started = line(
        bill(Design(memory=1280), Traffic(), PRICE, NEED, seen), "Lambda, INIT of ingest"
    )
    assert started.amount == pytest.approx(300e6 * 0.005 * 2.0 * 1280 / 1024)


def test_an_amount_below_zero_is_no_line_that_is_left_out() -> None:
    """It is a defect, and the bill without it would be too small."""
    for amount in (-1.0, float("nan")):
        with pytest.raises(EngineError, match="the amount of 'a line' is"):
            BillLines(PRICE).add("Compute")("a line", amount, "GB-s", "gigabyte_second", "")


def test_a_memory_that_was_not_measured_is_refused() -> None:
    """Durations are not guessed beyond the curve; a lever that leads there says so."""
    seen = curve(m885=0.4, m1280=0.3)
    with pytest.raises(InputError, match="outside of what was measured"):
        bill(Design(memory=1769), Traffic(), PRICE, NEED, seen)
    small = replace(model(), design=Design(memory=1280), durations=seen)
    (memory,) = [one for one in effects(small) if one.name == "memory"]
    assert memory.change is None
    assert "outside of what was measured" in memory.why_not


def test_managed_instances_cost_machines_and_a_share() -> None:
    """vCPU hours at the price of EC2, 15 % more for management, no GB-seconds of ingest."""
    found = priced(Design(managed=True))
    hours = 300e6 * 0.31 / 3600 / NEED.provisioned_use

    assert line(found, "Lambda, machines of ingest").usd == pytest.approx(hours * 0.03625)
    assert line(found, "Lambda, management of machines").usd == pytest.approx(
        hours * 0.03625 * 0.15
    )
    assert not [one for one in found.lines if one.name == "Lambda, ingest"]


def test_machines_are_paid_for_processor_time_where_it_is_measured() -> None:
    """0.4 s an upload at 1,536 MB, of which 0.25 s of a processor: other calls use the rest."""
    seen = curve(m1536=0.4, m1769=0.35)
    points = tuple(replace(one, cpu_seconds=0.25) for one in seen.points)
    found = bill(Design(managed=True), Traffic(), PRICE, NEED, replace(seen, points=points))
    hours = 300e6 * 0.25 / 3600 / 0.7
    assert line(found, "Lambda, machines of ingest").amount == pytest.approx(hours)
    # Without it the waiting is paid as well, at the speed of one vCPU.
    found = bill(Design(managed=True), Traffic(), PRICE, NEED, seen)
    assert line(found, "Lambda, machines of ingest").amount == pytest.approx(hours * 0.35 / 0.25)


def test_the_savings_bundle_of_the_edge_by_hand() -> None:
    """30 % off transfer and requests, nothing off edge functions; none of it with a flat plan."""
    plain, bundle = priced(), priced(Design(edge_plan=True))
    covered = plain.named("CloudFront, to ", "CloudFront, requests")
    assert covered == pytest.approx(plain.named("CloudFront") - 90)
    assert plain.total - bundle.total == pytest.approx(0.3 * covered)
    flat = priced(Design(edge_plan=True, flat_rate=True), images_per_day=5e6)
    assert not [one for one in flat.lines if "Bundle" in one.name]


def test_a_flat_rate_plan_takes_what_it_is_for() -> None:
    """5 million uploads a day fit into the largest plan; 10 million are refused."""
    small = priced(Design(flat_rate=True), images_per_day=5e6)
    assert small.named("CloudFront") == 1_000
    with pytest.raises(InputError, match="no flat-rate plan takes 900,000,000 requests") as caught:
        priced(Design(flat_rate=True))
    assert caught.value.code == "input_plan"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Traffic, {"images_per_day": -1.0}),
        (Traffic, {"megabytes": float("nan")}),
        (Traffic, {"views": float("inf")}),
        (Traffic, {"month": 0}),
        (Traffic, {"misses": 1.5}),
        (Traffic, {"images_per_day": 1e-320}),
        (Design, {"architecture": "mips"}),
        (Design, {"spot": 1.5}),
        (Design, {"memory": -1}),
        (Design, {"originals": "tape"}),
    ],
)
def test_what_is_no_load_and_no_design_is_refused(kind: Any, given: dict[str, Any]) -> None:
    """With the name of what is wrong."""
    with pytest.raises(ProblemsError, match=next(iter(given))):
        kind(**given)


# --- what the edge fetches ----------------------------------------------------------------------


def test_files_that_the_edge_fetches_by_hand() -> None:
    """Views of a file: 0.5, 0.4 and 0.1 of those of the upload. All pictures alike: 1 - exp(-n).
    A skew of 1: n / (1 + n). Two caches: each has half of the views."""
    alike = (1 - exp(-0.5)) + (1 - exp(-0.4)) + (1 - exp(-0.1))
    assert files_fetched(1, inf) == pytest.approx(alike) == pytest.approx(0.8183, abs=1e-4)
    assert files_fetched(2, 1.0) == pytest.approx(1 / 2 + 0.8 / 1.8 + 0.2 / 1.2)
    assert files_fetched(2, 1.0, (0.5, 0.5)) == pytest.approx(
        2 * (0.5 / 1.5 + 0.4 / 1.4 + 0.1 / 1.1)
    )
    assert files_fetched(0, 0.35) == 0


def test_the_share_that_the_edge_fetches_falls_with_the_views() -> None:
    """0.6 at three views of a picture; at 1,000 no more than its files in each part of the world,
    which are 18: three sizes for two kinds of clients in three parts."""
    shares = {
        views: line(priced(views=views), "S3, fetched by the edge").amount / 300e6 / views
        for views in (0.1, 3.0, 20.0, 1_000.0)
    }
    assert shares[3.0] == pytest.approx(0.603, abs=0.001)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert shares[0.1] > 0.9
    assert 1_000 * shares[1_000.0] < 18
    # Of those views nobody pays for more fetches than that: not 600 a picture.
    assert line(priced(views=1e6), "S3, fetched by the edge").amount < 18 * 300e6
    dropped = line(priced(views=1e6), "Lambda, calls of delivery").amount
    assert dropped < 9 * 300e6 * (1 - 1.9 / 3)


def test_a_measured_share_is_taken() -> None:
    """CloudFront says how much it fetches: 900 million views x 0.25, of which 95 % x 1.1 / 3 are
    of files that were dropped."""
    found = priced(misses=0.25)
    assert line(found, "S3, fetched by the edge").amount == pytest.approx(225e6)
    assert line(found, "Lambda, calls of delivery").amount == pytest.approx(
        225e6 * 0.95 * (1 - 1.9 / 3)
    )


# --- small originals ----------------------------------------------------------------------------


@pytest.mark.parametrize("at_upload", [True, False])
def test_small_originals_are_neither_watched_nor_moved(*, at_upload: bool) -> None:
    """300 million of 100 kB for eleven and a half months, all at the price of the frequent tier."""
    found = priced(Design(tier_at_upload=at_upload), megabytes=0.1, month=12)
    size = 300e6 * 1e5 / 2**30 * 11.5
    originals = [one for one in found.lines if one.name.startswith("S3, originals")]
    stored = [one for one in originals if one.unit == "GB-months"]
    assert sum(one.usd for one in stored) == pytest.approx(51_200 * 0.023 + (size - 51_200) * 0.022)
    said = " ".join(one.name for one in found.lines)
    assert not any(word in said for word in ("watched", "transitions", "Glacier", "infrequent"))


def test_small_originals_in_ia_are_billed_as_128_kb() -> None:
    """300 million x 131,072 bytes for half a month, whatever their size."""
    small, smaller = (
        line(priced(Design(originals="cold"), megabytes=size), "S3, originals")
        for size in (0.1, 0.01)
    )
    assert small.amount == pytest.approx(300e6 * 131_072 / 2**30 * 0.5)
    assert small.usd == smaller.usd


def test_originals_of_128_kb_are_moved() -> None:
    """The border: 131,072 bytes are watched, a byte less is not."""
    border = 131_072 / 1e6
    assert line(priced(megabytes=border), "S3, watched by Intelligent-Tiering")
    assert not priced(megabytes=border - 1e-6).named("S3, watched")


# --- compute ------------------------------------------------------------------------------------


def test_compute_of_a_million_by_hand() -> None:
    """Seconds x gigabytes of all functions, and INIT; no calls. With a plan 12 % less of all."""
    found = priced(Design(memory=1769, cache_gigabytes=0), misses=0.6)
    gigabytes, dropped = 1769 / 1024, 3 * 0.6 * 0.95 * 1.1 / 3
    seconds = (0.1 + 0.21) * gigabytes + 0.005 * 1.5 * gigabytes  # ingest and its INIT
    seconds += 0.02 * 0.5 + 0.008 * 0.5 + 0.01 * 0.125  # outbox, ledger, grouping
    seconds += dropped * (0.03 + 0.005 * 1.5) * gigabytes  # delivery and its INIT
    assert found.compute_of_a_million == pytest.approx(seconds * 1e6 * 0.0000133334)
    plan = priced(Design(memory=1769, cache_gigabytes=0, compute_plan="year"), misses=0.6)
    assert plan.compute_of_a_million == pytest.approx(0.88 * found.compute_of_a_million)


@pytest.mark.parametrize("plan", ["", "year", "three"])
@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize("changes", [{"workflow": 1.0}, {"moderated": 0.01}, {"lazy": True}])
def test_more_work_never_lowers_the_compute(
    changes: dict[str, Any], plan: str, *, managed: bool
) -> None:
    """Adding work to a design never lowers the cost of compute."""
    design = Design(compute_plan=plan, managed=managed, second_format="")
    more = replace(design, second_format="webp" if "lazy" in changes else "", **changes)
    assert priced(more).compute_of_a_million > priced(design).compute_of_a_million


# --- the pages ----------------------------------------------------------------------------------


FRUGAL: dict[str, dict[str, Any]] = {
    "nothing": {},
    "CloudFront Security Savings Bundle, Compute and Database Savings Plans of a year": {
        "compute_plan": "year", "table_plan": True, "edge_plan": True,
    },
    "and the second format at first view": {"lazy": True},
    "and machines in place of Lambda, a provisioned table, `PriceClass_100`, no cache of hot files":
    {
        "managed": True, "capacity": "provisioned", "price_class": "PriceClass_100",
        "cache_gigabytes": 0,
    },
}  # fmt: skip


def test_the_page_has_what_would_reach_the_goal(request: pytest.FixtureRequest) -> None:
    """Each row of its table adds choices to those before; --write-golden writes the shares."""
    text, design, rows = PAGE.read_text("utf-8"), Design(), ""
    for name, more in FRUGAL.items():
        design = replace(design, **more)
        first, later = (
            waterfall(
                replace(model(month=number), design=design), moderated=False, orchestrated=False
            ).ratio
            for number in (1, 12)
        )
        rows += f"| {name} | {first:.2f}, {later:.2f} |\n"
    head = r"(?<=without moderation and workflow \|\n\| --- \| ---: \|\n)"
    written, count = re.subn(head + r"(?:\|.*\|\n)+", rows, text)
    assert count == 1
    if request.config.getoption("--write-golden"):
        PAGE.write_text(written, "utf-8")
    else:
        assert written == text


def test_the_readme_quotes_the_bill(request: pytest.FixtureRequest) -> None:
    """Its sum, its day, and what it is of the naive design's; --write-golden writes them."""
    text = written = README.read_text("utf-8")
    found, way = model().bill(), waterfall(model())
    noted = max(one.noted for one in prices.figures() if one.usd)
    for pattern, said in (
        (r"\$[\d,]+ in the first month", f"${found.total:,.0f} in the first month"),
        (r"first month, \$[\d,]+ a million", f"first month, ${found.total / 300:,.0f} a million"),
        (r"\bprices of [\d-]+ in", f"prices of {noted} in"),
        (r"the bill is \d+% of", f"the bill is {way.ratio:.0%} of"),
    ):
        written, count = re.subn(pattern, said, written)
        assert count == 1, pattern
    if request.config.getoption("--write-golden"):
        README.write_text(written, "utf-8")
    else:
        assert written == text


def test_the_picture_is_of_this_bill(request: pytest.FixtureRequest) -> None:
    """docs/bill.svg has both sums and each step; --write-golden draws it."""
    picture = ROOT / "docs" / "bill.svg"
    if request.config.getoption("--write-golden"):
        assert run(["cost", "--svg", str(picture)]) == 0
    drawn, found = picture.read_text("utf-8"), waterfall(model())

    for usd in (found.naive, *(one.change for one in found.steps), found.ours):
        assert f"{abs(usd) / 1000:,.1f}<" in drawn
    assert all(one.name in drawn for one in found.steps)


def test_metrics_are_as_many_as_their_page_says() -> None:
    """docs/metrics.md is made from the code that emits them."""
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert re.search(r"at most (\d+) metrics for CloudWatch", page)[1] == f"{NEED.metrics:g}"  # type: ignore[index]


def test_the_page_has_the_shares_that_the_edge_fetches() -> None:
    """The table of docs/cost.md follows from the formula."""
    shares = [
        line(priced(views=views), "S3, fetched by the edge").amount / 300e6 / views
        for views in (1.0, 3.0, 10.0, 20.0, 100.0, 1_000.0)
    ]
    row = " | ".join(f"{one:.2f}" if one > 0.1 else f"{one:.3f}" for one in shares)
    assert f"| share that is fetched | {row} |" in PAGE.read_text("utf-8")


def test_the_readme_of_the_program_quotes_the_bill() -> None:
    """Its figures of a month at ten million a day follow from the same prices."""
    said = " ".join((ROOT / "pulumi" / "README.md").read_text("utf-8").split())
    found, provisioned = priced(), priced(Design(capacity="provisioned"))
    fifo = found.named("EventBridge Pipes", "SQS FIFO", "Lambda, grouping")
    reads = 300e6 * NEED.read_units * PRICE.read_unit
    stored = 300e6 * NEED.record_bytes / prices.GIGABYTE
    machine = 730 * PRICE.vcpu_hour
    held = line(provisioned, "DynamoDB, provisioned writes").usd
    held += reads / PRICE.read_unit / 30 / 86_400 / 0.7 * 730 * PRICE.read_capacity_hour
    logs = line(found, "S3, access logs")
    quoted = (
        f"${line(found, 'DynamoDB, writes').usd + reads:,.0f} a month on demand",
        f"about ${held:,.0f} provisioned",
        f"about ${stored * PRICE.recovery_month:,.0f} for a month's uploads",
        f"${machine:,.0f} a month each (c7g, on demand), {PRICE.machine_plan_year:.0%} less",
        f"about ${16 * machine:,.0f} a month, ${16 * machine * 0.73:,.0f} with a savings plan",
        f"{PRICE.lambda_plan_year:.0%} less for Lambda's duration",
        f"| standard queue: send, receive, delete | ${line(found, 'SQS, uploads').usd:,.0f} |",
        f"| at most ${line(found, 'EventBridge Pipes').usd:,.0f} |",
        f"| together | at most ${fifo + line(found, 'SQS, uploads').usd:,.0f} |",
        f"${line(found, 'VPC, endpoints').usd:,.0f} with three zones",
        f"${logs.usd * 2:,.0f} for each month that is kept",
        f"{month(1).file_share:.1f} GB for 1,000 photos of 1 MB",
    )
    said = said.replace("12 %", "12%").replace("27 %", "27%")
    assert [one for one in quoted if one not in said] == []


# --- the published table of a comparable system ---------------------------------------------------

PUBLISHED = {10e6: 10.93, 125e6: 112.08}
"""Images served a month, and US dollars of Lambda: Dynamic Image Transformation for Amazon
CloudFront, implementation guide, "Lambda architecture costs" (read in a copy of 2026). It assumes
that 90 % of the requests hit the cache and that an image takes 350 ms."""


@pytest.mark.parametrize("served", PUBLISHED)
def test_lambda_costs_what_dynamic_image_transformation_publishes(served: float) -> None:
    """A tenth of the views calls a function on x86 for 350 ms. Its memory is not given: 1.5 GB
    gives the published figure of 125 million within 1 %, that of 10 million within a fifth."""
    need = replace(
        NEED,
        modern_clients=1.0,
        second_files=0.0,
        # The delivery function has 1,769 MB at least: as many GB-seconds as 0.35 s of 1,536.
        delivery_seconds=0.35 * 1536 / 1769,
        cold_share=0.0,
    )
    traffic = Traffic(images_per_day=served / 30 / 3, megabytes=0.0, views=3, misses=0.1)
    found = bill(Design(architecture="x86_64", memory=1769), traffic, PRICE, need)
    usd = found.named("Lambda, delivery", "Lambda, calls of delivery")

    assert usd == pytest.approx(PUBLISHED[served], rel=0.01 if served > 100e6 else 0.2)
