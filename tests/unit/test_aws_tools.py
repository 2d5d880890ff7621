"""The small programs that ask AWS for a deployment, against a server that answers as AWS does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

TOOLS = Path(__file__).parents[2] / "images" / "tools"
REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/safelight"
DIGEST = f"sha256:{'ab' * 32}"
IDENTITY = """\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>AIDA</UserId>
<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""


class Answers(ThreadingHTTPServer):
    """Answers every request with what it was given, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.body = ""
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_POST(self) -> None:
        self.server.asked.append(
            self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8")
        )
        body = self.server.body.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the test says what was asked."""


@pytest.fixture
def aws() -> Iterator[Answers]:
    """A server on loopback."""
    with Answers() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tool(
    name: str, *arguments: str, endpoint: str = "", credentials: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one, with nothing of this machine's own."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    if endpoint:
        environment["AWS_ENDPOINT_URL"] = endpoint
    if credentials:
        environment |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    return subprocess.run(
        [sys.executable, str(TOOLS / f"{name}.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_account_is_printed(aws: Answers) -> None:
    """Also without a region of one's own."""
    aws.body = IDENTITY

    done = tool("aws_account", endpoint=aws.url)

    assert (done.returncode, done.stdout) == (0, "123456789012\n")


def test_without_credentials_the_reason_is_one_line() -> None:
    """A deployment shows it beside everything else that is missing."""
    done = tool("aws_account", credentials=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("no AWS account answers to the credentials here: ")
    assert done.stderr.count("\n") == 1


def test_credentials_that_are_refused_are_told(aws: Answers) -> None:
    """Expired ones, for instance."""
    aws.status, aws.body = (
        403,
        (
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            "<Code>ExpiredToken</Code><Message>The security token is expired</Message>"
            "</Error></ErrorResponse>"
        ),
    )

    done = tool("aws_account", endpoint=aws.url)

    assert done.returncode == 1
    assert "expired" in done.stderr


def test_the_digest_of_a_tag_is_printed(aws: Answers) -> None:
    """As images are named in a configuration."""
    aws.body = json.dumps({"imageDetails": [{"imageDigest": DIGEST}]})

    done = tool("ecr_digest", REPOSITORY, "abc-arm64", endpoint=aws.url)

    assert (done.returncode, done.stdout) == (0, f"{REPOSITORY}@{DIGEST}\n")
    assert json.loads(aws.asked[0]) == {
        "registryId": "123456789012",
        "repositoryName": "team/safelight",
        "imageIds": [{"imageTag": "abc-arm64"}],
    }


def test_a_tag_that_is_not_there_is_no_error(aws: Answers) -> None:
    """It has to be pushed, then."""
    aws.status, aws.body = 400, json.dumps({"__type": "ImageNotFoundException", "message": "no"})

    done = tool("ecr_digest", REPOSITORY, "abc-arm64", endpoint=aws.url)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_repository_that_is_not_there_is_one(aws: Answers) -> None:
    """A push would fail, too, after a long build."""
    aws.status, aws.body = (
        400,
        json.dumps({"__type": "RepositoryNotFoundException", "message": "gone"}),
    )

    done = tool("ecr_digest", REPOSITORY, "abc-arm64", endpoint=aws.url)

    assert (done.returncode, done.stdout) == (1, "")
    assert "gone" in done.stderr


def test_other_registries_are_not_asked() -> None:
    """They have no such answer; what is there is pushed again."""
    done = tool("ecr_digest", "registry.example.com/team/safelight", "abc", credentials=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
