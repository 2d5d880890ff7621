"""What a file says its colours mean: sources, names, and that nothing hostile does harm."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit import tagged_colours as made
from tests.unit.heic import make_heic
from tests.unit.pictures import encoded
from tests.unit.specimens import chunk, picture, saved, specimen, srgb_profile
from tests.unit.tagged_colours import chart, cicp, gama, png
from worker.domain.colour import Colour, ColourSource, Primaries, Transfer
from worker.domain.image import ColourSpace, Encoding, Format, Gamut, Limits, Recipe, RenditionSpec
from worker.entrypoints.cli import cli
from worker.imaging.colour import p3_profile
from worker.imaging.colour_tags import declared
from worker.imaging.formats import isobmff
from worker.imaging.icc import profile_colour
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe

P3_XY = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ODD_XY = (0.3127, 0.329, 0.66, 0.32, 0.26, 0.66, 0.15, 0.06)


def colour_of(data: bytes) -> Colour:
    """What the probe says."""
    return probe(data, Limits(), formats=frozenset(Format)).colour


def said(data: bytes) -> tuple[str, str | None, str | None]:
    """Source, primaries and transfer function."""
    found = colour_of(data)
    return found.source, found.primaries, found.transfer


def with_exif(space: int) -> bytes:
    """A JPEG whose EXIF has a ColorSpace."""
    block = picture().getexif()
    block[0x8769] = {0x9000: b"0232", 0xA001: space}
    return saved(picture(), "JPEG", exif=block.tobytes())


def test_every_source_has_its_name() -> None:
    """Primaries and transfer function, and what said so."""
    assert said(specimen("jpeg")) == ("default", "bt709", "srgb")
    assert said(with_exif(1)) == ("exif", "bt709", "srgb")
    assert said(with_exif(65535)) == ("default", "bt709", "srgb")
    assert said(specimen("jpeg-profile")) == ("icc", "bt709", "srgb")
    assert said(specimen("jpeg-cmyk")) == ("default", None, None)
    wide = saved(picture(), "JPEG", icc_profile=p3_profile())
    assert said(wide) == ("icc", "display-p3", "srgb")
    assert said(png(chart(), chunk(b"sRGB", b"\0"))) == ("srgb", "bt709", "srgb")
    assert said(png(chart(), gama(1.0))) == ("gama", "bt709", "linear")
    assert said(png(chart(), cicp(9, 16))) == ("cicp", "bt2020", "pq")
    assert said(made.avif(chart(), 9, 18)) == ("nclx", "bt2020", "hlg")
    assert said(encoded(chart(), "AVIF").replace(b"colrnclx", b"freenclx"))[0] == "bitstream"


def test_gamma_and_primaries_have_their_numbers() -> None:
    """cHRM is named where it is of something known, and kept as it is elsewhere."""
    named = colour_of(png(chart(), gama(0.45455), made.chrm(*P3_XY)))
    assert (named.primaries, named.transfer, named.gamma) == ("display-p3", "gamma", 2.2)
    odd = colour_of(png(chart(), gama(0.5), made.chrm(*ODD_XY)))
    assert (odd.primaries, odd.gamma, odd.chromaticities) == ("custom", 2.0, ODD_XY)


def test_heic_says_the_same() -> None:
    """A HEIC has the same boxes as an AVIF."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    assert said(make_heic()) == ("default", "bt709", "srgb")
    assert said(make_heic(nclx=(12, 13, 6))) == ("nclx", "display-p3", "srgb")
    assert said(make_heic(nclx=(9, 16, 9))) == ("nclx", "bt2020", "pq")
    assert said(make_heic(nclx=(9, 16, 9), icc=p3_profile())) == ("icc", "display-p3", "srgb")


def test_the_box_counts_that_belongs_to_the_picture() -> None:
    """Colour information that no item is linked to, or another one, is not the picture's."""
    data = made.avif(chart(), 12, 13)
    item = isobmff.primary(data)
    assert item.kind == b"av01"
    assert len(item.properties[b"colr"]) == 1
    links = data.index(b"ipma") + 4
    # Version and flags, one entry: item number, how many links, then an index each.
    entry = links + 8
    (start, _), count = item.properties[b"colr"][0], data[entry + 2]
    at = data.index(b"ipco") + 4
    stop = at - 8 + struct.unpack_from(">I", data, at - 8)[0]
    index = [box.content for box in isobmff.walk(data, at, stop)].index(start) + 1
    place = next(
        entry + 3 + link for link in range(count) if data[entry + 3 + link] & 0x7F == index
    )
    apart = data[:place] + b"\0" + data[place + 1 :]
    assert colour_of(apart).source == "bitstream"


def test_of_tiles_the_first_speaks_for_the_whole() -> None:
    """A picture of tiles may leave colour information to them (as phones do not, but others)."""
    head = b"\0\0\0\0"

    def box(name: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return struct.pack(">I4s", 8 + len(content), name) + content

    def entry(number: int, kind: bytes) -> bytes:
        return box(b"infe", b"\2\0\0\0", struct.pack(">HH4sB", number, 0, kind, 0))

    meta = box(
        b"meta",
        head,
        box(b"pitm", head, struct.pack(">H", 1)),
        box(b"iinf", head, struct.pack(">H", 2), entry(1, b"grid"), entry(2, b"hvc1")),
        box(b"iref", head, box(b"dimg", struct.pack(">HHH", 1, 1, 2))),
        box(
            b"iprp",
            box(b"ipco", box(b"colr", b"nclx", struct.pack(">3HB", 12, 16, 6, 0x80))),
            box(b"ipma", head, struct.pack(">IHBB", 1, 2, 1, 1)),
        ),
    )
    found = declared(meta, Format.HEIC, ColourSpace.RGB, None)
    assert (found.source, found.primaries, found.hdr) == ("nclx", "display-p3", True)


def test_hostile_chunks_do_no_harm() -> None:
    """Lengths that are wrong, cut off or endless leave a picture without a word of its colours."""
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13))
    for rest in (
        b"",
        struct.pack(">I4s", 0xFFFFFFFF, b"gAMA"),
        struct.pack(">I4s", 4, b"gAMA"),
        struct.pack(">I4s", 4, b"cICP") + b"\x09",
        chunk(b"gAMA", b""),
        gama(1.0)[:-1] + b"\0",  # its checksum is wrong
        chunk(b"cHRM", bytes(31)) + chunk(b"gAMA", bytes(5)),
        chunk(b"IDAT", b"") + gama(1.0),  # behind the pixels: too late
    ):
        assert declared(start + rest, Format.PNG, ColourSpace.RGB, None) == Colour()
    for xy in ((0.0,) * 8, (0.3, 0.0, *ODD_XY[2:]), (0.9, 0.9, *ODD_XY[2:]), (42_000.0,) * 8):
        assert colour_of(png(chart(), gama(1.0), made.chrm(*xy))).primaries == "bt709"


@pytest.mark.parametrize("maker", ["avif", "heic"])
def test_hostile_boxes_do_no_harm(maker: str) -> None:
    """Cut anywhere, or with any bytes overwritten, reading colours ends and never fails."""
    heic = maker == "heic"
    data = make_heic(nclx=(12, 13, 6)) if heic else made.avif(chart(), 12, 13)
    kind = Format.HEIC if heic else Format.AVIF
    head = data.index(b"mdat") + 64
    for end in range(head):
        declared(data[:end], kind, ColourSpace.RGB, None)
    chance = random.Random(1)
    for _ in range(2000):
        broken = bytearray(data)
        for _ in range(chance.randrange(1, 5)):
            broken[chance.randrange(head)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        declared(bytes(broken), kind, ColourSpace.RGB, None)


def test_hostile_profiles_do_no_harm() -> None:
    """Likewise for the few tags of a profile that are read."""
    profile = p3_profile()
    for end in range(0, len(profile), 3):
        profile_colour(profile[:end])
    chance = random.Random(2)
    for _ in range(2000):
        broken = bytearray(profile)
        for _ in range(4):
            broken[chance.randrange(128, len(profile))] = chance.randrange(256)
        profile_colour(bytes(broken))
    assert profile_colour(b"no profile") is None
    assert profile_colour(srgb_profile()) == Colour(source=ColourSource.ICC)


def test_the_plan_shows_the_steps() -> None:
    """The printed plan shows a colour that is applied, and nothing for other pictures."""

    def decode(data: bytes) -> dict[str, object]:
        found = probe(data, Limits(), formats=frozenset(Format))
        specs = (RenditionSpec(name="x", width=10, encodings=(Encoding(format=Format.PNG),)),)
        plan = make_plan(found, Recipe(name="x", version=1, renditions=specs, gamut=Gamut.P3))
        steps = plan.as_dict()["decode"]
        assert isinstance(steps, dict)
        return steps

    hdr = decode(png(chart(), cicp(9, 16)))
    assert hdr["tone_map"] == "hable"
    assert hdr["conversion"] == "p3"
    assert hdr["colour"] == {
        "source": ColourSource.CICP,
        "primaries": Primaries.BT2020,
        "transfer": Transfer.PQ,
        "gamma": None,
        "chromaticities": None,
    }
    for data in (specimen("jpeg"), specimen("png"), specimen("avif"), specimen("png-profile")):
        assert {"colour", "tone_map"}.isdisjoint(decode(data))


def test_inspect_and_plan_say_it(tmp_path: Path) -> None:
    """In words and in JSON."""
    path = tmp_path / "hdr.avif"
    path.write_bytes(made.deep_avif(made.pq(made.nits(chart())), 9, 16))
    words = CliRunner().invoke(cli, ["inspect", str(path)]).output
    for word in ("BT.2020", "PQ", "nclx", "hdr"):
        assert word in words
    answer = CliRunner().invoke(cli, ["inspect", str(path), "--json"]).output
    assert json.loads(answer)["probe"]["colour"] == {
        **{"source": "nclx", "primaries": "bt2020", "transfer": "pq", "hdr": True},
        **{"gamma": None, "chromaticities": None},
    }
    plan = CliRunner().invoke(cli, ["plan", str(path)]).output
    assert "read as BT.2020 with PQ transfer (nclx), tone-mapped by hable" in plan
    plain = tmp_path / "plain.png"
    plain.write_bytes(png(chart(), gama(0.5), made.chrm(*ODD_XY)))
    words = CliRunner().invoke(cli, ["inspect", str(plain)]).output
    for word in ("gamma 2", "white 0.3127 0.329", "gama"):
        assert word in words
    assert "hdr" not in words
