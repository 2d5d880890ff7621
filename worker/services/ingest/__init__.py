"""From an upload event to renditions and a catalog record, with exactly one effect.

``messages`` reads what queues deliver, ``service`` does the work for one upload, ``batch`` does
it for one batch of messages with the next download running beside the current encoding.
"""

from worker.services.ingest.batch import Batch, Delivery
from worker.services.ingest.messages import uploads_in
from worker.services.ingest.service import Fetched, Ingest, Ingested, Outcome, Policy

__all__ = [
    "Batch",
    "Delivery",
    "Fetched",
    "Ingest",
    "Ingested",
    "Outcome",
    "Policy",
    "uploads_in",
]
