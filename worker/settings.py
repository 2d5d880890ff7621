"""The environment, read once into one frozen value. All mistakes are reported together.

Every number a deployment could want to change is here, in a recipe or in the Pulumi config, and
nowhere else. The Pulumi program sets these variables on the functions; ``make up`` passes the same
variables to its workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import PurePath
from typing import Any, TypeVar

from worker.domain.asset import UploadRoute
from worker.domain.errors import Problem, SettingsError
from worker.domain.webhook import WebhookEndpoint, endpoints

PREFIX = "SAFELIGHT_"

Value = TypeVar("Value")

OPENNSFW = "opennsfw"
"""Name of the classifier that Safelight has an adapter for."""


class Ordering(StrEnum):
    """How upload events reach the workers."""

    FIFO = "fifo"
    """Two workers never hold one object at the same time."""
    STANDARD = "standard"
    """Cheaper. Two workers may process one object; the outcome takes effect once."""


class UploadClass(StrEnum):
    """S3's storage class of originals, from their first byte."""

    STANDARD = "STANDARD"
    INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
    """The class that the bucket's lifecycle rule would move them to, at a price for each object."""


class DeletedOriginals(StrEnum):
    """The effect of deleting an original in the intake bucket."""

    KEEP = "keep"
    """The asset stays, and its record says ``deleted``."""
    ERASE = "erase"
    """The asset, all files made of it and all versions of the original are removed."""


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _optional(text: str) -> str | None:
    return text.strip() or None


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not lowest <= value <= highest:
            raise ValueError(f"must be from {lowest} to {highest}")
        return value

    return read


def _dollars(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number of US dollars") from None
    if not 0 <= value <= 1e9:  # also refuses NaN
        raise ValueError("must be from 0 to 1,000,000,000 US dollars")
    return value


def _classifier(text: str) -> str | None:
    found = text.strip()
    if found and found != OPENNSFW and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", found):
        raise ValueError(f"must be {OPENNSFW} or package.module:function")
    return found or None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _recipes(text: str) -> tuple[str, ...]:
    found = _list(text)
    names = [PurePath(one).stem for one in found]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise ValueError(f"must have one recipe of each name, and has several of {twice[0]}")
    return found


def _machines(text: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for part in _list(text):
        name, equals, arn = part.partition("=")
        if not equals or not name.strip() or ":stateMachine:" not in arn:
            raise ValueError("must be NAME=ARN of a state machine, with commas between them")
        if found.setdefault(name.strip(), arn.strip()) != arn.strip():
            raise ValueError(f"must have one state machine for {name.strip()}")
    return tuple(found.items())


def _routes(text: str) -> tuple[UploadRoute, ...]:
    try:
        found = tuple(dict.fromkeys(UploadRoute(one) for one in _list(text)))
    except ValueError:
        raise ValueError(f"must be of {', '.join(UploadRoute)}, with commas") from None
    if not found:
        raise ValueError("must name at least one")
    return found


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(one) for one in _list(text))
    except ValueError:
        raise ValueError("must be networks like 127.0.0.0/8, with commas between them") from None


def _trace_target(text: str) -> str | None:
    found = text.strip()
    if found and found != "xray" and not re.fullmatch(r"file:.+", found):
        raise ValueError("must be xray or file:FOLDER")
    return found or None


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not 0.01 <= value <= 100:
        raise ValueError("must be from 0.01 to 100")
    return value


def _switch(text: str) -> bool:
    try:
        return {"on": True, "off": False}[text.strip().lower()]
    except KeyError:
        raise ValueError("must be on or off") from None


def _namespace(text: str) -> str:
    found = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9./_#:-]{1,255}", found) or found.startswith("AWS/"):
        raise ValueError("must be letters, digits and ./_#:- and not begin with AWS/")
    return found


def _ordering(text: str) -> Ordering:
    try:
        return Ordering(text)
    except ValueError:
        raise ValueError("must be fifo or standard") from None


def _upload_class(text: str) -> UploadClass:
    try:
        return UploadClass(text)
    except ValueError:
        raise ValueError(f"must be {' or '.join(UploadClass)}") from None


def _deleted_originals(text: str) -> DeletedOriginals:
    try:
        return DeletedOriginals(text)
    except ValueError:
        raise ValueError("must be keep or erase") from None


def _read(parse: Callable[[str], Value], default: Any = MISSING) -> Any:
    metadata = {"parse": parse}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a process needs to know about where it runs.

    The variable of a field is its name in capitals behind ``SAFELIGHT_``.
    """

    table: str = _read(_name)
    """Name of the catalog's table."""
    intake_bucket: str = _read(_name)
    """The bucket that receives uploads and keeps all originals."""
    delivery_bucket: str = _read(_name)
    """The bucket of renditions and all other files that Safelight makes."""
    quarantine_bucket: str = _read(_name)
    """The bucket of rejected originals."""
    event_bus: str = _read(_name)
    """The EventBridge bus for events of assets, jobs and reviews."""
    queue_url: str = _read(_name)
    """The queue that feeds the ingest function."""
    dlq_url: str = _read(_name)
    """The dead-letter queue of the ingest function's queue."""
    uploads_queue_url: str | None = _read(_optional, None)
    """The queue that S3 sends to, if a pipe moves its messages to ``queue_url``. Only the commands
    for dead letters need it."""
    uploads_dlq_url: str | None = _read(_optional, None)
    """The dead-letter queue of messages that the pipe could not move."""
    heavy_dlq_url: str | None = _read(_optional, None)
    """The dead-letter queue of events that did not reach the workflow function or that it failed
    on. Only the commands for dead letters need it."""
    invalidations_queue_url: str | None = _read(_optional, None)
    """The queue of events whose assets need an invalidation. Only the commands for dead letters
    need it."""
    invalidations_dlq_url: str | None = _read(_optional, None)
    """The dead-letter queue of events for which CloudFront accepted no invalidation, or that the
    bus could not put into the queue."""
    event_archive: str | None = _read(_optional, None)
    """ARN of the archive of events. Only ``safelight events replay`` needs it."""
    outbox_dlq_url: str | None = _read(_optional, None)
    """The dead-letter queue of catalog changes that no event can be made of. Only the outbox
    function and the commands for dead letters need it."""
    ordering: Ordering = _read(_ordering, Ordering.FIFO)  # noqa: RUF009 - a field
    """How upload events reach the workers: with ``fifo`` two workers never process one object at
    the same time; ``standard`` is cheaper, and two workers may do the same work, which takes effect
    once."""
    deleted_originals: DeletedOriginals = _read(_deleted_originals, DeletedOriginals.KEEP)  # noqa: RUF009 - a field
    """The effect of deleting an original in S3: ``keep`` records the asset as deleted, ``erase``
    removes its record, all files made of it and all versions of the original."""
    recipe: str = _read(_name, "default")
    """The deployment's recipe: the name of a shipped recipe, or the path of a recipe file in the
    image."""
    recipes: tuple[str, ...] = _read(_recipes, ())
    """Further recipes that every owner may choose for an upload: names or paths, separated by
    commas. An administrator may also choose each shipped recipe."""
    redis_url: str | None = _read(_optional, None)
    """Redis or Valkey that caches hot files for delivery: ``redis://``, ``rediss://`` or
    ``unix://``. ``?socket_timeout=0.2`` sets the timeout of a response in seconds, 0.1 by default.
    Without this setting each process caches files in its own memory."""
    redis_iam: str | None = _read(_optional, None)
    """Name of the ElastiCache cache at ``redis_url``, if its user signs in by IAM."""
    heavy_bytes: int = _read(_whole(1, 5_000_000_000), 40_000_000)
    """The ingest function does not fetch originals with more bytes; they are left to jobs."""
    heavy_pixels: int = _read(_whole(1, 1_000_000_000), 64_000_000)
    """Pictures with more pixels, all frames together, are left to jobs."""
    video: bool = _read(_switch, True)  # noqa: FBT003 - a field
    """Whether videos are accepted: ``on`` sends them to Batch, ``off`` rejects them."""
    video_bytes: int = _read(_whole(1, 5_000_000_000_000), 20_000_000_000)
    """Videos with more bytes are rejected."""
    video_seconds: int = _read(_whole(1, 360_000), 14_400)
    """Longer videos are rejected, by the job: their header may be at the end of the file."""
    video_array_bytes: int = _read(_whole(1, 5_000_000_000_000), 1_000_000_000)
    """Videos with at least this many bytes are encoded by several machines at a time."""
    workflows: tuple[tuple[str, str], ...] = _read(_machines, ())
    """ARNs of the state machines by the names of their workflows: ``video=ARN,approve=ARN``. Only
    processes that start workflows need it."""
    batch_prefix: str = _read(_name, "safelight")
    """Prefix of the names of job queues and job definitions: ``safelight-prod``."""
    classifier: str | None = _read(_classifier, None)
    """The classifier for recipes whose moderation has the tier ``classifier``: ``opennsfw``, or
    ``package.module:function``, which returns a ``worker.ports.Moderator``."""
    rekognition_rate: int = _read(_whole(1, 10_000), 5)
    """Requests a second to each operation of Rekognition, over all functions: at most the account's
    quota."""
    sandbox_seconds: int = _read(_whole(1, 900), 60)
    """Limit of CPU time and of wall time of the sandboxed child."""
    sandbox_megabytes: int = _read(_whole(64, 10_240), 1_280)
    """Limit of the address space of the sandboxed child."""
    jail_every_picture: bool = _read(_switch, False)  # noqa: FBT003 - a field
    """Whether the first try of each picture, too, is decoded in a locked-in child without
    credentials: ``on`` costs about 3 ms of processor time a picture and 0.3 s a cold start."""
    upload_threads: int = _read(_whole(1, 64), 8)
    """Number of renditions that are stored in parallel."""
    upload_bytes: int = _read(_whole(1, 5_000_000_000_000), 20_000_000_000)
    """The API gives no ticket for uploads with more bytes."""
    upload_whole_bytes: int = _read(_whole(1, 5_000_000_000), 16_777_216)
    """Uploads with more bytes are sent in parts, unless the client chooses another method."""
    upload_seconds: int = _read(_whole(60, 43_200), 3_600)
    """Validity of a ticket. It never exceeds that of the credentials that sign the ticket."""
    upload_hours: int = _read(_whole(1, 168), 24)
    """Longest duration of an upload. The intake bucket removes parts after a day."""
    upload_routes: tuple[UploadRoute, ...] = _read(_routes, (UploadRoute.DIRECT,))
    """The routes that the API offers for uploads, separated by commas: ``direct``, ``accelerated``
    (S3 Transfer Acceleration, which the bucket must have), ``distribution`` (needs ``delivery_url``
    and ``upload_key``). The first is the default."""
    upload_class: UploadClass = _read(_upload_class, UploadClass.INTELLIGENT_TIERING)  # noqa: RUF009 - a field
    """Storage class that a ticket names, ``INTELLIGENT_TIERING`` or ``STANDARD``. Tickets for whole
    files through the distribution name none."""
    upload_key: str | None = _read(_optional, None)
    """The key that signs uploads through the distribution; the edge function has the same key."""
    edge_logs_bucket: str | None = _read(_optional, None)
    """The bucket of the distribution's logs. Only the function that makes upgrades needs it."""
    upgrade_cents: int = _read(_whole(0, 1_000_000), 100)
    """Limit of the cost of a daily run of upgrades in US cents, by ``worker/prices.toml``."""
    daily_limit: float = _read(_dollars, 0.0)
    """Limit of the cost of a day in US dollars, by the ledger: beyond it optional work pauses until
    midnight UTC. 0 for no limit."""
    webhooks: tuple[WebhookEndpoint, ...] = _read(endpoints, ())
    """The endpoints that events are sent to: a JSON object with ``url``, ``events``, ``queue`` and
    ``dead_letters`` under each name. Only the functions that send webhooks, and the commands, need
    it."""
    webhook_secrets: str = _read(_name, "/safelight/webhooks")
    """Prefix of the names of the parameters that hold the endpoints' secrets."""
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = _read(_networks, ())
    """Private networks that endpoints may be in, also without TLS: ``127.0.0.0/8`` in the local
    stack. Never set it on AWS: a function's own runtime answers on loopback."""
    distribution: str | None = _read(_optional, None)
    """Id of the CloudFront distribution. Only the function that sends invalidations needs it."""
    delivery_url: str | None = _read(_optional, None)
    """The base URL of renditions, ``https://media.example.com``. Without it the API signs a URL for
    each file."""
    api_issuer: str = _read(_name, "safelight")
    """The issuer of tokens, their claim ``iss``."""
    api_audience: str = _read(_name, "safelight-api")
    """The audience of tokens, their claim ``aud``, or ``client_id`` if the issuer writes no
    ``aud``."""
    api_owner_claim: str = _read(_name, "sub")
    """The claim that names the owner whose assets the caller may read and change."""
    api_scope_claim: str = _read(_name, "scope")
    """The claims with the scopes of a token, separated by commas. Each claim is a list, or a text
    with scopes separated by spaces."""
    api_scope_prefix: str = _read(str.strip, "safelight:")
    """Prefix of the scopes ``read``, ``write``, ``admin`` and so on."""
    api_secret: str | None = _read(_optional, None)
    """The key of tokens (HS256) where no gateway checks them: in the local stack and in tests."""
    api_jwks_url: str | None = _read(_optional, None)
    """URL of the issuer's public keys, where no gateway checks tokens."""
    api_origins: tuple[str, ...] = _read(_list, ())
    """Origins of pages that may call the API from a browser (CORS), separated by commas."""
    api_rate: int = _read(_whole(1, 100_000), 50)
    """Requests a second that one instance of the API accepts from one owner; ten times as many in a
    burst."""
    metrics_namespace: str = _read(_namespace, "Safelight")
    """CloudWatch namespace of the metrics of a process: ``Safelight/prod``, one for each stack.
    ``worker.adapters.emf`` reads it."""
    trace_to: str | None = _read(_trace_target, None)
    """Destination of spans: ``xray`` or ``file:FOLDER``; without it no spans are written. See
    docs/tracing.md."""
    trace_percent: float = _read(_percent, 1.0)
    """Percentage of traces without errors that are written, 0.01 to 100, chosen by the trace's id.
    Traces with an error are always written."""
    retry_seconds: int = _read(_whole(0, 900), 10)
    """Delay of a message after its first transient failure; it doubles with every further failure,
    up to 15 minutes."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check every variable.

        Raises:
            SettingsError: with every mistake, each by its variable's name; an unknown variable
                with the prefix is a mistake too, because it is probably misspelt.
        """
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        known = set(ELSEWHERE)
        for item in fields(cls):
            variable = PREFIX + item.name.upper()
            known.add(variable)
            text = environment.get(variable)
            if text is None:
                if item.default is MISSING:
                    problems.append(Problem(variable, "is not set"))
                continue
            try:
                values[item.name] = item.metadata["parse"](text)
            except ValueError as error:
                problems.append(Problem(variable, f"{error}, not {text!r}"))
        problems += [
            Problem(variable, "is not a variable of Safelight")
            for variable in sorted(environment)
            if variable.startswith(PREFIX) and variable not in known
        ]
        if problems:
            raise SettingsError("settings", tuple(problems))
        return cls(**values)


def tracing_of(environment: Mapping[str, str]) -> tuple[str | None, float]:
    """``trace_to`` and ``trace_percent`` alone, for jobs, which have no other settings.

    Raises:
        SettingsError: see ``Settings.from_environment``.
    """
    names = ("trace_to", "trace_percent")
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for item in fields(Settings):
        if item.name in names:
            text = environment.get(variable := PREFIX + item.name.upper())
            try:
                found[item.name] = item.default if text is None else item.metadata["parse"](text)
            except ValueError as error:
                problems.append(Problem(variable, f"{error}, not {text!r}"))
    if problems:
        raise SettingsError("settings", tuple(problems))
    return found["trace_to"], found["trace_percent"]


ELSEWHERE = frozenset({"SAFELIGHT_CALLS", "SAFELIGHT_DEBUG", "SAFELIGHT_EMULATOR_HOME"})
"""Safelight's variables that are read before, or without, these settings."""
