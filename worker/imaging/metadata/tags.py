"""One answer out of three sources: EXIF, XMP and IPTC say the same things in their own ways.

- **Words** (title, caption, keywords, artist, copyright): XMP, then IPTC, then EXIF. People write
  them in editors, and editors keep XMP up to date; it has neither IPTC's short fields nor EXIF's
  ASCII. Cameras fill EXIF with their owner's name or their own.
- **Facts of the shot** (camera, lens, software, exposure, date, position): EXIF, then XMP, then
  IPTC. The camera knew them; everything else is a copy, sometimes at lower precision.

Each field is taken whole from the first source that has it. Lists are not merged: IPTC's cut
keywords would stand beside the full ones.
"""

from __future__ import annotations

from dataclasses import fields

from worker.domain.image import Tags
from worker.imaging.metadata import exif as exif_block
from worker.imaging.metadata import iptc as iptc_block

_WORDS = frozenset({"title", "caption", "keywords", "artist", "copyright"})


def read_tags(exif: bytes | None, xmp: bytes | None, iptc: bytes | None) -> Tags:
    """Read what a file says about itself from its embedded blocks, as the file has them.

    Never raises, whatever the bytes: what cannot be used is None. Strings have at most 2,000
    characters and no control characters, and there are at most 100 keywords.
    """
    from_exif = exif_block.read(exif) if exif else Tags()
    from_xmp = Tags()
    if xmp:
        from worker.imaging.metadata import xmp as xmp_packet  # a parser of XML: not at every start

        from_xmp = xmp_packet.read(xmp)
    from_iptc = iptc_block.read(iptc) if iptc else Tags()
    words, facts = (from_xmp, from_iptc, from_exif), (from_exif, from_xmp, from_iptc)
    chosen: dict[str, object] = {}
    for field in fields(Tags):
        sources = words if field.name in _WORDS else facts
        values = (getattr(source, field.name) for source in sources)
        chosen[field.name] = next((value for value in values if value not in (None, ())), None)
    chosen["keywords"] = chosen["keywords"] or ()
    return Tags(**chosen)  # type: ignore[arg-type]  # names and values are those of Tags itself
