"""Serves the API in the local stack: the app that the function answers with, on a loopback port.

Tokens are signed with a secret of the stack and checked as everywhere: signing in is on here, too.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from worker.bootstrap import assemble
from worker.domain.errors import PortTaken
from worker.entrypoints.api.app import ApiServices, create
from worker.entrypoints.api.tokens import ADMIN, development_token
from worker.local.batch.jobs import LocalJobs
from worker.local.child import working
from worker.settings import Settings

SECRET = "SAFELIGHT_API_SECRET"  # noqa: S105 - the name of a variable
OWNER = "me"
"""Who the token belongs to that the stack prints."""
TOKEN_SECONDS = 30 * 86_400
BACKLOG = 256
CLOSING_SECONDS = 5
"""For requests that are being answered when the stack stops."""


def listen(port: int) -> socket.socket:
    """Take a port on loopback.

    Raises:
        PortTaken: something listens there.
    """
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        message = f"port {port} of the API is taken; choose another with --api-port"
        raise PortTaken(message) from None
    return made


def run(port: int, jobs: Path, ready: Path) -> None:
    """Serve until a signal asks for the end.

    Args:
        jobs: folder of the heavy jobs.
        ready: file to write once requests are answered.
    """
    settings = Settings.from_environment(os.environ)
    services = ApiServices(app=assemble(settings), jobs=LocalJobs(jobs))
    config = uvicorn.Config(
        create(lambda: services, origins=settings.api_origins),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=CLOSING_SECONDS,
    )
    with listen(port) as listener, working(ready):
        uvicorn.Server(config).run(sockets=[listener])


def secret_of(before: Mapping[str, str]) -> str:
    """The secret that signs tokens: that of the last run, so that tokens stay valid, or a new one.

    Args:
        before: the variables of the last run.
    """
    return before.get(SECRET) or secrets.token_urlsafe(32)


def token(environment: Mapping[str, str]) -> str:
    """A token of a stack for who works at it: an administrator's, valid for a month."""
    settings = Settings.from_environment(environment)
    return development_token(settings, OWNER, (ADMIN,), seconds=TOKEN_SECONDS)
