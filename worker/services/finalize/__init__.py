"""Heavy uploads: from the record that waits to jobs, and from what they leave to the final record.

``service`` starts and finishes, ``results`` reads what jobs have left, ``film`` and ``picture``
make a record of it.
"""

from worker.services.finalize.service import FinalizePolicy, Finalizer, Finished, JobReport

__all__ = ["FinalizePolicy", "Finalizer", "Finished", "JobReport"]
