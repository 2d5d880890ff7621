"""Heavy uploads: from the record that waits to jobs, and from what they leave to the final record.

``service`` starts and finishes, ``results`` reads what jobs have left, ``film`` and ``picture``
make a record of it.
"""

from worker.services.heavy.service import Finished, Heavy, HeavyPolicy, JobReport

__all__ = ["Finished", "Heavy", "HeavyPolicy", "JobReport"]
