"""The delivery function: it answers requests for keys that the delivery bucket does not have.

The distribution calls its URL when S3 returns 403 or 404 (origin failover). It decodes an event of
a function URL (payload format 2.0), makes one service call and encodes the response. Only the
distribution may call it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from worker.adapters import emf
from worker.bootstrap import assemble
from worker.domain import trace
from worker.domain.errors import SafelightError
from worker.entrypoints import logs
from worker.imaging.malloc import keep_memory
from worker.services.deliver import Deliver, OriginAnswer, error, unavailable
from worker.settings import Settings
from worker.subprocesses.jail import hide

logger = logs.logger("deliver")

if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
    # Modules loaded before the snapshot are available at each start. Clients are made later, so
    # that instances share no connection, credential or random number.
    import worker.imaging.engine
    import worker.services.first_view  # noqa: F401


@cache
def service() -> Deliver:
    """Wire the service once for the life of the process, at the first event."""
    logs.adopt(logger)
    hide()
    keep_memory()
    return assemble(Settings.from_environment(os.environ)).deliver()


@emf.flushing("deliver")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Answer one request; ``{}`` wires everything and does nothing: a warm-up call.

    Decoders are loaded when the first file is made, not here: most requests need none.
    """
    deliver = service()
    return answer(event, deliver) if event else {}


@trace.flushing("deliver")
def answer(event: Mapping[str, Any], deliver: Deliver) -> dict[str, Any]:
    """The handler with an injected service. An error becomes a response that is not cached."""
    method = event["requestContext"]["http"]["method"]
    if method not in ("GET", "HEAD"):
        return _event_of(error(403, "only GET and HEAD"))
    try:
        return _event_of(deliver.answer(str(event["rawPath"]).removeprefix("/")))
    except SafelightError as failure:
        logger.exception("no answer", extra={"code": failure.code, "path": event["rawPath"]})
        return _event_of(unavailable(failure))


def _event_of(found: OriginAnswer) -> dict[str, Any]:
    return {
        "statusCode": found.status,
        "headers": dict(found.headers),
        "body": base64.b64encode(found.body).decode(),
        "isBase64Encoded": True,
    }
