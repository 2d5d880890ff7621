"""From `docker start` to the first answer of the ingest function, and what the time goes into."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

import pytest

from tests.container.emulated import cloud, event
from tests.container.engine import LAMBDA, Engine
from tests.container.lambda_function import function
from tests.unit.pictures import encoded, photo

STARTS = 10
MEDIAN_SECONDS = 0.6
LOADED = 3.0
"""How many times slower is let pass: a machine that does other things at the same time measures
those as well. The figure is reported always, and whether it is within the goal."""


@pytest.mark.timeout(300)
def test_the_first_answer_comes_soon(
    engine: Engine, rie: Path, tmp_path: Path, figures: list[str]
) -> None:
    """A new container for every upload: read, rendered, stored, recorded, announced, answered."""
    wired: list[float] = []
    answered: list[float] = []
    with cloud(tmp_path) as aws:
        keys = [f"start/{number}.jpg" for number in range(STARTS)]
        messages = aws.upload(
            {key: encoded(photo(640, 480, seed=n), "JPEG") for n, key in enumerate(keys)}
        )
        for message in messages:
            with function(engine, rie, aws.environment) as ingest:
                assert ingest.invoke(event([message])) == {"batchItemFailures": []}, ingest.logs()
                answered.append(time.monotonic() - ingest.started)
            # What of it is the engine's, the emulator's and the imports': an empty batch.
            with function(engine, rie, aws.environment) as ingest:
                assert ingest.invoke({"Records": []}) == {"batchItemFailures": []}
                wired.append(time.monotonic() - ingest.started)
        for key in keys:
            aws.check_stored(key)

    median = statistics.median(answered)
    verdict = "within" if median <= MEDIAN_SECONDS else "NOT within"
    figures.append(f"start to the answer to an upload: {spread(answered)}, {verdict} the goal")
    figures.append(f"start to the answer to an empty batch: {spread(wired)}")
    assert median <= MEDIAN_SECONDS * LOADED


def spread(seconds: list[float]) -> str:
    """The median of some times, and their range."""
    return f"median {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


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
