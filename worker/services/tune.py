"""How much memory the ingest function should have: measured on AWS by Lambda Power Tuning.

Power Tuning (github.com/alexcasalboni/aws-lambda-power-tuning, 4.4.0) is a state machine: it
publishes a version of a function for each size of memory, invokes it with payloads and returns mean
durations. Four things about it shape this module:

- It gives every size the same payloads. The ingest function works on an upload once: an event of a
  recorded upload costs it a look into the catalog, and bytes that it knows are copied, not made. So
  each size gets an execution of its own, with uploads that no other one has.
- An execution whose function failed or was throttled ends as SUCCEEDED with ``{}`` as its output
  (``CleanUpOnError`` in ``statemachine.asl.json``), and a retried executor sends the same payloads
  again. The history of the execution tells; such a size is not measured.
- A failure that a function answers is none to it. The catalog tells whether all uploads were done.
- It cannot read logs in JSON (its issue 305, open since 2026-04-22).

Originals come into the intake bucket, where S3 announces them to the live function as well. It
works on them first, which shows that the recipe accepts them; then their records are deleted, and
the events of the tuning bring them anew. At the end everything is erased.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from worker.domain.asset import AssetRecord, ObjectVersion, Status, asset_id_of
from worker.domain.errors import (
    ConfigurationError,
    InputError,
    SafelightError,
    TransientError,
    TuningFailed,
)
from worker.domain.workflow import RunResult
from worker.imaging.formats.jpeg import segments
from worker.ports import Catalog, ObjectStore
from worker.services.messages import announcement
from worker.services.put_files import Placed, await_records
from worker.services.tuning_curve import LEAST, MOST, DurationCurve, PhotoSet, Point, Where

SENDER = "safelight:tune"
"""In place of ``aws:s3`` in announcements."""
PREFIX = "tuning/"
"""Of the originals in the intake bucket."""
START: Mapping[str, Any] = {"Records": []}
"""An event without uploads: the function only makes its clients."""
STARTS = 5
"""Cold starts of each size; the least number of invocations that Power Tuning takes."""
MOST_BATCH = 3
"""Uploads in an invocation. Power Tuning reads durations from the last 4 KB of the log (AWS Lambda
API Reference, Invoke, LogType) and takes a log that begins with ``{`` for JSON: all lines of an
invocation must fit in."""
MOST_UPLOADS = 150
"""Maximum of uploads for one size: their events fit into the 256 KB that a state may have as its
input (AWS Step Functions Developer Guide, "Service quotas")."""
EXECUTION_SECONDS = 1800.0
"""Longest wait for an execution: 900 s for the invocations (``totalExecutionTimeout``), and the
versions."""
POLL_SECONDS = 5.0
FORGET_SECONDS = 60.0
"""Longest wait until no index of the catalog has the deleted records; it takes a second."""
_APPLICATION = range(0xE0, 0xF0)
"""Markers of JPEG's application segments: JFIF and EXIF want to be the first ones."""


# --- photos -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A JPEG that uploads are made of."""

    name: str
    data: bytes

    def marked(self, mark: str) -> bytes:
        """The same picture as bytes of its own: with a comment behind the application segments.

        Raises:
            InputError: it is not a JPEG.
        """
        text = mark.encode()
        comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
        at = 2
        for marker, start, content in segments(self.data):
            if marker not in _APPLICATION:
                return self.data[:at] + comment + self.data[at:]
            at = start + len(content)
        raise InputError(f"{self.name} is not a JPEG, or is cut off")


def read_photos(paths: Sequence[Path]) -> tuple[Photo, ...]:
    """Read files, and the JPEG files of folders and of the folders below them.

    Raises:
        InputError: one is missing (``input_missing``) or cannot be read (``input_unreadable``), is
            no JPEG, or there is none (``input_invalid``).
    """
    found = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder", code="input_missing")
        files = [path]
        if path.is_dir():
            files = sorted(
                one for one in path.rglob("*") if one.suffix.lower() in (".jpg", ".jpeg")
            )
        for file in files:
            try:
                photo = Photo(name=str(file), data=file.read_bytes())
            except OSError as error:
                text = f"{file}: {error.strerror}"
                raise InputError(text, code="input_unreadable") from error
            photo.marked("")
            found.append(photo)
    if not found:
        raise InputError("there is no JPEG photo to measure with")
    return tuple(found)


def check_sizes(sizes: Sequence[int], *, most: int = MOST) -> tuple[int, ...]:
    """The sizes in order. Raises ``InputError``: fewer than two, one twice, or one out of range."""
    for size in sizes:
        if not LEAST <= size <= most:
            raise InputError(f"{size} MB is not a size from {LEAST} to {most} MB")
    if len(set(sizes)) != len(sizes):
        raise InputError("a size is named twice")
    if len(sizes) < 2:
        raise InputError("one size is no curve: name at least two")
    return tuple(sorted(sizes))


# --- events -------------------------------------------------------------------------------------


def sqs_event(uploads: Sequence[ObjectVersion]) -> dict[str, Any]:
    """The event of a batch of messages that announce uploads (AWS Lambda Developer Guide, "Using
    Lambda with Amazon SQS").

    No queue has these messages: the function cannot delay one that fails, and logs that.
    """
    return {
        "Records": [
            {
                "messageId": f"tune-{number}",
                "receiptHandle": "none",
                "body": announcement(upload, sender=SENDER),
                "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": f"tune-{number}"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            }
            for number, upload in enumerate(uploads)
        ]
    }


# --- the contract of Power Tuning ----------------------------------------------------------------


def machine_input(function: str, memory: int, payloads: Sequence[Mapping[str, Any]]) -> Any:
    """The input of an execution that invokes one size with each payload once, in order.

    Weighted payloads of equal weight are used once each if there are as many as invocations. No
    result is discarded: payloads differ, and what is discarded by default are the largest photos.

    Args:
        function: ARN of the function, without a version.
        memory: megabytes.
        payloads: at least five, in order.
    """
    return {
        "lambdaARN": function,
        "powerValues": [memory],
        "num": len(payloads),
        "payload": [{"payload": one, "weight": 1} for one in payloads],
        "parallelInvocation": False,
        "discardTopBottom": 0,
        "includeOutputResults": True,
        "autoOptimize": False,
        "disablePayloadLogs": True,
    }


def cold_input(function: str, memory: int) -> Any:
    """The input of an execution that only starts the function, each time anew."""
    return {**machine_input(function, memory, [START] * STARTS), "onlyColdStarts": True}


def mean_seconds(output: object, memory: int) -> float:
    """The mean duration of an execution's output, the INIT phase included.

    Its price is not used: Power Tuning's table says 2.1 and 1.7 nanodollars for a millisecond of
    128 MB where the list prices are 2.083 and 1.667.

    Raises:
        TuningFailed: it is no output of an analysis of this size.
    """
    stats = output.get("stats") if isinstance(output, Mapping) else None
    for one in stats if isinstance(stats, list) else ():
        value = one.get("averageDuration") if isinstance(one, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if one.get("value") == memory and 0 < value < math.inf:
            return value / 1000
    text = f"Power Tuning answered no duration for {memory} MB"
    raise TuningFailed(text)


class TuningRuns(Protocol):
    """Executions of the state machine."""

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """See ``Workflows.start``."""
        ...

    def result(self, workflow: str, name: str) -> RunResult | None:
        """The result of an execution; None while it runs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFacts:
    """The function's configuration on AWS."""

    memory: int
    """Megabytes."""
    architecture: str
    log_format: str
    """``JSON`` or ``Text``."""


# --- the use case -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Measures the function of a stack on AWS.

    Args:
        runs: executions of Power Tuning's state machine, by the name ``MACHINE``.
        facts: asks AWS for the function's configuration.
        erase: removes an asset with everything, even if its record is gone.
        function: ARN of the ingest function.
        bucket: the intake bucket.
        run: tells this tuning from others.
        say: told, in a sentence, what takes time.
    """

    store: ObjectStore
    catalog: Catalog
    runs: TuningRuns
    facts: Callable[[], FunctionFacts]
    erase: Callable[[AssetRecord], object]
    function: str
    bucket: str
    run: str
    say: Callable[[str], None] = lambda _: None
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def measure(
        self, photos: Sequence[Photo], sizes: Sequence[int], *, each: int, batch: int, today: str
    ) -> DurationCurve:
        """Measure the function with each size, and remove what was uploaded for it.

        Args:
            photos: taken in turn.
            sizes: megabytes, at least two.
            each: invocations for each size, at least five.
            batch: uploads in each.
            today: ISO 8601.

        Raises:
            InputError: too few photos, sizes or invocations, or a photo that the recipe rejects.
            ConfigurationError: the function logs JSON.
            TuningFailed: no two sizes could be measured.
            TransientError: AWS does not answer, or uploads are not recorded in time.
        """
        sizes = check_sizes(sizes)
        if each < STARTS:
            raise InputError(f"{each} invocations: Power Tuning takes at least {STARTS}")
        if batch > MOST_BATCH:
            text = f"{batch} uploads in an invocation: on AWS at most {MOST_BATCH} can be measured"
            raise InputError(f"{text}, because Power Tuning reads the last 4 KB of a log")
        if each * batch > MOST_UPLOADS:
            text = f"{each} invocations with {batch} uploads each are more than {MOST_UPLOADS}"
            raise InputError(f"{text} uploads, which an execution can take")
        before = self.facts()
        if before.log_format != "Text":
            raise ConfigurationError(
                "the ingest function logs JSON, which Power Tuning 4.4.0 cannot read; deploy the"
                " stack with cost.powerTuning, which makes it log text"
            )
        recipe, pixels, points, failed = "", 0.0, [], dict[int, str]()
        counted = 0
        for size in sizes:
            placed: list[Placed] = []
            known: dict[str, AssetRecord] = {}
            try:
                self.say(f"{size} MB: uploading {each * batch} originals")
                for number in range(each * batch):
                    placed.append(self._uploaded(photos[number % len(photos)], size, number))
                self._await_accepted(placed, known)
                self._forget(known)
                # In the order of the uploads, whatever order they were recorded in.
                records = [known[one.asset] for one in placed]
                recipe = records[0].recipe
                pixels += sum(one.probe.pixels for one in records if one.probe)
                counted += len(records)
                try:
                    points.append(self._point(size, [one.source for one in records], batch))
                except TuningFailed as error:
                    failed[size] = error.message
                    self.say(f"{size} MB: {error.message}")
            finally:
                self._clean(placed, known)
        self._check_restored(before)
        if len(points) < 2:
            said = "; ".join(f"{size} MB: {text}" for size, text in failed.items())
            raise TuningFailed(f"no two sizes could be measured: {said}")
        used = photos[: each * batch]
        return DurationCurve(
            measured=today,
            where=Where.LAMBDA,
            architecture=before.architecture,
            recipe=recipe,
            photos=PhotoSet(
                count=len(used),
                bytes=sum(len(one.data) for one in used) / len(used),
                pixels=pixels / counted,
            ),
            batch=batch,
            points=tuple(points),
            failed=failed,
        )

    # --- uploads ----------------------------------------------------------------------------

    def _uploaded(self, photo: Photo, size: int, number: int) -> Placed:
        key = f"{PREFIX}{self.run}/{size}-{number}.jpg"
        data = photo.marked(f"{self.run} {size} {number}")
        etag = self.store.put(self.bucket, key, data, content_type="image/jpeg")
        return Placed(
            path=Path(photo.name),
            bucket=self.bucket,
            key=key,
            asset=asset_id_of(self.bucket, key),
            etag=etag,
            version_id=None,  # its bytes are its own: the etag tells it from any other
        )

    def _await_accepted(self, placed: Sequence[Placed], known: dict[str, AssetRecord]) -> None:
        """Wait until the live function has accepted all; their records come into ``known``."""
        for one, record in await_records(
            placed,
            catalog=self.catalog,
            seconds=120.0 + len(placed),
            pause=self.pause,
            clock=self.clock,
        ):
            known[one.asset] = record
            if record.status is not Status.ACCEPTED:
                code = record.verdict.code if record.verdict else record.status.value
                raise InputError(f"{one.path}: the stack does not accept it: {code}")

    def _forget(self, known: Mapping[str, AssetRecord]) -> None:
        """Delete the uploads' records from the catalog, and wait until none of its indexes has
        them."""
        for asset in known:
            self.catalog.delete(asset)
        digests = [one.metadata.sha256 for one in known.values() if one.metadata]
        deadline = self.clock() + FORGET_SECONDS
        while any(self.catalog.by_content(digest) for digest in digests):
            if self.clock() > deadline:
                text = f"an index still has deleted records after {FORGET_SECONDS:g} s"
                raise TransientError(text, code="not_finished")
            self.pause(1.0)

    def _clean(self, placed: Sequence[Placed], known: Mapping[str, AssetRecord]) -> None:
        """Delete originals, renditions and records; report those that cannot be deleted."""
        for one in placed:
            try:
                record = known.get(one.asset) or self.catalog.get(one.asset)
                if record is None:
                    self.store.delete(self.bucket, one.key)
                else:
                    self.erase(record)
            except SafelightError as error:
                self.say(f"s3://{self.bucket}/{one.key} is left: {error.message}")

    # --- executions -------------------------------------------------------------------------

    def _point(self, size: int, uploads: Sequence[ObjectVersion], batch: int) -> Point:
        self.say(f"{size} MB: {STARTS} cold starts")
        init = mean_seconds(self._execute(f"{size}-cold", cold_input(self.function, size)), size)
        # The first invocation is a cold start: an empty one, whose cost is known by now.
        payloads = [START, *(sqs_event(one) for one in _batches(uploads, batch))]
        self.say(f"{size} MB: {len(payloads) - 1} invocations")
        mean = mean_seconds(
            self._execute(f"{size}-warm", machine_input(self.function, size, payloads)), size
        )
        seconds = (mean * len(payloads) - init) / len(uploads)
        if seconds <= 0:
            raise TuningFailed(
                f"{len(payloads)} invocations took {mean * len(payloads):.2f} s, less than a start"
            )
        undone = [one.key for one in uploads if not self._done(one)]
        if undone:
            raise TuningFailed(
                f"{len(undone)} of {len(uploads)} uploads were not accepted, like {undone[0]}; the"
                " log of the function says why"
            )
        return Point(memory=size, uploads=len(uploads), seconds=seconds, init_seconds=init)

    def _done(self, upload: ObjectVersion) -> bool:
        record = self.catalog.get(asset_id_of(upload.bucket, upload.key))
        return record is not None and record.status is Status.ACCEPTED

    def _execute(self, what: str, payload: Mapping[str, object]) -> object:
        name = f"tune-{self.run}-{what}"
        self.runs.start(MACHINE, name, payload)
        deadline = self.clock() + EXECUTION_SECONDS
        while (found := self.runs.result(MACHINE, name)) is None:
            if self.clock() > deadline:
                text = f"the execution {name} has not ended after {EXECUTION_SECONDS:g} s"
                raise TransientError(text, code="not_finished")
            self.pause(POLL_SECONDS)
        if found.failures or not found.succeeded:
            said = found.failures[0] if found.failures else "it did not succeed"
            raise TuningFailed(f"the execution {name}: {said}")
        return found.output

    def _check_restored(self, before: FunctionFacts) -> None:
        """Power Tuning sets the memory back, but not after a failure between two versions."""
        after = self.facts()
        if after.memory != before.memory:
            self.say(
                f"the function has {after.memory} MB now instead of {before.memory}: run"
                " `pulumi up --refresh` to set it back"
            )


MACHINE = "power-tuning"
"""The state machine among the workflows that ``runs`` knows."""


def _batches(uploads: Sequence[ObjectVersion], size: int) -> Iterator[Sequence[ObjectVersion]]:
    for at in range(0, len(uploads), size):
        yield uploads[at : at + size]
