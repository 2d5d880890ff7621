"""What the probe refuses: every hostile input with exactly its code, and nothing but refusals."""

from __future__ import annotations

import base64
import contextlib
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.hostile import (
    HOSTILE,
    OTHER_FORMATS,
    cuts,
    damaged,
    noise,
    png_claiming,
    polyglots,
)
from tests.unit.specimens import SPECIMENS, specimen, svg
from worker.domain.errors import DamagedInput, LimitExceeded, Reason, Rejected, UnsupportedInput
from worker.domain.image import Format, Limits, Probe
from worker.imaging.loaders import decoding, open_image
from worker.imaging.probe import probe, sniff

EVERYTHING = frozenset(Format)

SMALL = Limits(pixels=1_000_000, animation_pixels=2_000_000, frames=20)
"""For mutated files: what claims to be large is refused instead of drawn."""

MUTATIONS = settings(derandomize=True)

BEHIND_THE_FIRST_PICTURE = {
    # Cut behind their first picture these still have all that is ever opened.
    "jpeg-mpo": specimen("jpeg-mpo").index(b"\xff\xd9"),
    "jpeg-gain-map": len(specimen("jpeg")) - 2,
    "tiff-pages": 2 * len(specimen("tiff")),
}


def look(data: bytes, limits: Limits | None = None) -> Probe:
    """Probe with everything accepted."""
    return probe(data, limits or Limits(), formats=EVERYTHING)


def decode(data: bytes, limits: Limits | None = None) -> bytes:
    """Probe, then pull every pixel."""
    found = look(data, limits)
    with decoding():
        return bytes(open_image(data, found, frames=found.frames).write_to_memory())


@pytest.mark.parametrize("name", HOSTILE)
def test_every_hostile_input_has_its_code(name: str) -> None:
    """Each hostile input is refused by the probe with exactly the expected reason."""
    make, reason = HOSTILE[name]
    with pytest.raises(Rejected) as caught:
        look(make())
    assert caught.value.reason is reason
    assert caught.value.code == reason.value
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.TOO_LARGE_DIMENSION, LimitExceeded),
        (Reason.UNSAFE_CONTENT, UnsupportedInput),
        (Reason.EMPTY, DamagedInput),
    ],
)
def test_reasons_come_with_their_class(reason: Reason, kind: type[Rejected]) -> None:
    """Every hostile input of one reason is refused by the class of the tree it belongs to."""
    for make, expected in HOSTILE.values():
        if expected is reason:
            with pytest.raises(kind):
                look(make())


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_known_formats_are_named_and_never_sniffed(name: str) -> None:
    """A known format that is never accepted is no Format, and its refusal says what it is."""
    data = OTHER_FORMATS[name]()
    assert sniff(data) is None
    with pytest.raises(UnsupportedInput, match=r"^the content is [a-zA-Z]") as caught:
        look(data)
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("data", "limits", "numbers"),
    [
        (noise(2000), Limits(bytes=1999), "2,000 bytes .* 1,999"),
        (specimen("jpeg"), Limits(dimension=63), "64 x 48 .* 63"),
        (specimen("png"), Limits(pixels=3071), "64 x 48 = 3,072 .* 3,071"),
        (specimen("gif-animated"), Limits(frames=3), "4 frames .* 3$"),
        (specimen("tiff-pages"), Limits(frames=2), "3 frames or pages .* 2$"),
        (specimen("webp-animated"), Limits(animation_pixels=12_287), "12,288.* 12,287"),
        (specimen("webp-animated"), Limits(duration=0.27), "0.3 s.* 0.27 s"),
        (specimen("svg"), Limits(dimension=63), "64 x 48 .* 63"),
    ],
)
def test_limits_say_their_numbers(data: bytes, limits: Limits, numbers: str) -> None:
    """The message of a limit has what was found and what is allowed."""
    with pytest.raises(LimitExceeded, match=numbers):
        look(data, limits)


def test_claims_are_refused_before_a_decoder_sees_them() -> None:
    """Refusing headers that claim 65535 x 65535, of every format, allocates next to nothing."""
    program = (
        "from tests.unit.peak import peak\n"
        "from tests.unit.hostile import CLAIMS\n"
        "from worker.domain.errors import LimitExceeded\n"
        "from worker.imaging.probe import probe\n"
        "from worker.domain.image import Format, Limits\n"
        "claims = [make(65535, 65535) for make in CLAIMS.values()]\n"
        "before = peak()\n"
        "for data in claims:\n"
        "    try: probe(data, Limits(), formats=set(Format))\n"
        "    except LimitExceeded: pass\n"
        "print(peak() - before)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert int(ran.stdout) < 20_000  # KiB


@pytest.mark.parametrize("name", SPECIMENS)
def test_truncated_files_are_told_so(name: str) -> None:
    """A file cut anywhere that costs pixels is TRUNCATED, by the probe or while decoding."""
    complete = BEHIND_THE_FIRST_PICTURE.get(name, 10**9)
    for cut in cuts(specimen(name)):
        if len(cut) < complete:
            with pytest.raises(DamagedInput) as caught:
                decode(cut)
            assert caught.value.reason is Reason.TRUNCATED, len(cut)


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "avif", "tiff-lzw", "tiff-fax"])
def test_damage_in_the_middle_is_corrupt(name: str) -> None:
    """Overwritten pixel data is CORRUPT where the format has a way to tell."""
    with pytest.raises(DamagedInput) as caught:
        decode(damaged(name))
    assert caught.value.reason is Reason.CORRUPT


def test_what_browsers_show_in_spite_of_a_warning_passes() -> None:
    """Stray bytes between segments and behind the end of a JPEG are no damage."""
    data = specimen("jpeg")
    at = data.index(b"\xff\xdb")
    assert decode(data[:at] + b"\x11\x22\x33" + data[at:]) == decode(data)
    assert decode(data + bytes(100)) == decode(data)


@pytest.mark.parametrize("name", polyglots())
def test_polyglots_are_what_they_begin_with(name: str) -> None:
    """A picture that is also an archive or a page is the picture, and decodes as such."""
    kind = Format(name.partition("-")[0])
    data = polyglots()[name]
    assert look(data).format is kind
    assert decode(data) == decode(specimen(kind.value))


def test_embedded_pictures_of_a_drawing_count_together() -> None:
    """Many embedded pictures that each pass are refused when their pixels together do not."""
    picture = base64.b64encode(png_claiming(600, 600)).decode()
    image = f'<image href="data:image/png;base64,{picture}"/>'
    assert look(svg(image), SMALL)
    with pytest.raises(LimitExceeded) as caught:
        look(svg(image * 3), SMALL)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_names_of_items_that_are_not_text_are_corrupt() -> None:
    """A HEIC item type that is not text, of which its decoder dies, never reaches it."""
    data = specimen("heic-exif").replace(b"\x03\x00\x00Exif", b"\x03\x00\x00Ex\x80f")
    with pytest.raises(DamagedInput) as caught:
        look(data)
    assert caught.value.reason is Reason.CORRUPT


@given(data=st.binary(max_size=400))
@settings(derandomize=True)
def test_random_bytes_are_only_ever_refused(data: bytes) -> None:
    """For any bytes the probe raises only Rejected."""
    with pytest.raises(Rejected):
        look(data)


@given(
    head=st.sampled_from(sorted({specimen(kind.value)[:16] for kind in Format})),
    tail=st.binary(max_size=300),
)
@settings(derandomize=True)
def test_random_bytes_behind_a_signature_are_only_ever_refused(head: bytes, tail: bytes) -> None:
    """A true signature in front of random bytes changes nothing."""
    with pytest.raises(Rejected):
        decode(head + tail, SMALL)


@pytest.mark.parametrize("name", SPECIMENS)
@given(data=st.data())
@MUTATIONS
def test_one_changed_byte_decodes_or_is_refused(name: str, data: st.DataObject) -> None:
    """Any byte of any file may be anything: it decodes, or is Rejected."""
    mutated = bytearray(specimen(name))
    # Headers matter most, so half of the changes are made there.
    place = data.draw(st.one_of(st.integers(0, 99), st.integers(0, len(mutated) - 1)))
    mutated[place % len(mutated)] = data.draw(st.integers(0, 255))
    _survives(bytes(mutated))


@pytest.mark.parametrize("name", SPECIMENS)
@given(place=st.floats(0, 1), seed=st.integers(0, 2**32))
@MUTATIONS
def test_cut_and_scrambled_files_decode_or_are_refused(name: str, place: float, seed: int) -> None:
    """A file cut anywhere, with some bytes changed besides, decodes or is Rejected."""
    source = random.Random(seed)
    whole = specimen(name)
    mutated = bytearray(whole[: int(len(whole) * place)])
    for _ in range(min(3, len(mutated))):
        mutated[source.randrange(len(mutated))] = source.randrange(256)
    _survives(bytes(mutated))


def _survives(data: bytes) -> None:
    with contextlib.suppress(Rejected):
        decode(data, SMALL)
