"""Endpoints that events are sent to, and what an endpoint may be. No requests here."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.domain.errors import ConfigurationError

NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,15}")
"""Of an endpoint. It is part of the names of its rule, of which AWS takes 64 characters, and of its
queue and secret."""
TYPE = re.compile(r"\*|[a-z]+\.(?:\*|[a-z]+)")
"""A type of events, all of a kind, or all."""
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
SECRET_BYTES = range(24, 65)
"""Length of a secret (Standard Webhooks 1.0.0, "Signature scheme")."""
SECRETS = 4
"""Most secrets of an endpoint at a time. Two are enough for a rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUrl:
    """An address of an endpoint, taken apart."""

    secure: bool
    """https."""
    host: str
    """A name in ASCII, or an IP address without brackets."""
    port: int
    target: str
    """Path and query, as a request names them."""

    @classmethod
    def parse(cls, text: str) -> WebhookUrl:
        """Take an address apart. Raises ``ValueError`` with words that follow "the URL"."""
        if not text.isascii() or not text.isprintable() or " " in text or len(text) > 2048:
            raise ValueError("must be at most 2048 printable ASCII characters, without blanks")
        parts = urlsplit(text)
        if parts.scheme not in ("https", "http"):
            raise ValueError("must begin with https://")
        if "@" in parts.netloc:
            raise ValueError("must have no user and no password")
        if parts.fragment or text.endswith("#"):
            raise ValueError("must have no fragment")
        host = parts.hostname or ""
        if not _HOST.fullmatch(host):
            raise ValueError("must have a host, a name in ASCII or an IP address")
        secure = parts.scheme == "https"
        try:
            port = parts.port or (443 if secure else 80)
        except ValueError:
            raise ValueError("must have a port from 1 to 65535") from None
        query = f"?{parts.query}" if parts.query else ""
        return cls(secure=secure, host=host, port=port, target=(parts.path or "/") + query)

    @property
    def authority(self) -> str:
        """The value of a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    """Where events of some types are sent to."""

    name: str
    url: str
    events: tuple[str, ...]
    """Types, ``asset.*`` for all that begin so, ``*`` for all. For people: a rule of the bus has
    chosen before an event comes to the queue."""
    queue: str
    """URL of the queue with the events for this endpoint only."""
    dead_letters: str
    """URL."""


def endpoints(text: str) -> tuple[WebhookEndpoint, ...]:
    """The endpoints of a setting: a JSON object with an endpoint under each name.

    Raises:
        ValueError: with words that follow "the setting".
    """
    try:
        value: Any = json.loads(text)
        return tuple(_endpoint(name, one) for name, one in value.items())
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("must be a JSON object of endpoints") from None


def check_name(name: str) -> None:
    """Raises ``ValueError`` unless an endpoint may have the name."""
    if not NAME.fullmatch(name):
        raise ValueError("must name endpoints by 1 to 16 small letters, digits and single hyphens")


def _endpoint(name: str, value: Mapping[str, Any]) -> WebhookEndpoint:
    texts = {key: value[key] for key in ("url", "queue", "dead_letters")}
    if not all(isinstance(one, str) for one in (*texts.values(), *value["events"])):
        raise TypeError("no text")
    check_name(name)
    try:
        WebhookUrl.parse(texts["url"])
    except ValueError as error:
        raise ValueError(f"must have usable URLs: that of {name} {error}") from None
    return WebhookEndpoint(name=name, **texts, events=tuple(value["events"]))


def secrets_in(text: str) -> tuple[bytes, ...]:
    """The secrets of an endpoint, the newest first.

    Args:
        text: ``whsec_`` and base64, several with blanks between them.

    Raises:
        ConfigurationError: it is none. The message does not repeat the text.
    """
    found = []
    for one in text.split():
        try:
            secret = base64.b64decode(one.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            secret = b""
        if not one.startswith(SECRET_PREFIX) or len(secret) not in SECRET_BYTES:
            said = "a secret must be whsec_ and 24 to 64 bytes in base64"
            raise ConfigurationError(said)
        found.append(secret)
    if not 1 <= len(found) <= SECRETS:
        raise ConfigurationError(f"an endpoint must have from 1 to {SECRETS} secrets")
    return tuple(found)
