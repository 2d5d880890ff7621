"""Domain types: what a file is, what is known of it, what to make of it and what was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.colour import Colour
from worker.domain.label import LabelRules
from worker.domain.moderation import ModerationRules
from worker.domain.workflow import APPROVE, NO_WORKFLOW, VIDEO, Starts, Workflow


class Format(StrEnum):
    """A file format, as found from content. Every value is accepted as input in principle."""

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
    """What is made of a video besides pictures. Not a :class:`Format`: none is decoded here."""

    MP4 = "mp4"
    """One file that plays while it is fetched (``faststart``)."""
    HLS = "hls"
    """A master playlist; its variants and segments lie beside and below it."""
    DASH = "dash"
    """A manifest (MPD) of the same segments."""
    VTT = "vtt"
    """WebVTT: what of a sprite sheet belongs to which moment, or subtitles."""

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
"""What renditions may be written as."""

ALPHA_FORMATS = frozenset({Format.WEBP, Format.AVIF, Format.PNG, Format.GIF, Format.JXL})
ANIMATED_FORMATS = frozenset({Format.WEBP, Format.GIF, Format.JXL})
"""Output formats that keep an animation moving; the others get its first frame as a poster."""


class ColourSpace(StrEnum):
    """How the stored pixels are to be read, before any conversion."""

    RGB = "rgb"
    GREY = "grey"
    CMYK = "cmyk"
    LAB = "lab"


class GainMapKind(StrEnum):
    """Which metadata say what the values of a gain map mean."""

    ISO = "iso-21496-1"
    """ISO 21496-1; files of phones and of Adobe have the other one beside it."""
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
    """Stops (log2) above white that the brightest screen needs that it was made for."""
    width: int | None = None
    """Stored pixels across, before orientation, which is that of the picture."""
    height: int | None = None
    channels: int = 1
    """1, or 3: red, green and blue have gains of their own."""
    carriable: bool = False
    """Renditions can have it, if the recipe keeps it: it is the one of a JPEG, with metadata that
    a standard defines, and makes its picture brighter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the header of a file says. Made without decoding a pixel."""

    format: Format
    bytes: int
    width: int
    """Stored pixels across, before orientation is applied."""
    height: int
    """Stored pixels down, of one frame, before orientation is applied."""
    frames: int = 1
    """Frames of an animation or pages of a document."""
    animated: bool = False
    """Frames follow each other in time (GIF, animated WebP and JPEG XL); pages of a TIFF do not."""
    duration_ms: int | None = None
    """Of one run of the animation, in milliseconds, as players show it: a frame of at most 10 ms
    counts as 100; None for stills."""
    loop: int | None = None
    """Times the animation repeats, 0 for ever; None for stills."""
    orientation: int = 1
    """EXIF orientation, 1 to 8 (CIPA DC-008, tag 0x0112)."""
    colour_space: ColourSpace = ColourSpace.RGB
    bit_depth: int = 8
    """Bits a channel."""
    alpha: bool = False
    icc: str | None = None
    """Name of the embedded colour profile (its description tag), None without a profile."""
    colour: Colour = field(default_factory=Colour)
    """What the stored values mean, and what says so."""
    progressive: bool = False
    """Progressive JPEG or interlaced PNG or GIF: cannot be decoded as a stream of lines."""
    gain_map: GainMap | None = None
    warnings: tuple[str, ...] = ()
    """Codes of what is wrong with an accepted file and costs nothing of it (docs/errors.md)."""

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
    """What the file itself says: EXIF, IPTC and XMP, cleaned. None where it says nothing."""

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
    """What the pixels say, measured on a preview of at most 512 pixels on its longer side."""

    dominant: str
    """The colour that covers most, ``#rrggbb`` in sRGB."""
    palette: tuple[str, ...]
    """Up to six colours, most covered first."""
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
    """What a file says of its origin in C2PA manifests. Their signatures are not checked."""

    manifests: int
    """How many are in the file; 0 if they cannot be read."""
    active: str | None
    """Label of the manifest that speaks of this file; the others are of what it was made from."""
    generator: str | None
    """The program that made the active manifest, as it calls itself."""
    renditions: str
    """Always ``void``: a signature is of the bytes of the original, and no rendition carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Everything known about an accepted picture."""

    sha256: str
    """Of the uploaded bytes, 64 hex digits."""
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
    """Pixels of all frames of an animation together: what must be held to resize it."""
    duration: float = 120.0
    """Seconds of one run of an animation."""


class Fit(StrEnum):
    """How a picture meets the box width x height of a rendition."""

    INSIDE = "inside"
    """Whole picture, as large as fits; one side may be left out."""
    COVER = "cover"
    """Fills the box, cut at the gravity."""
    CONTAIN = "contain"
    """Whole picture on a background of exactly the box."""
    EXACT = "exact"
    """Exactly the box, aspect ratio given up."""


class Gravity(StrEnum):
    """Which part a ``cover`` keeps."""

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
    """The part that draws the eye (libvips smartcrop: edges, skin tones, saturation)."""
    FOCAL = "focal"
    """Around ``focal_point``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTarget:
    """Ask for a look instead of a number. Exactly one of ``ssim`` and ``ssimulacra2`` is set."""

    ssim: float | None = None
    """Least luma SSIM against the rendition's own pixels before encoding, 0.5 to 0.999."""
    ssimulacra2: float | None = None
    """SSIMULACRA2 against the same, to be met within 1.5 points, 30 to 95."""
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
    """JPEG XL: Butteraugli distance in place of a quality; 1 is about 90, 1.9 about 80."""
    repack: bool = False
    """JPEG XL: the JPEG of the same rendition, packed without loss."""
    first_view: bool = False
    """Delivery makes it when the first viewer asks for it, and not ingest at upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """A picture or a line of text laid over a rendition. Exactly one of the two is set."""

    image: str | None = None
    """Path of a picture, relative to the recipe file."""
    text: str | None = None
    position: Gravity = Gravity.SOUTH_EAST
    """Any compass point or the centre."""
    opacity: float = 0.5
    """0 (not there) to 1."""
    scale: float = 0.2
    """Width of the mark as a share of the rendition's width, 0.01 to 1."""
    margin: float = 0.02
    """Distance from the edges as a share of the rendition's shorter side, 0 to 0.5."""
    colour: str = "#ffffff"
    """Of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionSpec:
    """One size of a recipe, written in one or more formats."""

    name: str
    """Lower-case letters, digits, ``-`` and ``_``; the file's stem."""
    encodings: tuple[Encoding, ...]
    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.INSIDE
    gravity: Gravity = Gravity.CENTRE
    focal_point: tuple[float, float] | None = None
    """Shares of upright width and height, (0, 0) top left to (1, 1)."""
    enlarge: bool = False
    background: str = "#ffffff"
    """Under transparency where the format has no alpha, and around a ``contain``."""
    sharpen: float = 0.0
    """Strength of the unsharp mask after resizing, 0 (off) to 5."""
    watermark: Watermark | None = None
    frames: int | None = None
    """Most frames kept of an animation; 1 makes it a still; None keeps all."""
    minimum_saving: float = 0.0
    """A format after the first is dropped unless it is at least this share smaller than the
    smallest one kept before it: 0.05 asks for 5 %. Negative values keep all."""


class Gamut(StrEnum):
    """Which colour space renditions are in."""

    SRGB = "srgb"
    P3 = "p3"
    """Pictures in a wider gamut are converted to Display P3 with its profile; others to sRGB."""


class KeepTag(StrEnum):
    """Metadata a rendition may carry. GPS and gain map must be asked for."""

    COPYRIGHT = "copyright"
    ARTIST = "artist"
    CAPTION = "caption"
    TAKEN_AT = "taken_at"
    CAMERA = "camera"
    GPS = "gps"
    GAINMAP = "gainmap"
    """The gain map of a JPEG, in renditions that are JPEG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named, versioned set of limits and renditions."""

    name: str
    version: int
    renditions: tuple[RenditionSpec, ...]
    description: str = ""
    limits: Limits = field(default_factory=Limits)
    formats: frozenset[Format] = frozenset(Format) - {Format.SVG}
    """Accepted input formats. SVG must be asked for."""
    gamut: Gamut = Gamut.SRGB
    linear: bool = False
    """Resize in linear light: right for fine bright detail, about five times the cost."""
    keep: frozenset[KeepTag] = frozenset({KeepTag.COPYRIGHT, KeepTag.ARTIST})
    workflow: str = NO_WORKFLOW
    """What uploads go through beyond the ordinary way, by its name: see ``domain.workflow``."""
    workflow_file: str = field(default="", compare=False)
    """Path of the file of a workflow of one's own, as the recipe has it."""
    definition: Workflow | None = field(default=None, compare=False, repr=False)
    """What that workflow is."""
    labels: LabelRules | None = None
    """What becomes of what a model sees in a picture; None: no model is asked."""
    moderation: ModerationRules | None = None
    """None: nothing is moderated."""
    digest: str = ""
    """SHA-256 of the recipe's meaning (not its comments or order of keys), 64 hex digits."""
    assets: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    """Contents of the files that it names, by the path that names them: watermark pictures, and the
    file of a workflow."""

    @property
    def approval(self) -> bool:
        """Whether what this recipe makes is closed until its workflow publishes it."""
        return self.definition.closes if self.definition else self.workflow == APPROVE

    @property
    def each_workflow(self) -> str:
        """The workflow that each upload goes through once its files are made; empty for none."""
        always = self.definition.starts is Starts.ALWAYS if self.definition else self.approval
        return self.workflow if always else ""

    @property
    def heavy_workflow(self) -> str:
        """The workflow of uploads that are too much for the ingest function."""
        own = self.definition is not None and self.definition.starts is Starts.HEAVY
        return self.workflow if own else VIDEO

    @property
    def formats_made(self) -> frozenset[Format]:
        """Formats of its renditions."""
        return frozenset(one.format for spec in self.renditions for one in spec.encodings)


# --- what was made ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRendition:
    """A rendition that lies in a bucket or a folder."""

    name: str
    format: Format
    width: int
    height: int
    frames: int
    """In the file: encoders join equal neighbours."""
    bytes: int
    key: str
    """Of the object; in a folder the path relative to its manifest, with ``/``."""
    sha256: str
    quality: int | None = None
    """The quality it was encoded at (found by the search if the recipe has a target)."""
    ssim: float | None = None
    """Measured only where the recipe has a target of SSIM."""
    ssimulacra2: float | None = None
    """Measured only where the recipe has a target of SSIMULACRA2."""
    missed: bool = False
    """More than 1.5 points below that target: its range of qualities, the format or the one
    correction does not reach it."""
    duration_ms: int | None = None
    """Of one run of the animation as it was written; None for stills."""
    same_as: str | None = None
    """Name of an earlier rendition whose file is equal: of a small original, sizes are the same."""
    gain_map: bool = False
    """There is a gain map in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstViewRendition:
    """A rendition that is made at its first view. Whether it was, only the bucket knows."""

    name: str
    format: Format
    width: int
    height: int
    frames: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A rendition in memory. Its fields mean what those of :class:`StoredRendition` mean."""

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
        """What it is once it is stored under ``key``."""
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
    """A format that was made and not kept, by the minimum-saving rule."""

    name: str
    format: Format
    bytes: int
    kept: Format
    """The format that was not beaten."""
    kept_bytes: int
