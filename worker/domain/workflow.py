"""Words of workflows: which there are, and what the function that does their stages is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_WORKFLOW = "none"
"""An upload of this recipe goes through no workflow."""
MODERATE = "moderate"
"""Only what moderation is uncertain of goes through it."""
APPROVE = "approve"
"""Each upload is closed until a person has approved it."""
VIDEO = "video"
"""What is too much for the ingest function goes through it, whatever its recipe says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCall:
    """A state machine asks the workflow function to do one stage for one version of an asset.

    The same call may come twice, and after a later one: a stage is safe to repeat.
    """

    task: str
    """The kind of the stage: ``approve``, ``publish`` ..."""
    asset: str
    version: str
    stage: str = ""
    """Its name in the workflow."""
    workflow: str = ""
    execution: str = ""
    """Id of the run."""
    token: str = ""
    """Answers a stage that waits; empty for those that answer by themselves. Never logged."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    """All else in the call, as the workflow's file has it."""
