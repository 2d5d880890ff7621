"""``safelight review --api``: people without rights on AWS decide with their token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.servers import serving_app
from tests.unit.api.test_reviews import Moderated
from worker.entrypoints.cli import remote, run


@dataclass
class Desk:
    """A reviewer at a terminal, and the API over HTTP."""

    url: str
    token: Path
    capture: pytest.CaptureFixture[str]
    api: Moderated = field(default_factory=Moderated)

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        """What a command says."""
        access = ("--api", self.url, "--token-file", str(self.token))
        found = run(["review", *words, *access])
        said = self.capture.readouterr()
        assert found == code, said
        return said.out, said.err

    def json(self, *words: str) -> Any:
        """What it prints for programs."""
        return json.loads(self.run(*words, "--json")[0])


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """With the token of a reviewer in a file."""
    api, token = Moderated(), tmp_path / "token"
    token.write_text(api.token("rita", "review") + "\n")
    with serving_app(api.app) as url:
        yield Desk(url, token, capsys, api)


def test_reviews_are_listed_shown_and_decided(desk: Desk) -> None:
    """As with rights on AWS, but for what reviewers are not told: the key is a name."""
    first, second = (
        desk.api.ask(number, deadline=f"2099-01-0{number}T00:00:00Z") for number in (1, 2)
    )

    lines = desk.run("list")[0].splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["80", "80"]
    assert first.id in lines[1]
    assert "IMG_0001.jpg" in lines[1]
    assert [one["id"] for one in desk.json("list", "--limit", "1")] == [first.id]
    shown = " ".join(desk.run("show", first.id)[0].split())
    assert "approved 0 of 1" in shown
    assert "IMG_0001.jpg" in shown
    assert desk.json("show", first.id)["renditions"]
    assert desk.run("approve", first.id)[0] == f"approved {first.id}  IMG_0001.jpg\n"
    decided = desk.json("reject", second.id, "--reason", "a stolen logo")
    assert (decided["state"], decided["decisions"][0]["reviewer"]) == ("rejected", "rita")
    assert desk.run("list")[0] == "no reviews\n"


def test_a_list_goes_on_where_it_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the API's cursor, over as many of its pages as --limit needs."""
    asked = [
        desk.api.ask(number, deadline=f"2099-01-0{number}T00:00:00Z").id for number in (1, 2, 3, 4)
    ]
    monkeypatch.setattr(remote, "PAGE", 2)

    first, said = desk.run("list", "--json", "--limit", "3")
    cursor = json.loads(said)["cursor"]
    rest, end = desk.run("list", "--json", "--limit", "3", "--cursor", cursor)

    assert [[one["id"] for one in json.loads(part)] for part in (first, rest)] == [
        asked[:3],
        asked[3:],
    ]
    assert end == ""
    assert (
        json.loads(desk.run("list", "--json", "--cursor", "no cursor", code=2)[1])["error"]["code"]
        == "input_cursor"
    )


def test_refusals_keep_their_code(desk: Desk) -> None:
    """Of the API, of a file without a token, and of what does not answer."""
    review = desk.api.ask(1).id

    def code(*words: str, exit_code: int = 2) -> str:
        error = json.loads(desk.run(*words, "--json", code=exit_code)[1])["error"]
        return str(error["code"])

    assert code("show", review[:-1] + "7") == "review_missing"
    desk.token.write_text(desk.api.token("ann", "read"))
    assert code("approve", review) == "not_allowed"
    desk.token.write_text("")
    assert code("list") == "input_unreadable"
    desk.token.unlink()
    assert code("list") == "input_missing"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("list", "--api", "ftp://x"), "usage"),
        (("list", "--api", "http://x", "--data", "d"), "usage"),
        (("approve", "r", "--api", "http://x", "--reviewer", "me"), "usage"),
    ],
)
def test_what_does_not_go_together_is_told(
    words: tuple[str, ...],
    code: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is asked."""
    monkeypatch.setenv("SAFELIGHT_TOKEN", "t")
    assert run(["review", *words, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == code


def test_without_a_token_nothing_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the two ways to give one."""
    monkeypatch.delenv("SAFELIGHT_TOKEN", raising=False)
    assert run(["review", "list", "--api", "http://x"]) == 2
    said = capsys.readouterr().err
    assert "--token-file" in said
    assert "SAFELIGHT_TOKEN" in said
