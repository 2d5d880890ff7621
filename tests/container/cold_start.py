"""Compare cold starts of the ingest function in several images, in turn, on the same machine.

Usage: ``python -m tests.container.cold_start IMAGE... [--rounds N]``; ``.make/cold-start`` runs it.
From ``docker start`` to the answer to a first upload, as ``test_start`` does it. The images take
turns, so that whatever else the machine does hits all of them alike. The first image is the
baseline.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import docker

from tests.container.emulated import Cloud, cloud, event
from tests.container.engine import Engine
from tests.container.lambda_function import emulator_program, function
from tests.unit.pictures import encoded, photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What the starts of one image took, in seconds."""

    answered: list[float] = field(default_factory=list)
    """From the start of the container to the answer."""
    cost: list[float] = field(default_factory=list)
    """Processor time of the container until then."""


def measure(engine: Engine, aws: Cloud, images: list[str], rounds: int) -> dict[str, Starts]:
    """Start every image once a round, each time with an upload of its own."""
    rie, found = emulator_program(), {image: Starts() for image in images}
    for number in range(rounds + 1):
        # Another order every round: none always comes after the same one.
        turn = number % len(images)
        for place, image in enumerate(images[turn:] + images[:turn]):
            seed = number * len(images) + place
            picture = encoded(photo(640, 480, seed=seed), "JPEG")
            messages = aws.upload({f"start/{seed}.jpg": picture})
            with function(engine, rie, aws.environment, image=image) as ingest:
                answer = ingest.invoke(event(messages))
                seconds, cost = time.monotonic() - ingest.started, ingest.cpu_seconds()
                assert answer == {"batchItemFailures": []}, ingest.logs()
            aws.check_stored(f"start/{seed}.jpg")
            if number > 0:  # the first round fills the machine's cache of files
                found[image].answered.append(seconds)
                found[image].cost.append(cost)
    return found


def report(found: dict[str, Starts]) -> list[str]:
    """A line for each image: medians, and their shares of the first image's."""
    base = next(iter(found.values()))
    lines = []
    for image, starts in found.items():
        parts = []
        for name, own, first in (
            ("answer", starts.answered, base.answered),
            ("processor", starts.cost, base.cost),
        ):
            middle = statistics.median(own)
            share = middle / statistics.median(first)
            parts.append(f"{name} {middle:.3f} s ({min(own):.3f} to {max(own):.3f}), {share:.2f}")
        lines.append(f"{image}: {'; '.join(parts)}")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    engine = Engine(docker.from_env(timeout=120))
    with tempfile.TemporaryDirectory() as folder, cloud(Path(folder)) as aws:
        try:
            found = measure(engine, aws, arguments.images, arguments.rounds)
        finally:
            engine.remove_all()
    print("\n".join(report(found)))  # noqa: T201
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"processes that wanted a processor, for each there is: {busy:.1f}")  # noqa: T201


if __name__ == "__main__":
    main()
