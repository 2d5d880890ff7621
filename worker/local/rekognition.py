"""A stand-in for Amazon Rekognition in the local stack: it sees what a file declares.

``DATA/rekognition.toml`` names pictures and what is seen in them. A request has bytes only, of a
rendition that nobody has a name for; so a picture is recognised by its look, whatever its size
and format. The same adapter as on AWS asks it (``AWS_ENDPOINT_URL_REKOGNITION``).
docs/moderation.md has an example. Every request is a line of ``DATA/logs/rekognition.log``.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import time
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from PIL import Image

from worker.adapters.catalog_rules import hamming_distance
from worker.imaging.metadata.measures import perceptual_hash

TABLE = "rekognition.toml"
"""In the data folder of the stack."""
VARIABLE = "AWS_ENDPOINT_URL_REKOGNITION"
LIKE = 10
"""Bits in which perceptual hashes of one picture differ at most: see ``perceptual_hash``."""
IMAGE_BYTES = 5 * 1024**2
MODES = ("ok", "throttled", "down", "slow", "garbage")
MODEL_VERSION = "local-1"
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_KEYS = {"mode", "seconds", "pictures"}
_PICTURE_KEYS = {"file", "phash", "moderation", "labels"}


class Mistaken(Exception):
    """The file has a mistake, or a picture cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPicture:
    """The declared labels of a picture."""

    phash: str
    moderation: Sequence[Mapping[str, Any]] = ()
    labels: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The file, read."""

    mode: str = "ok"
    seconds: float = 0.0
    """How long each answer takes in the mode ``slow``."""
    pictures: tuple[KnownPicture, ...] = ()

    def find(self, phash: str) -> KnownPicture | None:
        """The picture that looks most like it; None if none does."""
        found = [(hamming_distance(one.phash, phash), one) for one in self.pictures]
        near = [one for one in found if one[0] <= LIKE]
        return min(near, key=lambda one: one[0])[1] if near else None


def hash_of(data: bytes) -> str:
    """The perceptual hash of a JPEG, PNG or WebP.

    Raises:
        Mistaken: it cannot be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
                return perceptual_hash(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Warning) as error:
        raise Mistaken(f"no picture that can be decoded: {error}") from error


def read(path: Path) -> Behaviour:
    """The behaviour that a file declares; the default one if there is no file.

    Raises:
        Mistaken: it has a mistake.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Behaviour()
    except (OSError, ValueError) as error:
        raise Mistaken(f"{path}: {error}") from error
    try:
        unknown = found.keys() - _KEYS
        if unknown:
            raise Mistaken(f"{path}: unknown key {min(unknown)}")
        mode = found.get("mode", "ok")
        if mode not in MODES:
            raise Mistaken(f"{path}: mode must be one of {', '.join(MODES)}")
        pictures = tuple(_picture(one, path) for one in found.get("pictures", ()))
        return Behaviour(mode=mode, seconds=float(found.get("seconds", 0)), pictures=pictures)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Mistaken(f"{path}: {error!r}") from error


def _picture(said: Mapping[str, Any], path: Path) -> KnownPicture:
    unknown = said.keys() - _PICTURE_KEYS
    if unknown:
        raise Mistaken(f"{path}: unknown key {min(unknown)} of a picture")
    phash = said.get("phash")
    if phash is None:
        file = path.parent / said["file"]
        try:
            phash = hash_of(file.read_bytes())
        except OSError as error:
            raise Mistaken(f"{path}: {error}") from error
    int(phash, 16)
    return KnownPicture(
        phash=phash,
        moderation=[_moderation(one) for one in said.get("moderation", ())],
        labels=[_label(one) for one in said.get("labels", ())],
    )


def _moderation(said: Mapping[str, Any]) -> Mapping[str, Any]:
    parent = str(said.get("parent", ""))
    return {
        "Name": str(said["name"]),
        "ParentName": parent,
        "Confidence": float(said["confidence"]),
        "TaxonomyLevel": 2 if parent else 1,
    }


def _label(said: Mapping[str, Any]) -> Mapping[str, Any]:
    confidence = float(said["confidence"])
    sides = ("Left", "Top", "Width", "Height")
    boxes = [dict(zip(sides, map(float, box), strict=True)) for box in said.get("boxes", ())]
    return {
        "Name": str(said["name"]),
        "Confidence": confidence,
        "Instances": [{"BoundingBox": box, "Confidence": confidence} for box in boxes],
        "Parents": [],
        "Aliases": [],
        "Categories": [],
    }


# --- requests -----------------------------------------------------------------------------------


class RekognitionError(Exception):
    """An error of Rekognition's: the HTTP status and its name for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(slots=True)
class StandIn:
    """Answers as Rekognition does.

    Args:
        table: the file, read again whenever it has changed.
        log: gets a line for each request.
    """

    table: Path
    log: Path
    _behaviour: Behaviour = field(default_factory=Behaviour)
    _seen: tuple[int, int] | None = None
    _lock: Lock = field(default_factory=Lock)

    def answer(self, target: str, body: bytes) -> tuple[int, bytes]:
        """The status and the JSON of an answer.

        Args:
            target: value of ``X-Amz-Target``.
            body: of the request, JSON 1.1.
        """
        operation = target.rpartition(".")[2]
        try:
            status, said = 200, self._answer(operation, body)
        except RekognitionError as refused:
            status = refused.status
            said = {"__type": refused.code, "message": refused.message}
        self._write(operation, status, said)
        return status, json.dumps(said).encode()

    def _answer(self, operation: str, body: bytes) -> dict[str, Any]:
        if operation not in ("DetectModerationLabels", "DetectLabels"):
            raise RekognitionError(
                400, "UnknownOperationException", f"the stand-in has no {operation}"
            )
        try:
            with self._lock:
                behaviour = self._read()
        except Mistaken as mistake:
            raise RekognitionError(400, "InvalidParameterException", str(mistake)) from mistake
        match behaviour.mode:
            case "throttled":
                raise RekognitionError(400, "ProvisionedThroughputExceededException", "slow down")
            case "down":
                raise RekognitionError(503, "ServiceUnavailable", "the stand-in is down")
            case "garbage":
                return {"answer": 42}
            case "slow":
                time.sleep(behaviour.seconds)
        asked, picture = _asked(body)
        try:
            known = behaviour.find(hash_of(picture))
        except Mistaken as error:
            raise RekognitionError(400, "InvalidImageFormatException", str(error)) from error
        least = float(asked.get("MinConfidence", 50))
        if operation == "DetectModerationLabels":
            seen = () if known is None else known.moderation
            labels = [one for one in seen if one["Confidence"] >= least]
            return {"ModerationLabels": labels, "ModerationModelVersion": MODEL_VERSION}
        seen = () if known is None else known.labels
        labels = [one for one in seen if one["Confidence"] >= least]
        return {
            "Labels": labels[: int(asked.get("MaxLabels", 1000))],
            "LabelModelVersion": MODEL_VERSION,
        }

    def _read(self) -> Behaviour:
        try:
            stat = self.table.stat()
            now: tuple[int, int] | None = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            now = None
        if now != self._seen or now is None:
            self._behaviour, self._seen = read(self.table), now
        return self._behaviour

    def _write(self, operation: str, status: int, said: Mapping[str, Any]) -> None:
        names = [one["Name"] for one in said.get("ModerationLabels", said.get("Labels", ()))]
        line = {"operation": operation, "status": status, "labels": names}
        with self._lock, self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _asked(body: bytes) -> tuple[Mapping[str, Any], bytes]:
    try:
        asked = json.loads(body)
        picture = base64.b64decode(asked["Image"]["Bytes"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        message = f"no request with the bytes of an image: {error!r}"
        raise RekognitionError(400, "InvalidParameterException", message) from error
    if len(picture) > IMAGE_BYTES:
        raise RekognitionError(400, "ImageTooLargeException", f"{len(picture)} bytes")
    if not picture.startswith(_BEGINNINGS):
        raise RekognitionError(400, "InvalidImageFormatException", "neither JPEG nor PNG")
    return asked, picture


@contextmanager
def serving(port: int, data: Path) -> Iterator[int]:
    """Answer on a port of loopback, in threads, while the block lasts; gives the port.

    Args:
        port: 0 for any.
        data: folder of the stack.
    """
    stand_in = StandIn(data / TABLE, data / "logs" / "rekognition.log")

    class RekognitionHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(min(size, 4 * IMAGE_BYTES))
            status, said = stand_in.answer(self.headers.get("x-amz-target", ""), body)
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Requests have a log of their own."""

    server = ThreadingHTTPServer(("127.0.0.1", port), RekognitionHandler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="rekognition", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
