"""Tickets for uploads through the distribution: an edge function checks what is signed here.

The function is pulumi/functions/upload_ticket.js and compares the same lines. CloudFront then signs
the request for the bucket (origin access control). It cannot forward a request that was signed for
S3, because that signature is for another host.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import time
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeTickets:
    """Signs PUT requests to a distribution."""

    url: str
    """URL of the distribution: ``https://media.example.com``."""
    key: str = field(repr=False)
    """The key; the edge function has the same one."""
    now: Callable[[], float] = time

    def sign(
        self,
        key: str,
        *,
        size: int,
        seconds: int,
        headers: Mapping[str, str],
        upload: str = "",
        part: int = 0,
    ) -> str:
        """The signed URL for one request.

        Args:
            key: of the object.
            size: bytes of the body.
            seconds: until it expires.
            headers: lower-case names; only ``content-type``, ``if-none-match`` and all ``x-amz-*``
                that will be sent. The type of a part is not checked.
            upload, part: S3's id of an upload in parts, and the number of the part.
        """
        path = "/" + quote(key, safe="/~")
        expires = str(int(self.now()) + seconds)
        number = str(part) if upload else ""
        named = [f"{name}:{headers[name]}" for name in sorted(headers)]
        lines = "\n".join(["PUT", path, expires, upload, number, str(size), *named])
        ticket = hmac.new(self.key.encode(), lines.encode(), hashlib.sha256).hexdigest()
        parts = {"uploadId": upload, "partNumber": number} if upload else {}
        query = urlencode({**parts, "expires": expires, "ticket": ticket}, quote_via=quote)
        return f"{self.url.rstrip('/')}{path}?{query}"
