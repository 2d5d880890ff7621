"""Files that are made at their first view: which, from what, once, and what happens if not."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.fakes import Fuse, MemoryCatalog, MemoryStore
from tests.unit.pictures import encoded, oriented, photo
from tests.unit.test_deliver import ASSET, TIME, VERSION, deliver
from tests.unit.test_ingest import POLICY
from tests.unit.test_ingest import World as IngestWorld
from worker import prices, recipes
from worker.domain import trace
from worker.domain.asset import AssetRecord, Status
from worker.domain.delivery import WIDTHS, read_picture_key
from worker.domain.errors import (
    AccessDenied,
    InputError,
    PoisonInput,
    Reason,
    RecipeError,
    Unreachable,
)
from worker.domain.image import FirstViewRendition, Format
from worker.domain.keys import IMMUTABLE, cache_metadata, prefix_of, stored
from worker.domain.markup import Addresses
from worker.entrypoints.api.views import summary
from worker.imaging import engine, libjxl
from worker.imaging.plan import AllowedFile, make_plan
from worker.imaging.probe import probe
from worker.services.deliver import Decision, Deliver, OriginAnswer
from worker.services.first_view import CLAIM_SECONDS, WAIT_SECONDS
from worker.services.recipe_cost import CostComparison, compare
from worker.services.recipe_store import RecipeStore
from worker.subprocesses import sandbox

PREFIX = prefix_of(ASSET, VERSION)
TEXT = """
name = "test"
version = 1
keep = ["copyright"]
[[renditions]]
name = "square"
width = 128
height = 128
fit = "cover"
formats = ["jpeg"]
[[renditions]]
name = "medium"
width = 512
formats = ["jpeg", "webp"]
[[renditions]]
name = "large"
width = 1024
formats = ["jpeg", "webp"]
minimum_saving = -1
"""
PHOTO = encoded(photo(1500, 1000), "JPEG")


class World:
    """An asset that ingest has made by a recipe, in fakes that share one fuse."""

    def __init__(self, data: bytes = PHOTO, text: str = TEXT, *, without: str = "") -> None:
        """Make it; ``without`` names files that are not made at upload."""
        self.recipe = recipes.parse(text)
        self.fuse = Fuse()
        self.store, self.catalog = MemoryStore(self.fuse), MemoryCatalog(self.fuse)
        self.upload = self.store.upload("intake", "a.jpg", data)
        made = engine.process(data, self.recipe)
        self.record = AssetRecord(
            asset=ASSET,
            source=self.upload,
            recipe=self.recipe.name,
            recipe_digest=self.recipe.digest,
            version=VERSION,
            status=Status.ACCEPTED,
            probe=made.probe,
            metadata=made.metadata,
            dropped=made.dropped,
            first_view=made.first_view,
        )
        renditions = [
            one
            for one in made.renditions
            if f"{one.name}.{one.format.extension}" not in without.split()
        ]
        self.record = replace(
            self.record, renditions=tuple(stored(self.record, one) for one in renditions)
        )
        self.commit()
        for one, there in zip(renditions, self.record.renditions, strict=True):
            self.put(there.key, one.data, one.format)
        RecipeStore(self.store, "delivery").keep(self.recipe)
        self.slept = 0.0
        self.deliver = self.service()
        self.fuse.calls.clear()

    def service(self, **settings: Any) -> Deliver:
        """A container's service: its clock goes on only while it sleeps."""

        def sleep(seconds: float) -> None:
            self.slept += seconds

        given = {"clock": lambda: self.slept, "sleep": sleep}
        return deliver(self.store, self.catalog, **(given | settings))

    def commit(self, **changes: Any) -> None:
        """Record the asset, or a change of it."""
        self.record = replace(self.record, created_at=TIME, updated_at=TIME, **changes)
        self.catalog.records[ASSET] = self.record

    def put(self, key: str, data: bytes, format_: Format = Format.JPEG) -> None:
        """Store a file."""
        self.store.put(
            "delivery",
            key,
            data,
            content_type=format_.media_type,
            cache_control=IMMUTABLE,
            metadata=cache_metadata(key),
        )

    def get(self, file: str) -> OriginAnswer:
        """The response for a missing file."""
        return self.deliver.answer(PREFIX + file)

    def decide(self, file: str) -> Decision:
        """What would be done."""
        found = self.deliver.decide(PREFIX + file)
        assert isinstance(found, Decision)
        return found

    def source(self, file: str) -> str:
        """The stored file that a file would be made from."""
        found = self.decide(file).file
        assert found is not None
        return "original" if found.source is None else found.source.key.removeprefix(PREFIX)


def size_of(data: bytes) -> tuple[str, int, int]:
    """Format, width and height of a file."""
    found = probe(data, recipes.load("default").limits, formats=frozenset(Format))
    return found.format.value, found.width, found.height


# --- what is made, and from what ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "source", "size"),
    [
        ("w/320.jpg", "medium.jpg", (320, 213)),  # 512 is 1.6 times 320
        ("w/480.webp", "large.jpg", (480, 320)),
        ("w/640.jpg", "large.jpg", (640, 427)),
        ("w/960.webp", "original", (960, 640)),
    ],
)
def test_a_width_is_made_from_the_smallest_file_that_is_good_enough(
    file: str, source: str, size: tuple[int, int]
) -> None:
    """At least 1.6 times as wide, else the original; stored like a rendition, for a year."""
    world = World()
    assert world.source(file) == source

    found = world.get(file)

    format_ = "jpeg" if file.endswith("jpg") else "webp"
    assert (found.status, size_of(found.body)) == (200, (format_, *size))
    assert found.headers["Cache-Control"] == IMMUTABLE
    kept = world.store.versions["delivery", PREFIX + file][-1]
    assert kept.data == found.body
    assert (kept.content_type, kept.cache_control) == (f"image/{format_}", IMMUTABLE)
    assert kept.metadata == {"cache-tag": f"a:{ASSET}", trace.NAME: world.record.source.trace}
    assert found.headers["ETag"] == f'"{kept.etag}"'
    assert found.headers["Content-Type"] == f"image/{format_}"


@pytest.mark.parametrize(
    ("asked", "kept", "width"),
    [
        ("w/480.jxl", "w/480.webp", 480),  # the recipe makes no JPEG XL
        ("w/auto-480.webp", "w/480.webp", 480),
        ("w/480.png", "w/480.jpg", 480),
        ("w/1280.webp", "large.webp", 1024),  # the widest that the recipe makes
        ("w/auto-3840.webp", "large.webp", 1024),
        ("medium.avif", "medium.webp", 512),
    ],
)
def test_what_no_recipe_makes_is_made_as_near_as_possible(
    asked: str, kept: str, width: int
) -> None:
    """Under the key that the recipe has for it, once; the answer is kept for a day."""
    world = World()
    before = world.store.keys("delivery")

    for _ in range(2):
        found = world.get(asked)
        assert found.status == 200
        assert size_of(found.body)[1] == width
        assert found.headers["Cache-Control"] == "public, max-age=86400"

    assert world.store.keys("delivery") == before | {PREFIX + kept}
    assert world.fuse.calls.count("store.put") == (PREFIX + kept not in before)


def test_a_format_that_is_made_at_first_view_has_the_size_of_its_rendition() -> None:
    """From the original: no other file of the asset is larger than it by enough."""
    world = World(without="large.webp")

    found = world.get("large.webp")

    assert size_of(found.body) == ("webp", 1024, 683)
    assert found.headers["Cache-Control"] == IMMUTABLE


def test_a_cut_is_made_from_a_whole_picture() -> None:
    """With its own edges, wherever it lies."""
    world = World(without="square.jpg")

    assert world.source("square.jpg") == "medium.jpg"
    assert size_of(world.get("square.jpg").body) == ("jpeg", 128, 128)


def test_a_file_looks_like_the_original_upright_with_what_the_recipe_keeps() -> None:
    """A turned original: neither the stored file nor the new one is turned again; no GPS."""
    world = World(oriented(photo(600, 900), 6, "JPEG"), TEXT.replace("1024", "600"))

    made = world.get("w/320.jpg").body

    assert size_of(made) == ("jpeg", 320, 480)
    whole = engine.process(made, recipes.load("default"))
    assert world.record.metadata is not None
    mine, theirs = whole.metadata.measures, world.record.metadata.measures
    assert (int(mine.phash, 16) ^ int(theirs.phash, 16)).bit_count() <= 4
    assert whole.probe.orientation == 1


def test_a_target_and_what_is_lossless_start_from_the_original() -> None:
    """Its score is of the original's pixels: what a stored file has lost would not be seen."""
    target = TEXT.replace('"webp"]', '{ format = "webp", target = { ssimulacra2 = 60 } }]')
    lossless = TEXT.replace('"webp"]', '{ format = "webp", lossless = true }]')

    for text in (target, lossless):
        world = World(encoded(photo(600, 400), "JPEG"), text.replace("1024", "600"))
        assert world.source("w/320.jpg") == "medium.jpg"
        assert world.source("w/320.webp") == "original"
    assert World(text=TEXT).source("w/320.webp") == "medium.jpg"


def test_transparency_starts_from_the_original_where_the_jpeg_lacks_it() -> None:
    """A WebP keeps it."""
    pixels = photo(600, 400)
    layered = encoded(pixels, "PNG")
    clear = encoded(np.dstack([pixels, pixels[..., 0]]), "PNG")

    assert World(layered).source("w/320.webp") == "medium.jpg"
    world = World(clear)
    assert world.source("w/320.webp") == "original"
    assert world.source("w/320.jpg") == "medium.jpg"


def test_a_watermark_is_on_every_width() -> None:
    """A width is made like the rendition that is next in size, and a marked file is no source."""
    mark = '[renditions.watermark]\ntext = "sample"\n'
    world = World(text=TEXT.replace("minimum_saving = -1\n", "minimum_saving = -1\n" + mark))

    found = world.decide("w/640.jpg").file
    assert found is not None
    assert found.spec.watermark is not None
    assert found.source is None
    assert world.get("w/640.jpg").status == 200


def test_no_more_pixels_are_given_than_the_recipe_makes() -> None:
    """Of an original of 1500 pixels, too: a recipe may hold back what is finer."""
    world = World()

    assert world.get("w/1280.jpg").status == 200
    assert size_of(world.get("w/1280.jpg").body)[1] == 1024
    assert world.get("w/1920.jpg").status == 404
    assert world.get("w/auto-1920.jpg").status == 200


def test_a_recipe_that_only_cuts_gives_widths_of_its_cut() -> None:
    """The cropped area is never shown."""
    text = TEXT[: TEXT.index('[[renditions]]\nname = "medium"')].replace("128", "700")
    world = World(text=text)

    assert size_of(world.get("w/320.jpg").body) == ("jpeg", 320, 320)


def test_what_was_made_and_is_lost_is_made_again() -> None:
    """A rule of the bucket, or somebody, has deleted it between check and read."""
    world = World()
    before = world.store.versions["delivery", f"{PREFIX}medium.jpg"][-1].data
    world.store.delete("delivery", f"{PREFIX}medium.jpg")

    found = world.get("medium.jpg")

    assert found.headers["Cache-Control"] == IMMUTABLE
    assert size_of(found.body) == size_of(before)


def test_what_was_closed_when_the_edge_asked_is_read_and_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The asset was published between the bucket's refusal and this request."""
    world, made = World(), counted(monkeypatch)

    found = world.get("medium.jpg")

    assert found.body == world.store.versions["delivery", f"{PREFIX}medium.jpg"][-1].data
    assert (found.status, found.headers["Cache-Control"]) == (200, IMMUTABLE)
    assert not made


def test_a_source_that_is_lost_gives_way_to_the_next_one() -> None:
    """Until the original."""
    world = World()
    for name in ("medium", "large"):
        world.store.delete("delivery", f"{PREFIX}{name}.jpg")
        assert size_of(world.get(f"w/{320 if name == 'medium' else 480}.webp").body)[0] == "webp"


def test_a_file_that_is_no_smaller_is_the_smaller_one() -> None:
    """As at upload: a WebP is kept only if it saves bytes, else the JPEG is stored in its place."""
    world = World(text=TEXT.replace("minimum_saving = -1", "minimum_saving = 0.9"))
    world.commit(dropped=())

    found = world.get("large.webp")

    assert found.headers["Content-Type"] == "image/jpeg"
    assert found.headers["Cache-Control"] == IMMUTABLE
    jpeg = world.store.versions["delivery", f"{PREFIX}large.jpg"][-1]
    assert world.store.versions["delivery", f"{PREFIX}large.webp"][-1].data == jpeg.data


def test_what_was_dropped_at_upload_is_not_made_again() -> None:
    """The record says that it is no smaller."""
    world = World(text=TEXT.replace("minimum_saving = -1", "minimum_saving = 0.9"))
    assert [(one.name, one.format) for one in world.record.dropped] == [("large", Format.WEBP)]
    world.fuse.calls.clear()

    assert world.get("large.webp").headers["Content-Type"] == "image/jpeg"
    assert "store.put" not in world.fuse.calls


def test_a_packed_jpeg_is_the_stored_one() -> None:
    """JPEG XL without loss gives back the very JPEG that everybody else is sent."""
    text = TEXT.replace('"webp"]\nminimum', '{ format = "jxl", repack = true }]\nminimum')
    world = World(text=text, without="large.jxl")

    made = world.get("large.jxl").body

    jpeg = world.store.versions["delivery", f"{PREFIX}large.jpg"][-1].data
    assert libjxl.unpack(made, limits=recipes.load("default").limits) == jpeg


def test_every_key_of_the_edge_has_a_picture() -> None:
    """Each width in each format, explicit and automatic, of a photo: nothing is a bare error."""
    world = World()

    for width in WIDTHS:
        for ending in ("jpg", "webp", "avif", "jxl"):
            for auto in ("", "auto-"):
                found = world.get(f"w/{auto}{width}.{ending}")
                assert found.headers["Content-Type"].startswith("image/")
                assert found.status == (404 if width > 1280 and not auto else 200)


def test_a_version_is_made_by_its_own_recipe() -> None:
    """The deployment's current recipe does not matter; without the version's recipe no file is
    made."""
    world = World()
    world.store.delete("delivery", f"recipes/{world.recipe.digest}.json")

    found = world.get("w/480.webp")

    assert (found.status, size_of(found.body)[1]) == (200, 512)
    assert found.headers["Cache-Control"] == "public, max-age=86400"
    assert "store.put" not in world.fuse.calls


def test_a_heavy_original_is_not_decoded_here() -> None:
    """A width that a stored file gives is made; another one gets the nearest file."""
    world = World()
    world.deliver = world.service(heavy_pixels=1000)

    assert size_of(world.get("w/480.jpg").body)[1] == 480
    found = world.get("w/960.jpg")
    assert size_of(found.body)[1] == 1024
    assert found.headers["Cache-Control"] == "public, max-age=86400"


# --- once ---------------------------------------------------------------------------------------


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the engine makes each file."""
    made: Counter[str] = Counter()
    make, lock = engine.make_file, threading.Lock()

    def count(data: bytes, file: AllowedFile, *more: Any) -> Any:
        with lock:
            made[file.name] += 1
        return make(data, file, *more)

    monkeypatch.setattr(engine, "make_file", count)
    return made


def test_a_thousand_clients_at_once_are_one_render(monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many containers: one makes the file, the others are given it."""
    world = World()
    made = counted(monkeypatch)
    done = threading.Event()
    real = engine.make_file

    def slow(*call: Any) -> Any:
        assert done.wait(60)
        return real(*call)

    monkeypatch.setattr(engine, "make_file", slow)
    waiting = threading.Semaphore(0)

    def sleep(seconds: float) -> None:
        waiting.release()
        assert done.wait(60)
        time.sleep(seconds)

    def ask(_: int) -> OriginAnswer:
        return world.service(sleep=sleep, clock=lambda: 0.0).answer(PREFIX + "w/480.webp")

    with ThreadPoolExecutor(100) as pool:
        answers = [pool.submit(ask, number) for number in range(1000)]
        for _ in range(99):  # all threads but one wait for that one
            assert waiting.acquire(timeout=60)
        done.set()
        bodies = {hashlib.sha256(one.result().body).hexdigest() for one in answers}

    assert made == {"w/480.webp": 1}
    assert len(bodies) == 1


def test_who_waits_too_long_gets_the_nearest_file() -> None:
    """For seconds, so that the next request gets the file itself."""
    world = World()
    assert world.catalog.claim(ASSET, f"{VERSION}/w/480.webp", holder="other", seconds=60) == 1

    found = world.get("w/480.webp")

    assert WAIT_SECONDS <= world.slept < WAIT_SECONDS + 1
    assert size_of(found.body) == ("webp", 512, 341)
    assert found.headers["Cache-Control"] == "public, max-age=10"


def test_who_waits_for_the_only_file_is_told_when_to_come_back() -> None:
    """No file of that name is stored, so the response is 503 with Retry-After."""
    world = World(without="square.jpg")
    world.catalog.claim(ASSET, f"{VERSION}/square.jpg", holder="other", seconds=60)

    found = world.get("square.jpg")

    assert found.status == 503
    assert found.headers["Retry-After"] == "2"
    assert found.headers["Cache-Control"] == "no-store"


def test_a_claim_of_a_process_that_died_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then another one makes the file: in the sandbox, because the original may have killed it."""
    world = World()
    world.catalog.claim(ASSET, f"{VERSION}/w/960.webp", holder="dead", seconds=0)
    ran = []

    def run(function: Callable[..., Any], *call: Any, limits: object) -> Any:
        ran.append(limits)
        return function(*call)

    monkeypatch.setattr(sandbox, "run", run)

    assert size_of(world.get("w/960.webp").body) == ("webp", 960, 640)
    assert len(ran) == 1
    assert CLAIM_SECONDS > 0


def test_a_file_from_the_sandbox_is_the_same() -> None:
    """The child is given all that it needs, and its answer is a rendition."""
    first, second = World(), World()
    second.catalog.claim(ASSET, f"{VERSION}/w/960.webp", holder="dead", seconds=0)

    assert first.get("w/960.webp").body == second.get("w/960.webp").body


# --- what fails ---------------------------------------------------------------------------------


def failing(world: World, call: str, error: Exception, *, key: str = "") -> None:
    """Let calls of the store fail."""
    real = getattr(world.store, call)

    def fail(bucket: str, at: str, *more: Any, **options: Any) -> Any:
        if key in at:
            raise error
        return real(bucket, at, *more, **options)

    setattr(world.store, call, fail)


@pytest.mark.parametrize(
    "error", [AccessDenied("denied"), Unreachable("down")], ids=["denied", "down"]
)
@pytest.mark.parametrize("call", ["put", "get"])
def test_what_cannot_be_made_has_the_nearest_file_for_seconds(call: str, error: Exception) -> None:
    """A bucket that takes nothing, an original that cannot be read."""
    world = World()
    failing(world, call, error, key=PREFIX if call == "put" else "a.jpg")

    found = world.get("w/960.webp")

    assert (found.status, size_of(found.body)[1]) == (200, 1024)
    assert found.headers["Cache-Control"] == "public, max-age=10"


def test_an_original_that_is_gone_leaves_the_nearest_file() -> None:
    """Its deletion has an event of its own, which has not arrived yet."""
    world = World()
    world.store.delete("intake", "a.jpg", version_id=world.upload.version_id)

    found = world.get("w/960.webp")

    assert (found.status, size_of(found.body)[1]) == (200, 1024)
    assert found.headers["Cache-Control"] == "public, max-age=10"


@pytest.mark.parametrize("failure", [PoisonInput(Reason.CRASHED, "died"), MemoryError()])
def test_an_engine_that_fails_leaves_the_nearest_file(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox that dies, a host without memory; nobody tries again until the claim ends."""
    world = World()

    def fail(*_: object) -> None:
        made.append(1)
        raise failure

    made: list[int] = []
    monkeypatch.setattr(engine, "make_file", fail)

    for _ in range(3):
        found = world.get("w/480.webp")
        assert (found.status, size_of(found.body)[1]) == (200, 512)
        assert found.headers["Cache-Control"] == "public, max-age=10"
    assert made == [1]


def test_a_failure_without_any_file_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """404 for what can never be made, 503 for what may pass; never 200."""
    for failure, status in ((PoisonInput(Reason.CRASHED, "died"), 404), (MemoryError(), 503)):
        world = World(without="square.jpg")

        def fail(*_: object, failure: Exception = failure) -> None:
            raise failure

        monkeypatch.setattr(engine, "make_file", fail)
        found = world.get("square.jpg")
        assert found.status == status
        assert found.headers["Cache-Control"] in ("public, max-age=10", "no-store")


@pytest.mark.parametrize(
    ("becomes", "status"),
    [
        ({"status": Status.DELETED}, 410),
        ({"status": Status.REVIEW}, 403),
        ({"version": "f" * 16}, 302),
        (None, 404),
    ],
)
def test_what_goes_while_a_file_is_made_leaves_no_file(
    becomes: dict[str, Any] | None, status: int
) -> None:
    """Erased, held or replaced: the file that was just stored is removed again."""
    world = World()
    real = world.store.put

    def put(*call: Any, **options: Any) -> str:
        etag = real(*call, **options)
        if becomes is None:
            del world.catalog.records[ASSET]
        else:
            world.commit(**becomes)
        return etag

    world.store.put = put  # type: ignore[method-assign]

    found = world.get("w/480.webp")

    assert found.status == status
    assert PREFIX + "w/480.webp" not in world.store.keys("delivery")


def test_a_large_file_is_made_and_then_read_from_the_bucket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A function may answer 6 MB: the client is sent to the key, and no cache keeps that."""
    world = World()
    monkeypatch.setattr("worker.services.deliver.MOST_BYTES", 1000)

    found = world.get("w/480.webp")

    assert found.status == 302
    assert found.headers == {
        "Location": f"/{ASSET}/{VERSION}/w/480.webp",
        "Cache-Control": "no-store",
    }
    assert PREFIX + "w/480.webp" in world.store.keys("delivery")


def test_keys_that_no_recipe_allows_make_nothing() -> None:
    """Absurd widths, unknown names, strange endings: the record is read, and nothing written."""
    world = World()

    for file in ("w/99999.webp", "w/123.jpg", "w/0.jpg", "huge.webp", "w/x.jpg", "large.tif"):
        world.get(file)
    assert "store.put" not in world.fuse.calls
    assert "catalog.claim" not in world.fuse.calls
    assert read_picture_key(PREFIX + "w/auto-640.jxl") is not None


# --- formats that a recipe leaves to the first view ---------------------------------------------

LAZY = TEXT.replace('name = "test"', 'name = "lazy"').replace(
    '"webp"]', '{ format = "webp", first_view = true }]'
)


def test_what_a_recipe_leaves_to_the_first_view_is_not_made_at_upload() -> None:
    """The record says what it will be; delivery makes it, and the same file as at upload."""
    world, eager = World(text=LAZY), World()
    assert {one.format for one in world.record.renditions} == {Format.JPEG}
    planned = [
        FirstViewRendition(name=name, format=Format.WEBP, width=width, height=height)
        for name, width, height in (("medium", 512, 341), ("large", 1024, 683))
    ]
    made = engine.process(PHOTO, world.recipe)
    assert list(made.first_view) == planned

    found = world.get("large.webp")

    assert found.headers["Cache-Control"] == IMMUTABLE
    at_upload = eager.store.versions["delivery", f"{PREFIX}large.webp"][-1].data
    assert size_of(found.body) == size_of(at_upload)
    assert abs(len(found.body) - len(at_upload)) < len(at_upload) / 50


def test_a_recipe_without_lazy_formats_makes_the_same_plan() -> None:
    """And one with some makes the other files with the same pixels."""
    lazy, eager = recipes.parse(LAZY), recipes.parse(TEXT)
    found = probe(PHOTO, eager.limits, formats=eager.formats)

    assert make_plan(found, eager, at_upload=True) == make_plan(found, eager)
    files = {
        f"{one.name}.{one.format.extension}": one.sha256
        for one in engine.process(PHOTO, lazy).renditions
    }
    whole = {
        f"{one.name}.{one.format.extension}": one.sha256
        for one in engine.process(PHOTO, recipes.all_at_upload(lazy)).renditions
    }
    assert files == {name: whole[name] for name in ("square.jpg", "medium.jpg", "large.jpg")}
    assert whole.keys() - files.keys() == {"medium.webp", "large.webp"}
    assert recipes.all_at_upload(lazy).digest == lazy.digest


def test_the_key_is_written_out_and_read_back() -> None:
    """A recipe that does not use it has the digest that it had before there was the key."""
    lazy, eager = recipes.parse(LAZY), recipes.parse(TEXT)

    assert recipes.parse(recipes.dump(lazy)) == lazy
    assert "first_view = true" in recipes.dump(lazy)
    assert "first_view" not in recipes.dump(eager)
    off = LAZY.replace("first_view = true", "first_view = false").replace('"lazy"', '"test"')
    assert recipes.parse(off).digest == eager.digest
    assert lazy.digest != replace(eager, name="lazy").digest


def test_a_recipe_that_makes_nothing_at_upload_is_a_mistake() -> None:
    """Something must be there when the first page shows the picture."""
    text = LAZY.replace('"jpeg"', '{ format = "jpeg", first_view = true }')

    with pytest.raises(RecipeError) as caught:
        recipes.parse(text)
    assert [one.path for one in caught.value.problems] == ["renditions"]
    assert "made at first view" in caught.value.problems[0].message


def test_choices_that_make_viewers_wait_are_advised_against() -> None:
    """The fallback at first view, and what starts from the original each time."""
    first = LAZY.replace('["jpeg", {', '[{ format = "jpeg", first_view = true }, {', 1)
    target = LAZY.replace("first_view = true", "first_view = true, target = { ssimulacra2 = 70 }")

    assert "fall back" not in " ".join(one.message for one in recipes.advise(recipes.parse(LAZY)))
    said = [one.path for one in recipes.advise(recipes.parse(target))]
    assert "renditions[1].formats[1].first_view" in said
    mixed = first.replace('{ format = "webp", first_view = true }]\n[[', '"webp"]\n[[', 1)
    assert "renditions[1].formats[0]" in [one.path for one in recipes.advise(recipes.parse(mixed))]


def test_the_cost_of_a_recipe_shows_what_first_views_save(tmp_path: Path) -> None:
    """Fewer files and bytes at upload; where all are viewed, more requests than at upload."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photo(1200, 800), "JPEG"))
    price, need = prices.load()

    def found(viewed: float) -> CostComparison:
        return compare([path], recipes.parse(LAZY), viewed=viewed, price=price, need=need)

    few, all_ = found(0.1), found(1)
    assert (few.as_it_is.files_at_upload, few.all_at_upload.files_at_upload) == (3, 4)
    assert few.as_it_is.files_at_first_view == pytest.approx(0.2)
    assert few.all_at_upload.files_at_first_view == 0
    assert few.as_it_is.stored_bytes < few.all_at_upload.stored_bytes
    assert few.as_it_is.requests_usd < few.all_at_upload.requests_usd < all_.as_it_is.requests_usd
    assert few.as_it_is.storage_month_usd < all_.as_it_is.storage_month_usd
    with pytest.raises(InputError):
        compare([], recipes.parse(LAZY), viewed=1, price=price, need=need)


def test_ingest_records_what_it_leaves_to_delivery() -> None:
    """A copy of identical bytes has it, too; the API gives its URLs where there is an edge."""
    policy = replace(POLICY, recipe=recipes.parse(LAZY))
    world = IngestWorld(policy=policy)
    data = encoded(photo(300, 200), "JPEG")

    first = world.ingest(world.store.upload("intake", "a.jpg", data)).record
    second = world.ingest(world.store.upload("intake", "b.jpg", data)).record

    assert first is not None
    assert second is not None
    assert second.copied_from == first.asset
    expected = [("medium", Format.WEBP, 300, 200), ("large", Format.WEBP, 300, 200)]
    for record in (first, second):
        assert [
            (one.name, one.format, one.width, one.height) for one in record.first_view
        ] == expected
        assert {one.format for one in record.renditions} == {Format.JPEG}
    edge = Addresses(of=lambda key: f"https://media.example/{key}", negotiated=True)
    shown = summary(first, edge)
    assert [one.url.rpartition("/")[2] for one in shown.first_view] == ["medium.webp", "large.webp"]
    assert summary(first, replace(edge, negotiated=False)).first_view == []
