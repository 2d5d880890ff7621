"""What ``safelight bench delivery`` does beside measuring, which takes minutes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from PIL import Image

from tests.edge.engines import needs_njs
from tests.servers import serving
from tests.unit.pictures import encoded, photo
from worker.bench.delivery import edge, library, ours, phone, report, servers
from worker.bench.delivery.edge import EdgeFigures
from worker.bench.delivery.library import DELIVERY, FolderStore, NumberedCatalog
from worker.bench.delivery.load import run
from worker.bench.delivery.phone import EarlyPicture, VisitTimes
from worker.bench.delivery.rates import ORIGINAL, STORED, Mixed, OnDemand, ServerRates
from worker.bench.delivery.report import DeliveryFigures
from worker.bench.delivery.servers import COMPARED, Name
from worker.domain.errors import EngineError, ObjectMissing
from worker.domain.image import Format, Limits
from worker.domain.keys import prefix_of
from worker.imaging.probe import probe


def figures(*, ours_rate: float = 90.0, memory: float = 60.0) -> DeliveryFigures:
    """A run in which ours makes so many files a second and takes so many MiB; others 30 and 100."""

    def made(server: Name, source: str, kind: Format, rate: float) -> OnDemand:
        return OnDemand(
            server=server,
            source=source,
            format=kind,
            per_second=rate,
            cpu_ms=1000 / rate,
            kilobytes=30.0,
            ssimulacra2=74.0,
        )

    rates = ServerRates(
        on_demand=[
            made(server, source, kind, rate)
            for kind in COMPARED
            for server, source, rate in (
                (Name.OURS, STORED, ours_rate),
                (Name.OURS, ORIGINAL, ours_rate / 3),
                (Name.THUMBOR, ORIGINAL, 30.0),
                (Name.IMGPROXY, ORIGINAL, 30.0),
            )
        ],
        memory={Name.OURS: memory, Name.THUMBOR: 100.0, Name.IMGPROXY: 100.0},
        hits_per_second=1500.0,
        hits_per_cpu_second=2000.0,
        mixed=[
            Mixed(server=Name.OURS, per_second=400.0, p50_ms=0.5, p99_ms=25.0),
            Mixed(server=Name.THUMBOR, per_second=50.0, p50_ms=2.0, p99_ms=100.0),
        ],
        apart=True,
        versions={Name.THUMBOR: servers.THUMBOR_VERSION},
        absent=[],
    )
    return DeliveryFigures(
        command="safelight bench delivery",
        date="2026-11-29T00:00:00+00:00",
        machine="2 cores",
        photos=9,
        rates=rates,
        edge=EdgeFigures(
            milliseconds={"a name": 0.2, edge.WORST: 0.9}, bytes=8000, version="0.7.9"
        ),
        phone=[
            VisitTimes(
                photo="a.jpg",
                original_ms=1000.0,
                original_kilobytes=1000.0,
                ours_ms={"srcset": 350.0, "w/auto": 350.0},
                ours_kilobytes={"srcset": 90.0, "w/auto": 90.0},
            )
        ],
        early=[EarlyPicture(photo="a.jpg", format=Format.JXL, shown=0.99, psnr=40.0)],
        absent=[],
    )


# --- figures and goals -------------------------------------------------------------------------


def test_figures_that_just_meet_their_goals_say_so() -> None:
    """Each rate, memory, hits, the mixed load, both of the edge, the phone, what is shown early."""
    found = report.checks(figures())
    assert len(found) == 3 * 4 + 2 + 1 + 1 + 2 + 1 + 1
    assert [one.name for one in found if not one.met] == []


def test_figures_that_miss_say_so_too() -> None:
    """A figure that misses its goal is not rounded up to it."""
    found = report.checks(figures(ours_rate=89.9, memory=60.1))
    assert [one.name for one in found if not one.met] == [
        *(f"rate ÷ thumbor, {label}, from the stored" for label in ("JPEG", "WebP", "AVIF")),
        *(f"rate ÷ thumbor, {label}, from the original" for label in ("JPEG", "WebP", "AVIF")),
        *(f"rate ÷ imgproxy, {label}, from the original" for label in ("JPEG", "WebP", "AVIF")),
        "peak memory ÷ imgproxy",
    ]


def test_the_report_has_every_table_and_what_is_absent() -> None:
    """The text for a terminal is that of the page."""
    text = report.text(replace(figures(), absent=["the phone is not measured: no Chromium"]))
    for title in (
        "Goals",
        "on demand",
        "Mixed load",
        "Peak memory",
        "Hits",
        "njs",
        "A phone",
        "15%",
    ):
        assert title in text
    assert text.endswith("the phone is not measured: no Chromium")


def test_a_run_without_a_part_says_nothing_of_it() -> None:
    """No goal is met by what was not measured."""
    nothing = replace(figures(), rates=None, edge=None, phone=[], early=[])
    assert report.checks(nothing) == ()
    assert nothing.as_dict()["goals"] == []


def test_only_the_place_between_the_marks_changes() -> None:
    """The page has figures of other commands, too."""
    page = f"before\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n"
    made = report.updated(page, figures())
    assert made.startswith("before\n\n" + report.BEGIN)
    assert made.endswith(report.END + "\n\nafter\n")
    assert "old" not in made
    assert report.updated(made, figures()) == made


# --- load --------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Gives the path as the body; 404 below /missing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        body = self.path.encode() * 10_000
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_each_path_is_asked_for_once() -> None:
    """Clients share the paths; every time is kept, the shortest first."""
    paths = [f"/{number:03}" for number in range(30)]
    with serving(Answers) as address:
        done = run(address, paths, clients=3)
    assert len(done.seconds) == 30
    assert list(done.seconds) == sorted(done.seconds)
    assert done.body_bytes == 30 * 4 * 10_000
    assert done.percentile(0.99) == done.seconds[-1]


def test_an_error_is_no_fast_answer() -> None:
    """A server that answers 404 would win otherwise."""
    with serving(Answers) as address, pytest.raises(EngineError, match="404"):
        run(address, ["/one", "/missing"])


# --- servers -----------------------------------------------------------------------------------


def test_memory_is_of_all_processes(tmp_path: Path) -> None:
    """A child that holds 40 MB counts."""
    child = "held = bytearray(b'x' * 40_000_000); print('ready', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        server = servers.Server(name=Name.OURS, process=process, address="", version="")
        assert len(servers.process_tree(process.pid)) == 2
        with servers.PeakMemory(server.memory) as peak:
            pass
        assert peak.bytes > 40_000_000
        process.communicate("\n")
    assert server.memory() == 0


def test_every_server_gets_the_same_settings(tmp_path: Path) -> None:
    """Quality, size and format are in the path, effort in the configuration."""
    thumbor = servers.path_of(Name.THUMBOR, "1.jpg", Format.AVIF)
    imgproxy = servers.path_of(Name.IMGPROXY, "1.jpg", Format.AVIF)
    assert thumbor == "/unsafe/fit-in/512x512/filters:format(avif):quality(65)/1.jpg"
    assert imgproxy == "/unsafe/rs:fit:512:512/q:65/f:avif/plain/local:///1.jpg"
    servers.thumbor(tmp_path, tmp_path, storage=True, python=Path("/venv/bin/python"))
    written = (tmp_path / "thumbor.conf").read_text("utf-8")
    assert "AVIF_SPEED = 9\n" in written
    assert "RESULT_STORAGE = 'thumbor.result_storages.file_storage'\n" in written
    assert "RESULT_STORAGE_STORES_UNSAFE = True\n" in written
    environment = servers.imgproxy(tmp_path, "/none").environment
    assert environment["IMGPROXY_WEBP_EFFORT"] == "2"
    (small,) = (one for one in library.recipe().renditions if one.name == library.SMALL)
    assert {one.format: one.quality for one in small.encodings} == {
        kind: one.quality for kind, one in servers.SETTINGS.items()
    }


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The last line that it printed is in the error."""
    command = servers.Command(
        name=Name.IMGPROXY,
        arguments=(sys.executable, "-c", "raise SystemExit('no such option')"),
        port=1,
        health="/",
        version="1",
    )
    cores = frozenset(os.sched_getaffinity(0))
    with pytest.raises(EngineError, match="no such option"), servers.running(command, cores=cores):
        pass


# --- the library -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two photos."""
    folder = tmp_path_factory.mktemp("library")
    photos = {}
    for number in range(2):
        path = folder / f"{number}.jpg"
        path.write_bytes(encoded(photo(1400, 900 + number), "JPEG", quality=90))
        photos[path.name] = path
    library.create(folder, photos)
    return folder


@pytest.mark.parametrize("stored", [True, False])
def test_each_asset_gives_the_file_of_its_photo(made: Path, stored: bool) -> None:
    """The product's own service makes it, once, from what is stored or from the original."""
    catalog = NumberedCatalog(library.records(made, stored=stored))
    deliver = ours.delivery_service(FolderStore(made), catalog)
    first = 4 if stored else 6  # nobody has asked for these yet
    for number in (first, first + 1):
        prefix = prefix_of(library.asset_of(number), library.VERSION)
        for kind in (Format.JPEG, Format.WEBP):
            answer = deliver.answer(f"{prefix}{library.SMALL}.{kind.extension}")
            assert (answer.status, answer.headers["Content-Type"]) == (200, kind.media_type)
            found = probe(answer.body, Limits(), formats=frozenset(Format))
            assert (found.width, found.height) == (512, round((900 + number % 2) * 512 / 1400))
            key = f"{prefix}{library.SMALL}.{kind.extension}"
            assert FolderStore(made).get(DELIVERY, key)[0] == answer.body


def test_what_was_not_made_is_missing(made: Path) -> None:
    """The store says so as S3 does, and the catalog ends."""
    with pytest.raises(ObjectMissing):
        FolderStore(made).get(DELIVERY, "none")
    assert NumberedCatalog(library.records(made, stored=True)).get("none") is None


# --- the edge function and the phone -----------------------------------------------------------


@needs_njs
def test_the_edge_function_is_measured_in_njs() -> None:
    """Every kind of request is one that the function answers."""
    found = edge.measure(calls=2, rounds=1)
    assert found.milliseconds.keys() == edge.REQUESTS.keys()
    assert found.bytes < 10_240


def screenshot(*, shown: float = 1.0, coarse: bool = False) -> bytes:
    """A page of 412 x 400 pixels with a picture of 300 at its top; so much of it is there."""
    picture = Image.fromarray(photo(412, 300))
    if coarse:
        picture = picture.resize((52, 38)).resize((412, 300))
    page = Image.new("RGB", (412, 400), "white")
    page.paste(picture.crop((0, 0, 412, round(300 * shown))), (0, 0))
    made = io.BytesIO()
    page.save(made, "PNG")
    return made.getvalue()


def test_a_coarse_picture_is_a_whole_one() -> None:
    """A coarse picture counts if every part is visible; the final picture differs only in
    detail."""
    shown, psnr = phone.compare(screenshot(coarse=True), screenshot(), 300)
    assert shown >= phone.WHOLE
    assert psnr > 20


def test_half_a_picture_is_none() -> None:
    """The upper half of a file that comes line by line is as fine as the final one."""
    shown, _ = phone.compare(screenshot(shown=0.5), screenshot(), 300)
    assert 0.4 < shown < 0.7
    assert phone.compare(screenshot(), screenshot(), 300) == (1.0, 99.0)
