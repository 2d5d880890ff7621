"""``safelight bench`` with what measures more than the engine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from worker.bench.command import command
from worker.entrypoints.cli import output

GOAL = 0.80
"""Least rate of the pipeline as a share of the engine's own, on one core."""


@command.command("pipeline")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of JPEG photos.  [default: generated pictures]",
)
@click.option("--images", type=click.IntRange(10, 1_000_000), default=90, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def pipeline(corpus: Path | None, images: int, *, as_json: bool) -> None:
    """Measure the local stack end to end beside the bare engine, on one core."""
    from worker.bench.corpus import collect, generate
    from worker.local.throughput import measure

    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        photos = (generate(Path(folder)) if corpus is None else collect(corpus)).photos
        found = measure(photos, images, say=lambda text: click.echo(f"bench: {text}", err=True))
    figures = {
        "images": found.images,
        "engine_per_second": round(images / found.engine_seconds, 2),
        "pipeline_per_second": round(images / found.pipeline_seconds, 2),
        "ratio": round(found.ratio, 3),
        "goal": GOAL,
        "engine_cpu_ms": round(found.engine_cpu_seconds / images * 1000, 1),
        "worker_cpu_ms": round(found.worker_cpu_seconds / images * 1000, 1),
        "emulator_on_other_cores": found.apart,
        "worker_mebibytes": list(found.worker_mebibytes),
    }
    if as_json:
        output.print_json(figures)
        return
    verdict = "met" if found.ratio >= GOAL else "missed"
    where = "on other cores" if found.apart else "on the same core"
    click.echo(f"engine alone    {figures['engine_per_second']:>7} photos a second, one core")
    click.echo(
        f"pipeline        {figures['pipeline_per_second']:>7} photos a second, one worker on one"
        f" core, the embedded AWS {where}"
    )
    click.echo(f"ratio           {found.ratio:>7.2f}  (goal {GOAL:.2f}: {verdict})")
    click.echo(
        f"CPU a photo     {figures['engine_cpu_ms']:>7} ms the engine alone,"
        f" {figures['worker_cpu_ms']} ms the worker (ratio {found.cpu_ratio:.2f})"
    )
    memory = ", ".join(map(str, found.worker_mebibytes))
    click.echo(f"worker memory   {memory} MiB after each tenth of {images} images")


@command.command("video")
@click.option(
    "--film",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The video to transcode.  [default: a generated one]",
)
@click.option(
    "--seconds",
    type=click.IntRange(30, 3600),
    default=72,
    show_default=True,
    help="Length of a generated one. Parts are 12 s: an even number of them divides by two.",
)
@click.option("--size", default="1280x720", show_default=True, help="Of a generated one, pixels.")
@click.option(
    "--preset",
    type=click.Choice(("ultrafast", "veryfast", "faster", "fast", "medium", "slow")),
    default="veryfast",
    show_default=True,
    help="Of the encoders. Fast ones show more of everything else.",
)
@click.option("--rounds", type=click.IntRange(1, 20), default=2, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the reclaim's moment.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def video(
    film: Path | None,
    *,
    seconds: int,
    size: str,
    preset: str,
    rounds: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure a transcode in parts beside plain ffmpeg with the same settings."""
    from worker.bench import video as bench
    from worker.bench import video_report

    def say(text: str) -> None:
        click.echo(f"bench: {text}", err=True)

    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        source = film or Path(folder, "film.mp4")
        if film is None:
            video_report.check_size(size)
            say(f"generating {seconds} s of {size}")
            bench.generate(source, seconds=seconds, size=size)
        figures = bench.measure(
            source, Path(folder, "scratch"), preset=preset, rounds=rounds, seed=seed, say=say
        )
    if as_json:
        output.print_json(video_report.as_dict(figures))
        return
    for line in video_report.lines(figures):
        click.echo(line)
