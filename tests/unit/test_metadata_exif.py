"""EXIF: what is read from cameras' blocks and what is written into renditions."""

from __future__ import annotations

import io
import struct

import pytest
import pyvips
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from worker.domain.image import GpsPosition, KeepTag, Tags
from worker.imaging.metadata import exif, read_tags, written_exif

EVERYTHING = frozenset(KeepTag)


def block(
    main: dict[int, object] | None = None,
    details: dict[int, object] | None = None,
    gps: dict[int, object] | None = None,
) -> bytes:
    """An EXIF block with these tags, as Pillow writes it."""
    written = Image.Exif()
    for tag, value in (main or {}).items():
        written[tag] = value
    if details:
        written[0x8769] = details
    if gps:
        written[0x8825] = gps
    return written.tobytes()


def raw_block(tag: int, kind: int, count: int, value: bytes) -> bytes:
    """A little-endian block with one entry, unchecked; the value stands behind the directory."""
    return (
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", tag, kind, count, 26) + b"\0\0\0\0" + value
    )


def degrees(*parts: float) -> tuple[IFDRational, ...]:
    """Rationals of hundredths."""
    return tuple(IFDRational(round(part * 100), 100) for part in parts)


def position(**changes: object) -> dict[int, object]:
    """The GPS directory of a place in Rio de Janeiro, with changes by tag name."""
    tags = {"lat_ref": 1, "lat": 2, "lon_ref": 3, "lon": 4, "alt_ref": 5, "alt": 6}
    values: dict[str, object] = {
        "lat_ref": "S",
        "lat": degrees(22, 57, 6),
        "lon_ref": "W",
        "lon": degrees(43, 12, 36),
    }
    values |= changes
    return {tags[name]: value for name, value in values.items() if value is not None}


def test_reads_what_a_camera_writes() -> None:
    """Every field that EXIF has a tag for arrives with its unit."""
    tags = exif.read(
        block(
            {0x010F: "Leica", 0x0110: "Q3", 0x0131: "1.0", 0x013B: "Ada", 0x010E: "A street"},
            {
                0x829A: IFDRational(1, 200),
                0x829D: IFDRational(28, 10),
                0x8827: 400,
                0x9003: "2024:05:01 12:30:45",
                0x9011: "+02:00",
                0x9209: 0x19,
                0x920A: IFDRational(28, 1),
                0xA405: 28,
                0xA434: "Summilux 1:1.7/28",
            },
            position(alt=IFDRational(755, 10), alt_ref=b"\0"),
        )
    )
    assert tags == Tags(
        camera_make="Leica",
        camera_model="Q3",
        lens="Summilux 1:1.7/28",
        software="1.0",
        taken_at="2024-05-01T12:30:45+02:00",
        exposure_seconds=0.005,
        f_number=2.8,
        iso=400,
        focal_length_mm=28.0,
        focal_length_35mm=28,
        flash=True,
        gps=GpsPosition(latitude=-22.9516667, longitude=-43.21, altitude=75.5),
        caption="A street",
        artist="Ada",
    )


def test_header_may_be_missing() -> None:
    """The same block reads the same with and without its Exif header."""
    whole = block({0x010F: "Leica"})
    assert exif.read(whole[6:]) == exif.read(whole) == Tags(camera_make="Leica")


@pytest.mark.parametrize(
    ("moment", "offset", "expected"),
    [
        ("2024:05:01 12:30:45", None, "2024-05-01T12:30:45"),
        ("2024:05:01 12:30:45", "   :  ", "2024-05-01T12:30:45"),
        ("2024:05:01 12:30:45", "+99:00", "2024-05-01T12:30:45"),
        ("2024-05-01T12:30:45", "-0330", "2024-05-01T12:30:45-03:30"),
        ("2024:05:01 12:30:45", "Z", "2024-05-01T12:30:45+00:00"),
        ("0000:00:00 00:00:00", None, None),
        ("2024:02:30 12:00:00", None, None),
        ("2107:01:01 00:00:00", None, None),
        ("    :  :     :  :  ", None, None),
        ("yesterday", None, None),
    ],
)
def test_dates(moment: str, offset: str | None, expected: str | None) -> None:
    """Dates become ISO 8601, with an offset only if it is a real one; impossible ones go."""
    details: dict[int, object] = {0x9003: moment}
    if offset is not None:
        details[0x9011] = offset
    assert exif.read(block(details=details)).taken_at == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"lat_ref": None},
        {"lon_ref": "X"},
        {"lat": degrees(91, 0, 0)},
        {"lon": degrees(180, 0, 1)},
        {"lat": degrees(10, 61, 0)},
        {"lat": (IFDRational(10), IFDRational(0, 0), IFDRational(0))},
        {"lat": degrees(10, 5)},
        {"lat": None},
        {"lat": degrees(0, 0, 0), "lon": degrees(0, 0, 0)},
    ],
)
def test_impossible_positions_are_dropped(changes: dict[str, object]) -> None:
    """A place off the globe, half a place or a place without hemisphere is no place."""
    assert exif.read(block(gps=position(**changes))).gps is None


def test_hemispheres_and_depth() -> None:
    """References give the signs, the one of the altitude as well."""
    gps = exif.read(
        block(
            gps=position(lat_ref="N", lon_ref="E", alt_ref=b"\x01", alt=IFDRational(430, 1)),
        )
    ).gps
    assert gps is not None
    assert (gps.latitude > 0, gps.longitude > 0, gps.altitude) == (True, True, -430.0)


def test_zero_denominators_are_no_numbers() -> None:
    """A rational over zero drops its field and leaves the others."""
    tags = exif.read(
        block(
            {0x0110: "Q3"},
            {0x829A: IFDRational(1, 0), 0x829D: IFDRational(0, 0), 0x920A: IFDRational(0, 1)},
        )
    )
    assert tags == Tags(camera_model="Q3")


def test_large_sensitivity_is_found_in_its_second_place() -> None:
    """An ISO above 16 bits is read from the recommended exposure index."""
    assert exif.read(block(details={0x8827: 65535, 0x8832: 102400})).iso == 102400


def test_text_is_cleaned_and_bounded() -> None:
    """Controls, what follows a NUL, direction overrides and everything past 2,000 go."""
    dirty = "\x1b[31mred\u202e\n line\0leftover".encode()
    tags = exif.read(block({0x010E: dirty, 0x013B: b"x" * 900_000}))
    assert tags.caption == "[31mred line"
    assert tags.artist == "x" * 2000


def test_text_of_any_encoding_is_read() -> None:
    """UTF-8 is read as such, and what is not UTF-8 as Windows-1252."""
    assert exif.read(block({0x013B: "Zoë 日本".encode()})).artist == "Zoë 日本"
    assert exif.read(block({0x013B: b"Zo\xeb"})).artist == "Zoë"
    assert exif.read(block({0x013B: "日本".encode()[:-1]})).artist == "日"


def test_both_parts_of_a_copyright_count() -> None:
    """Photographer and editor are divided by a NUL in the file and by a semicolon here."""
    assert exif.read(block({0x8298: b"Ada\0The Paper"})).copyright == "Ada; The Paper"
    assert exif.read(block({0x8298: b" \0The Paper"})).copyright == "The Paper"


def test_a_camera_naming_itself_is_no_caption() -> None:
    """Default descriptions of cameras are not passed off as captions."""
    assert exif.read(block({0x010E: "OLYMPUS DIGITAL CAMERA         "})).caption is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 600,
        raw_block(0x010E, 2, 0xFFFFFFFF, b""),
        raw_block(0x010E, 99, 4, b"text"),
        raw_block(0x8769, 4, 1, struct.pack("<I", 8)),
        raw_block(0x8769, 5, 1, b"\0" * 8),
        raw_block(0x8825, 2, 9, b"no offset"),
    ],
)
def test_garbage_says_nothing(garbage: bytes) -> None:
    """Broken blocks give no fields and no error."""
    assert exif.read(garbage) == Tags()


def test_wrong_types_say_nothing() -> None:
    """Numbers where text belongs and text where numbers belong are not taken."""
    numbers = raw_block(0x010F, 5, 1, struct.pack("<II", 1, 2))
    words: dict[int, object] = {0x829A: "1/200", 0x8827: "400", 0x9209: "yes", 0x9003: 7}
    assert exif.read(numbers) == exif.read(block(details=words)) == Tags()


@given(st.binary(max_size=400), st.sampled_from([b"", b"Exif\0\0", b"II*\0\x08\0\0\0", b"MM\0*"]))
@example(b"\x01\0\x0e\x01\x02\0\xff\xff\xff\xff\0\0\0\0", b"II*\0\x08\0\0\0")
def test_any_bytes_give_tags(data: bytes, start: bytes) -> None:
    """No bytes make the reader fail, whether they look like EXIF or not."""
    assert isinstance(exif.read(start + data), Tags)


@given(st.data())
def test_a_damaged_block_gives_tags(data: st.DataObject) -> None:
    """A real block with some bytes changed never fails either."""
    whole = bytearray(
        block({0x010F: "Leica"}, {0x829A: IFDRational(1, 200), 0x8827: 400}, position())
    )
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    assert isinstance(exif.read(bytes(whole)), Tags)


WORDS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=80
).map(lambda words: " ".join(words.split()))


@given(
    caption=WORDS,
    artist=WORDS,
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    altitude=st.none() | st.floats(-11_000, 9_000),
)
def test_written_blocks_read_back(
    caption: str, artist: str, latitude: float, longitude: float, altitude: float | None
) -> None:
    """Written values are read back: texts exactly, positions to centimetres."""
    tags = Tags(
        caption=caption or None,
        artist=artist or None,
        copyright="© Ada",
        camera_make="Leica",
        camera_model="Q3",
        lens="Summilux 1:1.7/28",
        taken_at="2024-05-01T12:30:45-03:30",
        gps=GpsPosition(latitude=latitude, longitude=longitude, altitude=altitude),
    )
    data = written_exif(tags, EVERYTHING)
    assert data is not None
    back = read_tags(data, None, None)
    assert (back.artist, back.copyright, back.taken_at) == (
        tags.artist,
        tags.copyright,
        tags.taken_at,
    )
    assert (back.camera_make, back.camera_model, back.lens) == ("Leica", "Q3", tags.lens)
    assert back.caption == tags.caption
    if abs(latitude) > 1e-6 or abs(longitude) > 1e-6:
        assert back.gps is not None
        assert back.gps.latitude == pytest.approx(latitude, abs=2e-7)
        assert back.gps.longitude == pytest.approx(longitude, abs=2e-7)
        if altitude is None:
            assert back.gps.altitude is None
        else:
            assert back.gps.altitude == pytest.approx(altitude, abs=0.0051)


FULL = Tags(
    caption="c",
    artist="a",
    copyright="r",
    camera_make="m",
    camera_model="n",
    lens="l",
    software="s",
    taken_at="2024-05-01T12:30:45",
    iso=100,
    gps=GpsPosition(latitude=1.0, longitude=2.0),
)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (KeepTag.CAPTION, Tags(caption="c")),
        (KeepTag.ARTIST, Tags(artist="a")),
        (KeepTag.COPYRIGHT, Tags(copyright="r")),
        (KeepTag.CAMERA, Tags(camera_make="m", camera_model="n", lens="l")),
        (KeepTag.TAKEN_AT, Tags(taken_at="2024-05-01T12:30:45")),
        (KeepTag.GPS, Tags(gps=GpsPosition(latitude=1.0, longitude=2.0))),
    ],
)
def test_only_what_is_kept_is_written(keep: KeepTag, expected: Tags) -> None:
    """Each kept tag brings its own fields and no other, GPS least of all."""
    data = written_exif(FULL, frozenset({keep}))
    assert data is not None
    assert read_tags(data, None, None) == expected


def test_nothing_kept_writes_nothing() -> None:
    """No block is written for nothing: neither nothing known nor nothing kept."""
    assert written_exif(FULL, frozenset()) is None
    assert written_exif(Tags(iso=100), EVERYTHING) is None
    assert written_exif(Tags(taken_at="2024-05"), EVERYTHING) is None


def test_both_encoders_take_the_block() -> None:
    """Pillow and libvips carry the block into files that read back the same."""
    tags = Tags(copyright="© Zoë", artist="日本", taken_at="2024-05-01T12:30:45+02:00")
    data = written_exif(tags, EVERYTHING)
    assert data is not None
    assert data.startswith(b"Exif\0\0")
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG", exif=data)
    image = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.blob_type, "exif-data", data)  # type: ignore[arg-type]  # stub
    for encoded in (picture.getvalue(), *(image.write_to_buffer(f".{e}") for e in ("jpg", "webp"))):
        embedded: object = pyvips.Image.new_from_buffer(encoded, "").get("exif-data")
        assert isinstance(embedded, bytes)
        assert read_tags(embedded, None, None) == tags


def test_no_orientation_is_written() -> None:
    """Renditions are upright, so the block has no orientation tag."""
    written = Image.Exif()
    written.load(written_exif(FULL, EVERYTHING) or b"")
    assert 0x0112 not in written


def test_the_largest_block_fits_a_jpeg() -> None:
    """Texts at their limits, in the widest characters, still fit one 64 kB JPEG segment."""
    long = "\U0001f4f7" * 2000
    data = written_exif(
        Tags(caption=long, artist=long, copyright=long, camera_make=long, camera_model=long),
        EVERYTHING,
    )
    assert data is not None
    assert len(data) <= 65533
