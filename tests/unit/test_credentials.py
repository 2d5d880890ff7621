"""Content credentials: C2PA manifests are found, counted and named; no rendition has them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.unit.heic import make_heic
from tests.unit.specimens import chunk, picture, saved, specimen
from worker.domain.image import (
    ContentCredentials,
    Encoding,
    Format,
    Recipe,
    RenditionSpec,
)
from worker.imaging.engine import process
from worker.imaging.metadata import read_credentials

BMFF = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
TYPES = {
    kind: kind.encode() + bytes.fromhex("00110010800000aa00389b71")
    for kind in ("c2pa", "c2ma", "c2cl", "c2as", "c2cs", "cbor")
}
SPHERE = bytes.fromhex("785f3d6d5e2b4c5ca0b15a7f2f3f5b6e")


def box(name: bytes, content: bytes) -> bytes:
    """A box of ISO/IEC 18477-3."""
    return struct.pack(">I4s", 8 + len(content), name) + content


def superbox(kind: bytes, label: str, *inner: bytes) -> bytes:
    """A JUMBF superbox that has a label."""
    description = box(b"jumd", kind + b"\x03" + label.encode() + b"\0")
    return box(b"jumb", description + b"".join(inner))


def cbor(value: Any) -> bytes:
    """CBOR with lengths of the shortest form."""

    def head(kind: int, count: int) -> bytes:
        if count < 24:
            return bytes([kind << 5 | count])
        return bytes([kind << 5 | 25]) + struct.pack(">H", count)

    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(part) for pair in value.items() for part in pair)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if value is None:
        return b"\xf6"
    return head(0, value)


def manifest(label: str, claim: Mapping[str, Any], *, version: str = "c2pa.claim.v2") -> bytes:
    """A manifest with a claim and a signature that is none."""
    return superbox(
        TYPES["c2ma"],
        label,
        superbox(TYPES["c2as"], "c2pa.assertions"),
        superbox(TYPES["c2cl"], version, box(b"cbor", cbor(dict(claim)))),
        superbox(TYPES["c2cs"], "c2pa.signature", box(b"cbor", b"\x40")),
    )


def store(*manifests: bytes) -> bytes:
    """A manifest store."""
    return superbox(TYPES["c2pa"], "c2pa", *manifests)


CAMERA = manifest(
    "urn:c2pa:11111111-0000-4000-8000-000000000000",
    {"claim_generator": "Leica/1.0", "claim_generator_info": [{"name": "Leica M11-P"}]},
    version="c2pa.claim",
)
EDITOR = manifest(
    "urn:c2pa:22222222-0000-4000-8000-000000000000",
    {
        "instanceID": "xmp:iid:1",
        "signature": b"\1" * 40,
        "weights": [1, 300, 1.5, None, {"a": [b"x"]}],
        "claim_generator_info": {"version": "27.1", "name": "Adobe Photoshop"},
    },
)
STORE = store(CAMERA, EDITOR)
FOUND = ContentCredentials(
    manifests=2,
    active="urn:c2pa:22222222-0000-4000-8000-000000000000",
    generator="Adobe Photoshop 27.1",
    renditions="void",
)


def in_jpeg(
    content: bytes, data: bytes = b"", *, most: int = 65_000, shuffled: bool = False
) -> bytes:
    """In APP11 segments of a JPEG, each with the header of the whole box."""
    data = data or saved(picture(), "JPEG")
    parts = [content[8:][at : at + most] for at in range(0, len(content) - 8, most)]
    segments = []
    for number, part in enumerate(parts, 1):
        body = b"JP" + struct.pack(">HI", 1, number) + content[:8] + part
        segments.append(struct.pack(">BBH", 0xFF, 0xEB, 2 + len(body)) + body)
    return data[:2] + b"".join(reversed(segments) if shuffled else segments) + data[2:]


def in_png(content: bytes) -> bytes:
    """In a caBX chunk behind the header."""
    data = saved(picture(), "PNG")
    return data[:33] + chunk(b"caBX", content) + data[33:]


def in_webp(content: bytes) -> bytes:
    """In a RIFF chunk at the end of an extended file."""
    data = saved(picture("RGBA"), "WEBP")
    assert data[12:16] == b"VP8X"
    body = data[8:] + b"C2PA" + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def in_boxes(data: bytes, content: bytes) -> bytes:
    """In a uuid box behind the others."""
    return data + box(b"uuid", BMFF + bytes(4) + b"manifest\0" + bytes(8) + content)


def in_avif(content: bytes) -> bytes:
    """In an AVIF."""
    return in_boxes(specimen("avif"), content)


def in_heic(content: bytes) -> bytes:
    """In a HEIC."""
    return in_boxes(make_heic(), content)


def in_jxl(content: bytes) -> bytes:
    """As a box of a JPEG XL: a store is one."""
    boxes = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return boxes + content + box(b"jxlc", specimen("jxl"))


FORMATS: dict[Format, Callable[[bytes], bytes]] = {
    Format.JPEG: in_jpeg,
    Format.PNG: in_png,
    Format.WEBP: in_webp,
    Format.AVIF: in_avif,
    Format.HEIC: in_heic,
    Format.JXL: in_jxl,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_credentials_are_recorded_and_not_carried(kind: Format) -> None:
    """Of each format with a place for them; no rendition has a trace of them."""
    encodings = [Encoding(format=one) for one in (Format.JPEG, Format.WEBP, Format.PNG)]
    spec = RenditionSpec(name="it", width=64, encodings=tuple(encodings), minimum_saving=-1)
    made = process(FORMATS[kind](STORE), Recipe(name="test", version=1, renditions=(spec,)))
    assert made.metadata.credentials == FOUND
    assert len(made.renditions) == 3
    assert not any(mark in one.data for one in made.renditions for mark in (b"c2pa", b"jumb"))


def test_a_picture_without_credentials_has_none() -> None:
    """A file without manifests has no credentials."""
    assert read_credentials(in_avif(b""), Format.AVIF) is None
    assert read_credentials(saved(picture(), "JPEG"), Format.JPEG) is None
    assert read_credentials(saved(picture(), "GIF"), Format.GIF) is None


@pytest.mark.parametrize("shuffled", [False, True])
def test_segments_of_a_jpeg_are_put_together(*, shuffled: bool) -> None:
    """A store longer than a segment is one, whatever order its parts stand in."""
    long = store(CAMERA + superbox(TYPES["c2as"], "x", box(b"free", bytes(5000))), EDITOR)
    data = in_jpeg(long, most=500, shuffled=shuffled)
    found = read_credentials(data, Format.JPEG)
    assert found is not None
    assert (found.manifests, found.active, found.generator) == (3, FOUND.active, FOUND.generator)


@pytest.mark.parametrize(
    ("claim", "generator"),
    [
        ({"claim_generator": "tests/0.33 c2pa-rs/0.33"}, "tests/0.33 c2pa-rs/0.33"),
        ({"claim_generator_info": [{"name": "Cam", "version": "2"}, {"name": "b"}]}, "Cam 2"),
        ({"claim_generator_info": {"name": "Cam\n\x1b[2J"}}, "Cam [2J"),
        ({"claim_generator_info": {"name": 7}, "claim_generator": 8}, None),
        ({"claim_generator_info": []}, None),
        ({"title": "nothing"}, None),
    ],
)
def test_the_generator_is_what_the_claim_says(claim: dict[str, Any], generator: str | None) -> None:
    """Of both versions of claims, without what a terminal would obey."""
    found = read_credentials(in_jpeg(store(manifest("urn:c2pa:a", claim))), Format.JPEG)
    assert found is not None
    assert (found.active, found.generator) == ("urn:c2pa:a", generator)


def test_other_jumbf_is_no_credential() -> None:
    """A JPEG may have boxes of other kinds, and credentials behind them."""
    other = superbox(SPHERE, "JPEG 360", box(b"xml ", b"<x/>"))
    assert read_credentials(in_jpeg(other), Format.JPEG) is None


def deep(count: int) -> bytes:
    """Arrays in arrays."""
    return manifest("urn:c2pa:deep", {}).replace(b"cbor\xa0", b"cbor" + b"\x81" * count)


@pytest.mark.parametrize(
    ("content", "manifests"),
    [
        (store(), 0),
        (superbox(TYPES["c2pa"], "c2pa", box(b"free", b"")), 0),
        (STORE[:60], 0),
        (STORE[:-30], 1),
        (store(deep(1)), 1),
        (store(deep(5000)), 1),
        (store(EDITOR.replace(b"cbor\xa4", b"cbor\xbb" + b"\xff" * 8)), 1),
        (store(EDITOR.replace(b"Adobe", b"\xff\xfe\xfd\xfc\xfb")), 1),
        (TYPES["c2pa"] * 4, 0),
    ],
)
@pytest.mark.parametrize("kind", [Format.JPEG, Format.PNG, Format.WEBP])
def test_what_cannot_be_read_is_still_told_of(kind: Format, content: bytes, manifests: int) -> None:
    """Damaged manifests are an answer, not an error; what is left of them is counted."""
    found = read_credentials(FORMATS[kind](content), kind)
    assert found is not None
    assert found.manifests == manifests
    assert found.generator in (None, "Leica M11-P")


def test_the_reader_never_fails_whatever_the_bytes() -> None:
    """Random damage in the manifests of each format gives some answer."""
    chance = random.Random(11)
    for kind in (Format.JPEG, Format.PNG, Format.WEBP, Format.AVIF):
        data = FORMATS[kind](STORE)
        at = data.index(b"jumb")
        for _ in range(150):
            broken = bytearray(data)
            for _ in range(chance.randint(1, 5)):
                broken[at - 12 + chance.randrange(len(STORE))] = chance.randrange(256)
            found = read_credentials(bytes(broken), kind)
            assert found is None or found.manifests <= 2
