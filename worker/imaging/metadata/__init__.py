"""What is known about a picture: what its file says (tags) and what its pixels say (measures).

What lives here: reading of embedded EXIF, XMP and IPTC blocks, the EXIF that renditions carry,
and the measures of a small preview. What may not: decoding, resizing of originals, colour profiles,
network. Everything read is hostile; nothing here raises because of it.
"""

from __future__ import annotations

from worker.imaging.metadata.exif import written_exif
from worker.imaging.metadata.measure import measure
from worker.imaging.metadata.phash import hamming
from worker.imaging.metadata.tags import read_tags
from worker.imaging.metadata.thumbhash import to_rgba

__all__ = ["hamming", "measure", "read_tags", "to_rgba", "written_exif"]
