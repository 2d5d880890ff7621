"""Spans to X-Ray's endpoint of OTLP, which CloudWatch's Transaction Search keeps.

It takes JSON and gzip over HTTP/1.1, signed as ``xray`` (CloudWatch User Guide, "OTLP endpoints").
botocore has no client for it, but everything that one consists of: credentials, signature,
connections. The account must have Transaction Search (docs/tracing.md).
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import AccessDenied, EngineError, Throttled, Unreachable
from worker.domain.trace import BEGAN, Span

SECONDS = 1.0
"""To connect, and again to wait for the answer: the invocation waits for both."""
PATH = "/v1/traces"
HOUR = 3_600_000_000_000
"""Nanoseconds."""
OLDEST, LATEST, APART = 14 * 24 * HOUR, 2 * HOUR, 24 * HOUR
"""A time of a span may lie so far in the past and in the future, and two of one request so far
apart ("OTLP endpoints", limits). Whether its start or its end is meant is not said: both keep it.
"""


class XRaySpans:
    """The endpoint. Its connection stays open between invocations.

    Args:
        clients: whose region, credentials and endpoint it has.
    """

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients
        self._http: Any = None

    def send(self, request: bytes) -> None:
        """Send one request, once.

        Raises:
            Throttled, Unreachable, AccessDenied: it was not taken.
            EngineError: it, or a part of it, is not what the endpoint takes.
        """
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.httpsession import URLLib3Session

        if self._http is None:
            # A pair as requests has it, which its stubs do not say.
            seconds: Any = (SECONDS, SECONDS)
            self._http = URLLib3Session(timeout=seconds, max_pool_connections=1)
        signer = self._clients.signer("xray")
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        prepared = AWSRequest(
            method="POST",
            url=f"{signer.endpoint}{PATH}",
            data=gzip.compress(request, 1, mtime=0),
            headers=headers,
        )
        SigV4Auth(signer.credentials, "xray", signer.region).add_auth(prepared)
        with aws_call("send spans"):
            answer = self._http.send(prepared.prepare())
        _check(answer.status_code, answer.content)


def batches(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Spans as the endpoint takes them, each batch in requests of its own.

    A wait may be longer than any time that the endpoint takes: for a person, for the first viewer
    of an old picture. Then the span begins later, and an attribute has its true start.
    """
    now = time.time_ns()
    first, last = now - OLDEST + HOUR, now + LATEST - HOUR
    batch: list[Span] = []
    low = high = 0
    for one in sorted(spans, key=lambda span: (span.start, span.stop)):
        if one.start < first:
            one.attributes[BEGAN] = datetime.fromtimestamp(one.start / 1e9, UTC).isoformat()
        one.start = max(one.start, first)
        one.stop = max(one.start, min(one.stop, last))
        low, high = min(low or one.stop, one.stop), max(high, one.stop)
        if batch and max(one.start - batch[0].start, high - low) >= APART:
            yield batch
            batch, low, high = [], one.stop, one.stop
        batch.append(one)
    if batch:
        yield batch


def _check(status: int, body: bytes) -> None:
    """Raise what an answer means."""
    if status == 429:
        raise Throttled("X-Ray takes no more spans for now")
    if status >= 500:
        raise Unreachable(f"X-Ray answers {status} to spans")
    if status in (401, 403):
        raise AccessDenied("spans may not be sent: xray:PutSpans, xray:PutSpansForIndexing")
    if status != 200:
        raise EngineError(f"X-Ray answers {status} to spans: {body[:200]!r}")
    try:
        rejected = int(json.loads(body)["partialSuccess"]["rejectedSpans"])
    except (ValueError, TypeError, KeyError):
        return  # everything was taken: an empty object, or nothing
    if rejected:
        raise EngineError(f"X-Ray rejects {rejected} spans")
