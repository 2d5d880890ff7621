"""The cost of an upload, from the measured seconds of the call that handled it."""

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
    memory: int,
    machine: str,
    price: Prices,
    need: Assumptions,
) -> tuple[float, ...]:
    """US dollars of each upload of a call that was looked at: they share it evenly.

    Args:
        done: everything that the call has done.
        seconds: that the call took, measured.
        memory: of the function, megabytes; Lambda bills a gigabyte as 1,024 of them.
        machine: ``platform.machine()`` of the function.
        price: of what it used.
        need: requests that an upload needs. How long one takes, and how many messages a request
            to the queue carries, is not taken from there.
    """
    worked = [one for one in done if one.outcome.value in WORKED]
    if not worked:
        return ()
    files = sum(len(one.record.renditions) for one in worked if one.record is not None)
    measured = replace(need, seconds_fixed=0.0, seconds_per_megabyte=0.0, batch=float(len(done)))
    requests = cost(CountedWork(objects=len(worked), files=files), price, measured)
    arm = machine in ("aarch64", "arm64")
    second = price.gigabyte_second if arm else price.gigabyte_second_x86
    compute = max(0.0, seconds) * memory / 1024 * second
    return ((requests.total + compute) / len(worked),) * len(worked)
