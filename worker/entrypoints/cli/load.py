"""``safelight load``: many uploads at once to any deployment, and what became of each."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.codec import build, plain
from worker.domain.errors import ConfigurationError, EngineError, InputError
from worker.domain.load import SCHEMA, LoadReport
from worker.entrypoints.cli import output, remote
from worker.entrypoints.cli.parameters import Duration, Number
from worker.entrypoints.cli.target import DATA, data_option, json_option
from worker.services.process_files.wording import size_text

if TYPE_CHECKING:
    from worker.domain.events import Event
    from worker.local.address import Address
    from worker.services.load_mix import FilledMix

MOST_RATE = 10_000.0
MOST_UPLOADS = 1_000_000
"""Of a run: their outcomes are held in memory."""
LATE = 0.1
"""Seconds that clients may begin late before the report warns."""
SHOWN = 10
"""Findings of one kind that are printed."""


@click.command(name="load")
@click.option(
    "--rate",
    type=Number(0, MOST_RATE, min_open=True),
    metavar="R",
    help="Uploads a second, on average.",
)
@click.option(
    "--for", "seconds", type=Duration(), metavar="T", help="How long: 90, 90s, 10m or 1.5h."
)
@click.option(
    "--mix",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What is uploaded (docs/load.md).  [default: the mix of samples that ships]",
)
@click.option(
    "--files",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the paths of the mix begin.  [default: the folder of the mix]",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, metavar="N")
@click.option(
    "--api",
    envvar="SAFELIGHT_API",
    metavar="URL",
    help="API of a deployment.  [default: the local stack; also SAFELIGHT_API]",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Has the token, and is read before each request.  [default: SAFELIGHT_TOKEN]",
)
@click.option(
    "--give-up",
    type=Number(1, 86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="What has not gone on for so long is taken as lost.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the whole report as JSON: each upload with its times.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Run nothing; print and draw a report that --out has written.",
)
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the run to FILE, .svg or .png.",
)
@data_option
@json_option
def command(
    *,
    rate: float | None,
    seconds: float | None,
    mix: Path | None,
    files: Path | None,
    seed: int,
    api: str | None,
    token_file: Path | None,
    give_up: float,
    out: Path | None,
    source: Path | None,
    svg: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Upload to a deployment as many clients do, and check what becomes of each upload.

    Clients begin at random times, R a second, however many others wait. The report has the
    throughput and the latency of three stages: uploaded, accepted, served. In the end everything is
    read again: nothing may be lost or doubled, and each verdict must be the one that the mix
    expects. Ctrl-C ends the sending; what was sent is still checked and reported.

    Exit code 1: something is wrong with an upload.
    """
    _check_outputs(out, svg)
    say = (lambda _: None) if as_json else _say
    if source is not None:
        report = _read(source)
    else:
        if rate is None or seconds is None:
            raise click.UsageError("say --rate and --for, or --from a report")
        if rate * seconds > MOST_UPLOADS:
            raise click.UsageError(f"{rate * seconds:,.0f} uploads are more than {MOST_UPLOADS:,}")
        report = _run(
            rate=rate,
            seconds=seconds,
            filled=_filled(mix, files, say=say),
            seed=seed,
            give_up=give_up,
            access=_access(api, token_file, data),
            say=say,
        )
    # First of all it is printed: the files may find no space.
    if as_json:
        output.print_json(_figures(report))
    else:
        _print(report)
    if out is not None:
        _save(out, json.dumps(plain(report, defaults=True), indent=1) + "\n")
    if svg is not None:
        from worker.bench import load_chart

        load_chart.draw(report, svg)
    if source is None:
        if report.stopped:
            raise SystemExit(output.INTERRUPTED)
        if report.findings:
            raise SystemExit(output.REJECTED)


def _check_outputs(out: Path | None, svg: Path | None) -> None:
    """Refuse before the run what could not be written after it."""
    if svg is not None:
        from worker.bench import load_chart

        load_chart.check(svg)
    if out is None:
        return
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}", code="output_unwritable")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        text = f"--out {out}: no file can be made in {out.parent}: {error.strerror}"
        raise InputError(text, code="output_unwritable") from error


# --- what to run ------------------------------------------------------------------------------


class _Access:
    """Where the load goes, with which token, and which events can be read."""

    def __init__(
        self, api: str, token: str | Callable[[], str], local: Address | None = None
    ) -> None:
        self.api, self.token, self._local = api, token, local

    @property
    def events(self) -> Callable[[], Iterator[Event]] | None:
        """Reads the events; None where there is no log of them."""
        if self._local is None:
            return None
        from worker.local.address import EVENTS
        from worker.local.changes import read_events

        path = self._local.data / EVENTS

        def read() -> Iterator[Event]:
            cursor = "0-0"
            while True:
                found, after = read_events(path, cursor)
                yield from found
                if after == cursor:
                    return
                cursor = after

        return read


def _access(api: str | None, token_file: Path | None, data: Path | None) -> _Access:
    if api is not None and data is None:
        if not re.match(r"https?://[^/]", api):
            raise click.UsageError(f"--api: not an address like https://api.example.com: {api!r}")
        return _Access(api, remote.token_of(api, token_file))
    if token_file is not None:
        raise click.UsageError("--token-file is for --api; the local stack has its own token")
    from worker.local import address

    local = address.find(data or DATA)
    return _Access(local.api, local.token, local)


def _filled(mix: Path | None, files: Path | None, *, say: Callable[[str], None]) -> FilledMix:
    from worker.services import load_mix

    if mix is None:
        from worker import samples

        mix = Path(samples.__file__).with_name("load.toml")

    @cache
    def makers() -> dict[str, Callable[[float], bytes]]:
        from worker.samples.catalogue import SAMPLES

        say("making the samples of the mix")
        return {one.name: one.make for one in SAMPLES}

    return load_mix.read(mix, folder=files, makers=makers)


def _run(
    *,
    rate: float,
    seconds: float,
    filled: FilledMix,
    seed: int,
    give_up: float,
    access: _Access,
    say: Callable[[str], None],
) -> LoadReport:
    from worker.job_context import Stop

    try:
        from worker.client import ApiError
        from worker.services.load import LoadOptions, run
    except ModuleNotFoundError as error:
        text = f"load needs the extra client, which has {error.name}"
        raise ConfigurationError(text) from error

    _raise_file_limit()
    stop = Stop()
    try:
        with stop.on_signals():
            return run(
                LoadOptions(
                    api=access.api,
                    token=access.token,
                    filled=filled,
                    rate=rate,
                    seconds=seconds,
                    seed=seed,
                    give_up=give_up,
                ),
                say=say,
                stop=stop,
                events=access.events,
            )
    except ApiError as error:  # before anything was sent
        raise remote.as_ours(error) from error


def _raise_file_limit() -> None:
    """Each client has connections of its own."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- the report -------------------------------------------------------------------------------


def _read(path: Path) -> LoadReport:
    """A report that --out has written.

    Raises:
        InputError: it is none.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file", code="input_missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no report: {error}", code="input_unreadable") from error
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise InputError(f"{path}: is no report of the form {SCHEMA}")
    try:
        return build(LoadReport, value)
    except EngineError as error:
        raise InputError(f"{path}: is no report: {error.message}") from error


def _figures(report: LoadReport) -> dict[str, Any]:
    counted = Counter(one.flaw.value for one in report.findings)
    return {
        "tag": report.tag,
        "started": report.started,
        "rate": report.rate,
        "seconds": report.seconds,
        "seed": report.seed,
        "elapsed": round(report.elapsed, 2),
        "stopped": report.stopped,
        "uploads": len(report.outcomes),
        "bytes": sum(one.bytes for one in report.outcomes if one.uploaded is not None),
        "stages": {
            stage.value: {
                name: round(figure, 4) if isinstance(figure, float) else figure
                for name, figure in asdict(figures).items()
            }
            for stage, figures in report.stages.items()
        },
        "outcomes": _summary(report),
        "failed_requests": sum(one.retries for one in report.outcomes),
        "lag_p99": round(report.lag, 4),
        "clock_difference": round(report.clock_difference, 4),
        "files_checked": report.renditions,
        "events_checked": report.events,
        "wrong": dict(counted),
        "findings": [plain(one, defaults=True) for one in report.findings],
    }


def _summary(report: LoadReport) -> dict[str, int]:
    return dict(Counter(_outcome_text(one.status, one.code) for one in report.outcomes))


def _outcome_text(status: str, code: str) -> str:
    if not status:
        return "unknown"
    return f"{status}: {code}" if code else status


def _print(report: LoadReport) -> None:
    if not report.outcomes:
        click.echo("no upload was due in this time: nothing was sent, and nothing was checked")
        return
    sent = [one for one in report.outcomes if one.uploaded is not None]
    click.echo(
        f"{len(report.outcomes):,} uploads at {report.rate:g} a second for {report.seconds:g} s"
        f" (seed {report.seed}, tag {report.tag}); {size_text(sum(one.bytes for one in sent))}"
        f" arrived; {report.elapsed:.0f} s with the check"
        + ("; stopped early" if report.stopped else "")
    )
    rows = [
        [
            stage.value,
            f"{one.count:,}",
            f"{one.per_second:.2f}",
            *(f"{seconds:.3f} s" for seconds in (one.p50, one.p90, one.p95, one.p99, one.longest)),
        ]
        for stage, one in report.stages.items()
    ]
    output.print_rows(
        ("stage", "uploads", "a second", "p50", "p90", "p95", "p99", "longest"), (), rows
    )
    summary = sorted(_summary(report).items(), key=lambda pair: -pair[1])
    click.echo("outcomes: " + ", ".join(f"{count} {name}" for name, count in summary))
    copies = sum(one.duplicate_of is not None for one in report.outcomes)
    click.echo(
        f"among them {copies} copies, {sum(one.slow for one in report.outcomes)} slow,"
        f" {sum(one.cut for one in report.outcomes)} cut off once,"
        f" {sum(one.abandoned for one in report.outcomes)} abandoned;"
        f" {sum(one.retries for one in report.outcomes)} requests failed and were repeated"
    )
    if report.lag > LATE:
        click.echo(
            f"warning: clients began up to {report.lag:.2f} s late (p99): the machine that sends"
            " is part of what was measured"
        )
    events = "" if report.events is None else f" and {report.events:,} events"
    checked = f"{report.renditions:,} files{events} read again"
    if not report.findings:
        click.echo(f"nothing lost, nothing doubled: {checked}")
        return
    click.echo(f"{len(report.findings)} findings; {checked}")
    shown: Counter[str] = Counter()
    for one in report.findings:
        shown[one.flaw] += 1
        if shown[one.flaw] <= SHOWN:
            upload = "" if one.number is None else f"upload {one.number}"
            about = " ".join(filter(None, (upload, one.asset)))
            text = ": ".join(filter(None, (one.flaw.value, about, one.text)))
            click.echo(output.one_line(f"  {text}"))
    for flaw, count in shown.items():
        if count > SHOWN:
            click.echo(f"  {flaw}: and {count - SHOWN} more (--out has all)")


def _save(path: Path, text: str) -> None:
    from worker.atomic import atomic_write

    with output.writing("--out", path):
        atomic_write(path, text)


def _say(text: str) -> None:
    click.echo(output.one_line(text), err=True)
