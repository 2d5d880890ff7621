"""The web console: a static page without a build step, and the headers it is served with.

The local stack serves it beside the API, CloudFront from a bucket. It loads nothing from anywhere
else: the policy names the API, who signs people in, the buckets that uploads go to, and where
renditions are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from mimetypes import guess_type
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
"""The static files."""
PAGE = "index.html"
CONFIGURATION = "config.json"
"""The one file that differs from stack to stack: it names the API and the OpenID provider."""
NEW_EACH_TIME = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Media types that are not the same, or missing, on some systems."""
_DIGEST = 12
"""Characters of the digest that versions are told apart by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleFile:
    """A file of the console, as it is deployed."""

    content: Path | None
    """A file of :data:`FOLDER`; None of the page, see :func:`versioned_page`."""
    media_type: str
    cache_control: str


def media_type(path: Path) -> str:
    """The type that a file of the console is served with."""
    return _TYPES.get(path.suffix) or guess_type(path.name)[0] or "text/plain"


def files() -> Mapping[str, Path]:
    """Every file, by its path below the folder."""
    return {
        path.relative_to(FOLDER).as_posix(): path
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file()
    }


def version() -> str:
    """Another text for other files."""
    found = hashlib.sha256()
    for name, path in files().items():
        found.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:_DIGEST]


def deployed() -> Mapping[str, ConsoleFile]:
    """The bucket's files, by key below the console's path; the caller adds ``config.json``.

    The path of a file contains the version, and browsers cache it for a year. They request the
    page each time, and it names the version. So a page never mixes scripts of two versions.
    """
    below = version()
    found = {
        f"{below}/{name}": ConsoleFile(
            content=path, media_type=media_type(path), cache_control=FOR_EVER
        )
        for name, path in files().items()
        if name != PAGE
    }
    whole = ConsoleFile(
        content=None, media_type="text/html; charset=utf-8", cache_control=NEW_EACH_TIME
    )
    # An object store has no folders: the URL that ends in / is a separate key.
    return {**found, "": whole, PAGE: whole}


def versioned_page(policy: str) -> str:
    """The page with its files' versioned paths, and with a policy in it.

    Args:
        policy: Content-Security-Policy; browsers apply it together with that of the headers.
    """
    page = (FOLDER / PAGE).read_text("utf-8")
    below = version()
    for name in files():
        page = page.replace(f'="{name}"', f'="{below}/{name}"')
    first = '<meta charset="utf-8">'
    meta = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
    return page.replace(first, f"{first}\n{meta}")


def policy(
    *,
    api: str = "",
    stores: Iterable[str] = (),
    media: str = "",
    closed: Iterable[str] = (),
    sign_in: Iterable[str] = (),
) -> Mapping[str, str]:
    """The Content-Security-Policy of the page, by directive.

    Args:
        api: origin of the API, if it is another one than the console's.
        stores: origins that files are uploaded to.
        media: origin that renditions are read from, if it is another one.
        closed: origins of the signed addresses with which reviewers see closed files.
        sign_in: origins of the provider that signs people in.
    """
    given = list(stores)
    connect = " ".join(["'self'", *filter(None, [api, media]), *given, *sign_in])
    shown = " ".join(["'self'", "blob:", *filter(None, [media]), *given, *closed])
    return {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": connect,
        # data: placeholders that the page draws; blob: files that are being uploaded.
        "img-src": f"{shown} data:",
        # blob: is how hls.js hands segments to the player.
        "media-src": shown,
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }


def in_page(directives: Mapping[str, str]) -> str:
    """A policy for a page's ``meta`` element, which cannot contain ``frame-ancestors``."""
    return written({name: said for name, said in directives.items() if name != "frame-ancestors"})


def written(directives: Mapping[str, str]) -> str:
    """A policy as the value of its header."""
    return "; ".join(f"{name} {value}" for name, value in directives.items())


OTHER_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
}
"""Headers of every response of the console, without the policy."""


def headers(
    *, api: str = "", stores: Iterable[str] = (), media: str = "", sign_in: Iterable[str] = ()
) -> Mapping[str, str]:
    """The headers of every response of the console; for the arguments see :func:`policy`."""
    directives = policy(api=api, stores=stores, media=media, sign_in=sign_in)
    return {"Content-Security-Policy": written(directives), **OTHER_HEADERS}
