"""What ingest leaves behind: keys and stored renditions. Pure functions of a record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from worker.domain import trace
from worker.domain.asset import AssetRecord
from worker.domain.image import Rendition, StoredRendition


def delivery_key(record: AssetRecord, name: str, extension: str) -> str:
    """Where a rendition lies. Two hex digits in front spread keys over partitions."""
    return f"{version_prefix(record)}{name}.{extension}"


def version_prefix(record: AssetRecord) -> str:
    """What the keys of everything made of one upload begin with."""
    return prefix_of(record.asset, record.version)


def prefix_of(asset: str, version: str) -> str:
    """The same, by its parts."""
    return f"{asset_prefix(asset)}{version}/"


def jobs_prefix(record: AssetRecord) -> str:
    """The prefix of results of jobs that a user starts for an existing asset."""
    return f"{version_prefix(record)}jobs/"


def blurred_key(record: AssetRecord) -> str:
    """Where the blurred picture of a version lies. No rendition's name begins so."""
    return f"{version_prefix(record)}{BLURRED}"


BLURRED = "_blurred.jpg"


def asset_prefix(asset: str) -> str:
    """What the keys of everything made of an asset begin with, whatever the version."""
    spread = hashlib.sha256(asset.encode()).hexdigest()[:2]
    return f"{spread}/{asset}/"


def upload_key(asset: str, name: str) -> str:
    """Where the original of an asset lies that was asked for: see ``asset_id_of``."""
    return f"{asset_prefix(asset)[:2]}/uploads/{asset}/{name}"


def quarantine_key(record: AssetRecord) -> str:
    """Where a rejected original lies."""
    return f"{version_prefix(record)}original"


def recipe_key(digest: str) -> str:
    """Where a recipe lies in the delivery bucket, so that an old version can be made again."""
    return f"recipes/{digest}.json"


IMMUTABLE = "public, max-age=31536000, immutable"
"""A rendition never changes under its key: the key names upload and recipe."""
CACHE_TAG = "cache-tag"
"""S3 metadata that becomes CloudFront's cache tag: one invalidation removes all files of a tag.
Every write must set it, also the first one: an invalidation by tag cannot reach a file that was
cached without it."""
TAG_HEADER = f"x-amz-meta-{CACHE_TAG}"
"""The response header with the tag, from S3 and from the delivery function."""
TRACE_HEADER = f"x-amz-meta-{trace.NAME}"
"""The response header of S3 with the trace of the upload. No viewer gets it."""
_OF_ASSET = re.compile(r"[0-9a-f]{2}/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")


def cache_tag(asset: str) -> str:
    """The tag of everything that was made of an asset."""
    return f"a:{asset}"


def asset_of(key: str) -> str | None:
    """The asset that an object in the delivery bucket or in quarantine was made of."""
    found = _OF_ASSET.match(key)
    return None if found is None else found[1]


def cache_metadata(key: str, traceparent: str = "") -> Mapping[str, str]:
    """The metadata of an object in the delivery bucket: the cache tag of its asset, and the trace
    of the upload that it was made of, so that its first delivery joins it.

    Empty for an object without an asset, such as a recipe.
    """
    asset = asset_of(key)
    if asset is None:
        return {}
    return {CACHE_TAG: cache_tag(asset)} | ({trace.NAME: traceparent} if traceparent else {})


def stored(record: AssetRecord, rendition: Rendition) -> StoredRendition:
    """Where and what a rendition will be once it is stored. The catalog does not keep how it was
    encoded, except for a target of SSIMULACRA2: a record is paid by the kilobyte."""
    key = delivery_key(record, rendition.name, rendition.format.extension)
    made = replace(rendition.stored_as(key), ssim=None)
    return made if made.ssimulacra2 is not None else replace(made, quality=None)
