"""What work costs on AWS: counted work times the prices and assumptions of ``worker/prices.toml``.

List prices of us-east-1, on demand, no free tier. :data:`LEFT_OUT` says what is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from worker.domain.asset import SERVED
from worker.domain.events import Event
from worker.prices import Assumptions, Prices

LEFT_OUT = (
    "Not counted: delivery (CloudFront), requests to the API, logs, alarms, the segments of videos,"
    " and tiles. Nothing is taken off for Spot, nor for what was deleted."
)
_JUDGED = frozenset({"asset.accepted", "asset.held", "asset.rejected"})
_MADE = frozenset(one.value for one in SERVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedWork:
    """Counted work. Amounts of work can be added."""

    objects: int = 0
    """Uploads that the ingest function handled."""
    bytes: int = 0
    """Bytes of the originals that it fetched whole."""
    files: int = 0
    """Stored, of all recipes."""
    stored: int = 0
    """Bytes of originals and of those files."""
    heavy: int = 0
    """Uploads that the state machine ran jobs for."""
    job_hours: float = 0.0
    """vCPU hours of jobs."""

    def __add__(self, other: CountedWork) -> CountedWork:
        sums = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)
        }
        return CountedWork(**sums)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostParts:
    """US dollars."""

    requests: float
    """To S3, SQS, Lambda, EventBridge and Step Functions."""
    compute: float
    """Lambda."""
    catalog: float
    """DynamoDB."""
    jobs: float
    """Machines."""
    storage_month: float
    """Cost of a month of storage; not in the totals."""

    @property
    def total(self) -> float:
        """Without storage."""
        return self.requests + self.compute + self.catalog + self.jobs


def cost(work: CountedWork, price: Prices, need: Assumptions) -> CostParts:
    """What some work costs."""
    # Send, receive and delete; an object read, then looked at; an event.
    each = 3 * price.queue_request / need.batch + price.invocation / need.batch
    each += 2 * price.get_request + price.event
    requests = work.objects * each + work.files * price.put_request
    requests += work.heavy * need.transitions * price.transition
    seconds = work.objects * need.seconds_fixed + work.bytes / 1e6 * need.seconds_per_megabyte
    units = need.write_units * price.write_unit + need.read_units * price.read_unit
    return CostParts(
        requests=requests,
        compute=seconds * need.gigabytes * price.gigabyte_second,
        catalog=work.objects * units,
        jobs=work.job_hours * price.vcpu_hour,
        storage_month=work.stored / 1e9 * price.storage_month,
    )


def work_of(event: Event, *, heavy: bool = False) -> CountedWork:
    """The work that an event of the pipeline tells of; none of most events.

    Args:
        heavy: whether the upload has waited for jobs, and its first event was counted.
    """
    detail = event.detail
    size = _whole(detail.get("bytes"))
    if event.type == "asset.processing":
        return CountedWork(objects=1, heavy=1, stored=size)
    # What was made before and is judged once more, by a person, is counted already.
    if event.type not in _JUDGED or detail.get("was") in _MADE:
        return CountedWork()
    files = [*_list(detail.get("renditions")), *_list(detail.get("files"))]
    made = sum(_whole(one.get("bytes")) for one in files if isinstance(one, dict))
    if heavy:
        return CountedWork(files=len(files), stored=made)
    return CountedWork(objects=1, bytes=size, files=len(files), stored=size + made)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
