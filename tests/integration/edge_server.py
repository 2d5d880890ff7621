"""Stands for the distribution on its way to the intake bucket.

The function at the edge is the real one, in njs; the signature is that of origin access control.
The embedded AWS sends no bodies through a distribution.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.edge.ticket_function import answers, event
from tests.integration.running import Running
from tests.servers import serving

KEY = "ab" * 32


def distribution(running: Running) -> AbstractContextManager[str]:
    """Serve on a free port; the address."""
    return serving(partial(_Handler, running))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, running: Running, *request: Any) -> None:
        self._running = running
        super().__init__(*request)

    def handle_one_request(self) -> None:
        """One of a connection that the line may cut."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_PUT(self) -> None:
        """As the behaviour of the distribution is declared."""
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the line was cut")
        (found,) = answers([event("PUT", self.path, dict(self.headers))], KEY)
        if "statusCode" in found:
            self._say(found["statusCode"], found["body"].encode())
            return
        # What the origin request policy lets through, and what CloudFront sends on by itself.
        kept = ("content-type", "content-length", "if-none-match", "x-amz-")
        headers = {
            name: one["value"] for name, one in found["headers"].items() if name.startswith(kept)
        }
        query = urlencode({name: one["value"] for name, one in found["querystring"].items()})
        self._say(*self._signed(found["uri"], query, headers, body))

    def _signed(
        self, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        who = self._running.root
        bucket = self._running.app.settings.intake_bucket
        target = f"{who['AWS_ENDPOINT_URL']}/{bucket}{path}{'?' if query else ''}{query}"
        request = AWSRequest(method="PUT", url=target, headers=headers)
        request.context["payload_signing_enabled"] = False
        credentials = Credentials(who["AWS_ACCESS_KEY_ID"], who["AWS_SECRET_ACCESS_KEY"])
        S3SigV4Auth(credentials, "s3", who["AWS_REGION"]).add_auth(request)
        sent = Request(target, data=body, method="PUT", headers=dict(request.headers))
        try:
            with urlopen(sent, timeout=60) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    def _say(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""
