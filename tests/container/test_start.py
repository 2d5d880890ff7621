"""From `docker start` to the first answer of the ingest function, and what the time goes into."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

import pytest

from tests.container.emulated import cloud
from tests.container.engine import LAMBDA, Engine
from tests.container.lambda_function import function

STARTS = 10
MEDIAN_SECONDS = 0.6
LOADED = 3.0
"""How many times slower is let pass: a machine that does other things at the same time measures
those as well. The figure is reported always, and whether it is within the goal."""


@pytest.mark.timeout(180)
def test_the_first_answer_comes_soon(
    engine: Engine, rie: Path, tmp_path: Path, figures: list[str]
) -> None:
    """Container, emulator, interpreter, handler, all services wired: the median of ten."""
    seconds = []
    with cloud(tmp_path) as aws:
        for _ in range(STARTS):
            with function(engine, rie, aws.environment) as ingest:
                assert ingest.invoke({"Records": []}) == {"batchItemFailures": []}
                seconds.append(time.monotonic() - ingest.started)
    median = statistics.median(seconds)

    verdict = "within" if median <= MEDIAN_SECONDS else "NOT within"
    figures.append(
        f"start to first answer: median {median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), "
        f"{verdict} the goal of {MEDIAN_SECONDS} s"
    )
    assert median <= MEDIAN_SECONDS * LOADED


def test_where_the_imports_take_their_time(engine: Engine, figures: list[str]) -> None:
    """The handler's imports by package, as `-X importtime` counts them, for docs/images.md."""
    done = engine.run(
        LAMBDA, "-X", "importtime", "-c", "import worker.entrypoints.ingest", entrypoint=["python3"]
    )
    own: dict[str, int] = {}
    for line in done.errors.splitlines():
        match = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line)
        if match:
            package = match[2].split(".")[0]
            own[package] = own.get(package, 0) + int(match[1])

    assert {"worker", "aws_lambda_powertools"} <= set(own)
    figures.append(f"all imports under -X importtime: {sum(own.values()) / 1000:.0f} ms")
    for package, micros in sorted(own.items(), key=lambda one: -one[1])[:8]:
        figures.append(f"  {package}: {micros / 1000:.1f} ms")
