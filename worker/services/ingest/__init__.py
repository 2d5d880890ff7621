"""From an upload event to renditions and a catalog record, with exactly one effect.

``messages`` reads what queues deliver, ``prepare`` reads and renders, ``service`` writes, and
``batch`` runs the three side by side for the messages of one batch.
"""

from worker.services.ingest.batch import Batch, Delivery
from worker.services.ingest.messages import uploads_in
from worker.services.ingest.prepare import Fetched, Outcome, Policy, Prepared
from worker.services.ingest.service import Ingest, Ingested

__all__ = [
    "Batch",
    "Delivery",
    "Fetched",
    "Ingest",
    "Ingested",
    "Outcome",
    "Policy",
    "Prepared",
    "uploads_in",
]
