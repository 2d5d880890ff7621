"""The web console: a static page without a build step, and the headers it is served with.

The local stack serves it beside the API, CloudFront from a bucket. It loads nothing from anywhere
else: the policy names the API, the buckets that uploads go to, and where renditions are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
"""What is served, as it is."""
CONFIGURATION = "config.json"
"""The one file that differs from stack to stack: where the API is."""


def headers(*, api: str = "", stores: Iterable[str] = (), media: str = "") -> Mapping[str, str]:
    """The headers of every answer of the console.

    Args:
        api: origin of the API, if it is another one than the console's.
        stores: origins that files are uploaded to.
        media: origin that renditions are read from, if it is another one.
    """
    connect = " ".join(["'self'", *filter(None, [api, media]), *stores])
    shown = " ".join(["'self'", "blob:", *filter(None, [media]), *stores])
    policy = {
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
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "geolocation=(), microphone=()",
    }
