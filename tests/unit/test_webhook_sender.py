"""The sender of webhooks, against real sockets: what it connects to, and what it takes for an
answer."""

from __future__ import annotations

import datetime
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.webhooks import (
    ADDRESSES,
    ANSWER_BYTES,
    HttpWebhookSender,
    IpAddress,
    SocketAddress,
    refusal,
)
from worker.domain.errors import WebhookFailed
from worker.domain.webhook import WebhookUrl

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"

Script = Callable[[socket.socket], None]


@contextmanager
def receiver(script: Script, host: str = "127.0.0.1") -> Iterator[tuple[int, list[str]]]:
    """A server of one script for each connection; yields its port and who has connected."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    seen: list[str] = []
    with socket.create_server((host, 0), family=family) as server:

        def serve() -> None:
            while True:
                try:
                    connected, _ = server.accept()
                except OSError:
                    return
                seen.append(connected.getsockname()[0])
                with connected:
                    try:
                        script(connected)
                    except OSError:
                        continue  # the sender has gone, or TLS has failed: what a test wants

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def request_of(connected: socket.socket) -> bytes:
    """One whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connected.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connected.recv(65_536)
    return head + b"\r\n\r\n" + body


def answering(answer: bytes) -> Script:
    """Read a request, answer, end."""

    def script(connected: socket.socket) -> None:
        request_of(connected)
        connected.sendall(answer)

    return script


def resolving(*hosts: str) -> Callable[[str, int], Sequence[SocketAddress]]:
    """A resolver that knows one answer."""
    return lambda _, port: [(host, port, 0, 0) if ":" in host else (host, port) for host in hosts]


def failure(sender: HttpWebhookSender, url: str, body: bytes = b"{}") -> WebhookFailed:
    """What a request fails with."""
    with pytest.raises(WebhookFailed) as caught:
        sender.post(url, body, {})
    return caught.value


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254"),
        *("169.254.0.1", "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
        *("192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1", "198.18.0.1"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::ffff:8.8.8.8", "::ffff:10.0.0.1", "::8.8.8.8"),
        *("64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "100:0:0:1::1"),
        *("2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:808:808::1"),
        *("2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1"),
        *("fec0::1", "ff02::1", "4000::1"),
    ],
)
def test_addresses_that_are_not_of_the_internet_are_refused(address: str) -> None:
    """Every block of the registries of special purposes has a name for its refusal."""
    assert refusal(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1"),
        *("192.0.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255"),
        *("2001:200::1", "2001:4860:4860::8888", "2600:9000::1", "2a00:1450::1"),
    ],
)
def test_addresses_of_the_internet_are_not_refused(address: str) -> None:
    """Neighbours of refused blocks and addresses of large providers pass."""
    assert refusal(ip_address(address)) == ""


@given(st.ip_addresses())
def test_nothing_passes_that_python_knows_as_special(address: IpAddress) -> None:
    """The strategy draws from special blocks on purpose."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(address)


def test_a_refused_address_gets_no_connection() -> None:
    """A name that leads to loopback is refused before anything is sent."""
    with receiver(answering(ACCEPTED)) as (port, seen):
        found = failure(
            HttpWebhookSender(resolve=resolving("127.0.0.1")), f"https://example.com:{port}/"
        )
    assert found.code == "webhook_address_refused"
    assert seen == []


def test_one_refused_address_refuses_the_name() -> None:
    """A name with an address of the internet and one of loopback is not tried at all."""
    with receiver(answering(ACCEPTED)) as (port, seen):
        sender = HttpWebhookSender(allowed=LOOPBACK, resolve=resolving("127.0.0.1", "10.0.0.1"))
        found = failure(sender, f"http://example.com:{port}/")
    assert found.code == "webhook_address_refused"
    assert "10.0.0.1" in found.message
    assert seen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "127.1", "[::1]", "localhost"])
def test_other_spellings_of_loopback_are_refused(host: str) -> None:
    """The address that the system makes of a spelling counts, not the spelling."""
    found = failure(HttpWebhookSender(), f"https://{host}/")
    assert found.code == "webhook_address_refused"


def test_without_tls_only_allowed_networks_are_reached() -> None:
    """http to an address of the internet is refused, before a connection is tried."""
    sender = HttpWebhookSender(allowed=LOOPBACK, resolve=resolving("8.8.8.8"))
    assert failure(sender, "http://example.com/").code == "webhook_address_refused"


def test_a_name_is_looked_up_once() -> None:
    """A name whose second answer would be another one leads to the first answer."""
    answers = iter(["127.0.0.2", "127.0.0.3"])
    asked = []

    def resolve(host: str, port: int) -> Sequence[SocketAddress]:
        asked.append(host)
        return [(next(answers), port)]

    with receiver(answering(ACCEPTED), "0.0.0.0") as (port, seen):
        sender = HttpWebhookSender(allowed=LOOPBACK, resolve=resolve)
        assert sender.post(f"http://example.com:{port}/", b"{}", {}).status == 204
    assert asked == ["example.com"]
    assert seen == ["127.0.0.2"]


def test_each_request_checks_anew() -> None:
    """An answer that turns to a refused address stops the next request."""
    answers = iter(["127.0.0.1", "10.0.0.1"])
    with receiver(answering(ACCEPTED)) as (port, seen):
        sender = HttpWebhookSender(
            allowed=LOOPBACK, resolve=lambda _, port: [(next(answers), port)]
        )
        assert sender.post(f"http://example.com:{port}/", b"{}", {}).status == 204
        assert failure(sender, f"http://example.com:{port}/").code == "webhook_address_refused"
    assert len(seen) == 1


def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    """Of several addresses the first that takes the connection gets the request."""
    with receiver(answering(ACCEPTED), "127.0.0.1") as (port, seen):
        sender = HttpWebhookSender(
            allowed=LOOPBACK, resolve=resolving("127.0.0.9", "127.0.0.8", "127.0.0.1")
        )
        assert sender.post(f"http://example.com:{port}/", b"{}", {}).status == 204
    assert seen == ["127.0.0.1"]


def test_only_some_addresses_are_tried() -> None:
    """A name with more addresses than the limit does not decide how long a request takes."""
    dead = [f"127.0.1.{number}" for number in range(1, ADDRESSES + 1)]
    with receiver(answering(ACCEPTED), "127.0.0.1") as (port, seen):
        sender = HttpWebhookSender(allowed=LOOPBACK, resolve=resolving(*dead, "127.0.0.1"))
        assert failure(sender, f"http://example.com:{port}/").code == "webhook_unreachable"
    assert seen == []


def test_ipv6_is_reached() -> None:
    """An address of IPv6 gets the request, and its Host header has brackets."""
    requests: list[bytes] = []

    def script(connected: socket.socket) -> None:
        requests.append(request_of(connected))
        connected.sendall(ACCEPTED)

    with receiver(script, "::1") as (port, _):
        sender = HttpWebhookSender(allowed=LOOPBACK)
        assert sender.post(f"http://[::1]:{port}/hook", b"{}", {}).status == 204
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in requests[0]


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    """A failing lookup is a failure that may pass."""

    def resolve(_host: str, _port: int) -> Sequence[SocketAddress]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    found = failure(HttpWebhookSender(resolve=resolve), "https://example.com/")
    assert (found.code, found.retryable) == ("webhook_unreachable", True)


def test_a_name_without_addresses_is_unreachable() -> None:
    """An empty answer leads nowhere."""
    found = failure(HttpWebhookSender(resolve=resolving()), "https://example.com/")
    assert found.code == "webhook_unreachable"


# --- requests and answers ---------------------------------------------------------------------


def test_the_request_is_what_was_given() -> None:
    """Method, path with query, host, headers and body arrive as they are."""
    requests: list[bytes] = []

    def script(connected: socket.socket) -> None:
        requests.append(request_of(connected))
        connected.sendall(ACCEPTED)

    body = b'{"id":"\xc3\xa9"}' * 20_000  # more than the buffers of a socket
    with receiver(script) as (port, _):
        sender = HttpWebhookSender(allowed=LOOPBACK, resolve=resolving("127.0.0.1"))
        sender.post(f"http://example.com:{port}/hook?a=1", body, {"webhook-id": "x"})
    head, _, sent = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert f"\r\nHost: example.com:{port}".encode() in head
    assert b"\r\nwebhook-id: x" in head
    assert sent == body


@pytest.mark.parametrize("status", [200, 204, 301, 308, 404, 410, 429, 500, 503])
def test_any_status_is_an_answer(status: int) -> None:
    """The sender judges no status, and follows no redirect."""
    with receiver(answering(ACCEPTED)) as (elsewhere, there):
        answer = (
            f"HTTP/1.1 {status} Said\r\nLocation: http://127.0.0.1:{elsewhere}/\r\n\r\n".encode()
        )
        with receiver(answering(answer)) as (port, _):
            sender = HttpWebhookSender(allowed=LOOPBACK)
            found = sender.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert (found.status, found.retry_after) == (status, None)
    assert there == []


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("120", 120, 120),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 1e9, 1e12),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
    ],
)
def test_the_wait_that_a_receiver_asks_for_is_read(header: str, low: float, high: float) -> None:
    """Retry-After is seconds or a date; a date that has passed asks for no wait."""
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {header}\r\n\r\n".encode()
    with receiver(answering(answer)) as (port, _):
        found = HttpWebhookSender(allowed=LOOPBACK).post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert found.retry_after is not None
    assert low <= found.retry_after <= high


@pytest.mark.parametrize("header", ["", "soon", "-5", "9" * 40, "1.5", "Fri, 99 Foo 2026"])
def test_a_wait_that_cannot_be_read_is_none(header: str) -> None:
    """Anything else in Retry-After counts as nothing."""
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {header}\r\n\r\n".encode()
    with receiver(answering(answer)) as (port, _):
        found = HttpWebhookSender(allowed=LOOPBACK).post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert found.retry_after is None


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"<html>hello</html>",
        b"\x00\x01\x02\x03" * 100,
        b"HTTP/1.1 nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nlong: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: " + b"x" * ANSWER_BYTES,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    ],
)
def test_what_is_no_answer_of_http_is_a_failure(answer: bytes) -> None:
    """Another protocol, and headers without end, are a failure with a code."""
    with receiver(answering(answer)) as (port, _):
        found = failure(HttpWebhookSender(allowed=LOOPBACK), f"http://127.0.0.1:{port}/")
    assert found.code == "webhook_answer_invalid"


def test_a_receiver_that_says_nothing_is_unreachable() -> None:
    """A connection that ends without an answer is a failure."""
    with receiver(lambda connected: None) as (port, _):
        found = failure(HttpWebhookSender(allowed=LOOPBACK), f"http://127.0.0.1:{port}/")
    assert found.code == "webhook_unreachable"


def test_a_connection_that_is_reset_is_unreachable() -> None:
    """The error is that of the request, not that of closing the connection."""

    def reset(connected: socket.socket) -> None:
        request_of(connected)
        # Closed with a linger of no time, a connection is reset.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with receiver(reset) as (port, _):
        found = failure(HttpWebhookSender(allowed=LOOPBACK), f"http://127.0.0.1:{port}/")
    assert (found.code, found.message) == (
        "webhook_unreachable",
        "127.0.0.1 cannot be reached: Connection reset by peer",
    )


def test_a_body_is_not_read() -> None:
    """An answer counts once its headers are there, whatever a body may be."""
    ended = threading.Event()

    def script(connected: socket.socket) -> None:
        request_of(connected)
        connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                connected.sendall(b"x" * 65_536)
        except OSError:
            ended.set()

    with receiver(script) as (port, _):
        found = HttpWebhookSender(allowed=LOOPBACK).post(f"http://127.0.0.1:{port}/", b"{}", {})
        assert found.status == 200
        assert ended.wait(30), "the sender goes on reading"


def dripping(first: bytes) -> Script:
    """A byte now and then, for as long as somebody listens."""

    def script(connected: socket.socket) -> None:
        request_of(connected)
        connected.sendall(first)
        while True:
            connected.sendall(b"x")
            time.sleep(0.01)

    return script


def silent(connected: socket.socket) -> None:
    """Take everything, say nothing."""
    while connected.recv(65_536):
        pass


def deaf(connected: socket.socket) -> None:
    """Take nothing until the sender goes."""
    gone = select.poll()
    gone.register(connected, select.POLLRDHUP | select.POLLHUP)
    gone.poll(30_000)


@pytest.mark.parametrize(
    ("script", "bytes_"), [(silent, 2), (dripping(b"HTTP/1.1 200 OK\r\na: "), 2), (deaf, 10**7)]
)
def test_one_deadline_ends_every_kind_of_slowness(script: Script, bytes_: int) -> None:
    """Silence, an answer byte by byte and a request that is not taken end in the same time."""
    with receiver(script) as (port, _):
        sender = HttpWebhookSender(allowed=LOOPBACK, seconds=0.3)
        found = failure(sender, f"http://127.0.0.1:{port}/", b"x" * bytes_)
    assert found.code == "webhook_timed_out"


def test_a_slow_lookup_ends_with_the_deadline() -> None:
    """A resolver that hangs does not hold the request."""
    over = threading.Event()

    def resolve(_host: str, _port: int) -> Sequence[SocketAddress]:
        over.wait(60)
        return []

    sender = HttpWebhookSender(seconds=0.1, resolve=resolve)
    assert failure(sender, "https://example.com/").code == "webhook_timed_out"
    over.set()


# --- TLS --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for receiver.example, with its key, that trusts itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("receiver.example")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def over_tls(certificate: Path, names: list[str | None]) -> Script:
    """Answer over TLS, and remember the name that was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def script(connected: socket.socket) -> None:
        with context.wrap_socket(connected, server_side=True) as secure:
            answering(ACCEPTED)(secure)

    return script


def test_tls_is_for_the_name_and_the_connection_for_the_address(certificate: Path) -> None:
    """The certificate is checked against the name, which is also what the server is told."""
    names: list[str | None] = []
    with receiver(over_tls(certificate, names)) as (port, _):
        sender = HttpWebhookSender(
            allowed=LOOPBACK,
            resolve=resolving("127.0.0.1"),
            tls=ssl.create_default_context(cafile=str(certificate)),
        )
        assert sender.post(f"https://receiver.example:{port}/", b"{}", {}).status == 204
    assert names == ["receiver.example"]


def test_a_certificate_of_another_name_is_refused(certificate: Path) -> None:
    """A receiver that cannot prove its name gets no request."""
    with receiver(over_tls(certificate, [])) as (port, _):
        sender = HttpWebhookSender(
            allowed=LOOPBACK,
            resolve=resolving("127.0.0.1"),
            tls=ssl.create_default_context(cafile=str(certificate)),
        )
        found = failure(sender, f"https://other.example:{port}/")
    assert found.code == "webhook_tls_failed"
    assert "other.example" in found.message


def test_an_unknown_authority_is_refused(certificate: Path) -> None:
    """By default the authorities of the web count, and no certificate that trusts itself."""
    with receiver(over_tls(certificate, [])) as (port, _):
        sender = HttpWebhookSender(allowed=LOOPBACK, resolve=resolving("127.0.0.1"))
        found = failure(sender, f"https://receiver.example:{port}/")
    assert found.code == "webhook_tls_failed"


def test_a_receiver_that_stops_in_the_handshake_times_out() -> None:
    """TLS has no time of its own."""
    with receiver(silent) as (port, _):
        sender = HttpWebhookSender(allowed=LOOPBACK, seconds=0.3, resolve=resolving("127.0.0.1"))
        found = failure(sender, f"https://receiver.example:{port}/")
    assert found.code == "webhook_timed_out"


# --- addresses of endpoints -------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com/", "https://", "https:///path"),
        *("https://user:word@example.com/", "https://example.com/#part", "https://exämple.com/"),
        *("https://example.com:99999/", "https://example.com/a b", "https://example.com/\n"),
        *("https://exa_mple.com/", "https://example.com/" + "x" * 2048),
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """An invalid URL is refused when it is configured."""
    with pytest.raises(ValueError, match="must"):
        WebhookUrl.parse(url)


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://example.com", "example.com", "/"),
        ("https://example.com:443/a?b=c", "example.com", "/a?b=c"),
        ("https://example.com:8443/", "example.com:8443", "/"),
        ("http://127.0.0.1:80/", "127.0.0.1", "/"),
        ("https://[2600:9000::1]:8443/x", "[2600:9000::1]:8443", "/x"),
    ],
)
def test_the_parts_of_an_address(url: str, authority: str, target: str) -> None:
    """A Host header names the port only where it is not the usual one."""
    parsed = WebhookUrl.parse(url)
    assert (parsed.authority, parsed.target) == (authority, target)
