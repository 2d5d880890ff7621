"""The body of a record: everything that is neither a key nor asked for by a condition, packed.

What lives here: compressed JSON and back. A write costs a unit a kilobyte, and JSON of a record
has nearly three; deflate with a dictionary of the words that every record has makes it a third.

The first byte says how the rest is packed, so that what is stored stays readable for ever: a
change of the dictionary, even of one letter, must get a new number and keep the old one.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from worker.domain.errors import EngineError

_DEFLATED_1 = b"\x01"
_RAW = -15
"""zlib's wbits for a deflate stream (RFC 1951) without header and checksum."""
_LARGEST = 4_000_000
"""Bytes of JSON; an item has at most 400 kB."""

# What is nearest to the end costs the fewest bits. Camera makers come first: few pictures say one.
_WORDS_1 = (
    b'NIKON CORPORATIONOLYMPUSPanasonicFUJIFILMHUAWEIXiaomiOnePlusGoogleGoogle Pixelsamsung"'
    b"SM-GSonyILCECanonCanon EOS EF RF mm f/ IS USMAppleiPhone 1 Pro Max back triple camera f/1."
    b"Adobe Photoshop Lightroom Classic Macintosh Windows(c) Copyright "
    b"Adobe RGB (1998)Display P3sRGB IEC61966-2.1https://http://"
    b'"verdict":{"code":"message":"unknown_format"too_many_pixels"truncated"corrupt"'
    b'"dropped":[{"name":"","kept":"jpeg","kept_bytes":"copied_from":"'
    b'"frames":"animated":true,"duration_ms":"loop":0,"alpha":true,"progressive":true'
    b'"colour_space":"grey","bit_depth":16,"format":"png","gif","avif","heic","tiff"'
    b'{"time":"2026-","kind":"rejected","heavy","review","detail":{"version":"","code":""},"id":""}]'
    b'[{"source":{"bucket":"safelight-intake-","key":"/uploads//IMG_.jpg","etag":"","sequencer":"00'
    b'","size":,"version_id":"","time":"2026-20.000Z"},"recipe":"default","recipe_digest":"",'
    b'"version":"","probe":{"format":"jpeg","bytes":,"width":4032,"height":3024,'
    b'"orientation":6,"icc":"sRGB IEC61966-2.1"},"metadata":{"sha256":"","icc":"sRGB IEC61966-2.1"'
    b',"tags":{"camera_make":"","camera_model":"","lens":"","software":"","taken_at":"2026-0T:00",'
    b'"exposure_seconds":0.0,"f_number":1.,"iso":100,"focal_length_mm":,"focal_length_35mm":,'
    b'"flash":false,"gps":{"latitude":,"longitude":,"altitude":},"title":"","caption":"",'
    b'"keywords":["","],"artist":"","copyright":""},"measures":{"dominant":"#","palette":["#","#"'
    b'],"thumbhash":"","phash":"","sharpness":,"brightness":0.,"contrast":0.,'
    b'"clipped_dark":0.0,"clipped_light":0.0}},"renditions":['
    b'{"name":"s64","s128","s256","s512","tile","detail","zoom","master","working","preview",'
    b'"width":2048,"height":1536,2048,1365,"/medium.webp","sha256":"'
    b'{"name":"thumbnail","format":"jpeg","width":256,"height":256,"frames":1,"bytes":1,"key":"'
    b'/thumbnail.jpg","sha256":""},{"name":"thumbnail","format":"webp","width":256,"height":256,'
    b'"frames":1,"bytes":,"key":"/thumbnail.webp","sha256":""},{"name":"medium","format":"jpeg",'
    b'"width":1024,"height":768,"frames":1,"bytes":,"key":"/medium.jpg","sha256":""},'
    b'{"name":"large","format":"webp","width":2048,"height":1536,"frames":1,"bytes":1,"key":"'
    b'/large.webp","sha256":"'
)


def pack(value: Any) -> bytes:
    """Pack what JSON can say."""
    # Texts come from uploads: a lone surrogate must not make a record impossible.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    compressor = zlib.compressobj(9, zlib.DEFLATED, _RAW, 9, zdict=_WORDS_1)
    deflated = compressor.compress(text.encode("utf-8", "surrogatepass")) + compressor.flush()
    return _DEFLATED_1 + deflated


def unpack(packed: bytes) -> Any:
    """Read what :func:`pack` made.

    Raises:
        EngineError: it is damaged, or of a newer version of this code.
    """
    if packed[:1] != _DEFLATED_1:
        raise EngineError(f"the body of a record is packed in an unknown way: {packed[:1]!r}")
    try:
        inflater = zlib.decompressobj(_RAW, zdict=_WORDS_1)
        text = inflater.decompress(packed[1:], _LARGEST)
        if not inflater.eof:
            raise ValueError("it does not end")
        return json.loads(text.decode("utf-8", "surrogatepass"))
    except (zlib.error, ValueError) as error:
        raise EngineError(f"the body of a record is damaged: {error}") from error
