"""XMP, IPTC and which source is believed for what."""

from __future__ import annotations

import io
import struct

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.domain.image import Encoding, Format, GpsPosition, KeepTag, Recipe, RenditionSpec, Tags
from worker.imaging.engine import process
from worker.imaging.metadata import iptc, read_tags, values, xmp

NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "dc": "http://purl.org/dc/elements/1.1/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "aux": "http://ns.adobe.com/exif/1.0/aux/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
    }.items()
)


def packet(elements: str = "", attributes: str = "") -> bytes:
    """An XMP packet as editors write it, with these properties."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {NAMESPACES}>'
        f'<rdf:Description rdf:about="" {attributes}>{elements}</rdf:Description>'
        f'</rdf:RDF></x:xmpmeta>{" " * 100}<?xpacket end="w"?>'
    ).encode()


def dataset(number: int, value: bytes, record: int = 2) -> bytes:
    """One IIM dataset."""
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def photoshop(*resources: tuple[int, bytes]) -> bytes:
    """Image resources as a JPEG's APP13 segment holds them."""
    blocks = (
        b"8BIM" + struct.pack(">HxxI", kind, len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in resources
    )
    return b"Photoshop 3.0\0" + b"".join(blocks)


def exif(**words: str) -> bytes:
    """An EXIF block with these texts."""
    tags = {"caption": 0x010E, "artist": 0x013B, "copyright": 0x8298, "make": 0x010F}
    written = Image.Exif()
    for name, value in words.items():
        written[tags[name]] = value
    return written.tobytes()


# --- XMP --------------------------------------------------------------------------------------


def test_xmp_containers() -> None:
    """Alternatives, bags and sequences are read, alternatives in the default language."""
    tags = xmp.read(
        packet(
            '<dc:title><rdf:Alt><rdf:li xml:lang="de">Haus</rdf:li>'
            '<rdf:li xml:lang="x-default">House</rdf:li></rdf:Alt></dc:title>'
            '<dc:description><rdf:Alt><rdf:li xml:lang="fr">Maison</rdf:li></rdf:Alt>'
            "</dc:description>"
            "<dc:subject><rdf:Bag><rdf:li>roof</rdf:li><rdf:li>Wall</rdf:li>"
            "<rdf:li>wall</rdf:li><rdf:li> </rdf:li></rdf:Bag></dc:subject>"
            "<dc:creator><rdf:Seq><rdf:li>Ada</rdf:li><rdf:li>Bo</rdf:li></rdf:Seq></dc:creator>"
            '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Ada</rdf:li></rdf:Alt></dc:rights>'
        )
    )
    assert tags == Tags(
        title="House",
        caption="Maison",
        keywords=("roof", "Wall"),
        artist="Ada, Bo",
        copyright="© Ada",
    )


def test_xmp_attributes_and_plain_elements() -> None:
    """Simple properties may stand as attributes or as plain text."""
    tags = xmp.read(
        packet(
            "<tiff:Model>Q3</tiff:Model><dc:title>House</dc:title>",
            'tiff:Make="Leica" aux:Lens="28 mm" xmp:CreatorTool="Ed" dc:rights="CC0" '
            'exif:DateTimeOriginal="2024-05-01T12:30:45.120+02:00"',
        )
    )
    assert tags == Tags(
        title="House",
        camera_make="Leica",
        camera_model="Q3",
        lens="28 mm",
        software="Ed",
        copyright="CC0",
        taken_at="2024-05-01T12:30:45+02:00",
    )


PLACES = [
    ("52,31.2345N", "13,24.5678E", (52.520575, 13.4094633)),
    ("22,57,06S", "43,12,36W", (-22.9516667, -43.21)),
    (" 22,57,06.5s ", "043,12,36w", (-22.9518056, -43.21)),
    ("90,0,0N", "180,00.0W", (90.0, -180.0)),
    ("0,0.0N", "0,30.0E", (0.0, 0.5)),
    ("0,0.0N", "0,0.0E", None),  # no fix
    ("52,31.2345N", "", None),
    ("52,31.2345", "13,24.5678E", None),  # no hemisphere
    ("52,31.2345E", "13,24.5678N", None),  # the other way round
    ("90,0.1N", "13,24.5678E", None),
    ("52,60.0N", "13,24.5678E", None),
    ("52,31,60N", "13,24.5678E", None),
    ("52.5N", "13.4E", None),
    ("52,31.2345N" * 50, "13,24.5678E", None),
    ("\u0665,31.2N", "13,24.5678E", None),  # digits of another script
]


@pytest.mark.parametrize(("latitude", "longitude", "expected"), PLACES)
def test_xmp_positions(latitude: str, longitude: str, expected: tuple[float, float] | None) -> None:
    """Both forms of coordinates (XMP part 2, GPSCoordinate); half a position is none."""
    gps = xmp.read(
        packet(attributes=f'exif:GPSLatitude="{latitude}" exif:GPSLongitude="{longitude}"')
    ).gps
    assert (None if gps is None else (gps.latitude, gps.longitude)) == expected


@pytest.mark.parametrize(
    ("height", "below", "expected"),
    [("755/10", "0", 75.5), ("755/10", "1", -75.5), ("7/0", "0", None), ("high", "0", None)],
)
def test_xmp_heights(height: str, below: str, expected: float | None) -> None:
    """Metres as a fraction; elements are read as attributes are."""
    elements = (
        "<exif:GPSLatitude>52,31.2345N</exif:GPSLatitude>"
        "<exif:GPSLongitude>13,24.5678E</exif:GPSLongitude>"
        f"<exif:GPSAltitude>{height}</exif:GPSAltitude>"
        f"<exif:GPSAltitudeRef>{below}</exif:GPSAltitudeRef>"
    )
    gps = xmp.read(packet(elements)).gps
    assert gps is not None
    assert gps.altitude == expected


def test_a_position_of_xmp_is_kept_only_where_one_of_exif_is() -> None:
    """Renditions have no trace of it unless the recipe keeps GPS; EXIF is believed first."""
    written = packet(attributes='exif:GPSLatitude="52,31.5N" exif:GPSLongitude="13,24.5E"')
    sink = io.BytesIO()
    Image.new("RGB", (32, 32)).save(sink, "JPEG", xmp=written)
    for keep in (frozenset[KeepTag](), frozenset({KeepTag.GPS})):
        encodings = (Encoding(format=Format.JPEG), Encoding(format=Format.WEBP))
        spec = RenditionSpec(name="it", width=32, encodings=encodings, minimum_saving=-1)
        done = process(sink.getvalue(), Recipe(name="x", version=1, renditions=(spec,), keep=keep))
        place = GpsPosition(latitude=52.525, longitude=13.4083333)
        assert done.metadata.tags.gps == place
        for rendition in done.renditions:
            assert b"GPSLatitude" not in rendition.data
            with Image.open(io.BytesIO(rendition.data)) as image:
                assert bool(image.getexif().get_ifd(0x8825)) == bool(keep)
    camera = Image.Exif()
    camera[0x8825] = {1: "N", 2: (1.0, 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)}
    assert read_tags(camera.tobytes(), written, None).gps == GpsPosition(latitude=1, longitude=2)


def test_xmp_of_ingredients_is_not_the_pictures() -> None:
    """Titles inside other structures belong to other pictures."""
    nested = '<xmp:Ingredients><rdf:Bag><rdf:li dc:title="other"/></rdf:Bag></xmp:Ingredients>'
    assert xmp.read(packet(nested)) == Tags()


def test_xmp_without_its_wrapper() -> None:
    """Bare RDF, in several descriptions and padded with NULs, is read too."""
    bare = (
        f'<rdf:RDF {NAMESPACES}><rdf:Description dc:title="one"/>'
        '<rdf:Description dc:title="two" dc:rights="CC0"/></rdf:RDF>'
    )
    assert xmp.read(bare.encode() + b"\0\0") == Tags(title="one", copyright="CC0")
    assert xmp.read(bare.encode("utf-16")) == Tags(title="one", copyright="CC0")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024", "2024"),
        ("2024-05", "2024-05"),
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01T12:30", "2024-05-01T12:30:00"),
        ("2024-05-01T12:30Z", "2024-05-01T12:30:00+00:00"),
        ("2024-13-01", None),
        ("2024-05-01T25:00", None),
        ("9999", None),
        ("٢٠٢٤", None),
    ],
)
def test_xmp_dates(value: str, expected: str | None) -> None:
    """Dates keep the precision they are given with."""
    assert xmp.read(packet(attributes=f'photoshop:DateCreated="{value}"')).taken_at == expected


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"<",
        b"not xml",
        b"\xff\xfe\x00",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="undefined"?><a/>',
        b"<a>" * 50_000,
        b"<a>" * 50_000 + b"</a>" * 50_000,
        packet('<dc:title xmlns:dc="urn:other">no</dc:title>'),
        packet("<dc:title>" + "x" * 1_000_000 + "</dc:title>"),
        packet("<dc:title><rdf:Alt/></dc:title><dc:subject><rdf:Bag/></dc:subject>"),
    ],
)
def test_hostile_xmp_says_nothing(hostile: bytes) -> None:
    """Entities, document types, strange encodings, depth and size give no fields and no error."""
    assert xmp.read(hostile) == Tags()


def test_keywords_are_bounded() -> None:
    """At most a hundred keywords of two hundred characters are kept."""
    items = "".join(f"<rdf:li>{number}{'x' * 500}</rdf:li>" for number in range(300))
    keywords = xmp.read(packet(f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>")).keywords
    assert len(keywords) == 100
    assert {len(keyword) for keyword in keywords} == {200}


@given(st.binary(max_size=300) | st.text(max_size=200).map(packet))
def test_any_bytes_are_xmp_enough(data: bytes) -> None:
    """No bytes make the XMP reader fail."""
    assert isinstance(xmp.read(data), Tags)


# --- IPTC -------------------------------------------------------------------------------------

NEWS = (
    dataset(90, b"\x1b%G", record=1)
    + dataset(5, b"Haus")
    + dataset(25, "Dächer".encode())
    + dataset(25, b"wall")
    + dataset(55, b"20240501")
    + dataset(60, b"123045+0200")
    + dataset(80, b"Ada")
    + dataset(80, b"Bo")
    + dataset(116, b"(c) Ada")
    + dataset(120, b"A house\rwith a roof")
)
NEWS_TAGS = Tags(
    title="Haus",
    keywords=("Dächer", "wall"),
    taken_at="2024-05-01T12:30:45+02:00",
    artist="Ada, Bo",
    copyright="(c) Ada",
    caption="A house with a roof",
)


@pytest.mark.parametrize(
    "block",
    [
        NEWS,
        photoshop((0x0404, NEWS)),
        photoshop((0x03ED, b"odd"), (0x0404, NEWS), (0x0425, b"x" * 16)),
        photoshop((0x0404, NEWS)).removeprefix(b"Photoshop 3.0\0"),
    ],
)
def test_iptc_in_every_wrapping(block: bytes) -> None:
    """Datasets are read bare and out of Photoshop resources, wherever they stand among them."""
    assert iptc.read(block) == NEWS_TAGS


def test_iptc_as_the_decoder_gives_it() -> None:
    """The blob that libvips takes out of a JPEG is read as it is."""
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "JPEG")
    segment = photoshop((0x0404, NEWS))
    jpeg = plain.getvalue()
    jpeg = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    blob: object = pyvips.Image.new_from_buffer(jpeg, "").get("iptc-data")
    assert isinstance(blob, bytes)
    assert read_tags(None, None, blob) == NEWS_TAGS


def test_iptc_long_values() -> None:
    """Extended datasets give their length in bytes of their own; long text is cut."""
    long = b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 9_000) + b"x" * 9_000 + dataset(5, b"after")
    assert iptc.read(long) == Tags(caption="x" * 2000, title="after")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (b"20240500", "2024-05"),
        (b"20240000", "2024"),
        (b"00000000", None),
        (b"20241301", None),
        (b"May 2024", None),
    ],
)
def test_iptc_dates(date: bytes, expected: str | None) -> None:
    """Unknown months and days, written as zeros, are left out."""
    assert iptc.read(dataset(55, date) + dataset(60, b"120000")).taken_at == expected


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x1c",
        b"\x1c\x02\x05\xff\xff",
        b"\x1c\x02\x05\x80\x09" + b"\xff" * 9,
        b"8BIM",
        b"8BIM\x04\x04\xff",
        b"Photoshop 3.0\0",
        b"8BIM\0\0\0\0\0\0\0\0" * 5_000 + photoshop((0x0404, NEWS))[14:],
    ],
)
def test_broken_iptc_says_nothing(broken: bytes) -> None:
    """Truncated and absurd blocks are ignored."""
    assert iptc.read(broken) == Tags()


def test_broken_iptc_keeps_what_came_before() -> None:
    """Datasets in front of the damage count."""
    assert iptc.read(dataset(5, b"Haus") + b"garbage" + dataset(120, b"no")) == Tags(title="Haus")


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x1c\x02", b"8BIM\x04\x04", b"Photoshop 3.0\x008BIM\x04\x04\0\0"]),
)
def test_any_bytes_are_iptc_enough(data: bytes, start: bytes) -> None:
    """No bytes make the IPTC reader fail."""
    assert isinstance(iptc.read(start + data), Tags)


# --- all together -----------------------------------------------------------------------------


def test_words_come_from_the_editor_and_facts_from_the_camera() -> None:
    """XMP before IPTC before EXIF for words; EXIF first for the rest; lists are not mixed."""
    tags = read_tags(
        exif(caption="from exif", artist="exif artist", copyright="exif", make="Leica"),
        packet("<dc:rights>xmp</dc:rights>", 'tiff:Make="other" tiff:Model="Q3"'),
        dataset(116, b"iptc") + dataset(80, b"iptc artist") + dataset(25, b"roof"),
    )
    assert tags == Tags(
        caption="from exif",
        artist="iptc artist",
        copyright="xmp",
        keywords=("roof",),
        camera_make="Leica",
        camera_model="Q3",
    )


def test_nothing_gives_nothing() -> None:
    """A file without blocks, or with empty ones, has empty tags."""
    assert read_tags(None, None, None) == read_tags(b"", b"", b"") == Tags()


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200))
def test_any_three_blocks_give_tags(first: bytes, second: bytes, third: bytes) -> None:
    """Any three blocks give valid tags."""
    assert isinstance(read_tags(first, second, third), Tags)


@given(st.text(max_size=300), st.integers(1, 50))
def test_clean_text_stays_clean(value: str, limit: int) -> None:
    """Clean text is short, has no controls and does not change when cleaned again."""
    cleaned = values.clean(value, limit=limit)
    if cleaned is not None:
        assert 0 < len(cleaned) <= limit
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)
        assert values.clean(cleaned, limit=limit) == cleaned


@given(st.binary(max_size=100))
def test_any_bytes_decode(data: bytes) -> None:
    """Every byte string is text in one of the two encodings."""
    assert isinstance(values.decode(data), str)
