"""What moves the bill: levers, the way from the naive design, goals, plans, and uncertainty."""

from __future__ import annotations

import pytest

from tests.unit.bills import NEED, PRICE, line, model, priced
from worker.domain.bill import Design, Traffic
from worker.services.bill import bill
from worker.services.bill_levers import (
    LEVERS,
    NAIVE,
    STEPS,
    choices,
    commitments,
    effects,
    provisioned_break_even,
    reach,
    sensitivity,
    views_for_avif,
    waterfall,
)

# --- levers -------------------------------------------------------------------------------------


def test_every_lever_moves_the_bill() -> None:
    """With videos, at a load that the plan takes, and once files have aged."""
    found = effects(model(videos_per_day=10_000, images_per_day=3e6, month=12))

    assert len(found) == len(LEVERS)
    assert [one.name for one in found if not one.change] == []
    assert sum(one.share for one in found) == pytest.approx(
        sum(one.change or 0 for one in found)
        / model(videos_per_day=10_000, images_per_day=3e6, month=12).bill().total
    )


def test_a_lever_that_is_not_possible_says_why() -> None:
    """Ten million a day are too many for a flat-rate plan."""
    (plan,) = [one for one in effects(model()) if one.name == "flat-rate plan"]

    assert plan.change is None
    assert "no flat-rate plan takes" in plan.why_not


def test_the_way_from_the_naive_design_leads_to_this_one() -> None:
    """Every choice is moved once, the steps add up, and so do their shares."""
    assert sorted(one for _, moved in STEPS for one in moved) == sorted(choices())
    for number in (1, 12, 36):
        found = waterfall(model(month=number))
        assert found.naive + sum(one.change for one in found.steps) == pytest.approx(found.ours)
        assert sum(one.share for one in found.steps) == pytest.approx(1)
        ours = model(month=number).bill(moderated=0.01, workflow=0.01).total
        assert found.ours == pytest.approx(ours)


def test_the_naive_design_by_hand() -> None:
    """14 states of each of 300 million, Rekognition for all, nine files of each."""
    found = priced(NAIVE)

    assert found.named("Step Functions") == pytest.approx(300e6 * 14 * 25e-6)
    assert found.named("Rekognition") == pytest.approx(88_450)
    assert line(found, "S3, files written").usd == pytest.approx(300e6 * 9 * 5e-6)
    assert line(found, "Lambda, ingest").usd == pytest.approx(
        300e6 * 0.97 * 1769 / 1024 * 0.0000166667
    )


def test_what_the_naive_design_is_without_moderation() -> None:
    """12 of its 14 states make the variants; without a workflow there is no state at all."""
    whole, plain, bare = (
        waterfall(model(), **choice).naive
        for choice in ({}, {"moderated": False}, {"moderated": False, "orchestrated": False})
    )
    calls = 12 * 300e6 * (25e-6 + 0.2e-6)
    seconds = 12 * 300e6 * 0.5 * 0.5
    assert plain - bare == pytest.approx(calls + seconds * 0.0000166667)
    assert whole - plain > 88_450 + 2 * 300e6 * 25e-6


def test_the_goals_of_ten_million_a_day() -> None:
    """The whole bill is less than half of the naive one and tracing less than 2 % of it."""
    found = {one.name: one for one in reach(model())}

    assert found["bill ÷ naive design"].met
    assert found["the same, nothing moderated in either"].met
    assert found["tracing ÷ bill"].met
    for number in (12, 36):
        assert {one.name: one for one in reach(model(month=number))}["bill ÷ naive design"].met


def test_plans_are_sized_by_the_quietest_hour() -> None:
    """The commitment is used in every hour, so none of it is wasted."""
    found = {one.name: one for one in commitments(model())}
    duration = sum(one.usd for one in model().bill().lines if one.unit == "GB-s") / 730

    plan = found["Compute Savings Plan, 1 year, for Lambda"]
    assert plan.hourly == pytest.approx(duration * 0.4 * 0.88)
    assert plan.saves == pytest.approx(duration * 0.4 * 0.12 * 730)
    assert plan.break_even == pytest.approx(0.88)
    bundle = found["CloudFront Security Savings Bundle, 1 year"]
    saved = model().bill().total - model().bill(edge_plan=True).total
    assert bundle.saves == pytest.approx(saved)
    assert bundle.hourly == pytest.approx(saved / 0.3 * 0.7 / 730)
    assert all(one.saves > 0 for one in found.values())


def test_provisioned_capacity_pays_from_29_percent_of_use() -> None:
    """An hour of a unit costs $0.00065; 3,600 writes on demand cost $0.00225."""
    assert provisioned_break_even(PRICE) == pytest.approx(0.00065 / 0.00225)


def test_avif_pays_from_so_many_views() -> None:
    """Below them making it costs more than it saves, above them less."""
    views = views_for_avif(model())
    assert 2 < views < 100

    def change(each: float) -> float:
        traffic = Traffic(views=each)
        plain = bill(Design(cache_gigabytes=0), traffic, PRICE, NEED)
        return (
            bill(Design(cache_gigabytes=0, avif="viewed"), traffic, PRICE, NEED).total - plain.total
        )

    assert change(3) > 0 > change(300)


def test_what_is_uncertain_is_sorted_by_what_it_does() -> None:
    """The greatest first; the bill as it is lies between, or at one end."""
    found = sensitivity(model())
    total = model().bill().total

    assert [one.swing for one in found] == sorted((one.swing for one in found), reverse=True)
    for one in found:
        low, high = sorted((one.usd_low, one.usd_high))
        assert low - 0.01 <= total <= high + 0.01
