"""What people do to a stack while faults happen: they upload, replace, remove, hold and publish.

Everything follows from a seed: what is done, when, and with which bytes. What the store has
answered is written down: it must be true at the end.
"""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from worker.bootstrap import Application
from worker.domain.asset import SERVED, AssetRecord, Status, asset_id_of
from worker.domain.errors import AssetMissing, Conflict, InputError, ObjectMissing, SafelightError

THREADS = 4
VIDEO_SECONDS = 60.0
"""Between two videos: one is the work of thirty pictures."""


class Deed(StrEnum):
    """What somebody does."""

    PUT = "put"
    """A new picture under a new key."""
    DUPLICATE = "duplicate"
    """The bytes of an earlier picture under a new key."""
    BAD = "bad"
    """A broken picture."""
    REPLACE = "replace"
    """Another picture under a key that was used."""
    REMOVE = "remove"
    """The original is deleted in S3."""
    HOLD = "hold"
    PUBLISH = "publish"
    TAG = "tag"
    ERASE = "erase"
    """The asset is removed with everything."""
    VIDEO = "video"


REPEATED = frozenset({Deed.HOLD, Deed.PUBLISH, Deed.ERASE})
"""What the same call completes if it was cut short."""
_SHARES = {
    Deed.PUT: 45, Deed.DUPLICATE: 10, Deed.BAD: 8, Deed.REPLACE: 16, Deed.REMOVE: 5, Deed.HOLD: 5,
    Deed.PUBLISH: 3, Deed.TAG: 4, Deed.ERASE: 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStep:
    """One deed of a run."""

    at: float
    deed: Deed
    key: str
    picture: int = 0
    """Which one; equal numbers are equal bytes."""


def steps(seed: int, seconds: float, rate: float, *, videos: bool) -> Iterator[UserStep]:
    """The deeds of a run, in the order of time: a Poisson process."""
    dice = random.Random(f"{seed} traffic")
    keys: list[str] = []
    at, next_video, number = dice.expovariate(rate), 2.0 if videos else seconds, 0
    while at < seconds:
        number += 1
        if at >= next_video:
            next_video += VIDEO_SECONDS
            yield UserStep(at=at, deed=Deed.VIDEO, key=f"videos/{number}.mp4")
        deed = dice.choices(list(_SHARES), list(_SHARES.values()))[0]
        if deed not in (Deed.PUT, Deed.DUPLICATE, Deed.BAD) and not keys:
            deed = Deed.PUT
        if deed in (Deed.PUT, Deed.DUPLICATE, Deed.BAD):
            keys.append(f"album {number % 7}/ü+{number}.jpg")
            picture = dice.randrange(number) if deed is Deed.DUPLICATE else number
            yield UserStep(at=at, deed=deed, key=keys[-1], picture=picture)
        else:
            # Mostly what is still at work: there are the races.
            back = min(int(dice.expovariate(0.3)), len(keys) - 1)
            yield UserStep(at=at, deed=deed, key=keys[-1 - back], picture=number)
        at += dice.expovariate(rate)


@dataclass
class _Known:
    """What the stores have answered about a key."""

    etag: str = ""
    """Of the last upload; empty if there was none, or the last answer was a deletion."""
    bad: bool = False
    video: bool = False
    removed: bool = False
    erased: bool = False
    unsure: bool = False
    """A request had no answer: both may be true."""
    erasing: bool = False
    again: UserStep | None = None
    """What was cut short, and is completed by the same call."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class UserTraffic:
    """Does the steps at their times, and knows what must have become of them.

    Args:
        app: with the rights of the operator.
        videos: uploads a short video now and then, if ffmpeg is there.
    """

    def __init__(
        self,
        app: Application,
        *,
        seed: int,
        seconds: float,
        rate: float,
        folder: Path,
        videos: bool = True,
    ) -> None:
        self._app = app
        self._video = _video(folder) if videos else None
        self._steps = iter(list(steps(seed, seconds, rate, videos=self._video is not None)))
        self._keys: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._began = 0.0
        self._threads = [threading.Thread(target=self._work) for _ in range(THREADS)]
        self.uploads = self.refused = 0

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Do nothing more, and wait for answers."""
        self._over.set()
        self.join()

    def join(self) -> None:
        """Wait until everything is done."""
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                step = next(self._steps, None)
            if step is None or self._over.wait(max(0.0, self._began + step.at - time.monotonic())):
                return
            with self._lock:
                known = self._keys.setdefault(step.key, _Known())
            with known.lock:  # what is done to one key is done in turn
                self._do(step, known)

    def _do(self, step: UserStep, known: _Known) -> None:
        unsure, known.unsure = known.unsure, True
        try:
            self._deed(step, known)
        except (AssetMissing, Conflict, InputError, ObjectMissing):
            known.unsure, known.again = unsure, None  # an answer: not now
        except SafelightError:
            self.refused += 1
            known.again = step if step.deed in REPEATED else known.again
        else:
            known.again = None if known.again and known.again.deed is step.deed else known.again
            uploads = (Deed.PUT, Deed.DUPLICATE, Deed.BAD, Deed.REPLACE, Deed.REMOVE, Deed.VIDEO)
            known.unsure = unsure and step.deed not in uploads

    def _deed(self, step: UserStep, known: _Known) -> None:
        app, asset = self._app, asset_id_of(self._app.settings.intake_bucket, step.key)
        match step.deed:
            case Deed.PUT | Deed.DUPLICATE | Deed.BAD | Deed.REPLACE | Deed.VIDEO:
                self._put(step, known)
            case Deed.REMOVE:
                app.store.delete(app.settings.intake_bucket, step.key)
                known.etag, known.removed = "", True
            case Deed.HOLD:
                app.access.hold(asset)
            case Deed.PUBLISH:
                app.access.publish(asset)
            case Deed.TAG:
                app.catalog.update(asset, add_tags=[f"t{step.picture % 5}"])
            case Deed.ERASE:
                known.erasing = True
                try:
                    app.eraser().erase(asset)
                finally:
                    known.erasing = False
                known.etag, known.erased = "", True

    def _put(self, step: UserStep, known: _Known) -> None:
        video = step.deed is Deed.VIDEO
        assert self._video is not None or not video
        data = self._video if video else picture(step.picture)
        assert data is not None
        if step.deed is Deed.BAD:
            data = data[: len(data) // 2]
        self._app.store.put(
            self._app.settings.intake_bucket,
            step.key,
            data,
            content_type="video/mp4" if video else "image/jpeg",
            metadata={"owner": f"owner-{step.picture % 3}"},
        )
        known.etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        known.bad, known.video = step.deed is Deed.BAD, video
        known.removed = known.erased = False
        with self._lock:
            self.uploads += 1

    def erasing(self) -> set[str]:
        """Assets that are just being removed, or whose removal was cut short: the record goes
        last, so that the same call completes it."""
        bucket = self._app.settings.intake_bucket
        with self._lock:
            known = dict(self._keys)
        return {
            asset_id_of(bucket, key)
            for key, one in known.items()
            if one.erasing or (one.again is not None and one.again.deed is Deed.ERASE)
        }

    def complete(self) -> None:
        """Do again what was cut short, as people have to."""
        for known in self._keys.values():
            if known.again is not None:
                self._do(known.again, known)

    def wrong(self) -> Iterator[tuple[str, str]]:
        """What was answered and is not true: asset and sentence. For a stack that has settled."""
        bucket = self._app.settings.intake_bucket
        for key, known in sorted(self._keys.items()):
            if known.unsure:
                continue
            asset = asset_id_of(bucket, key)
            text = _wrong(known, self._app.catalog.get(asset))
            if text:
                yield asset, f"{key}: {text}"


def _wrong(known: _Known, record: AssetRecord | None) -> str:
    if known.removed:
        gone = record is None or record.status in (Status.DELETED, Status.REJECTED)
        return "" if gone or record is None else f"was deleted, and is {record.status.value}"
    if known.erased:
        return "" if record is None else f"was erased, and is {record.status.value}"
    if not known.etag:
        return ""
    if record is None:
        return "was uploaded, and has no record"
    if record.source.etag != known.etag:
        return "was uploaded, and the record is of other bytes"
    right = {Status.REJECTED} if known.bad else SERVED
    return "" if record.status in right else f"was uploaded, and is {record.status.value}"


@lru_cache(256)
def picture(number: int) -> bytes:
    """A small JPEG; each number has its own."""
    spots = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(spots).resize((120 + number % 40, 90)).save(
        file, "JPEG", quality=80, comment=str(number).encode()
    )
    return file.getvalue()


def _video(folder: Path) -> bytes | None:
    """Two seconds of a test picture; None without ffmpeg."""
    path = folder / "clip.mp4"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=s=160x90:r=10:d=2"]
    command += ["-pix_fmt", "yuv420p", str(path)]
    try:
        done = subprocess.run(command, check=False, capture_output=True)
    except FileNotFoundError:
        return None
    return path.read_bytes() if done.returncode == 0 else None
