"""A workflow of one's own in the whole local stack. tests/integration/test_review_kills.py has the
shipped one, whose processes are killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.job_uploads import wait_for
from tests.integration.running import picture, stack, until
from worker.domain.asset import Status

STRICT = """
name = "strict"
version = 1
starts = "always"
first = "people"
failed = "broken"
[stages.people]
kind = "approve"
people = 2
deadline_hours = 48
default = "reject"
on = { approved = "publish", rejected = "refuse" }
[stages.publish]
kind = "publish"
next = "end"
[stages.refuse]
kind = "reject"
next = "end"
[stages.broken]
kind = "fail"
error = "StrictFailed"
message = "Look at the run, then resume it."
"""
RECIPE = """
name = "checked"
version = 1
workflow = "strict.toml"
[[renditions]]
name = "page"
width = 100
formats = ["jpeg"]
"""


@pytest.mark.timeout(300)
def test_a_workflow_beside_the_recipe_runs_in_the_stack_of_that_recipe(tmp_path: Path) -> None:
    """Its machine is deployed with the others, asks two people, and ends as they decide."""
    (tmp_path / "strict.toml").write_text(STRICT)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    with stack(tmp_path / "data", "--recipe", str(recipe)) as running:
        asset = running.json("put", picture(tmp_path, "a.jpg"))["asset"]
        record = wait_for(running, asset, lambda one: one.status is Status.REVIEW)
        assert record.workflow == "strict"
        # A machine that waits has set a deadline.
        until(lambda: any(one["deadline"] for one in running.json("review", "list")))
        (review,) = running.json("review", "list")
        assert review["needed"] == 2
        (run,) = running.json("workflow", "runs", "strict", "--state", "running")
        assert run["name"] == f"{asset}-{record.version}"

        running.run("review", "approve", review["id"], "--reviewer", "ann")
        refused = running.failure("review", "approve", review["id"], "--reviewer", "ann ", code=2)
        assert refused["code"] == "review_same_reviewer"
        running.run("review", "approve", review["id"], "--reviewer", "ben")

        wait_for(running, asset, lambda one: one.status is Status.PUBLISHED)
        ended = ("workflow", "runs", "strict", "--state", "succeeded")
        until(lambda: [one["name"] for one in running.json(*ended)] == [run["name"]])
