"""Maps errors to responses: ``application/problem+json`` (RFC 9457) with the stable code.

The status follows from the code and from whether the error is retryable. An error that is not the
client's fault is a 500 with an id, under which the log has the details; the response does not
contain its text.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from worker.codec import plain
from worker.domain.errors import (
    AssetMissing,
    Conflict,
    InputError,
    JobMissing,
    JobRejected,
    NotAllowed,
    NotSignedIn,
    ParameterError,
    Paused,
    Problem,
    ProblemsError,
    RecipeError,
    RequestError,
    ReviewMissing,
    SafelightError,
    TraceMissing,
    UploadError,
)
from worker.entrypoints.api.models import ProblemDocument

MEDIA_TYPE = "application/problem+json"
logger = logging.getLogger("safelight.api")

_STATUSES: Mapping[str, int] = {
    "asset_erased": HTTPStatus.GONE,
    "upload_expired": HTTPStatus.GONE,
    "upload_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too_many_requests": HTTPStatus.TOO_MANY_REQUESTS,
}
"""HTTP statuses of codes whose status differs from that of their class."""
_CLASSES: tuple[tuple[type[SafelightError], int], ...] = (
    (AssetMissing, HTTPStatus.NOT_FOUND),
    (JobMissing, HTTPStatus.NOT_FOUND),
    (ReviewMissing, HTTPStatus.NOT_FOUND),
    (TraceMissing, HTTPStatus.NOT_FOUND),
    (NotSignedIn, HTTPStatus.UNAUTHORIZED),
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (UploadError, HTTPStatus.CONFLICT),
    (Conflict, HTTPStatus.CONFLICT),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ParameterError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (RecipeError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (JobRejected, HTTPStatus.UNPROCESSABLE_ENTITY),
    (RequestError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
"""HTTP statuses of classes that a client can act on. All other errors are a 500."""
RETRY_SECONDS = 2
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_HTTP_CODES: Mapping[int, str] = {
    HTTPStatus.NOT_FOUND: "route_missing",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "body_no_json",
}


def status_of(error: SafelightError) -> int:
    """The HTTP status of an error."""
    if error.code in _STATUSES:
        return _STATUSES[error.code]
    for kind, status in _CLASSES:
        if isinstance(error, kind):
            return status
    return HTTPStatus.SERVICE_UNAVAILABLE if error.retryable else HTTPStatus.INTERNAL_SERVER_ERROR


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: tuple[Problem, ...] = (),
    id_: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for a problem."""
    document = ProblemDocument(
        type=f"urn:safelight:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        errors=[plain(one, defaults=True) for one in errors],
        id=id_,
    )
    return Response(
        document.model_dump_json(exclude_none=True),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def answer(error: Exception) -> Response:
    """The response to a failed request, for any error."""
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        status = error.status_code
        code = _HTTP_CODES.get(status, "request_invalid")
        return problem(status, code, str(error.detail), headers=error.headers)
    if isinstance(error, SafelightError):
        status = status_of(error)
        if status != HTTPStatus.INTERNAL_SERVER_ERROR:
            return _expected(error, status)
    return _defect(error)


def _expected(error: SafelightError, status: int) -> Response:
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
        if error.code != "token_missing":
            headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = str(RETRY_SECONDS)
    detail = error.message
    if status == HTTPStatus.SERVICE_UNAVAILABLE and error.code != "jobs_end":
        # The text names services and hosts, which a client must not learn.
        logger.warning("not available", extra={"code": error.code, "reason": error.message})
        detail = "something that this needs does not answer now; try again"
        if isinstance(error, Paused):  # the response must not reveal the spending
            detail = "work of this kind waits until midnight UTC"
            headers["Retry-After"] = str(_until_midnight())
    problems = error.problems if isinstance(error, ProblemsError) else ()
    if isinstance(error, ParameterError):  # its fields are fields of the body
        problems = tuple(replace(one, path=f"body.{one.path}") for one in problems)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        detail = f"the request has {count}"
    return problem(status, error.code, detail, errors=problems, headers=headers)


def _until_midnight() -> int:
    """Seconds, of UTC."""
    now = datetime.now(UTC)
    return 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)


def _invalid(error: RequestValidationError) -> Response:
    """Every wrong field, by its path: ``body.size``, ``query.limit``, ``path.asset``."""
    errors = tuple(_problem_of(one) for one in error.errors())
    count = "1 field is" if len(errors) == 1 else f"{len(errors)} fields are"
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "request_invalid", f"{count} wrong", errors=errors
    )


def _problem_of(error: Mapping[str, Any]) -> Problem:
    code, loc = str(error["type"]), error["loc"]
    if code == "json_invalid":  # its location is a character of the body
        reason = error.get("ctx", {}).get("error", "")
        return Problem("body", f"is not JSON: {reason} at character {loc[-1]}", code=code)
    return Problem(".".join(map(str, loc)), str(error["msg"]), code=code)


def wrong_fields(**reasons: str) -> RequestValidationError:
    """The error for wrong fields of the query."""
    return RequestValidationError(
        [{"type": "value_error", "loc": ("query", name), "msg": reasons[name]} for name in reasons]
    )


def _defect(error: Exception) -> Response:
    id_ = secrets.token_hex(8)
    logger.error("a defect", exc_info=error, extra={"id": id_})
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        f"this is our mistake; the log has it under {id_}",
        id_=id_,
    )


class ProblemRoute(APIRoute):
    """A route that turns all errors into problems.

    Starlette's own handler of last resort answers and then raises the error again, which ends the
    invocation of a function.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its errors answered."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # noqa: BLE001 - every error is an answer
                return answer(error)

        return handle

    def check(self, request: Request) -> None:
        """Refuse mistakes that FastAPI ignores: with a misspelt filter it would list everything,
        and for a body of another media type it would only report that the body is not an object.

        Raises:
            RequestValidationError: parameters of the query are unknown or given twice.
            HTTPException: 415.
        """
        known = {one.alias for one in self.dependant.query_params}
        given = request.query_params.multi_items()
        names = [name for name, _ in given]
        wrong = {name: "there is no such parameter" for name in names if name not in known}
        wrong |= {name: "is given twice" for name in known if names.count(name) > 1}
        if wrong:
            raise wrong_fields(**wrong)
        type_, _, _ = request.headers.get("content-type", "").partition(";")
        main, _, sub = type_.strip().lower().partition("/")
        json = main == "application" and (sub == "json" or sub.endswith("+json"))
        empty = request.headers.get("content-length", "0") == "0"
        if self.body_field is not None and not json and not (empty and not main):
            raise HTTPException(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON, as content type application/json"
            )


def install(app: FastAPI) -> None:
    """Answer unknown paths and methods with problems."""

    def taken(scope: Scope, method: str) -> bool:
        asked = {**scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in app.routes)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.NOT_FOUND:
            error.detail = "there is nothing at this path"
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router lists only the methods of the first route with this path.
            allowed = ", ".join(one for one in METHODS if taken(request.scope, one))
            error = HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": allowed})
            error.detail = f"this path takes {allowed}"
        return answer(error)

    app.add_exception_handler(HTTPException, unrouted)
