"""One run of everything that ``safelight bench delivery`` measures."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from worker.bench.delivery import edge, library, phone, rates, servers
from worker.bench.delivery.load import Connection
from worker.bench.delivery.phone import EarlyPicture, VisitTimes
from worker.bench.delivery.report import DeliveryFigures
from worker.domain.image import Format

PARTS = ("rates", "edge", "phone")
FORCED = (Format.JPEG, Format.WEBP, Format.AVIF)
"""Formats that the phone is also given whatever it accepts; by itself it takes JPEG XL."""
PHONE_WIDTH = 1280
"""Pixels: what is made for a screen of 412 x 2.625 pixels."""
_QUICK_PHOTOS = 3
"""Of the phone, in a quick run."""


def measure(
    photos: Mapping[str, Path],
    *,
    parts: Collection[str],
    rounds: int,
    quick: bool,
    command: str,
    notice: Callable[[str], None],
) -> DeliveryFigures:
    """Measure some of the parts.

    Args:
        photos: JPEG files.
        parts: of ``PARTS``.
        rounds: how often each server has its turn.
        quick: fewer requests, and fewer photos on the phone.
        command: for the report.
        notice: told what happens.

    Raises:
        EngineError: a server does not start, or gives another answer than a file.
    """
    absent: list[str] = []
    found_rates = found_edge = None
    times: list[VisitTimes] = []
    early: list[EarlyPicture] = []
    with tempfile.TemporaryDirectory(prefix="safelight-delivery-") as folder:
        scratch = Path(folder)
        if "rates" in parts:
            (scratch / "rates").mkdir()
            found_rates = rates.measure(
                photos,
                scratch / "rates",
                rounds=rounds,
                turns=2 if quick else 3,
                requests=400 if quick else 2000,
                notice=notice,
            )
        if "edge" in parts:
            notice("edge function")
            try:
                found_edge = edge.measure()
            except edge.NjsMissing as missing:
                absent.append(str(missing))
        if "phone" in parts:
            shown = dict(list(photos.items())[:_QUICK_PHOTOS]) if quick else dict(photos)
            try:
                times, early = _phone(shown, scratch, quick=quick, notice=notice)
            except phone.ChromiumMissing as missing:
                absent.append(str(missing))
    return DeliveryFigures(
        command=command,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}",
        photos=len(photos),
        rates=found_rates,
        edge=found_edge,
        phone=times,
        early=early,
        absent=absent,
    )


def _phone(
    photos: Mapping[str, Path], scratch: Path, *, quick: bool, notice: Callable[[str], None]
) -> tuple[list[VisitTimes], list[EarlyPicture]]:
    folder = scratch / "phone"
    folder.mkdir()
    notice("phone: storing the renditions of the upload")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(library.create, folder, dict(photos)).result()
    cores = frozenset(os.sched_getaffinity(0))
    with (
        phone.chromium() as browser,
        servers.running(servers.ours(folder, stored=True), cores=cores) as server,
    ):
        files = _made_before(server.address, photos)
        originals = {name: path.read_bytes() for name, path in photos.items()}
        prefixes = {
            name: f"{server.address}/{library.asset_of(number)}/{library.VERSION}"
            for number, name in enumerate(photos)
        }
        times = phone.measure(
            browser, originals, prefixes, formats=() if quick else FORCED, notice=notice
        )
        notice("phone: what is shown early")
        return times, phone.early(browser, files)


def _made_before(address: str, photos: Mapping[str, Path]) -> dict[tuple[str, Format], bytes]:
    """Files of all formats for the phone, which the server then has; progressive ones."""
    client = Connection(address, {})
    files: dict[tuple[str, Format], bytes] = {}
    for number, name in enumerate(photos):
        prefix = f"/{library.asset_of(number)}/{library.VERSION}/w/{PHONE_WIDTH}"
        for kind in (Format.JXL, *FORCED):
            data = client.get(f"{prefix}.{kind.extension}")
            if kind in (Format.JPEG, Format.JXL):
                files[name, kind] = data
    client.close()
    return files
