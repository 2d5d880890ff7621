"""What an upload has cost, by the measured seconds of the call that handled it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.domain.ledger import CountedWork
from worker.prices import Assumptions, Prices
from worker.services.cost import cost
from worker.services.ingest import IngestResult
from worker.services.work_metrics import WORKED


def cost_per_upload(
    done: Sequence[IngestResult],
    *,
    seconds: float,
    gigabytes: float,
    price: Prices,
    need: Assumptions,
) -> float:
    """US dollars of each upload of a call that was looked at; 0 if none was.

    Args:
        done: everything that the call has done.
        seconds: that the call took, measured.
        gigabytes: of the function's memory.
        price: of what it used.
        need: requests that an upload needs. How long one takes is not taken from there.
    """
    worked = [one for one in done if one.outcome.value in WORKED]
    if not worked:
        return 0.0
    files = sum(len(one.record.renditions) for one in worked if one.record is not None)
    measured = replace(need, seconds_fixed=0.0, seconds_per_megabyte=0.0)
    requests = cost(CountedWork(objects=len(worked), files=files), price, measured)
    compute = max(0.0, seconds) * gigabytes * price.gigabyte_second
    return (requests.total + compute) / len(worked)
