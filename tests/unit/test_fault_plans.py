"""Plans of faults as values and as text, what people do beside them, and how plans shrink."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import InputError
from worker.local.faults import plan as plans
from worker.local.faults.plan import FaultKind, FaultPlan, PlannedFault, random_plan
from worker.local.faults.shrink import smallest
from worker.local.faults.traffic import Deed, picture, steps


def test_a_seed_is_a_plan() -> None:
    """The same seed gives the same plan, another one another; ten minutes have every kind."""
    plan = random_plan(7, 600)
    assert plan == random_plan(7, 600)
    assert plan != random_plan(8, 600)
    assert {one.kind for one in plan.faults} == set(FaultKind)
    assert [one.at for one in plan.faults] == sorted(one.at for one in plan.faults)
    assert plan.faults[-1].at < 480


@given(st.integers(0, 10_000))
def test_a_plan_comes_back_from_its_text(seed: int) -> None:
    """A plan written as TOML is parsed to the same plan."""
    plan = random_plan(seed, 120, workers=2)
    assert plans.loads(plans.dumps(plan)) == plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "no TOML"),
        ("seconds = 10", "seed: is missing"),
        ("seed = 'x'\nseconds = 10", "seed: must be a number"),
        ("seed = 1\nseconds = 0", "seconds: must be a number from 1"),
        ("seed = 1\nseconds = true", "seconds: must be a number"),
        ("seed = 1\nseconds = 10\nfaults = []", "unknown: faults"),
        ("seed = 1\nseconds = 10\nfault = 1", "fault: must be"),
        ("seed = 1\nseconds = 10\nfault = [1]", "fault 1: must be a table"),
        ("seed = 1\nseconds = 10\n[[fault]]\nat = 1\nkind = 'flood'", "fault 1: kind: 'flood'"),
        ("seed = 1\nseconds = 10\n[[fault]]\nkind = 'kill'", "fault 1: at: is missing"),
        ("seed = 1\nseconds = 10\n[[fault]]\nat = 1\nkind = 'kill'\nwho = 1", "unknown: who"),
        ("seed = 1\nseconds = 10\n[[fault]]\nat = 1\nkind = 'slow'\ntarget = 'x'", "target: 'x'"),
        ("seed = 1\nseconds = 10\n[[fault]]\nat = 1\nkind = 'slow'\nshare = 2", "share: must be"),
    ],
)
def test_a_mistake_in_a_plan_is_named(text: str, said: str, tmp_path: Path) -> None:
    """With the file, the number of the fault and the name of what is wrong."""
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(InputError, match=r"plan\.toml: ") as caught:
        plans.load(tmp_path / "plan.toml")
    assert said in caught.value.message
    with pytest.raises(InputError, match=r"none\.toml"):
        plans.load(tmp_path / "none.toml")


def test_the_traffic_is_a_seed_too() -> None:
    """The same deeds at the same times with the same bytes; a prefix if it is shorter."""
    long = list(steps(1, 600, 2.0, videos=True))
    assert long == list(steps(1, 600, 2.0, videos=True))
    assert {one.deed for one in long} == set(Deed)
    assert list(steps(1, 60, 2.0, videos=True)) == [one for one in long if one.at < 60]
    assert 1000 < len(long) < 1400
    first, second = picture(1), picture(2)
    picture.cache_clear()
    assert (picture(1), picture(2)) == (first, second)
    assert first != second


def test_what_fails_shrinks_to_what_is_needed() -> None:
    """Of twenty, the two that fail together; each set is tried once."""
    tried: list[tuple[int, ...]] = []

    def fails(chosen: Sequence[int]) -> bool:
        tried.append(tuple(chosen))
        return {3, 17} <= set(chosen)

    assert smallest(range(20), fails) == [3, 17]
    assert len(tried) == len(set(tried)) < 60


def test_what_fails_by_itself_shrinks_to_nothing() -> None:
    """A defect that needs no fault is told from one that does."""
    assert smallest([1, 2, 3], lambda _: True) == []
    assert smallest([1], bool) == [1]


@given(st.sets(st.integers(0, 15), min_size=1, max_size=4))
def test_nothing_can_be_left_out_of_the_smallest(needed: set[int]) -> None:
    """Shrinking finds exactly the needed faults."""
    assert set(smallest(range(16), lambda chosen: needed <= set(chosen))) == needed


def test_a_part_of_a_plan_keeps_seed_and_length() -> None:
    """So that the traffic is the same."""
    plan = FaultPlan(
        seed=1, seconds=9, faults=(PlannedFault(at=1, kind=FaultKind.KILL, target="api"),)
    )
    assert plan.only([]) == FaultPlan(seed=1, seconds=9)
    assert str(plan.faults[0]) == "   1.0 s  kill         api"
