"""``make fuzz``: fuzz for a while, say what failed and how to see it again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

import click

from tests.fuzz import campaign
from tests.fuzz.campaign import Budget

FOLDER = Path("build/fuzz")
CORPUS, VIDEOS = "corpus", "videos"
"""Damaged files: of pictures, through the sandbox; of videos, through ffprobe and ffmpeg."""


def main(arguments: list[str]) -> int:
    """Run; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--time", type=int, default=60, help="seconds in all, over the targets")
    parser.add_argument("--runs", type=int, default=0, help="calls of each target, instead of time")
    parser.add_argument("--target", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=1, help="another one gives other inputs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for inputs that fail")
    parser.add_argument("--replay", type=Path, help="an input that failed, for one target")
    parser.add_argument("--list", action="store_true", help="say which targets there are")
    given = parser.parse_args(arguments)
    if given.replay or given.list:
        return _without_fuzzer(given, parser)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets is part of what a seed must say.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.fuzz", *arguments])
    if not campaign.coverage_guided():
        click.echo("atheris is not installed: inputs are damaged blindly, not led by coverage")
    if given.target in ([CORPUS], [VIDEOS]):
        return _damaged(given)
    budget = Budget(seed=given.seed, runs=given.runs, seconds=0 if given.runs else given.time)
    failed = 0
    for found in campaign.run(given.target, budget, given.folder):
        speed = found.runs / max(found.seconds, 0.001)
        click.echo(
            f"{found.target:<12} {found.runs:>9} runs {found.seconds:>6.0f} s {speed:>8.0f}/s"
            f" {found.places:>6} places"
        )
        if found.failure:
            failed += 1
            click.echo(f"  FAILED: {found.failure}\n  log: {found.log}")
            for path in found.kept:
                again = f"--target {found.target} --replay {path}"
                click.echo(f'  again: make fuzz ARGS="{again}"')
    return 1 if failed else 0


def _damaged(given: argparse.Namespace) -> int:
    """Damaged samples, for the time or the number of files that was asked for."""
    from tests.fuzz import corpus, videos

    (name,) = given.target
    of = {CORPUS: corpus, VIDEOS: videos}[name]
    codes: Counter[str] = Counter()
    defects: list[str] = []
    until = time.monotonic() + given.time
    batches = -(-given.runs // of.BATCH) if given.runs else 10**6
    folder = given.folder / name
    for found in of.attack(given.seed, batches, folder):
        codes += found.codes
        defects += found.defects
        for data in found.poison:
            click.echo(f"held: {corpus.name_of(data)} in {folder}")
        if not given.runs and time.monotonic() > until:
            break
    click.echo(
        f"{codes.total()} files: {', '.join(f'{n} {code}' for code, n in codes.most_common())}"
    )
    for defect in defects:
        click.echo(f"  FAILED: {defect} (kept in {folder})")
    return 1 if defects else 0


def _without_fuzzer(given: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from tests.fuzz.targets import targets

    known = targets()
    if given.list:
        for target in known.values():
            click.echo(f"{target.name:<12} {target.about}")
        click.echo(f"{CORPUS:<12} damaged samples of every format, through the sandbox")
        click.echo(f"{VIDEOS:<12} damaged videos, through ffprobe and ffmpeg")
        return 0
    if len(given.target) != 1:
        parser.error("--replay needs one --target")
    known[given.target[0]].attack(given.replay.read_bytes())
    click.echo("it did not fail")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
