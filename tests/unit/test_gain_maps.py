"""Gain maps: read in every form, carried through the geometry of renditions, or dropped."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.unit.gain_maps import (
    OFFSET,
    base_times_gain,
    iso_metadata,
    jpeg,
    read_light,
    resized,
    scene,
    segment,
    split,
    stops_apart,
    to_light,
    to_values,
    ultra_hdr,
    with_gain_map,
    xmp_packet,
)
from tests.unit.heic import make_heic
from tests.unit.pictures import everything
from tests.unit.specimens import specimen
from tests.unit.test_credentials import STORE, box, in_jpeg, in_jxl
from worker.domain.errors import InputError
from worker.domain.image import (
    Encoding,
    Fit,
    Format,
    GainMap,
    GainMapKind,
    Gamut,
    Gravity,
    KeepTag,
    Limits,
    Recipe,
    RenditionSpec,
)
from worker.entrypoints.cli import cli
from worker.imaging.colour import p3_profile
from worker.imaging.engine import ProcessedImage, process
from worker.imaging.formats import ultrahdr
from worker.imaging.loaders import embedded_in
from worker.imaging.plan import make_plan
from worker.imaging.primaries import conversion
from worker.imaging.probe import probe
from worker.imaging.render import render

JPEG = Encoding(format=Format.JPEG, quality=95)
WEBP = Encoding(format=Format.WEBP)
KEEP = Recipe(name="hdr", version=1, renditions=(), keep=frozenset({KeepTag.GAINMAP}))
XMP = {
    "Version": "1.0",
    "GainMapMin": "0",
    "GainMapMax": "3",
    "Gamma": "1",
    "OffsetSDR": OFFSET,
    "OffsetHDR": OFFSET,
    "HDRCapacityMin": "0",
    "HDRCapacityMax": "3",
    "BaseRenditionIsHDR": "False",
}


def made(data: bytes, *encodings: Encoding, recipe: Recipe = KEEP, **spec: Any) -> ProcessedImage:
    """Process with a recipe of one size that keeps gain maps."""
    return everything(
        data, *(encodings or (JPEG,)), recipe=recipe, **({"width": 150, "height": 150} | spec)
    )


def stored_for(light: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """Pixels as a camera held like this stores them (CIPA DC-008, 4.6.5.1.6)."""
    return {
        1: light,
        2: light[:, ::-1],
        3: light[::-1, ::-1],
        4: light[::-1],
        5: light.transpose(1, 0, 2),
        6: light[:, ::-1].transpose(1, 0, 2),
        7: light[::-1, ::-1].transpose(1, 0, 2),
        8: light[::-1].transpose(1, 0, 2),
    }[orientation]


def tagged(orientation: int) -> bytes:
    """An EXIF block with an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def expected(light: np.ndarray[Any, Any], result: ProcessedImage) -> np.ndarray[Any, Any]:
    """The scene through the geometry of the only rendition, in linear light."""
    geometry = result.plan.steps[0].geometry
    whole = resized(light, geometry.scale.width, geometry.scale.height)
    if geometry.crop is None:
        return whole
    box = geometry.crop
    return whole[box.top : box.top + box.height, box.left : box.left + box.width]


# --- geometry: light is read back -----------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("coloured", [False, True])
def test_the_map_is_turned_with_its_picture(orientation: int, *, coloured: bool) -> None:
    """Base times gain of a rendition is the upright scene, whatever way the camera was held."""
    light = scene()
    data = ultra_hdr(stored_for(light, orientation), exif=tagged(orientation), coloured=coloured)
    result = made(data)
    (rendition,) = result.renditions
    assert rendition.gain_map
    apart = stops_apart(read_light(rendition.data), expected(light, result))
    assert apart.mean() < 0.03
    assert np.quantile(apart, 0.99) < 0.12


@pytest.mark.parametrize(
    "spec",
    [
        {"width": 300, "height": 200},
        {"width": 209, "height": 139},
        {"width": 60},
        {"width": 120, "height": 120, "fit": Fit.COVER, "gravity": Gravity.EAST},
        {"width": 101, "height": 57, "fit": Fit.COVER, "gravity": Gravity.SOUTH_WEST},
        {
            "width": 90,
            "height": 200,
            "fit": Fit.COVER,
            "gravity": Gravity.FOCAL,
            "focal_point": (0.78, 0.25),
        },
        {"width": 200, "height": 200, "fit": Fit.EXACT},
        {"width": 450, "height": 450, "enlarge": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("scale", [1, 4])
def test_the_map_shows_the_part_that_its_picture_shows(spec: dict[str, Any], scale: int) -> None:
    """Cuts, focal points and sizes apply to the light of the scene, for maps of any size."""
    light = scene()
    result = made(ultra_hdr(light, scale=scale), **spec)
    (rendition,) = result.renditions
    wanted = expected(light, result)
    apart = stops_apart(read_light(rendition.data), wanted)
    assert apart.mean() < 0.03
    assert np.quantile(apart, 0.99) < 0.15
    # The whole map under the cut, which is what some libraries make, is told from this.
    found = ultrahdr.find(ultra_hdr(light, scale=scale))
    assert found is not None
    base = to_light(np.asarray(Image.open(io.BytesIO(rendition.data)).convert("RGB")))
    whole = stops_apart(base_times_gain(base, found), wanted)
    if result.plan.steps[0].geometry.crop is not None:
        assert whole.mean() > 5 * apart.mean()


def test_attention_cuts_the_map_where_it_cuts_the_picture() -> None:
    """The place that pixels decide is that of the map too."""
    light = scene()
    box: dict[str, Any] = {"width": 100, "height": 100, "fit": Fit.COVER}
    result = made(ultra_hdr(light), gravity=Gravity.ATTENTION, **box)
    seen = read_light(result.renditions[0].data)
    whole = resized(light, 150, 100)
    apart = [stops_apart(seen, whole[:, left : left + 100]).mean() for left in range(51)]
    assert min(apart) < 0.03
    base = to_light(np.asarray(Image.open(io.BytesIO(result.renditions[0].data))))
    dark = split(light).base
    by_base = [
        np.abs(base - resized(dark, 150, 100)[:, left : left + 100]).mean() for left in range(51)
    ]
    assert abs(int(np.argmin(apart)) - int(np.argmin(by_base))) <= 1


@pytest.mark.parametrize("least", [0.0, -1.0, 0.5])
def test_a_canvas_stays_as_bright_as_it_is(least: float) -> None:
    """Around a contained picture white is white on every screen, also where no value means it."""
    light = scene()
    sdr = split(light)
    stops = resized(sdr.stops, 150, 100)[..., 0]
    stored = np.rint(np.clip((stops - least) / (3 - least), 0, 1) * 255).astype(np.uint8)
    metadata = iso_metadata(low=(least,))
    data = with_gain_map(jpeg(to_values(sdr.base)), jpeg(stored), iso=metadata)
    result = made(data, width=200, height=200, fit=Fit.CONTAIN)
    seen = read_light(result.renditions[0].data)
    assert np.abs(seen[:30] - 1).max() < 0.05
    assert np.abs(seen[-30:] - 1).max() < 0.05
    if least <= 0:
        wanted = resized(light, 200, 133)
        apart = stops_apart(seen[33:166], wanted)
        assert apart[4:-4].mean() < 0.04


# --- colours --------------------------------------------------------------------------------------


P3_TO_SRGB = conversion(
    (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
)


@pytest.mark.parametrize("gamut", [Gamut.SRGB, Gamut.P3])
def test_one_gain_for_all_channels_fits_any_primaries(gamut: Gamut) -> None:
    """A picture in Display P3 keeps its light, converted or not."""
    light = scene()
    data = ultra_hdr(light, icc_profile=p3_profile())
    result = made(data, recipe=replace(KEEP, gamut=gamut))
    seen = read_light(result.renditions[0].data)
    wanted = expected(light, result)
    if gamut is Gamut.SRGB:
        wanted = wanted @ P3_TO_SRGB.T
    assert stops_apart(seen, wanted).mean() < 0.04


def test_three_gains_stay_with_the_primaries_that_they_were_made_for() -> None:
    """Converted to sRGB, the file says that gains apply to Display P3, where they are right."""
    light = scene()
    data = ultra_hdr(light, coloured=True, icc_profile=p3_profile())
    result = made(data)
    found = ultrahdr.find(result.renditions[0].data)
    assert found is not None
    assert found.metadata is not None
    assert not found.metadata.base_colours
    assert found.profile == p3_profile()
    assert b"hdr-gain-map" not in result.renditions[0].data  # XMP cannot say it
    pixels = np.asarray(Image.open(io.BytesIO(result.renditions[0].data)).convert("RGB"))
    seen = base_times_gain(to_light(pixels) @ np.linalg.inv(P3_TO_SRGB).T, found)
    assert stops_apart(seen, expected(light, result)).mean() < 0.04
    kept = made(data, recipe=replace(KEEP, gamut=Gamut.P3))
    assert stops_apart(read_light(kept.renditions[0].data), expected(light, kept)).mean() < 0.04


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"iso": iso_metadata()}, GainMapKind.ISO),
        ({"iso": iso_metadata(common=True)}, GainMapKind.ISO),
        ({"iso": iso_metadata(), "order": "<"}, GainMapKind.ISO),
        ({"iso": iso_metadata(), "announced": False}, GainMapKind.ISO),
        ({"iso": iso_metadata(version=1), "xmp": xmp_packet(**XMP)}, GainMapKind.ULTRA_HDR),
        ({"xmp": xmp_packet(**XMP)}, GainMapKind.ULTRA_HDR),
        ({"xmp": xmp_packet(**XMP), "order": "<"}, GainMapKind.ULTRA_HDR),
        ({"xmp": xmp_packet(**XMP | {"GainMapMax": ("3", "3", "3")})}, GainMapKind.ULTRA_HDR),
    ],
)
def test_both_kinds_of_metadata_are_read(options: dict[str, Any], kind: GainMapKind) -> None:
    """ISO 21496-1 and Ultra HDR say the same, and give the same rendition."""
    data = ultra_hdr(scene(), **options)
    found = probe(data, Limits(), formats={Format.JPEG})
    assert found.warnings == ()
    assert found.gain_map == GainMap(kind=kind, headroom=3.0, width=150, height=100, carriable=True)
    assert made(data).renditions == made(ultra_hdr(scene())).renditions


def test_renditions_have_both_kinds_of_metadata() -> None:
    """A reader of XMP alone, and one of ISO 21496-1 alone, read the same numbers."""
    low, high = (0.0, -0.5, 0.25), (3.0, 2.5, 2.0)
    options: dict[str, Any] = {"iso": iso_metadata(low=low, high=high, headroom=2.75, gamma=0.8)}
    data = ultra_hdr(scene(), coloured=True, **options)
    written = made(data).renditions[0].data
    found = ultrahdr.find(written)
    assert found is not None
    assert found.metadata is not None
    assert (found.metadata.minimum, found.metadata.maximum) == (low, high)
    assert found.metadata.alternate_headroom == 2.75
    assert found.metadata.gamma == pytest.approx((0.8,) * 3, abs=1e-6)
    # Without ISO's segments only XMP is left.
    blind = written.replace(b"urn:iso:std:iso:ts:21496", b"urn:xxx:std:iso:ts:21496")
    only = ultrahdr.find(blind)
    assert only is not None
    assert only.kind is GainMapKind.ULTRA_HDR
    assert only.metadata == replace(found.metadata, gamma=(0.8,) * 3)


def test_the_directory_names_the_length_of_the_map() -> None:
    """Ultra HDR's own directory, the index and the file agree, and the picture opens alone."""
    written = made(ultra_hdr(scene())).renditions[0].data
    found = ultrahdr.find(written)
    assert found is not None
    assert written.endswith(found.data)
    assert f'Item:Length="{len(found.data)}"'.encode() in written
    with Image.open(io.BytesIO(written)) as image:
        assert image.size == (150, 100)
        assert image.format in ("JPEG", "MPO")


_LIBULTRAHDR = """
import sys, numpy, pyvips
image = pyvips.Image.uhdrload_buffer(open(sys.argv[1], "rb").read()).uhdr2scRGB()
numpy.save(sys.argv[2], numpy.ndarray(
    (image.height, image.width, image.bands), numpy.float32, image.write_to_memory()))
"""


def test_libultrahdr_reads_the_same_light(tmp_path: Path) -> None:
    """The reader of Android, in a process in which its loader is not blocked, agrees."""
    # libvips 8.18.7 puts the values of a map in colours through the curve of sRGB: a grey one here.
    light = scene()
    spec: dict[str, Any] = {"width": 150, "height": 150, "fit": Fit.COVER, "gravity": Gravity.EAST}
    result = made(ultra_hdr(light), **spec)
    (tmp_path / "rendition.jpg").write_bytes(result.renditions[0].data)
    paths = [str(tmp_path / name) for name in ("rendition.jpg", "light.npy")]
    subprocess.run([sys.executable, "-c", _LIBULTRAHDR, *paths], check=True, timeout=120)
    seen = np.load(tmp_path / "light.npy")[..., :3]
    assert seen.max() > 3
    assert stops_apart(seen, expected(light, result)).mean() < 0.05


def test_apples_own_map_is_recorded_only() -> None:
    """A map of an older phone is told of, and no rendition gets it."""
    apple = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        b'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" '
        b'HDRGainMap:HDRGainMapVersion="131072" HDRGainMap:HDRGainMapHeadroom="4"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    result = made(ultra_hdr(scene(), xmp=apple, announced=False))
    assert result.probe.gain_map == GainMap(
        kind=GainMapKind.APPLE, headroom=2.0, width=150, height=100
    )
    assert result.plan.gain_map is None
    assert not result.renditions[0].gain_map


def test_the_map_of_a_heic_is_recorded_only() -> None:
    """An item of type tmap tells kind, headroom and size; damaged ones are a warning."""
    whole = b"\0" + iso_metadata(headroom=2.5)
    result = made(make_heic(gain_map=whole))
    assert result.probe.gain_map == GainMap(kind=GainMapKind.ISO, headroom=2.5, width=64, height=48)
    assert (result.probe.warnings, result.plan.gain_map) == ((), None)
    for broken in (whole[:20], b"\1" + whole[1:], b"\0" + iso_metadata(denominator=0)):
        found = probe(make_heic(gain_map=broken), Limits(), formats={Format.HEIC})
        assert (found.gain_map, found.warnings) == (None, (ultrahdr.GAIN_MAP_DAMAGED,))


def test_the_map_of_a_jpeg_xl_is_recorded_only() -> None:
    """A box of type jhgm tells kind and headroom; a damaged one is a warning."""
    whole = iso_metadata(headroom=2.5)
    bundle = struct.pack(">BH", 0, len(whole)) + whole + bytes(5)
    result = made(in_jxl(box(b"jhgm", bundle)))
    assert result.probe.gain_map == GainMap(kind=GainMapKind.ISO, headroom=2.5)
    assert (result.probe.warnings, result.plan.gain_map) == ((), None)
    for broken in (bundle[:20], b"\1" + bundle[1:], b""):
        found = probe(in_jxl(box(b"jhgm", broken)), Limits(), formats={Format.JXL})
        assert (found.gain_map, found.warnings) == (None, (ultrahdr.GAIN_MAP_DAMAGED,))
    assert probe(specimen("jxl"), Limits(), formats={Format.JXL}).gain_map is None


def test_a_map_that_makes_its_picture_darker_is_recorded_only() -> None:
    """The picture is HDR itself: its renditions are not, so the map would be wrong."""
    darker = xmp_packet(**XMP | {"BaseRenditionIsHDR": "True"})
    result = made(ultra_hdr(scene(), xmp=darker))
    assert result.probe.gain_map is not None
    assert not result.probe.gain_map.carriable
    assert not result.renditions[0].gain_map


# --- recipes and plans ----------------------------------------------------------------------------


def test_the_map_is_dropped_unless_a_recipe_keeps_it() -> None:
    """By default a rendition is the bytes that the picture alone gives."""
    data = ultra_hdr(scene())
    plain = Recipe(name="plain", version=1, renditions=())
    result = made(data, recipe=plain)
    assert result.probe.gain_map is not None
    assert result.plan.gain_map is None
    assert "gain_map" not in result.plan.as_dict()
    alone = jpeg(to_values(split(scene()).base))
    assert result.renditions == made(alone, recipe=plain).renditions


def test_only_jpeg_carries_the_map() -> None:
    """Other formats of the same rendition are as they were."""
    first, second = made(ultra_hdr(scene()), JPEG, WEBP, minimum_saving=-1).renditions
    assert (first.gain_map, second.gain_map) == (True, False)
    without = replace(KEEP, keep=frozenset())
    _, bare = made(ultra_hdr(scene()), JPEG, WEBP, recipe=without, minimum_saving=-1).renditions
    assert second == bare


def test_a_plan_says_what_becomes_of_the_map() -> None:
    """How it is decoded and the size in each rendition are in the plan, and in its hash."""
    found = probe(ultra_hdr(scene(), scale=1), Limits(), formats={Format.JPEG})
    sizes = tuple(
        RenditionSpec(name=f"w{width}", width=width, encodings=(JPEG,)) for width in (40, 24)
    )
    plan = make_plan(found, replace(KEEP, renditions=sizes))
    assert plan.gain_map is not None
    assert (plan.gain_map.shrink, plan.gain_map.width) == (8, 38)
    assert [step.gain_map and step.gain_map.width for step in plan.steps] == [20, 12]
    bare = make_plan(replace(found, gain_map=None), replace(KEEP, renditions=sizes))
    assert plan.hash != bare.hash
    webp = RenditionSpec(name="w", width=64, encodings=(WEBP,))
    alone = make_plan(found, replace(KEEP, renditions=(*sizes, webp)), only=["w"])
    assert alone.gain_map is None


def test_inspect_and_plan_tell_of_the_map(tmp_path: Path) -> None:
    """Kind, size and headroom, credentials beside them, and what a recipe makes of the map."""
    path, recipe = tmp_path / "photo.jpg", tmp_path / "hdr.toml"
    path.write_bytes(in_jpeg(STORE, ultra_hdr(scene())))
    recipe.write_text(
        'name = "hdr"\nversion = 1\nkeep = ["gainmap"]\n[[renditions]]\nname = "page"\n'
        'width = 100\nformats = ["jpeg", "webp"]\n'
    )
    words = " ".join(CliRunner().invoke(cli, ["inspect", str(path)]).output.split())
    assert "iso-21496-1, 150 x 100, headroom 3.00 stops, recipes can keep it" in words
    assert "C2PA, 2 manifests by Adobe Photoshop 27.1, not checked, void in renditions" in words
    found = json.loads(CliRunner().invoke(cli, ["inspect", str(path), "--json"]).output)
    assert found["probe"]["gain_map"]["headroom"] == 3.0
    assert found["metadata"]["credentials"]["renditions"] == "void"
    lines = CliRunner().invoke(cli, ["plan", str(path), "--recipe", str(recipe)]).output
    assert "decode  gain map, 75 x 50, shrunk by 2" in lines
    assert "with a gain map of 50 x 34 in JPEG" in lines


def test_the_same_upload_gives_the_same_bytes() -> None:
    """The bytes do not depend on the time or the run."""
    data = ultra_hdr(scene(), coloured=True)
    assert made(data).renditions == made(data).renditions


def test_a_stored_jpeg_gives_its_map_to_smaller_ones() -> None:
    """A rendition made of a larger one has the light of the original; a WebP cannot give it."""
    light = scene()
    data = ultra_hdr(light)
    recipe = replace(
        KEEP,
        renditions=(
            RenditionSpec(name="large", width=400, encodings=(JPEG, WEBP), minimum_saving=-1),
            RenditionSpec(
                name="small",
                width=100,
                height=100,
                fit=Fit.COVER,
                gravity=Gravity.EAST,
                encodings=(JPEG,),
            ),
        ),
    )
    whole = process(data, recipe)
    large, webp, direct = whole.renditions
    plan = make_plan(whole.probe, recipe, only=["small"], source=large)
    again = probe(large.data, Limits(), formats={Format.JPEG})
    rendered = render(large.data, again, plan, icc=embedded_in(large.data, again).icc)
    (small,) = rendered.renditions
    assert small.gain_map
    assert stops_apart(read_light(small.data), read_light(direct.data)).mean() < 0.04
    with pytest.raises(InputError, match="lacks the gain map"):
        make_plan(whole.probe, recipe, only=["small"], source=webp)


# --- hostile and damaged --------------------------------------------------------------------------


def hidden_size(gain_map: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    at = gain_map.index(b"\xff\xc0") + 5
    return gain_map[:at] + struct.pack(">HH", height, width) + gain_map[at + 4 :]


BASE = jpeg(to_values(split(scene()).base))
SMALL_MAP = jpeg(np.full((40, 60), 90, np.uint8))
NOISE = np.random.default_rng(3).integers(0, 255, (100, 150)).astype(np.uint8)
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>' + xmp_packet(**XMP)


def lying(gain_map: bytes = SMALL_MAP, **options: Any) -> bytes:
    """A picture with a map and lies about it."""
    if "iso" not in options and "xmp" not in options:
        options["iso"] = iso_metadata()
    return with_gain_map(BASE, gain_map, **options)


DAMAGED = {
    "offset beyond the end": lying(offset=10_000_000),
    "offset before the file": lying(offset=-(2**31)),
    "offset of something else": lying(offset=-100),
    "size beyond the end": lying(size=10_000),
    "index of itself": lying(offset=-len(BASE)),
    "size within the header": lying(size=20 - len(SMALL_MAP)),
    "entries beyond the index": lying(offset=1, count=2**32 - 1),
    "no map": lying()[: lying().rindex(b"\xff\xd8")],
    "cut map": lying()[:-200],
    "map without end": lying(SMALL_MAP[:-2]),
    "four channels": lying(jpeg(np.zeros((8, 8, 3), np.uint8))).replace(
        b"\xff\xc0\0\x11\x08\0\x08\0\x08\x03", b"\xff\xc0\0\x11\x08\0\x08\0\x08\x04"
    ),
    "no size": lying(hidden_size(SMALL_MAP, 0, 0)),
    "NaN": lying(xmp=xmp_packet(**XMP | {"GainMapMax": "nan"})),
    "infinite": lying(xmp=xmp_packet(**XMP | {"GainMapMax": "inf"})),
    "NaN offset": lying(xmp=xmp_packet(**XMP | {"OffsetSDR": "nan"})),
    "a word": lying(xmp=xmp_packet(**XMP | {"Gamma": "much"})),
    "two values": lying(xmp=xmp_packet(**XMP | {"Gamma": ("1", "2")})),
    "no maximum": lying(xmp=xmp_packet(Version="1.0", HDRCapacityMax="3")),
    "gamma 0": lying(xmp=xmp_packet(**XMP | {"Gamma": "0"})),
    "absurd gain": lying(xmp=xmp_packet(**XMP | {"GainMapMax": "1e30"})),
    "absurd headroom": lying(xmp=xmp_packet(**XMP | {"HDRCapacityMax": "1000"})),
    "upside down": lying(iso=iso_metadata(low=(3.0,), high=(1.0,))),
    "a zero denominator": lying(iso=iso_metadata(denominator=0)),
    "short metadata": lying(iso=iso_metadata()[:30]),
    "no metadata": lying(iso=b""),
    "a later version": lying(iso=iso_metadata(version=1)),
    "entities": lying(xmp=BOMB),
}
TOO_LARGE = {
    "more bytes than any": lying(size=60_000_000),
    "a negative size": lying(size=-(10**6)),
    "wider than the picture": lying(jpeg(np.zeros((8, 500), np.uint8))),
    "claims 2^32 pixels": lying(hidden_size(SMALL_MAP, 65_535, 65_535)),
    "claims more than the picture": lying(hidden_size(SMALL_MAP, 60_000, 40)),
}


@pytest.mark.parametrize("case", [*DAMAGED, *TOO_LARGE])
def test_a_map_that_cannot_be_used_is_dropped_with_a_warning(case: str) -> None:
    """The picture is accepted, its renditions are those of the picture alone, and a code tells."""
    data = (DAMAGED | TOO_LARGE)[case]
    result = made(data)
    wanted = ultrahdr.GAIN_MAP_DAMAGED if case in DAMAGED else ultrahdr.GAIN_MAP_TOO_LARGE
    assert result.probe.warnings == (wanted,)
    assert result.probe.gain_map is None
    assert result.renditions == made(BASE).renditions


def test_a_map_over_the_limits_of_the_recipe_is_dropped() -> None:
    """Limits hold for the map as for the picture, before it is decoded."""
    wide = lying(jpeg(np.zeros((200, 300), np.uint8)))
    found = probe(wide, Limits(pixels=300 * 200), formats={Format.JPEG})
    assert found.warnings == ()
    tall = lying(jpeg(np.zeros((300, 300), np.uint8)))
    found = probe(tall, Limits(pixels=300 * 200), formats={Format.JPEG})
    assert found.warnings == (ultrahdr.GAIN_MAP_TOO_LARGE,)


def test_a_map_whose_data_is_damaged_is_dropped_when_it_is_decoded() -> None:
    """Only the decoder sees it: the warning comes with the renditions."""
    whole = jpeg(NOISE)
    middle = whole.index(b"\xff\xda") + 1000
    result = made(lying(whole[:middle] + whole[middle + 2000 :]))
    assert result.probe.gain_map is not None
    assert result.probe.warnings == (ultrahdr.GAIN_MAP_DAMAGED,)
    assert not result.renditions[0].gain_map
    assert result.renditions == made(BASE).renditions


def test_the_reader_never_fails_whatever_the_bytes() -> None:
    """Bytes of index and metadata at random: a map, none, or a warning, and never an error."""
    chance = random.Random(7)
    data = ultra_hdr(scene(96, 64), iso=iso_metadata(), xmp=xmp_packet(**XMP), announced=False)
    places = [at for at in range(len(data)) if b"MPF" in data[at : at + 80]]
    places += [at for at in range(len(data)) if b"21496:-1" in data[at : at + 90]]
    places += [at for at in range(len(data)) if b"hdrgm" in data[at : at + 60]]
    seen = set()
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            broken[chance.choice(places)] = chance.randrange(256)
        found, odd = ultrahdr.examine(bytes(broken), Format.JPEG, Limits(), (96, 64))
        assert (found is None) or odd == ()
        seen.add((found is not None, odd))
    assert len(seen) >= 3


def test_other_pictures_of_an_index_are_no_maps() -> None:
    """A second view, as stereo cameras store it, is neither a map nor a flaw."""
    data = with_gain_map(BASE, SMALL_MAP, announced=False)
    found = probe(data, Limits(), formats={Format.JPEG})
    assert (found.gain_map, found.warnings) == (None, ())


def test_the_map_is_written_behind_what_encoders_write() -> None:
    """EXIF and profile of a rendition stay, and stay in front."""
    recipe = replace(KEEP, gamut=Gamut.P3, keep=KEEP.keep | {KeepTag.ARTIST})
    block = Image.Exif()
    block[0x013B] = "A. Painter"
    data = ultra_hdr(scene(), exif=block.tobytes(), icc_profile=p3_profile())
    written = made(data, recipe=recipe).renditions[0].data
    with Image.open(io.BytesIO(written)) as image:
        assert image.getexif()[0x013B] == "A. Painter"
        assert image.info["icc_profile"] == p3_profile()
    assert written.index(b"Exif\0\0") < written.index(b"hdr-gain-map") < written.index(b"MPF\0")


def test_a_profile_of_many_segments_comes_back() -> None:
    """A colour profile of a map longer than a segment is cut and put together again."""
    profile = random.Random(5).randbytes(150_000)
    metadata = ultrahdr.read_iso(iso_metadata(low=(0.0, 0.0, 0.1), high=(1.0, 2.0, 3.0), flags=0))
    rgb_map = jpeg(np.zeros((8, 8, 3), np.uint8))
    found = ultrahdr.find(ultrahdr.join(BASE, rgb_map, metadata, profile))
    assert found is not None
    assert found.profile == profile
    assert found.metadata == metadata
    assert segment(0xE2, b"") == b"\xff\xe2\0\x02"
