"""Sends events to endpoints, signed, and tries again for hours until each has taken them.

The signature is that of Standard Webhooks 1.0.0. The body is the CloudEvent as it is. Every
endpoint has a queue of its own, so that one that is slow or gone holds back no other: hidden
messages count against the 120,000 in flight of its own queue. A receiver must expect an event more
than once, and out of order: ``webhook-id`` stays the same.

An event that failed waits, hidden in its queue, for a random time up to a limit that grows (full
jitter). After ``ATTEMPTS`` tries, or at once if trying again cannot help, it is a dead letter with
its cause in its attributes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import random
import re
import secrets as randomness
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.domain import metrics, trace
from worker.domain.asset import AssetRecord
from worker.domain.errors import (
    ConfigurationError,
    InputError,
    MalformedMessage,
    SafelightError,
    WebhookFailed,
    WebhookGone,
)
from worker.domain.events import cloud_event, event_of
from worker.domain.webhook import SECRET_PREFIX, SECRETS, WebhookEndpoint, secrets_in
from worker.ports import Message, Queue, Secrets, WebhookSender
from worker.services.messages import mistake

ATTEMPTS = 12
"""Tries of one event. Its dead letter comes after 19 hours on average, 39 at most, unless a
receiver asks for longer waits."""
FIRST_SECONDS, FACTOR = 30.0, 4.0
"""Limit of the first wait, and of each further one by comparison with the one before."""
LONGEST_SECONDS = 6 * 3600.0
"""Limit of a wait. SQS hides a message for at most 12 hours (Amazon SQS Developer Guide,
"Visibility timeout")."""
SECRET_BYTES = 32
CONTENT_TYPE = "application/cloudevents+json"
CODE, REASON = "WebhookCode", "WebhookReason"
"""Attributes of a dead letter: the last error."""
TEST_TYPE = "safelight.test"
_REASON_LENGTH = 300
_ID = re.compile(r"[!-~]{1,256}")
"""Printable, without blanks: it stands in a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """An event as it is sent."""

    id: str
    """Of the event, with a hyphen for each full stop: the signed text has one behind the id, and
    two events must not have one signature (Standard Webhooks 1.0.0, "Signature scheme")."""
    body: bytes
    """The CloudEvent, JSON in UTF-8."""
    asset: str = ""
    """That it is about, if it is about one."""
    traceparent: str = ""
    """Of the upload that it follows from."""
    time: str = ""
    """Time of the event, ISO 8601 UTC; empty if the event has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAttempt:
    """The outcome of one message."""

    message: Message
    event: str = ""
    """Id; empty if it could not be read."""
    asset: str = ""
    """That it is about; empty if it is about none."""
    traceparent: str = ""
    """Of the event."""
    error: SafelightError | None = None
    """None if the receiver has taken it."""
    wait: float | None = None
    """Seconds until the next try; None if there is none."""

    @property
    def ended(self) -> bool:
        """Whether the queue needs the message no longer: it is delivered, or a dead letter."""
        return self.wait is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """The use case.

    Args:
        endpoints: by name.
        secrets_prefix: the prefix of the names of secrets.
        now: seconds since 1970, UTC.
        uniform: a random number between two.
    """

    endpoints: Mapping[str, WebhookEndpoint]
    queue: Queue
    sender: WebhookSender
    secrets: Secrets
    secrets_prefix: str
    now: Callable[[], float] = time.time
    uniform: Callable[[float, float], float] = random.uniform

    def endpoint(self, name: str) -> WebhookEndpoint:
        """One of the endpoints. Raises ``InputError``, ``input_missing``, for any other name."""
        if name not in self.endpoints:
            known = ", ".join(self.endpoints) or "no endpoint"
            raise InputError(
                f"there is no endpoint {name!r}; there is {known}", code="input_missing"
            )
        return self.endpoints[name]

    def of_queue(self, name: str) -> WebhookEndpoint:
        """The endpoint of a queue, by the queue's name.

        Raises:
            ConfigurationError: there is none.
        """
        for endpoint in self.endpoints.values():
            if endpoint.queue.rstrip("/").rpartition("/")[2] == name:
                return endpoint
        raise ConfigurationError(f"the queue {name} is of no endpoint in SAFELIGHT_WEBHOOKS")

    def deliver(
        self, endpoint: WebhookEndpoint, messages: Sequence[Message]
    ) -> Sequence[WebhookAttempt]:
        """Try a batch of one endpoint, all at the same time, and say when each that failed is to
        come back."""
        if not messages:
            return ()
        try:
            keys = self._keys(endpoint.name)  # once: ten threads would ask at the same time
        except SafelightError as error:
            tried = [WebhookAttempt(message=one, error=error) for one in messages]
        else:
            with ThreadPoolExecutor(len(messages)) as pool:
                # Each thread with what is current here: whose spans these are.
                tries = [
                    pool.submit(copy_context().run, self._timed, endpoint, keys, one)
                    for one in messages
                ]
                tried = [one.result() for one in tries]
        # Not before: whoever holds the batch may hide its messages anew until all were tried.
        return [self._put_back(endpoint, attempt) for attempt in tried]

    def send(self, name: str, event: Mapping[str, object]) -> None:
        """Put an event into the queue of an endpoint, whatever types the endpoint asks for.

        Args:
            event: a CloudEvent.

        Raises:
            InputError: there is no such endpoint.
            MalformedMessage: it is none.
        """
        endpoint = self.endpoint(name)
        if event.get("specversion") != "1.0":
            raise MalformedMessage("it is no CloudEvent 1.0: specversion is not 1.0")
        body = json.dumps(
            {"source": "safelight", "detail-type": event.get("type"), "detail": event},
            separators=(",", ":"),
        )
        event_in(body)
        self.queue.send(endpoint.queue, [(body, "", "")])

    def tell(self, name: str, record: AssetRecord) -> None:
        """Send the event of a record to an endpoint.

        Raises:
            InputError: there is no such endpoint.
        """
        self.send(name, cloud_event(event_of(record)))

    def test(self, name: str) -> str:
        """Send an event of type ``safelight.test`` from here, once; returns its id.

        Raises:
            WebhookFailed, WebhookGone: the receiver did not take it.
            ConfigurationError: it has no secret.
        """
        now = datetime.fromtimestamp(self.now(), UTC).isoformat().replace("+00:00", "Z")
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "safelight",
            "type": TEST_TYPE,
            "time": now,
            "datacontenttype": "application/json",
            "data": {"endpoint": name},
        }
        made = WebhookEvent(id=str(event["id"]), body=json.dumps(event).encode())
        self._post(self.endpoint(name), self._keys(name), made)
        return made.id

    # --- secrets ----------------------------------------------------------------------------

    def secret_name(self, name: str) -> str:
        """Where the secrets of an endpoint are."""
        return f"{self.secrets_prefix}/{name}"

    def rotate(self, name: str) -> str:
        """Give an endpoint a new secret; returns it.

        The secrets before it stay: every request is signed with each, until ``retire``.

        Raises:
            InputError: there is no such endpoint.
        """
        self.endpoint(name)
        made = base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode()
        kept = self._texts(name)[: SECRETS - 1]
        new = SECRET_PREFIX + made
        self.secrets.write(self.secret_name(name), " ".join((new, *kept)))
        return new

    def retire(self, name: str) -> int:
        """Forget all secrets of an endpoint but the newest; returns how many those were.

        Raises:
            InputError: there is no such endpoint, or it has no secret.
        """
        self.endpoint(name)
        newest, *older = self._texts(name) or [""]
        if not newest:
            raise InputError(f"the endpoint {name} has no secret", code="input_missing")
        if older:
            self.secrets.write(self.secret_name(name), newest)
        return len(older)

    def _texts(self, name: str) -> list[str]:
        try:
            return self.secrets.read(self.secret_name(name)).split()
        except SafelightError as error:
            if error.code != "secret_missing":
                raise
            return []

    # --- one event --------------------------------------------------------------------------

    def _keys(self, name: str) -> tuple[bytes, ...]:
        return secrets_in(self.secrets.read(self.secret_name(name)))

    def _timed(
        self, endpoint: WebhookEndpoint, keys: Sequence[bytes], message: Message
    ) -> WebhookAttempt:
        with metrics.timed(metrics.STAGE_SECONDS, stage="send"):
            return self._try(endpoint, keys, message)

    def _try(
        self, endpoint: WebhookEndpoint, keys: Sequence[bytes], message: Message
    ) -> WebhookAttempt:
        try:
            read = event_in(message.body)
        except SafelightError as error:
            return WebhookAttempt(message=message, error=error)
        attempt = WebhookAttempt(
            message=message, event=read.id, asset=read.asset, traceparent=read.traceparent
        )
        if message.receives <= 1:  # the waits between two tries are those of the receiver
            trace.finished("wait webhook", start=trace.moment(read.time), parent=read.traceparent)
        try:
            with trace.span(
                "webhook",
                kind="producer",
                parent=read.traceparent,
                endpoint=endpoint.name,
                receives=message.receives,
                asset=read.asset,
            ):
                self._post(endpoint, keys, read)
        except SafelightError as error:
            return replace(attempt, error=error)
        return attempt

    def _put_back(self, endpoint: WebhookEndpoint, attempt: WebhookAttempt) -> WebhookAttempt:
        """Make a failed message a dead letter, or hide it until its next try."""
        error, message = attempt.error, attempt.message
        if error is None:
            return attempt
        final = isinstance(error, MalformedMessage | WebhookGone)
        if final or message.receives >= ATTEMPTS:
            attributes = {CODE: error.code, REASON: error.message[:_REASON_LENGTH]}
            try:
                self.queue.send(
                    endpoint.dead_letters, [(message.body, "", "")], attributes=attributes
                )
            except SafelightError as refused:
                return replace(attempt, error=refused, wait=self._hide(endpoint, message, error))
            return attempt
        return replace(attempt, wait=self._hide(endpoint, message, error))

    def _post(self, endpoint: WebhookEndpoint, keys: Sequence[bytes], event: WebhookEvent) -> None:
        timestamp = int(self.now())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(keys, event, timestamp),
        }
        if event.traceparent:
            headers[trace.NAME] = event.traceparent
        answer = self.sender.post(endpoint.url, event.body, headers)
        if 200 <= answer.status < 300:
            return
        said = f"the receiver of {endpoint.name} answers {answer.status}"
        if answer.status == 410:
            raise WebhookGone(said)
        raise WebhookFailed(said, code="webhook_refused", retry_after=answer.retry_after)

    def _hide(self, endpoint: WebhookEndpoint, message: Message, error: SafelightError) -> float:
        asked = error.retry_after if isinstance(error, WebhookFailed) else None
        wait = self.wait(message.receives, asked)
        # If it cannot be hidden it comes back after the queue's own time.
        with contextlib.suppress(SafelightError):
            self.queue.hide(endpoint.queue, message, int(wait))
        return wait

    def wait(self, receives: int, asked: float | None = None) -> float:
        """Seconds before the next try: random, up to a limit that grows with the tries (AWS
        Architecture Blog, "Exponential Backoff And Jitter": full jitter spreads them best).

        Args:
            receives: tries so far.
            asked: what the receiver asks for; the wait is at least that, within the limit.
        """
        exponent = min(max(receives, 1), ATTEMPTS) - 1
        limit = min(LONGEST_SECONDS, FIRST_SECONDS * FACTOR**exponent)
        return max(1.0, self.uniform(0.0, limit), min(asked or 0.0, LONGEST_SECONDS))


def signatures(keys: Sequence[bytes], event: WebhookEvent, timestamp: int) -> str:
    """The value of ``webhook-signature``: one for each key (Standard Webhooks 1.0.0, "Signature
    scheme")."""
    signed = f"{event.id}.{timestamp}.".encode() + event.body
    made = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(one).decode()}" for one in made)


def event_in(body: str) -> WebhookEvent:
    """The event that a message of an endpoint's queue carries, as the rule of the bus put it there.

    Raises:
        MalformedMessage: it carries none.
    """
    try:
        detail = json.loads(body)["detail"]
        identity = detail["id"]
        if not (isinstance(detail, dict) and isinstance(identity, str)):
            raise TypeError("no event")
        if not _ID.fullmatch(identity):
            raise MalformedMessage("the id of the event is no printable text without blanks")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        said = f"the message is no event for a webhook: {mistake(error)}"
        raise MalformedMessage(said) from error
    asset = detail.get("asset")
    return WebhookEvent(
        id=identity.replace(".", "-"),
        # In ASCII: half of a surrogate pair, which JSON may hold, has no bytes in UTF-8.
        body=json.dumps(detail, separators=(",", ":")).encode(),
        asset=asset if isinstance(asset, str) else "",
        traceparent=trace.valid(detail.get(trace.NAME)),
        time=str(detail.get("time") or ""),
    )
