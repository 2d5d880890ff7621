"""From an upload event to renditions and a catalog record, with exactly one effect.

``messages`` reads what queues deliver, ``prepare`` reads and renders, ``service`` writes, and
``batch`` runs the three side by side for the messages of one batch.
"""

from worker.services.ingest.batch import Batch, Delivery
from worker.services.ingest.messages import uploads_in
from worker.services.ingest.prepare import Decision, Download, IngestOutcome, Policy
from worker.services.ingest.service import Ingest, IngestResult

__all__ = [
    "Batch",
    "Decision",
    "Delivery",
    "Download",
    "Ingest",
    "IngestOutcome",
    "IngestResult",
    "Policy",
    "uploads_in",
]
