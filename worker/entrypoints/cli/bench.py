"""``safelight bench``: speed, size and quality beside other libraries."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import click

from worker.entrypoints.cli import output

API_GOAL_MS = 10
REVIEWS_GOAL_MS = 50
"""Most milliseconds of half of the requests that begin an upload, in the function."""
API_GOAL_RATIO = 0.95
"""Goal: the least rate of uploads through the API, as a share of the rate of plain puts."""
JAIL_GOAL_MS = 3
"""Most milliseconds of processor time that a locked-in child may cost a picture."""
GOAL = 0.80
"""Least rate of the pipeline as a share of the engine's own, on one core."""


@click.group("bench", invoke_without_command=True)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of JPEG photos, searched recursively.  [default: generated images]",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--chart",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw a chart to FILE, .svg or .png.",
)
@click.option(
    "--curves",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw bytes against SSIMULACRA2, a curve a format, to FILE, .svg or .png.",
)
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the figures into the page FILE, between its markers.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="How often each implementation processes each photo; the fastest counts.",
)
@click.pass_context
def command(
    context: click.Context,
    corpus: Path | None,
    chart: Path | None,
    *,
    curves: Path | None,
    markdown: Path | None,
    rounds: int,
    as_json: bool,
) -> None:
    """Measure speed, size and quality against Pillow, sharp and the floor.

    Each runs with one thread, one at a time, in turns. Figures are CPU time, printed beside their
    goals. sharp is included if node is installed; npm installs it into .safelight/bench.
    """
    if context.invoked_subcommand is not None:
        return
    from worker.bench.compare import SINGLE_THREAD, find_sharp
    from worker.bench.config import collect, generate

    # Judging thousands of small pictures with several threads takes several times as long.
    os.environ.update(SINGLE_THREAD)
    from worker.bench import page as pages
    from worker.bench import report
    from worker.bench.measure import run

    # Before minutes of measuring, not after.
    report.check_files(chart, curves, markdown)
    page = None if markdown is None else pages.read_page(markdown, (report.BEGIN, report.END))
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        made, scratch = Path(folder, "corpus"), Path(folder, "scratch")
        made.mkdir()
        scratch.mkdir()
        if corpus is None:
            _notice("no --corpus: generating images")
        found = run(
            collect(corpus) if corpus is not None else generate(made),
            scratch,
            rounds=rounds,
            command=_typed(corpus, rounds, chart=chart, curves=curves, markdown=markdown),
            notice=_notice,
            find_sharp=lambda: find_sharp(notice=_notice),
        )
    if chart is not None:
        report.write_chart(chart, found)
    if curves is not None:
        report.write_curves(curves, found)
    if markdown is not None and page is not None:
        base = markdown.resolve().parent
        links = {
            name: None if path is None else os.path.relpath(path.resolve(), base)
            for name, path in (("chart", chart), ("curves", curves))
        }
        pages.write(markdown, report.updated(page, found, **links).encode())
    if as_json:
        output.print_json(asdict(found))
    else:
        click.echo("\n\n".join((*report.tables(found), "\n".join(report.summary(found)))))


def _typed(corpus: Path | None, rounds: int, **files: Path | None) -> str:
    """The command line, without folders of this machine."""
    words = ["safelight", "bench"]
    if corpus is not None:
        words += ["--corpus", f"~/{shlex.quote(corpus.resolve().name)}"]
    words += ["--rounds", str(rounds)]
    for option, value in files.items():
        if value is not None:
            name = value.name if value.is_absolute() else value.as_posix()
            words += [f"--{option}", shlex.quote(name)]
    return " ".join(words)


def _notice(line: str) -> None:
    click.echo(f"bench: {line}", err=True)


@command.command("pipeline")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of JPEG photos.  [default: generated images]",
)
@click.option("--images", type=click.IntRange(10, 1_000_000), default=90, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def pipeline(corpus: Path | None, images: int, *, as_json: bool) -> None:
    """Measure the local stack end to end beside the bare engine, on one core."""
    from worker.bench.config import collect, generate
    from worker.local.throughput import measure

    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        # In a process of its own: the stack forks this one, which must not have used libvips.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            made = pool.submit(generate if corpus is None else collect, corpus or Path(folder))
            photos = made.result().photos
        found = measure(photos, images, say=_notice)
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
        "event_ms_p50": round(found.event_percentile(50) * 1000),
        "event_ms_p99": round(found.event_percentile(99) * 1000),
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
    click.echo(
        f"events          {figures['event_ms_p50']:>7} ms after their records at the median,"
        f" {figures['event_ms_p99']} ms at p99"
    )
    memory = ", ".join(map(str, found.worker_mebibytes))
    click.echo(f"worker memory   {memory} MiB after each tenth of {images} images")


@command.command("api")
@click.option("--requests", type=click.IntRange(10, 100_000), default=500, show_default=True)
@click.option(
    "--clients",
    type=click.IntRange(1, 1_000),
    default=200,
    show_default=True,
    help="Uploads of 1 MB at the same time.",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def api(requests: int, clients: int, rounds: int, *, as_json: bool) -> None:
    """Measure what the API adds to uploads.

    The first figure is the time of a warm function to begin an upload. The second is the rate of
    many uploads at once, beside the rate of plain puts into the bucket of the same stack.
    """
    from worker.bench.requests import measure, measure_parallel

    found = measure(requests, say=_notice)
    many = measure_parallel(clients, size=1_000_000, rounds=rounds, say=_notice)
    figures = {
        "requests": requests,
        "p50_ms": round(found.percentile(0.5) * 1000, 2),
        "p95_ms": round(found.percentile(0.95) * 1000, 2),
        "p99_ms": round(found.percentile(0.99) * 1000, 2),
        "cpu_ms": round(found.cpu_seconds * 1000, 2),
        "goal_p50_ms": API_GOAL_MS,
        "parallel_uploads": clients,
        "plain_per_second": round(many.uploads / many.plain_seconds, 1),
        "api_per_second": round(many.uploads / many.api_seconds, 1),
        "parallel_ratio": round(many.ratio, 3),
        "goal_parallel_ratio": API_GOAL_RATIO,
    }
    if as_json:
        output.print_json(figures)
        return
    verdict = "met" if figures["p50_ms"] < API_GOAL_MS else "missed"
    click.echo(
        f"POST /uploads   {figures['p50_ms']} ms at the median (goal {API_GOAL_MS}: {verdict}),"
        f" {figures['p95_ms']} at 95 %, {figures['p99_ms']} at 99 %,"
        f" {figures['cpu_ms']} of the processor"
    )
    verdict = "met" if many.ratio >= API_GOAL_RATIO else "missed"
    click.echo(
        f"{clients} at once     {figures['api_per_second']} uploads of 1 MB a second by the API,"
        f" {figures['plain_per_second']} plain puts: {many.ratio:.2f}"
        f" (goal {API_GOAL_RATIO:.2f}: {verdict})"
    )


@command.command("delete")
@click.option("--assets", type=click.IntRange(10, 10_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def delete(assets: int, *, as_json: bool) -> None:
    """Measure for how long a deleted asset is still served.

    A client reads the cached files of an asset again and again while the API deletes it, in a local
    stack. The time counts from the answer to DELETE to the last request that got a file.
    """
    from worker.bench.deletions import measure

    found = measure(assets, say=_notice)
    figures = {
        "assets": assets,
        "served_after": found.served,
        "p50_ms": round(found.times.percentile(0.5) * 1000, 2),
        "p99_ms": round(found.times.percentile(0.99) * 1000, 2),
        "longest_ms": round(found.times.seconds[-1] * 1000, 2),
        "delete_p50_ms": round(found.requests.percentile(0.5) * 1000, 2),
        "delete_p99_ms": round(found.requests.percentile(0.99) * 1000, 2),
    }
    if as_json:
        output.print_json(figures)
        return
    click.echo(
        f"served after DELETE  {figures['p50_ms']} ms at the median, {figures['p99_ms']} at 99 %,"
        f" {figures['longest_ms']} at most; {found.served} files of {assets} assets"
    )
    click.echo(
        f"DELETE itself        {figures['delete_p50_ms']} ms at the median,"
        f" {figures['delete_p99_ms']} at 99 %"
    )


@command.command("jail")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of JPEG photos, searched recursively.  [default: generated images]",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def jail(corpus: Path | None, rounds: int, *, as_json: bool) -> None:
    """Measure what it costs a picture that it is decoded in a locked-in process.

    Each photo is processed by the default recipe in turns, in this process and in the child that
    does it with SAFELIGHT_JAIL_EVERY_PICTURE=on. Figures are processor time of both processes.
    """
    from worker.bench.compare import SINGLE_THREAD
    from worker.bench.config import collect, generate

    os.environ.update(SINGLE_THREAD)
    from worker.bench.jail import measure

    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        photos = collect(corpus) if corpus is not None else generate(Path(folder))
        found = measure([path.read_bytes() for path in photos.photos.values()], rounds)
    figures = {**asdict(found), "extra_ms": round(found.extra_ms, 2), "goal_ms": JAIL_GOAL_MS}
    if as_json:
        output.print_json(figures)
        return
    verdict = "met" if found.extra_ms <= JAIL_GOAL_MS else "missed"
    click.echo(
        f"a picture        {found.here_ms:.1f} ms here, {found.jailed_ms:.1f} in the jail:"
        f" {found.extra_ms:+.1f} ms (goal {JAIL_GOAL_MS}: {verdict})"
    )
    click.echo(f"start of a child {found.start_ms:.0f} ms")


@command.command("reviews")
@click.option("--reviews", type=click.IntRange(50, 100_000), default=10_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def reviews(reviews: int, *, as_json: bool) -> None:
    """Measure how long a page of open reviews takes, of thousands.

    All pages of 50 are read from the API of a local stack, in turns with reads of one item of the
    table, which say how fast the machine is.
    """
    from worker.bench.reviews import PAGE, measure

    found = measure(reviews, say=_notice)
    page = found.pages.percentile(0.5) * 1000
    figures = {
        "reviews": reviews,
        "listed": found.listed,
        "page": PAGE,
        "p50_ms": round(page, 2),
        "p95_ms": round(found.pages.percentile(0.95) * 1000, 2),
        "cpu_ms": round(found.pages.cpu_seconds * 1000, 2),
        "item_p50_ms": round(found.reads.percentile(0.5) * 1000, 2),
        "goal_p50_ms": REVIEWS_GOAL_MS,
    }
    if as_json:
        output.print_json(figures)
        return
    verdict = "met" if page <= REVIEWS_GOAL_MS else "missed"
    click.echo(
        f"GET /reviews    {figures['p50_ms']} ms at the median (goal {REVIEWS_GOAL_MS}: {verdict}),"
        f" {figures['p95_ms']} at 95 %, {figures['cpu_ms']} of the processor;"
        f" {found.listed:,} reviews in pages of {PAGE}"
    )
    click.echo(f"one item        {figures['item_p50_ms']} ms at the median")


@command.command("tracing")
@click.option("--uploads", type=click.IntRange(10, 100_000), default=200, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def tracing(uploads: int, *, as_json: bool) -> None:
    """Measure what tracing costs an upload: its processor time without, at 1 %, every trace.

    Small pictures take turns in the ingest function on a local stack. The time of a cold start is
    measured in the image: .make/cold-start.
    """
    from worker.bench.tracing import measure

    found = measure(uploads, say=_notice)
    without = found.median("without")
    figures = {
        "uploads": uploads,
        "without_cpu_ms": round(without * 1000, 2),
        "one_percent_cpu_ms": round(found.median("one_percent") * 1000, 2),
        "every_cpu_ms": round(found.median("every") * 1000, 2),
        "one_percent_ratio": round(found.median("one_percent") / without, 3),
        "every_ratio": round(found.median("every") / without, 3),
        "spans": round(found.spans, 1),
        "span_bytes": round(found.span_bytes),
    }
    if as_json:
        output.print_json(figures)
        return
    click.echo(
        f"an upload       {figures['without_cpu_ms']} ms of the processor without tracing,"
        f" {figures['one_percent_cpu_ms']} at 1 %, {figures['every_cpu_ms']} with every trace;"
        f" median of {uploads} small pictures each, in turns"
    )
    click.echo(
        f"a trace         {figures['spans']} spans of {figures['span_bytes']} bytes from ingest"
    )


@command.command("delivery")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of JPEG photos.  [default: generated images]",
)
@click.option(
    "--only",
    type=click.Choice(("rates", "edge", "phone")),
    multiple=True,
    help="Measure only this part; may be given more than once.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=None,
    help="How often each server has its turn; the best counts.  [default: 5, or 2 with --quick]",
)
@click.option("--quick", is_flag=True, help="Fewer requests and photos: a few minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the figures into the page FILE, between its markers.",
)
def delivery(
    corpus: Path | None,
    *,
    only: tuple[str, ...],
    rounds: int | None,
    quick: bool,
    as_json: bool,
    markdown: Path | None,
) -> None:
    """Measure delivery beside thumbor and imgproxy, the edge function, and a phone.

    pip installs thumbor into .safelight/bench. imgproxy is measured if it is on the PATH, the edge
    function with njs, the phone with Chromium.
    """
    from worker.bench import page as pages
    from worker.bench.delivery import report, run

    # Before minutes of measuring, not after.
    page = None if markdown is None else pages.read_page(markdown, (report.BEGIN, report.END))
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        # In a process of its own: servers would share the memory of libvips with this one.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            made = pool.submit(_photos, corpus, Path(folder)).result()
        found = run.measure(
            made,
            parts=only or run.PARTS,
            rounds=rounds or (2 if quick else 5),
            quick=quick,
            command=_delivery_command(corpus, only, rounds, quick=quick),
            notice=_notice,
        )
    if markdown is not None and page is not None:
        pages.write(markdown, report.updated(page, found).encode())
    if as_json:
        output.print_json(found.as_dict())
    else:
        click.echo(report.text(found))


def _photos(corpus: Path | None, folder: Path) -> Mapping[str, Path]:
    from worker.bench.config import collect, generate

    return (generate(folder) if corpus is None else collect(corpus)).photos


def _delivery_command(
    corpus: Path | None, only: tuple[str, ...], rounds: int | None, *, quick: bool
) -> str:
    """The command line, without folders of this machine."""
    words = ["safelight", "bench", "delivery"]
    if corpus is not None:
        words += ["--corpus", f"~/{shlex.quote(corpus.resolve().name)}"]
    words += [word for part in only for word in ("--only", part)]
    words += [] if rounds is None else ["--rounds", str(rounds)]
    return " ".join([*words, "--quick"] if quick else words)


@command.command("video")
@click.option(
    "--video",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The video to transcode.  [default: a generated one]",
)
@click.option(
    "--seconds",
    type=click.IntRange(30, 3600),
    default=72,
    show_default=True,
    help="Length of a generated video. Parts are 12 s: an even number of them divides by two.",
)
@click.option(
    "--size", default="1280x720", show_default=True, help="Size of a generated video, pixels."
)
@click.option(
    "--preset",
    type=click.Choice(("ultrafast", "veryfast", "faster", "fast", "medium", "slow")),
    default="veryfast",
    show_default=True,
    help="Preset of the encoders. A fast one leaves more of the time to everything else.",
)
@click.option("--rounds", type=click.IntRange(1, 20), default=2, show_default=True)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Random seed of the moment of the reclaim.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def video(
    source: Path | None,
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

    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        measured = source or Path(folder, "video.mp4")
        if source is None:
            bench.check_size(size)
            _notice(f"generating {seconds} s of {size}")
            bench.generate(measured, seconds=seconds, size=size)
        figures = bench.measure(
            measured,
            Path(folder, "scratch"),
            preset=preset,
            rounds=rounds,
            seed=seed,
            notice=_notice,
        )
    if as_json:
        output.print_json(figures.as_dict())
        return
    for line in figures.lines():
        click.echo(line)
