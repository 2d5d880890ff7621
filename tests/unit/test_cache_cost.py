"""What docs and pulumi/README.md say the cache of hot files costs."""

from __future__ import annotations

from pathlib import Path

from worker import prices

ROOT = Path(__file__).parents[2]
HOURS = 730
SECONDS = HOURS * 3600


def test_the_figures_follow_from_the_prices() -> None:
    """Idle, full, busy, per million hits, and the number of hits from which it pays."""
    price, need = prices.load()
    readme = (ROOT / "pulumi" / "README.md").read_text("utf-8")
    delivery = " ".join((ROOT / "docs" / "delivery.md").read_text("utf-8").split())
    idle = 0.1 * HOURS * price.cache_hour
    hit = 50 * price.cache_unit
    saved = price.get_request + 0.020 * need.gigabytes * price.gigabyte_second
    month = HOURS * price.cache_hour

    assert f"${idle:.2f} a month while empty" in readme
    assert f"${month:.0f} a month for each GB" in readme
    assert f"${10_000 * SECONDS * price.cache_unit:.0f} a month for 10,000" in readme
    assert f"at most ${5 * month:.0f} a month" in readme
    assert f"at most ${50_000 * SECONDS * price.cache_unit:.0f} a month" in readme
    assert f"An empty cache costs ${idle:.2f} a month" in delivery
    assert f"50 ECPUs, ${hit * 1e6:.2f} a million" in delivery
    assert f"${price.get_request * 1e6:.2f} a million" in delivery
    assert f"${0.020 * need.gigabytes * price.gigabyte_second * 1e6:.2f} a million" in delivery
    assert f"from {idle / (saved - hit) / 1e6:.0f} million hits a month" in delivery
