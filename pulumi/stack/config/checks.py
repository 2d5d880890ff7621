"""Checks of configuration values: each returns the value in its type or describes the mistake.

A check raises ``ValueError`` with words that follow the value's key: "must be a whole number".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from batch.catalogue import KINDS
from worker.domain import events, webhook
from worker.recipes.workflow import lint


def whole(lowest: int, highest: int) -> Callable[[object], int]:
    """A whole number from ``lowest`` to ``highest``."""

    def check(value: object) -> int:
        # Numbers arrive as floats from the engine and as text from `pulumi config set`.
        try:
            number = float(value) if isinstance(value, (str, int, float)) else None
        except ValueError:
            number = None
        if number is None or isinstance(value, bool) or number != int(number):
            raise ValueError("must be a whole number")
        if not lowest <= number <= highest:
            raise ValueError(f"must be from {lowest} to {highest}")
        return int(number)

    return check


def percent(value: object) -> float:
    """From 0.01 to 100."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) else None
    except ValueError:
        number = None
    if number is None or isinstance(value, bool):
        raise ValueError("must be a number")
    if not 0.01 <= number <= 100:
        raise ValueError("must be from 0.01 to 100")
    return number


def none_or(lowest: int, highest: int) -> Callable[[object], int]:
    """0 for none, or a whole number from ``lowest`` to ``highest``."""

    def check(value: object) -> int:
        number = whole(0, highest)(value)
        if 0 < number < lowest:
            raise ValueError(f"must be 0 for none, or from {lowest} to {highest}")
        return number

    return check


def switch(value: object) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError("must be true or false")


def one_of(*choices: object) -> Callable[[object], Any]:
    """One of a few."""

    def check(value: object) -> Any:
        for choice in choices:
            if str(value) == str(choice):
                return choice
        raise ValueError(f"must be one of {', '.join(map(str, choices))}")

    return check


def some_of(*choices: str) -> Callable[[object], tuple[str, ...]]:
    """A list of one or more of a few."""

    def check(value: object) -> tuple[str, ...]:
        some = isinstance(value, Sequence) and not isinstance(value, str) and bool(value)
        if not some or not set(map(str, value)) <= {*choices}:  # type: ignore[call-overload]
            raise ValueError(f"must be a list of some of {', '.join(choices)}")
        return tuple(map(str, value))  # type: ignore[call-overload]

    return check


def matching(pattern: str, wanted: str) -> Callable[[object], str]:
    """Text of a form."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"must be {wanted}")
        return value

    return check


def texts(value: object) -> Mapping[str, str]:
    """Names with texts; numbers and switches become text."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a map of names to values")  # noqa: TRY004 - a finding, not a bug
    return {str(key): text(item) for key, item in value.items()}


def text(value: object) -> str:
    """The text of a number or a switch."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def tags(value: object) -> Mapping[str, str]:
    """Tags as AWS takes them."""
    tags = texts(value)
    for name, text in tags.items():
        # Amazon EC2 User Guide, "Tag restrictions"; forty of fifty, the others are ours.
        if not 1 <= len(name) <= 128 or name.lower().startswith("aws:") or len(text) > 256:
            raise ValueError("must have names of 1 to 128 characters, not aws:, values up to 256")
    if len(tags) > 40:
        raise ValueError("must be at most 40 tags")
    return tags


def workflows(value: object) -> tuple[str, ...]:
    """Names of workflows, or paths of their files."""
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError("must be a list of names and of paths that end in .toml")
    for one in value:
        problems = lint(one, jobs=KINDS)
        if problems:
            raise ValueError(f"must name workflows without mistakes; {one}: {problems[0]}")
    return tuple(dict.fromkeys(value))


def origins(value: object) -> tuple[str, ...]:
    """Origins of web pages: scheme, host and port, or ``*`` for any."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError("must be a list of origins")  # noqa: TRY004 - a finding, not a bug
    for origin in value:
        # One * in a host is what S3 understands ("https://*.example.com").
        if not re.fullmatch(r"\*|https?://(?:\*\.)?[a-z0-9.-]+(?::\d{1,5})?", str(origin)):
            raise ValueError('must be origins like "https://www.example.com", or "*"')
    return tuple(str(origin) for origin in value)


def domains(value: object) -> tuple[str, ...]:
    """Names of hosts, the first label perhaps ``*``."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError("must be a list of domain names")  # noqa: TRY004 - a finding, not a bug
    label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    for name in value:
        if len(str(name)) > 253 or not re.fullmatch(rf"(?:\*\.)?{label}(?:\.{label})+", str(name)):
            raise ValueError('must be domain names like "img.example.com"')
    if value and str(value[0]).startswith("*"):
        raise ValueError("must begin with a name without a *, because URLs use the first name")
    return tuple(str(name) for name in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointValues:
    """A webhook endpoint, as it is configured."""

    name: str
    url: str
    events: tuple[str, ...]


def endpoints(value: object) -> tuple[EndpointValues, ...]:
    """Webhook endpoints by name, each with its URL and the types of events that it gets."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a map of names to endpoints")  # noqa: TRY004 - a finding
    return tuple(_endpoint(str(name), given) for name, given in value.items())


def _endpoint(name: str, given: object) -> EndpointValues:
    webhook.check_name(name)
    if not isinstance(given, Mapping) or {*given} != {"url", "events"}:
        raise ValueError(f"must have url and events, and nothing else, for {name}")
    url = str(given["url"])
    try:
        secure = webhook.WebhookUrl.parse(url).secure
    except ValueError as error:
        raise ValueError(f"must have a usable URL for {name}: it {error}") from None
    if not secure and not _LOCAL.fullmatch(url):
        raise ValueError(f"must have an https URL for {name}")
    return EndpointValues(name=name, url=url, events=event_types(given["events"], least=1))


def event_types(value: object, *, least: int = 0) -> tuple[str, ...]:
    """A list of types of events."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) < least:
        raise ValueError("must be a list of types of events")
    found = tuple(map(str, value))
    if not all(webhook.TYPE.fullmatch(one) for one in found):
        raise ValueError('must be types of events like "asset.accepted", "job.*" or "*"')
    for one in found:
        # A misspelt type would match nothing, and nobody would hear of it.
        if not any(fnmatchcase(kind, one) for kind in events.TYPES):
            near = get_close_matches(one, events.TYPES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"must be types that there are, and {one} is none{hint}")
    return found


_LOCAL = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?(?:/.*)?")
"""What only the local stack reaches: on AWS the function refuses every such address."""


def value(check: Callable[[object], Any], default: Any = MISSING, **more: Any) -> Any:
    """A field of a section, with the check of its value."""
    return field(default=default, metadata={"check": check}, **more)


EMAIL = matching(r"|[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address")
"""An address, or nothing."""

FOLDER_URL = matching(r"|https://[\w.-]+(?::\d{1,5})?(?:/[\w./~%-]{0,300})?", "an https address")
"""The address of a folder, or nothing."""

ISSUER = matching(r"|https://[a-zA-Z0-9.-]+(?::\d{1,5})?(?:/[\w./~-]*)?", "an https address")
"""An issuer of tokens, or nothing."""

AUDIENCE = matching(r"[^\s,]{0,200}", "a text without blanks and commas")
"""An audience of tokens, or nothing."""

SCOPE = matching(r"openid(?: [!#-\[\]-~]+)*", "words with single blanks between them, openid first")
"""Scopes (RFC 6749, appendix A.4) of an OpenID request."""

BUCKET = matching(r"|arn:aws:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the ARN of a bucket")
"""A bucket's ARN, or nothing."""
MONITOR = matching(r"|arn:aws:ce::\d{12}:anomalymonitor/[0-9a-f-]{36}", "the ARN of a cost monitor")
"""A monitor of Cost Anomaly Detection, or nothing."""

UPLOAD_KEY = matching(r"|[0-9a-f]{64}", "64 hex digits, as `openssl rand -hex 32` makes them")
"""A key for signing, or nothing."""
CERTIFICATE = matching(
    r"|arn:aws:acm:us-east-1:\d{12}:certificate/[0-9a-f-]{36}",
    "the ARN of a certificate in us-east-1, the only region that CloudFront takes one from",
)
"""A certificate's ARN, or nothing."""
