"""Spans to X-Ray's endpoint of OTLP, which CloudWatch's Transaction Search keeps.

It takes JSON and gzip over HTTP/1.1, signed as ``xray`` (CloudWatch User Guide, "OTLP endpoints").
botocore has no client for it, but everything that one consists of: credentials, signature,
connections. The account must have Transaction Search (docs/tracing.md).
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import AccessDenied, EngineError, Throttled, Unreachable

SECONDS = 1.0
"""To connect, and again to wait for the answer: the invocation waits for both."""
PATH = "/v1/traces"


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
