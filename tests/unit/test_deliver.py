"""What stands in for a file that the bucket does not have, and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.fakes import Fuse, MemoryCatalog, MemoryStore
from worker.domain.asset import AssetRecord, LogEntry, ObjectVersion, Status, StoredMedia
from worker.domain.delivery import PictureKey
from worker.domain.errors import Unreachable
from worker.domain.image import Format, MediaFormat, StoredRendition
from worker.domain.keys import cache_metadata, prefix_of
from worker.entrypoints import lambda_deliver
from worker.ports import Catalog, ObjectStore
from worker.services.deliver import MOST_BYTES, Deliver, substitute
from worker.services.first_view import FirstView
from worker.services.hot_files import CacheOutcome, HotFiles
from worker.services.recipe_store import RecipeStore
from worker.subprocesses.sandbox import SandboxLimits

ASSET, VERSION = "01890f6e-0000-7000-8000-000000000001", "0123456789abcdef"
PREFIX = prefix_of(ASSET, VERSION)
TIME = "2026-01-02T03:04:05Z"


def made(
    name: str, format_: Format, width: int, height: int = 0, *, size: int = 10
) -> StoredRendition:
    """A rendition, by default of 3:2."""
    return StoredRendition(
        name=name,
        format=format_,
        width=width,
        height=height or width * 2 // 3,
        frames=1,
        bytes=size,
        key=f"{PREFIX}{name}.{format_.extension}",
        sha256="0" * 64,
    )


MADE = (
    made("thumbnail", Format.JPEG, 256, 256),
    made("thumbnail", Format.WEBP, 256, 256),
    made("medium", Format.JPEG, 1024),
    made("medium", Format.WEBP, 1024),
    made("large", Format.JPEG, 2048),
)


def deliver(
    store: ObjectStore,
    catalog: Catalog,
    bucket: str = "delivery",
    *,
    files: HotFiles | None = None,
    **settings: Any,
) -> Deliver:
    """The service, with everything that makes files."""
    limits = SandboxLimits(cpu_seconds=60, wall_seconds=60, memory_bytes=2**31)
    first_view = FirstView(
        store=store,
        catalog=catalog,
        recipes=RecipeStore(store, bucket),
        bucket=bucket,
        **{"heavy_bytes": 40_000_000, "heavy_pixels": 64_000_000, "limits": limits, **settings},
    )
    return Deliver(store=store, catalog=catalog, bucket=bucket, first_view=first_view, files=files)


class World:
    """An asset with what was made of it."""

    def __init__(
        self,
        *,
        status: Status = Status.ACCEPTED,
        renditions: Iterable[StoredRendition] = MADE,
        media: Iterable[StoredMedia] = (),
    ) -> None:
        """Record it, and store the files."""
        self.fuse = Fuse()
        self.store, self.catalog = MemoryStore(self.fuse), MemoryCatalog(self.fuse)
        self.record = AssetRecord(
            asset=ASSET,
            source=ObjectVersion(bucket="intake", key="a", etag="e", sequencer="1", size=1),
            recipe="default",
            recipe_digest="0" * 64,
            version=VERSION,
            status=status,
            renditions=tuple(renditions),
            media=tuple(media),
            created_at=TIME,
            updated_at=TIME,
        )
        self.catalog.commit(self.record, LogEntry(time=TIME, kind="test"))
        for one in renditions:
            self.store.put(
                "delivery",
                one.key,
                one.key.encode(),
                content_type=one.format.media_type,
                metadata=cache_metadata(one.key),
            )
        self.deliver = deliver(self.store, self.catalog)

    def get(self, file: str, *, version: str = VERSION) -> tuple[int, str]:
        """Status, and the file that was given or where to look."""
        found = self.deliver.answer(prefix_of(ASSET, version) + file)
        if found.status == 302:
            assert found.headers["Cache-Control"] == "no-store"
            return 302, found.headers["Location"]
        if found.status == 200:
            assert found.headers["x-amz-meta-cache-tag"] == f"a:{ASSET}"
            assert found.headers["Cache-Control"] == "public, max-age=86400"
            assert found.headers["ETag"].strip('"')
            return 200, found.body.decode().removeprefix(PREFIX)
        assert found.headers["Cache-Control"] == "public, max-age=10"
        assert found.headers["Content-Type"] == "text/plain"
        return found.status, ""


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("large.webp", "large.jpg"),  # it was dropped: it was no smaller
        ("medium.jxl", "medium.webp"),
        ("medium.avif", "medium.webp"),
        ("large.jxl", "large.jpg"),
        ("medium.png", "medium.jpg"),
        ("thumbnail.jxl", "thumbnail.webp"),
        ("w/320.jpg", "medium.jpg"),  # the square thumbnail is another cut
        ("w/320.webp", "medium.webp"),
        ("w/960.avif", "medium.webp"),
        ("w/1280.jpg", "large.jpg"),
        ("w/1280.webp", "medium.webp"),  # the widest in a format that is known to be taken
        ("w/2560.jpg", "large.jpg"),  # nothing is enlarged
        ("w/auto-3840.jpg", "large.jpg"),
        ("w/auto-3840.jxl", "medium.webp"),
    ],
)
def test_the_nearest_file_stands_in(asked: str, given: str) -> None:
    """WebP for who takes newer formats, the common format otherwise; the next larger width."""
    assert World().get(asked) == (200, given)


@pytest.mark.parametrize(
    ("asked", "shown"), [("w/3840.jpg", "large.jpg"), ("w/3840.jxl", "medium.webp")]
)
def test_a_width_that_is_wider_than_every_file_is_a_404(asked: str, shown: str) -> None:
    """For seconds, with the widest file as its body: a page shows that, a program sees the 404."""
    found = World().deliver.answer(PREFIX + asked)

    assert found.status == 404
    assert found.headers["Cache-Control"] == "public, max-age=10"
    assert found.body.decode() == PREFIX + shown
    assert found.headers["Content-Type"] == f"image/{shown[-4:].strip('.').replace('jpg', 'jpeg')}"


def test_the_common_format_of_a_picture_may_be_another_one() -> None:
    """Clients that know nothing newer are sent the PNG that was made instead of a JPEG."""
    world = World(renditions=[made("logo", Format.PNG, 512), made("logo", Format.WEBP, 512)])

    assert world.get("logo.jpg") == (200, "logo.png")
    assert world.get("w/320.jpg") == (200, "logo.png")
    assert world.get("w/auto-3840.jpg") == (200, "logo.png")


@pytest.mark.parametrize("file", ["huge.webp", "film.mp4", "hls/master.m3u8", "large", "w/x.jpg"])
def test_what_nobody_made_is_a_404(file: str) -> None:
    """A name that the recipe does not have, and what is no picture."""
    assert World().get(file) == (404, "")


def test_names_below_no_asset_are_a_404() -> None:
    """The catalog is queried only with valid ids."""
    world = World()

    for key in ("", "recipes/0.json", "ab/../x/large.jpg", "x" * 3000):
        assert world.deliver.answer(key).status == 404
    assert world.fuse.calls[-1] != "catalog.get"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (Status.DELETED, 410),
        (Status.REVIEW, 403),
        (Status.REJECTED, 404),
        (Status.PROCESSING, 404),
        (Status.PUBLISHED, 200),
    ],
)
def test_an_asset_that_is_not_served_is_refused(status: Status, answer: int) -> None:
    """Deleted, waiting for a person, rejected or not made yet: for seconds, and never as 200."""
    assert World(status=status).get("large.webp")[0] == answer


def test_an_unknown_asset_is_a_404() -> None:
    """It may be there in a moment."""
    world = World()

    other = prefix_of(ASSET.replace("1", "2"), VERSION)

    assert world.deliver.answer(other + "large.webp").status == 404


def test_a_version_that_was_replaced_leads_to_the_new_one() -> None:
    """Its files expire, and a page may still name it."""
    old = "f" * 16

    assert World().get("large.webp", version=old) == (302, f"/{ASSET}/{VERSION}/large.webp")
    assert World().get("w/640.jxl", version=old) == (302, f"/{ASSET}/{VERSION}/w/640.jxl")


STREAM = "transcode/hls"
PLAYLIST = StoredMedia(
    name="stream",
    format=MediaFormat.HLS,
    bytes=9,
    key=f"{PREFIX}{STREAM}/master.m3u8",
    sha256="0" * 64,
    duration_ms=2000,
)


def test_a_page_with_a_video_that_was_replaced_gets_the_new_one() -> None:
    """Its playlist, from which all else follows. A segment of another version would not fit."""
    world, old = World(media=[PLAYLIST]), "f" * 16

    moved = f"/{ASSET}/{VERSION}/{STREAM}/master.m3u8"
    assert world.get(f"{STREAM}/master.m3u8", version=old) == (302, moved)
    for part in ("manifest.mpd", "720p/index.m3u8", "720p/init.mp4", "720p/00000.m4s"):
        assert world.get(f"{STREAM}/{part}", version=old) == (404, "")
    assert world.get(f"{STREAM}/720p/00000.m4s") == (404, "")


@pytest.mark.parametrize(
    ("status", "answer"), [(Status.DELETED, 410), (Status.REVIEW, 403), (Status.REJECTED, 404)]
)
def test_a_video_that_is_not_served_is_refused_whole(status: Status, answer: int) -> None:
    """Playlists and segments say why, as pictures do."""
    world = World(status=status, media=[PLAYLIST])

    for part in ("master.m3u8", "720p/00000.m4s"):
        assert world.get(f"{STREAM}/{part}") == (answer, "")


def test_a_large_file_is_not_sent_through_a_function() -> None:
    """The client is told its own address, which the bucket answers for."""
    large = made("large", Format.JPEG, 9000, size=MOST_BYTES + 1)

    assert World(renditions=[large]).get("large.webp") == (302, f"/{ASSET}/{VERSION}/large.jpg")


def test_a_file_that_goes_between_check_and_read_is_a_404() -> None:
    """It has expired or was erased since the record was read."""
    world = World()
    world.store.delete("delivery", f"{PREFIX}large.jpg")

    assert world.get("large.webp") == (404, "")


def test_nothing_stands_in_for_nothing() -> None:
    """Of a record without renditions there is none."""
    wanted = PictureKey(asset=ASSET, version=VERSION, format=Format.JPEG, width=320)

    assert substitute((), wanted) is None
    assert substitute((), replace(wanted, name="large", width=0)) is None


# --- the function -------------------------------------------------------------------------------


def event(path: str, method: str = "GET") -> dict[str, Any]:
    """As a function URL sends it, payload format 2.0."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "x.lambda-url.eu-central-1.on.aws"},
        "requestContext": {"http": {"method": method, "path": path}},
    }


def test_the_function_answers_for_the_bucket() -> None:
    """Bytes as base64, headers as they are."""
    answer = lambda_deliver.answer(event(f"/{PREFIX}large.webp"), World().deliver)

    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "image/jpeg"
    assert answer["isBase64Encoded"] is True
    assert base64.b64decode(answer["body"]) == f"{PREFIX}large.jpg".encode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_function_only_reads(method: str) -> None:
    """Origin failover is for reading."""
    world = World()
    world.fuse.calls.clear()

    assert lambda_deliver.answer(event("/x", method), world.deliver)["statusCode"] == 403
    assert world.fuse.calls == []


def test_an_outage_is_kept_by_nobody() -> None:
    """The next request tries again."""
    world = World()
    world.fuse.burns_at = len(world.fuse.calls) + 1
    world.fuse.error = lambda: Unreachable("the catalog does not answer")

    answer = lambda_deliver.answer(event(f"/{PREFIX}large.webp"), world.deliver)

    assert answer["statusCode"] == 503
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert base64.b64decode(answer["body"]) == b"unreachable\n"


def test_what_was_read_and_answered_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line of embedded metrics for a request: what the cache had, the status, the time."""
    world = World()
    monkeypatch.setattr(lambda_deliver, "service", lambda: world.deliver)
    monkeypatch.setenv("SAFELIGHT_METRICS_NAMESPACE", "Safelight/test")

    lambda_deliver.handler(event(f"/{PREFIX}large.webp"), None)
    lambda_deliver.handler(event("/nothing"), None)
    lambda_deliver.handler({}, None)

    read, missing = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (read["outcome"], read["CacheReads"]) == (CacheOutcome.BYPASS, 1)
    assert (read["status"], read["OriginAnswers"]) == ("200", 1)
    assert (read["stage"], read["service"]) == ("deliver", "deliver")
    assert read["StageSeconds"] >= 0
    assert {one["Namespace"] for one in read["_aws"]["CloudWatchMetrics"]} == {"Safelight/test"}
    assert (missing["status"], missing["OriginAnswers"]) == ("404", 1)
    assert "CacheReads" not in missing
