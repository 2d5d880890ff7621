"""Sends webhooks over HTTP, to addresses of the internet only.

The owner of an endpoint or of its DNS name could direct this process to services that trust it:
AWS's metadata, Lambda's runtime, an internal network. So a name is looked up once, every address
of the answer is checked, and the connection goes to one of exactly these addresses: there is no
second lookup that could answer otherwise (DNS rebinding). The name is used for TLS and the Host
header only. Redirects are not followed, proxies of the environment not used.

The receiver is untrusted: one deadline covers lookup, connection, TLS, request and response. Only
the status line and the headers of a response are read, up to a limit, and no body.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import worker
from worker.domain.errors import WebhookFailed
from worker.domain.webhook import WebhookUrl
from worker.ports import WebhookAnswer

SECONDS = 20.0
"""From the lookup of the name to the end of the answer's headers (Standard Webhooks 1.0.0, "Request
timeouts": 15 to 30 seconds)."""
CONNECT_SECONDS = 5.0
"""For one address."""
ADDRESSES = 4
"""Most addresses that are tried: whoever answers for a name decides how many there are."""
ANSWER_BYTES = 16_384
"""Most of a status line and headers together."""
USER_AGENT = f"Safelight-Webhooks/{worker.__version__}"

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network
SocketAddress: TypeAlias = tuple[Any, ...]
"""As ``socket.connect`` takes it: of two parts for IPv4, of four for IPv6."""
Resolve: TypeAlias = Callable[[str, int], Sequence[SocketAddress]]
"""From a host and a port to addresses. Raises ``OSError``."""


# --- the guard --------------------------------------------------------------------------------

_REFUSED: Mapping[str, Sequence[str]] = {
    "of this network": ("0.0.0.0/8",),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    "of a carrier's NAT": ("100.64.0.0/10",),
    "loopback": ("127.0.0.0/8",),
    "link-local": ("169.254.0.0/16",),
    "for IETF protocols": ("192.0.0.0/24", "2001::/23"),  # Teredo and ORCHID are in the latter
    "for documentation": (
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
        *("2001:db8::/32", "3fff::/20"),
    ),
    "of AS112": ("192.31.196.0/24", "192.175.48.0/24", "2620:4f:8000::/48"),
    "for AMT": ("192.52.193.0/24",),
    "6to4": ("192.88.99.0/24", "2002::/16"),
    "for benchmarks": ("198.18.0.0/15",),
    "multicast": ("224.0.0.0/4",),
    "reserved": ("240.0.0.0/4",),
}
"""Blocks of the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890) and of multicast
(RFC 5771), and what they are. Written out, because what ``ipaddress`` calls global differs between
versions of Python and lets NAT64 and site-local addresses pass."""
_BLOCKS = tuple((ip_network(block), kind) for kind, blocks in _REFUSED.items() for block in blocks)
_UNICAST = ip_network("2000::/3")
"""The only block of IPv6 that is given out for the internet (IANA, "IPv6 Address Space"). Outside
of it are loopback, unique local, link-local, site-local and multicast addresses, and those with an
IPv4 address inside: mapped (``::ffff:0:0/96``), compatible (``::/96``) and NAT64 (``64:ff9b::/96``,
``64:ff9b:1::/48``)."""


def refusal(address: IpAddress) -> str:
    """The kind of an address that webhooks must not use; empty for a public internet address."""
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return "of IPv6 and not of the internet"
    return next((kind for block, kind in _BLOCKS if address in block), "")


# --- one request ------------------------------------------------------------------------------


class _Deadline:
    """When a request has taken too long."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds. Raises ``TimeoutError`` if there are none."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left


class _AnswerTooLong(http.client.HTTPException):
    """Status line and headers are larger than ``ANSWER_BYTES``."""


class _TimedSocket(io.RawIOBase):
    """A connected socket, for ``http.client``: every wait on it ends with the deadline, and it
    gives a limited number of bytes. The timeout of a socket alone begins anew with every byte."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket, self._deadline = connected, deadline
        self._left = ANSWER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise _AnswerTooLong(f"more than {ANSWER_BYTES} bytes of headers")
        self._socket.settimeout(self._deadline.left())
        read = self._socket.recv_into(memoryview(buffer)[: self._left])
        self._left -= read
        return read

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._deadline.left())
            view = view[self._socket.send(view) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        """Nothing: ``http.client`` closes a connection that fails before the reader on it, whose
        close would then hide what has failed. The socket belongs to who has connected it."""


class HttpWebhookSender:
    """Sends webhooks. Safe to share between threads.

    Args:
        allowed: networks that are reached although they are not of the internet, and without TLS;
            for the local stack and tests.
        seconds: of a whole request.
        resolve: looks names up.
        tls: None checks certificates by the authorities that botocore brings: the Lambda image has
            no others.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[IpNetwork] = (),
        seconds: float = SECONDS,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = tuple(allowed)
        self._seconds = seconds
        self._resolve = resolve or _look_up
        if tls is not None:
            self._tls = tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        from botocore.httpsession import get_cert_path  # 0.1 s: not for who only fills queues

        return ssl.create_default_context(cafile=get_cert_path(True))  # noqa: FBT003 - botocore's

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookAnswer:
        """See ``WebhookSender.post``."""
        address = WebhookUrl.parse(url)
        deadline = _Deadline(self._seconds)
        with _told(address.host), contextlib.ExitStack() as stack:
            connected = self._connect(address, deadline)
            stack.callback(connected.close)
            if address.secure:
                connected.settimeout(deadline.left())
                connected = self._tls.wrap_socket(connected, server_hostname=address.host)
                stack.callback(connected.close)
            return _exchange(_TimedSocket(connected, deadline), address, body, headers)

    def _connect(self, address: WebhookUrl, deadline: _Deadline) -> socket.socket:
        """Connect to an address that was checked."""
        checked = self._checked(address, self._answers(address, deadline))
        last: OSError = OSError("the name has no address")
        for family, where in checked[:ADDRESSES]:
            connected = socket.socket(family, socket.SOCK_STREAM)
            try:
                connected.settimeout(min(CONNECT_SECONDS, deadline.left()))
                connected.connect(where)
            except OSError as error:
                connected.close()
                last = error
            else:
                return connected
        raise last

    def _answers(self, address: WebhookUrl, deadline: _Deadline) -> Sequence[SocketAddress]:
        """Look the host up. In a thread: the system's resolver knows no deadline, and gives up
        by itself after some seconds."""
        answers: SimpleQueue[Sequence[SocketAddress] | Exception] = SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(self._resolve(address.host, address.port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=look_up, name="lookup", daemon=True).start()
        try:
            found = answers.get(timeout=deadline.left())
        except Empty:
            raise TimeoutError("the lookup of the name takes too long") from None
        if isinstance(found, Exception):
            raise WebhookFailed(
                f"{address.host} cannot be looked up: {found}", code="webhook_unreachable"
            ) from found
        return found

    def _checked(
        self, address: WebhookUrl, answers: Sequence[SocketAddress]
    ) -> list[tuple[socket.AddressFamily, SocketAddress]]:
        """All addresses of an answer, or none: a name that leads inside and outside is a trap."""
        found = []
        for where in answers:
            ip = ip_address(str(where[0]).partition("%")[0])
            inside = any(ip in network for network in self._allowed)
            kind = "" if inside else refusal(ip)
            if kind:
                raise WebhookFailed(
                    f"{address.host} has the address {ip}, which is {kind}",
                    code="webhook_address_refused",
                )
            if not (address.secure or inside):
                raise WebhookFailed(
                    f"{address.host} is to be reached without TLS", code="webhook_address_refused"
                )
            found.append((socket.AF_INET6 if ip.version == 6 else socket.AF_INET, where))
        return found


def _exchange(
    wire: _TimedSocket, address: WebhookUrl, body: bytes, headers: Mapping[str, str]
) -> WebhookAnswer:
    connection = http.client.HTTPConnection(address.host, address.port)
    connection.sock = wire
    connection.request(
        "POST",
        address.target,
        body,
        {
            "Host": address.authority,
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Connection": "close",
            **headers,
        },
    )
    answer = connection.getresponse()
    return WebhookAnswer(
        status=answer.status, retry_after=_seconds(answer.headers.get("Retry-After", ""))
    )


@contextlib.contextmanager
def _told(host: str) -> Iterator[None]:
    """Map what can go wrong. Text of the receiver is kept out of messages, because it is
    untrusted."""
    try:
        yield
    except TimeoutError as error:
        raise WebhookFailed(f"{host} does not answer in time", code="webhook_timed_out") from error
    except ssl.SSLError as error:
        said = getattr(error, "verify_message", "") or error.reason or "no reason"
        raise WebhookFailed(f"TLS with {host} failed: {said}", code="webhook_tls_failed") from error
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise WebhookFailed(
            f"{host} cannot be reached: {said}", code="webhook_unreachable"
        ) from error
    except (http.client.HTTPException, ValueError) as error:
        said = f"{host} gives no answer of HTTP: {type(error).__name__}"
        raise WebhookFailed(said, code="webhook_answer_invalid") from error


def _seconds(retry_after: str) -> float | None:
    """The delay of a Retry-After header: seconds or a date (RFC 9110, section 10.2.3)."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
        seconds = (date - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds)


def _look_up(host: str, port: int) -> Sequence[SocketAddress]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [where for *_, where in found]
