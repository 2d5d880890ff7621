"""Metadata of a picture: from its file (tags) and from its pixels (measures).

It reads embedded EXIF, XMP and IPTC blocks and C2PA manifests, writes the EXIF that renditions
carry, and measures a small preview. Every block may be hostile; none makes anything here raise.
"""

from __future__ import annotations

from worker.imaging.metadata.credentials import read_credentials
from worker.imaging.metadata.exif import written_exif
from worker.imaging.metadata.measures import hamming, measure
from worker.imaging.metadata.tags import read_tags
from worker.imaging.metadata.thumbhash import to_rgba

__all__ = ["hamming", "measure", "read_credentials", "read_tags", "to_rgba", "written_exif"]
