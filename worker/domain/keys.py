"""Keys of the objects that the pipeline writes. Pure functions of a record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from worker.domain import trace
from worker.domain.asset import AssetRecord
from worker.domain.image import Rendition, StoredRendition


def delivery_key(record: AssetRecord, name: str, extension: str) -> str:
    """The key of a rendition. Two hex digits in front spread keys over partitions."""
    return f"{version_prefix(record)}{name}.{extension}"


def version_prefix(record: AssetRecord) -> str:
    """The prefix of all files made of one upload."""
    return prefix_of(record.asset, record.version)


def prefix_of(asset: str, version: str) -> str:
    """The same prefix, from its parts."""
    return f"{asset_prefix(asset)}{version}/"


def jobs_prefix(record: AssetRecord) -> str:
    """The prefix of the results of jobs that a user starts for an existing asset."""
    return f"{version_prefix(record)}jobs/"


def blurred_key(record: AssetRecord) -> str:
    """The key of a version's blurred picture. No name of a rendition has this prefix."""
    return f"{version_prefix(record)}{BLURRED}"


BLURRED = "_blurred.jpg"


def asset_prefix(asset: str) -> str:
    """The prefix of all files made of an asset, of all versions."""
    spread = hashlib.sha256(asset.encode()).hexdigest()[:2]
    return f"{spread}/{asset}/"


def upload_key(asset: str, name: str) -> str:
    """The key of the original of an announced upload: see ``asset_id_of``."""
    return f"{asset_prefix(asset)[:2]}/uploads/{asset}/{name}"


def quarantine_key(record: AssetRecord) -> str:
    """The key of a rejected original."""
    return f"{version_prefix(record)}original"


def recipe_key(digest: str) -> str:
    """The key of a recipe in the delivery bucket. It allows old versions to be made again."""
    return f"recipes/{digest}.json"


IMMUTABLE = "public, max-age=31536000, immutable"
"""A rendition never changes under its key, because the key contains upload and recipe."""
CACHE_TAG = "cache-tag"
"""S3 metadata that becomes CloudFront's cache tag: one invalidation removes all files of a tag.
Every write must set it, including the first: an invalidation by tag cannot reach a file that was
cached without it."""
TAG_HEADER = f"x-amz-meta-{CACHE_TAG}"
"""The response header with the tag, from S3 and from the delivery function."""
TRACE_HEADER = f"x-amz-meta-{trace.NAME}"
"""S3's response header with the trace of the upload. Viewers do not get it."""
_OF_ASSET = re.compile(r"[0-9a-f]{2}/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")


def cache_tag(asset: str) -> str:
    """The cache tag of all files of an asset."""
    return f"a:{asset}"


def asset_of(key: str) -> str | None:
    """The asset of an object in the delivery bucket or in quarantine."""
    found = _OF_ASSET.match(key)
    return None if found is None else found[1]


def cache_metadata(key: str, traceparent: str = "") -> Mapping[str, str]:
    """The metadata of an object in the delivery bucket: the cache tag of its asset, and the trace
    of its upload, so that its first delivery joins the trace. Empty for an object without an
    asset, such as a recipe.
    """
    asset = asset_of(key)
    if asset is None:
        return {}
    return {CACHE_TAG: cache_tag(asset)} | ({trace.NAME: traceparent} if traceparent else {})


def stored(record: AssetRecord, rendition: Rendition) -> StoredRendition:
    """The stored form of a rendition, with its key. It omits the encoding parameters, except for a
    target of SSIMULACRA2, because the catalog is billed by the kilobyte."""
    key = delivery_key(record, rendition.name, rendition.format.extension)
    made = replace(rendition.stored_as(key), ssim=None)
    return made if made.ssimulacra2 is not None else replace(made, quality=None)
