"""Domain types of pictures: formats, probe, metadata, recipe and renditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.colour import Colour
from worker.domain.label import LabelRules
from worker.domain.moderation import ModerationRules
from worker.domain.workflow import APPROVE, NO_WORKFLOW, VIDEO, Starts, Workflow


class Format(StrEnum):
    """A file format, recognised by content. Every value can be an input format."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    AVIF = "avif"
    TIFF = "tiff"
    BMP = "bmp"
    HEIC = "heic"
    SVG = "svg"
    JXL = "jxl"

    @property
    def extension(self) -> str:
        """The usual file ending, without the dot."""
        return {"jpeg": "jpg", "tiff": "tif"}.get(self.value, self.value)

    @property
    def media_type(self) -> str:
        """The IANA media type."""
        return {"svg": "image/svg+xml"}.get(self.value, f"image/{self.value}")


class MediaFormat(StrEnum):
    """Output formats of videos. They are not a :class:`Format`, because the image engine decodes
    none."""

    MP4 = "mp4"
    """One file that plays while it is fetched (``faststart``)."""
    HLS = "hls"
    """A master playlist; its variants and segments lie beside and below it."""
    DASH = "dash"
    """A manifest (MPD) of the same segments."""
    VTT = "vtt"
    """WebVTT: subtitles, or the parts of a sprite sheet with their times."""

    @property
    def extension(self) -> str:
        """The usual file ending, without the dot."""
        return {"hls": "m3u8", "dash": "mpd"}.get(self.value, self.value)

    @property
    def media_type(self) -> str:
        """The IANA media type."""
        return {
            "mp4": "video/mp4",
            "hls": "application/vnd.apple.mpegurl",
            "dash": "application/dash+xml",
            "vtt": "text/vtt",
        }[self.value]


OUTPUT_FORMATS = frozenset(
    {Format.JPEG, Format.WEBP, Format.AVIF, Format.PNG, Format.GIF, Format.JXL}
)
"""Output formats of renditions."""

ALPHA_FORMATS = frozenset({Format.WEBP, Format.AVIF, Format.PNG, Format.GIF, Format.JXL})
ANIMATED_FORMATS = frozenset({Format.WEBP, Format.GIF, Format.JXL})
"""Output formats that support animations; in other formats an animation becomes its first frame."""


class ColourSpace(StrEnum):
    """Colour space of the stored pixels, before any conversion."""

    RGB = "rgb"
    GREY = "grey"
    CMYK = "cmyk"
    LAB = "lab"


class GainMapKind(StrEnum):
    """The metadata standard of a gain map."""

    ISO = "iso-21496-1"
    """ISO 21496-1. Files of phones and of Adobe often have both this and ``ULTRA_HDR``."""
    ULTRA_HDR = "ultra-hdr"
    """XMP in the ``hdrgm`` namespace alone (Adobe; Ultra HDR image format 1.0)."""
    APPLE = "apple"
    """Apple's own form, from before the standard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GainMap:
    """A second picture that says how much brighter than the first one each of its parts is on a
    screen with HDR."""

    kind: GainMapKind
    headroom: float | None = None
    """Stops (log2) above white of the brightest screen that it was made for."""
    width: int | None = None
    """Stored pixels across, before orientation. It has the picture's orientation."""
    height: int | None = None
    channels: int = 1
    """1, or 3 for separate gains of red, green and blue."""
    carriable: bool = False
    """Whether renditions can carry it: it belongs to a JPEG, has metadata of a standard, and makes
    the picture brighter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The contents of a file's header, read without decoding a pixel."""

    format: Format
    bytes: int
    width: int
    """Stored pixels across, before orientation is applied."""
    height: int
    """Stored pixels down, of one frame, before orientation is applied."""
    frames: int = 1
    """Frames of an animation or pages of a document."""
    animated: bool = False
    """Whether the frames are an animation (GIF, animated WebP and JPEG XL) and not pages of a
    TIFF."""
    duration_ms: int | None = None
    """Duration of one run of the animation in milliseconds, as players show it: a frame of at most
    10 ms counts as 100. None for stills."""
    loop: int | None = None
    """Times the animation repeats, 0 for ever; None for stills."""
    orientation: int = 1
    """EXIF orientation, 1 to 8 (CIPA DC-008, tag 0x0112)."""
    colour_space: ColourSpace = ColourSpace.RGB
    bit_depth: int = 8
    """Bits a channel."""
    alpha: bool = False
    icc: str | None = None
    """Name of the embedded colour profile (its description tag); None without a profile."""
    colour: Colour = field(default_factory=Colour)
    """Colour of the stored values, and its source in the file."""
    progressive: bool = False
    """Progressive JPEG or interlaced PNG or GIF: cannot be decoded as a stream of lines."""
    gain_map: GainMap | None = None
    warnings: tuple[str, ...] = ()
    """Codes of harmless defects of an accepted file (docs/errors.md)."""

    @property
    def upright_width(self) -> int:
        """Pixels across as a person sees it."""
        return self.height if self.orientation >= 5 else self.width

    @property
    def upright_height(self) -> int:
        """Pixels down as a person sees it."""
        return self.width if self.orientation >= 5 else self.height

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.width * self.height


# --- what is known about a picture ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GpsPosition:
    """WGS 84 position from EXIF or XMP."""

    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""
    altitude: float | None = None
    """Metres above sea level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Cleaned metadata of the file: EXIF, IPTC and XMP. None for missing values."""

    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    software: str | None = None
    taken_at: str | None = None
    """ISO 8601; with an offset only if the file has one (EXIF times are local by default)."""
    exposure_seconds: float | None = None
    f_number: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    focal_length_35mm: int | None = None
    flash: bool | None = None
    gps: GpsPosition | None = None
    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    artist: str | None = None
    copyright: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Measurements of the pixels, on a preview of at most 512 pixels on its longer side."""

    dominant: str
    """The colour of the largest area, ``#rrggbb`` in sRGB."""
    palette: tuple[str, ...]
    """Up to six colours, by falling area."""
    thumbhash: str
    """ThumbHash placeholder, base64 (evanw.github.io/thumbhash)."""
    phash: str
    """64-bit DCT perceptual hash, 16 hex digits; pictures that look alike differ in few bits."""
    sharpness: float
    """Variance of the Laplacian of luma (0-255 scale) at preview size; low is blurred."""
    brightness: float
    """Mean luma, 0 to 1."""
    contrast: float
    """Standard deviation of luma, 0 to 0.5."""
    clipped_dark: float
    """Share of pixels with luma <= 4 of 255."""
    clipped_light: float
    """Share of pixels with luma >= 251 of 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCredentials:
    """C2PA manifests of a file. Their signatures are not checked."""

    manifests: int
    """Number of manifests in the file; 0 if they cannot be read."""
    active: str | None
    """Label of the manifest of this file; the other manifests describe its sources."""
    generator: str | None
    """The program that made the active manifest, by its own name."""
    renditions: str
    """Always ``void``: a signature covers the bytes of the original, so no rendition carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """All metadata of an accepted picture."""

    sha256: str
    """SHA-256 of the uploaded bytes, 64 hex digits."""
    icc: str | None
    tags: Tags
    measures: Measures
    credentials: ContentCredentials | None = None


# --- what should be made of it ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits checked before decoding. All inclusive."""

    bytes: int = 50_000_000
    pixels: int = 100_000_000
    """Pixels of one frame."""
    dimension: int = 30_000
    """Longer side of one frame, pixels."""
    frames: int = 500
    """Frames of an animation, pages of a document."""
    animation_pixels: int = 200_000_000
    """Pixels of all frames of an animation together, which must be in memory to resize it."""
    duration: float = 120.0
    """Seconds of one run of an animation."""


class Fit(StrEnum):
    """How a picture is fitted into the box width x height of a rendition."""

    INSIDE = "inside"
    """Whole picture, as large as fits; one side may be left out."""
    COVER = "cover"
    """Fills the box; the rest is cropped by the gravity."""
    CONTAIN = "contain"
    """Whole picture on a background with exactly the size of the box."""
    EXACT = "exact"
    """Exactly the size of the box; the aspect ratio may change."""


class Gravity(StrEnum):
    """The part that a ``cover`` crop keeps."""

    CENTRE = "centre"
    NORTH = "north"
    NORTH_EAST = "north-east"
    EAST = "east"
    SOUTH_EAST = "south-east"
    SOUTH = "south"
    SOUTH_WEST = "south-west"
    WEST = "west"
    NORTH_WEST = "north-west"
    ATTENTION = "attention"
    """The most salient part (libvips smartcrop: edges, skin tones, saturation)."""
    FOCAL = "focal"
    """Around ``focal_point``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTarget:
    """A similarity to reach instead of a fixed quality. Exactly one of ``ssim`` and ``ssimulacra2``
    is set."""

    ssim: float | None = None
    """Least luma SSIM against the rendition's own pixels before encoding, 0.5 to 0.999."""
    ssimulacra2: float | None = None
    """SSIMULACRA2 score against the same pixels, to be met within 1.5 points, 30 to 95."""
    minimum: int = 40
    maximum: int = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One file format of a rendition and how to write it."""

    format: Format
    quality: int = 80
    """1 to 100; ignored by lossless output."""
    effort: int = 2
    """Encoder effort of WebP (0-6), AVIF (0-9), JPEG XL (1-10), PNG (1-9 zlib level); JPEG has
    none."""
    progressive: bool = True
    """JPEG and JPEG XL (progressive) and PNG (interlaced) only."""
    lossless: bool = False
    """WebP, AVIF and JPEG XL."""
    target: QualityTarget | None = None
    distance: float | None = None
    """JPEG XL: Butteraugli distance instead of a quality; 1 is about quality 90, 1.9 about 80."""
    repack: bool = False
    """JPEG XL: recompress the JPEG of the same rendition without loss."""
    first_view: bool = False
    """Delivery makes the file at its first view, instead of ingest at upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """A picture or a line of text on a rendition. Exactly one of the two is set."""

    image: str | None = None
    """Path of a picture, relative to the recipe file."""
    text: str | None = None
    position: Gravity = Gravity.SOUTH_EAST
    """Any compass point or the centre."""
    opacity: float = 0.5
    """0 (invisible) to 1."""
    scale: float = 0.2
    """Width of the mark as a share of the rendition's width, 0.01 to 1."""
    margin: float = 0.02
    """Distance from the edges as a share of the rendition's shorter side, 0 to 0.5."""
    colour: str = "#ffffff"
    """Colour of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionSpec:
    """One size of a recipe, written in one or more formats."""

    name: str
    """Lower-case letters, digits, ``-`` and ``_``; the stem of the file name."""
    encodings: tuple[Encoding, ...]
    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.INSIDE
    gravity: Gravity = Gravity.CENTRE
    focal_point: tuple[float, float] | None = None
    """Fractions of upright width and height, from (0, 0) at the top left to (1, 1)."""
    enlarge: bool = False
    background: str = "#ffffff"
    """Background of transparent pictures in formats without alpha, and of ``contain``."""
    sharpen: float = 0.0
    """Strength of the unsharp mask after resizing, 0 (off) to 5."""
    watermark: Watermark | None = None
    frames: int | None = None
    """Most frames that are kept of an animation; 1 makes it a still; None keeps all."""
    minimum_saving: float = 0.0
    """A format after the first is dropped unless it is at least this share smaller than the
    smallest one kept before it: 0.05 asks for 5 %. Negative values keep all."""


class Gamut(StrEnum):
    """Colour space of renditions."""

    SRGB = "srgb"
    P3 = "p3"
    """Pictures in a wider gamut are converted to Display P3 with its profile; others to sRGB."""


class KeepTag(StrEnum):
    """Metadata that a rendition may carry. GPS and gain map are opt-in."""

    COPYRIGHT = "copyright"
    ARTIST = "artist"
    CAPTION = "caption"
    TAKEN_AT = "taken_at"
    CAMERA = "camera"
    GPS = "gps"
    GAINMAP = "gainmap"
    """The gain map of a JPEG, kept in JPEG renditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named, versioned set of limits and renditions."""

    name: str
    version: int
    renditions: tuple[RenditionSpec, ...]
    description: str = ""
    limits: Limits = field(default_factory=Limits)
    formats: frozenset[Format] = frozenset(Format) - {Format.SVG}
    """Accepted input formats. SVG is opt-in."""
    gamut: Gamut = Gamut.SRGB
    linear: bool = False
    """Resize in linear light: right for fine bright detail, about five times the cost."""
    keep: frozenset[KeepTag] = frozenset({KeepTag.COPYRIGHT, KeepTag.ARTIST})
    workflow: str = NO_WORKFLOW
    """Name of the workflow of uploads: see ``domain.workflow``."""
    workflow_file: str = field(default="", compare=False)
    """Path of a custom workflow file, as written in the recipe."""
    definition: Workflow | None = field(default=None, compare=False, repr=False)
    """The parsed workflow."""
    labels: LabelRules | None = None
    """Rules for labels of a picture; None if no model is asked."""
    moderation: ModerationRules | None = None
    """None if nothing is moderated."""
    digest: str = ""
    """SHA-256 of the recipe's content without comments and order of keys, 64 hex digits."""
    assets: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    """Contents of the files that the recipe names, by path: watermark pictures, and the workflow
    file."""

    @property
    def approval(self) -> bool:
        """Whether the files of this recipe are closed until its workflow publishes them."""
        return self.definition.closes if self.definition else self.workflow == APPROVE

    @property
    def each_workflow(self) -> str:
        """The workflow of each upload, which starts once its files are made; empty for none."""
        always = self.definition.starts is Starts.ALWAYS if self.definition else self.approval
        return self.workflow if always else ""

    @property
    def heavy_workflow(self) -> str:
        """The workflow of uploads that are too much for the ingest function."""
        own = self.definition is not None and self.definition.starts is Starts.HEAVY
        return self.workflow if own else VIDEO

    @property
    def formats_made(self) -> frozenset[Format]:
        """Formats of the recipe's renditions."""
        return frozenset(one.format for spec in self.renditions for one in spec.encodings)


# --- what was made ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRendition:
    """A rendition that is stored in a bucket or a folder."""

    name: str
    format: Format
    width: int
    height: int
    frames: int
    """Frames in the file, which may be fewer because encoders merge equal neighbours."""
    bytes: int
    key: str
    """Key of the object; in a folder the path relative to its manifest, with ``/``."""
    sha256: str
    quality: int | None = None
    """The quality it was encoded at (found by the search if the recipe has a target)."""
    ssim: float | None = None
    """Measured only where the recipe has a target of SSIM."""
    ssimulacra2: float | None = None
    """Measured only where the recipe has a target of SSIMULACRA2."""
    missed: bool = False
    """Whether the score is more than 1.5 points below the target, because the range of qualities,
    the format or the single correction cannot reach it."""
    duration_ms: int | None = None
    """Duration of one run of the written animation; None for stills."""
    same_as: str | None = None
    """Name of an earlier rendition with an equal file: several sizes of a small original are
    equal."""
    gain_map: bool = False
    """Whether the file contains a gain map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstViewRendition:
    """A rendition that is made at its first view. Only the bucket shows whether it exists yet."""

    name: str
    format: Format
    width: int
    height: int
    frames: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A rendition in memory. Its fields have the meaning of those of :class:`StoredRendition`."""

    name: str
    format: Format
    width: int
    height: int
    frames: int
    data: bytes = field(repr=False)
    sha256: str
    quality: int | None
    ssim: float | None = None
    ssimulacra2: float | None = None
    missed: bool = False
    duration_ms: int | None = None
    same_as: str | None = None
    gain_map: bool = False

    def stored_as(self, key: str) -> StoredRendition:
        """The stored rendition, once it is stored under ``key``."""
        return StoredRendition(
            name=self.name,
            format=self.format,
            width=self.width,
            height=self.height,
            frames=self.frames,
            bytes=len(self.data),
            key=key,
            sha256=self.sha256,
            quality=self.quality,
            ssim=self.ssim,
            ssimulacra2=self.ssimulacra2,
            missed=self.missed,
            duration_ms=self.duration_ms,
            same_as=self.same_as,
            gain_map=self.gain_map,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A format that was made and dropped, by the minimum-saving rule."""

    name: str
    format: Format
    bytes: int
    kept: Format
    """The format that was kept instead."""
    kept_bytes: int
