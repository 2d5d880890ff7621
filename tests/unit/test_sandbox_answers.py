"""The sandbox against a child that lies: hostile answers, and the form in which answers come."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.unit import sandbox_targets as targets
from tests.unit.test_sandbox import ROOMY
from worker.domain.errors import LimitExceeded, PoisonInput, Reason, SafelightError
from worker.domain.image import Format, Limits, Probe, Recipe, RenditionSpec, Tags
from worker.subprocesses import sandbox_wire as wire
from worker.subprocesses.sandbox import run


def frame(header: object, body: bytes = b"") -> bytes:
    """A frame with any JSON for a header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return wire.PREFIX.pack(wire.MAGIC, len(text), len(body)) + text + body


def sent(kind: str, value: object) -> tuple[str, object]:
    """Send a value through a frame, without a process."""
    chunks = wire.encode(kind, value)
    return wire.decode(chunks[1], memoryview(b"".join(chunks[2:])))


class TestHostileAnswers:
    """A child that was taken over writes its own answer."""

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (pickle.dumps(["returned", Path("x")]), Reason.CRASHED),
            (b"cos\nsystem\n(S'true'\ntR.", Reason.CRASHED),
            (b"SFLT", Reason.CRASHED),
            (frame(["returned", 1])[:-1], Reason.CRASHED),
            (frame(["returned", ["enum", "os:system", "true"]]), Reason.CRASHED),
            (frame(["surprise", 1]), Reason.CRASHED),
            (frame(["raised", "not an error"]), Reason.CRASHED),
            (wire.PREFIX.pack(wire.MAGIC, 10, 1 << 50), Reason.OUT_OF_MEMORY),
            (wire.PREFIX.pack(wire.MAGIC, wire.HEADER_LIMIT + 1, 0), Reason.OUT_OF_MEMORY),
        ],
    )
    def test_forged(self, data: bytes, reason: Reason) -> None:
        """Pickles, half frames, endless frames and foreign names are refused."""
        with pytest.raises(PoisonInput) as caught:
            run(targets.answer_with, data, limits=ROOMY)
        assert caught.value.reason is reason

    @pytest.mark.parametrize(
        "node",
        [
            ["enum", "os:system", "true"],
            ["enum", "worker.domain.errors:Reason", "no such reason"],
            ["enum", "worker.domain.errors:SafelightError", "x"],
            ["data", "subprocess:Popen", {"args": "true"}],
            ["data", "worker.subprocesses.child:subprocess", {}],
            ["data", "worker.imaging.nowhere:Thing", {}],
            ["data", "worker.domain.image:Format", {}],
            ["data", "worker.domain.image:Limits", {"__class__": 1}],
            ["data", "worker.domain.image:Limits", {"pixels": "many"}],
            ["data", "worker.domain.image:Limits", {"pixels": True}],
            ["data", "worker.domain.image:Probe", {}],
            ["data", "worker.domain.image:Tags", {"keywords": [1]}],
            ["data", "worker.domain.image:Tags", {"keywords": "a"}],
            ["data", "worker.domain.image:Tags", {"title": {"$bytes": 0}}],
            ["data", "worker.domain.image:Tags", {"title": "\ud800"}],
            ["error", "builtins:SystemExit", ["dict", ["message", "x"]]],
            ["error", "worker.domain.errors:StorageFull", ["dict"]],
            ["error", "worker.domain.errors:StorageFull", "x"],
            [
                "error",
                "worker.domain.errors:EngineError",
                ["dict", ["message", "x"], ["retryable", True]],
            ],
            [
                "error",
                "worker.domain.errors:EngineError",
                ["dict", ["message", "x"], ["__class__", 1]],
            ],
            ["error", "worker.domain.errors:EngineError", ["dict", ["message", "x"], ["args", 1]]],
            ["error", "worker.domain.errors:Rejected", ["dict", ["message", "x"], ["reason", "y"]]],
            {"$bytes": 5},
            {"$bytes": -1},
            {"$bytes": "1"},
            ["dict", [["list"], 1]],
            ["dict", [1]],
            ["unheard of"],
            [],
            {},
            "\ud800",
        ],
        ids=str,
    )
    def test_forged_values(self, node: object) -> None:
        """For any content of a frame, only valid values of Safelight's types are returned."""
        header = json.dumps(["returned", node]).encode()
        with pytest.raises(wire.BadReply):
            wire.decode(header, memoryview(b""))

    @pytest.mark.parametrize(
        "header",
        [b"", b"\xff", b"[", b"1", b'["a"]', b"[1,2]", b"[" * 500_000, b"9" * 5_000],
        ids=lambda header: f"{header[:6]!r}{len(header)}",
    )
    def test_forged_headers(self, header: bytes) -> None:
        """Headers that are not JSON, or too deep for it, are refused."""
        with pytest.raises(wire.BadReply):
            wire.decode(header, memoryview(b""))

    def test_unclaimed_bytes(self) -> None:
        """A body that nothing refers to is refused, so a frame says all it carries."""
        with pytest.raises(wire.BadReply):
            wire.decode(b'["returned",1]', memoryview(b"x"))


class TestWire:
    """Values that travel."""

    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            -(10**20),
            1.5,
            "naïve 🎞",
            b"",
            [b"a", b"bc", ["enum", 1]],
            (1, (2, (3, b"x"))),
            {1: "a", ("b", 2): {"c": None}},
            Reason.CRASHED,
            Limits(),
            Tags(keywords=("a", "b"), exposure_seconds=1),
            Probe(format=Format.GIF, bytes=1, width=2, height=3, loop=0),
            Recipe(
                name="r",
                version=1,
                renditions=(RenditionSpec(name="a", encodings=(), focal_point=(0.5, 0.5)),),
                assets={"logo.png": b"\x89PNG"},
            ),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_round_trip(self, value: object) -> None:
        """Every kind of value comes out as it went in."""
        kind, received = sent("returned", value)
        assert (kind, received) == ("returned", value)
        assert type(received) is type(value)

    def test_errors_round_trip(self) -> None:
        """An error keeps its class, message and code."""
        _, received = sent("raised", SafelightError("no", code="special"))
        assert type(received) is SafelightError
        assert (received.args, received.code) == (("no",), "special")

    def test_a_rejection_says_what_the_picture_is(self) -> None:
        """Its probe arrives too; anything else in its place is no answer."""
        error = LimitExceeded(Reason.TOO_MANY_PIXELS, "no")
        error.probe = Probe(format=Format.PNG, bytes=9, width=8, height=6)
        _, received = sent("raised", error)
        assert isinstance(received, LimitExceeded)
        assert received.probe == error.probe
        error.probe = "a lie"
        with pytest.raises(wire.BadReply, match=r"probe cannot be str"):
            sent("raised", error)
