"""Dead letters of the workflow function: uploads that wait for heavy work that was not started.

Either EventBridge could not hand the event over: the letter is the event, with the reason in its
attributes (EventBridge User Guide, "Using dead-letter queues to process undelivered events"). Or
the function failed on it: the letter is Lambda's record of the call with the event in it (AWS
Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain import errors
from worker.domain.errors import MalformedMessage, SafelightError
from worker.services.ingest.messages import mistake

UNDELIVERED = "undelivered"
"""EventBridge could not hand the event to the function."""
FAILED = "failed"
"""The function failed with an error that is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Work that was not started."""

    asset: str
    version: str
    cause: str
    """The code of an error, or one of this module's."""
    reason: str


def read(body: str, attributes: Mapping[str, str]) -> Undelivered:
    """What a letter says.

    Raises:
        MalformedMessage: it is neither of the two.
    """
    try:
        value = json.loads(body)
        call = value if "requestPayload" in value else None
        event = value if call is None else value["requestPayload"]
        if event["detail-type"] != "asset.heavy":
            raise ValueError(f"an event of type {event['detail-type']!r}")
        asset, version = event["detail"]["asset"], event["detail"]["data"]["version"]
        if not (isinstance(asset, str) and isinstance(version, str)):
            raise TypeError("no asset or no version")
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise MalformedMessage(
            f"the message is no event of heavy work: {mistake(error)}"
        ) from error
    if call is not None:
        cause, reason = _failure(call.get("responsePayload"))
    else:
        code, text = (attributes.get(name, "") for name in ("ERROR_CODE", "ERROR_MESSAGE"))
        said = ": ".join(part for part in (code, text) if part)
        cause, reason = UNDELIVERED, said or "the event could not be handed to the function"
    return Undelivered(asset=asset, version=version, cause=cause, reason=reason)


def _failure(answer: Any) -> tuple[str, str]:
    """Cause and reason, of what a call of the function ended with."""
    if not isinstance(answer, Mapping):
        return FAILED, "the function failed without an answer: it was ended, or ran out of time"
    name, text = str(answer.get("errorType", "")), str(answer.get("errorMessage", ""))
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, SafelightError):
        return kind.code, text
    return FAILED, ": ".join(part for part in (name, text) if part)
