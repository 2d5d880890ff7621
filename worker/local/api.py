"""Serves the API in the local stack: the app that the function answers with, on a loopback port.

Tokens are signed with a secret of the stack and checked as everywhere: signing in is on here, too.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from worker.bootstrap import assemble
from worker.domain.errors import ConfigurationError, PortTaken
from worker.local.address import JOBS, Address
from worker.local.batch.jobs import LocalJobs
from worker.local.child import working
from worker.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SECRET = "SAFELIGHT_API_SECRET"  # noqa: S105 - the name of a variable
APP = "worker.entrypoints.api.app"
LOGS = "worker.entrypoints.logs"
PROBLEMS = "worker.entrypoints.api.problems"
"""By name, as the handlers: they stand above."""
OWNER = "me"
"""Owner of the token that the stack prints."""
TOKEN_SECONDS = 30 * 86_400
BACKLOG = 256
MOST_REQUESTS = 100
"""In work at the same time: 40 in threads (anyio's limit), the others wait for a thread. On AWS the
function's concurrency bounds them. Without a bound requests whose clients have gone away are still
answered, and at 40 uploads a second a ticket took 90 s."""
RETRY_SECONDS = 2
CLOSING_SECONDS = 5
"""For requests that are being answered when the stack stops."""


def listen(port: int, option: str = "--api-port") -> socket.socket:
    """Take a port on loopback.

    Args:
        port: to take.
        option: of ``safelight up``, that chooses it.

    Raises:
        PortTaken: something listens there.
    """
    # asyncio sends small packets at once (TCP_NODELAY) only on sockets that say they are TCP.
    made = socket.socket(proto=socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        message = f"port {port} is taken; choose another with {option}"
        raise PortTaken(message) from None
    return made


def uvicorn_server(app: Any) -> uvicorn.Server:
    """Serves an ASGI app of the stack, once it is run on a socket."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
    )


class RequestBound:
    """Answers 503 to requests beyond a number in work, so that the others are answered in time.

    Args:
        app: an ASGI app.
        most: requests at the same time.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app, self._left = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._left == 0:
            text = f"too many requests at once; try again in {RETRY_SECONDS} s"
            problem = resolve_name(f"{PROBLEMS}:problem")
            refusal = problem(503, "throttled", text, headers={"Retry-After": str(RETRY_SECONDS)})
            await refusal(scope, receive, send)
            return
        self._left -= 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._left += 1


def run(address: Address, ready: Path) -> None:
    """Serve until a signal asks for the end.

    Args:
        address: of the stack; it names the port.
        ready: file to write once requests are answered.
    """
    resolve_name(f"{LOGS}:adopt")(resolve_name(f"{LOGS}:logger")("api"))
    settings = Settings.from_environment(os.environ)
    services = resolve_name(f"{APP}:ApiServices")(
        app=assemble(settings), jobs=LocalJobs(address.data / JOBS)
    )
    app = resolve_name(f"{APP}:create")(lambda: services, origins=settings.api_origins)
    server = uvicorn_server(app)
    from worker.local import console  # what the app needs: the stack's other processes do not

    console.attach(app, services, address, stopping=lambda: server.should_exit)
    app.add_middleware(RequestBound, most=MOST_REQUESTS)
    port = urlsplit(address.api).port
    assert port is not None
    with listen(port) as listener, working(ready):
        server.run(sockets=[listener])


def secret_of(before: Mapping[str, str]) -> str:
    """The secret that signs tokens: that of the last run, so that tokens stay valid, or a new one.

    Args:
        before: the variables of the last run.
    """
    return before.get(SECRET) or secrets.token_urlsafe(32)


def token(environment: Mapping[str, str]) -> str:
    """A token of a stack for who works at it: an administrator's, valid for a month."""
    settings = Settings.from_environment(environment)
    return development_token(settings, OWNER, ["admin"], seconds=TOKEN_SECONDS)


def development_token(
    settings: Settings, owner: str, scopes: Sequence[str], *, seconds: int
) -> str:
    """A token signed with the shared secret.

    Raises:
        ConfigurationError: there is no shared secret: the issuer makes tokens.
    """
    if settings.api_secret is None:
        raise ConfigurationError("there is no shared secret; the issuer makes the tokens")
    import jwt  # a command that needs no token starts without it

    now = int(time.time())
    claims = {
        "iss": settings.api_issuer,
        "aud": settings.api_audience,
        "iat": now,
        "exp": now + seconds,
        settings.api_owner_claim: owner,
        settings.api_scope_claim: " ".join(settings.api_scope_prefix + one for one in scopes),
    }
    return jwt.encode(claims, settings.api_secret, algorithm="HS256")
