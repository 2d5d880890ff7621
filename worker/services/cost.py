"""Cost of work on AWS: counted work times the prices and assumptions of ``worker/prices.toml``.

List prices of us-east-1, on demand, no free tier. :data:`LEFT_OUT` lists what is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.ledger import CountedWork
from worker.prices import GIGABYTE, Assumptions, Prices

LEFT_OUT = (
    "Not counted: delivery (CloudFront), requests to the API, logs, alarms, the segments of videos,"
    " and tiles. Nothing is taken off for Spot, nor for what was deleted."
)


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
    questions: float
    """To Rekognition."""
    storage_month: float
    """Cost of a month of storage; not in the totals."""

    @property
    def total(self) -> float:
        """Without storage."""
        return self.requests + self.compute + self.catalog + self.jobs + self.questions


def cost(
    work: CountedWork, price: Prices, need: Assumptions, *, asked_before: int = 0
) -> CostParts:
    """The cost of counted work.

    Args:
        asked_before: earlier questions to Rekognition in the month, which determine the price tier.
    """
    # SQS send, receive and delete; GET and HEAD of the object; an event.
    each = 3 * price.queue_request / need.batch + price.invocation / need.batch
    each += 2 * price.get_request + price.event
    requests = work.objects * each + work.files * price.put_request
    requests += work.heavy * need.transitions * price.transition
    seconds = work.objects * need.seconds_fixed + work.bytes / 1e6 * need.seconds_per_megabyte
    units = need.write_units * price.write_unit + need.read_units * price.read_unit
    asked = price.usd("rekognition", asked_before + work.questions)
    return CostParts(
        requests=requests,
        compute=seconds * need.gigabytes * price.gigabyte_second,
        catalog=work.objects * units,
        jobs=work.job_hours * price.vcpu_hour,
        questions=asked - price.usd("rekognition", asked_before),
        storage_month=work.stored / GIGABYTE * price.storage_month,
    )
