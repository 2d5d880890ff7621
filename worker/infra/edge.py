"""Runs the edge functions as CloudFront does: in an engine that is not node's.

The engine is QuickJS, which knows more of the language than CloudFront's: the tests run the same
files in njs too, which knows about as much. The module ``crypto`` of CloudFront's runtime 2.0 is
given as far as ``negotiate.js`` needs it. Limits of CloudFront: "Quotas on CloudFront Functions"
(developer guide).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.domain.delivery import edge_source
from worker.domain.image import Format
from worker.infra.checkout import folder

LARGEST = 10_240
"""Bytes of a function, as CloudFront counts them."""
MEMORY = 2_000_000
"""Bytes that a function may use."""
_RUNTIME = """
const console = { log: function () {} };
function require(name) {
    if (name !== 'crypto') {
        throw new TypeError('Cannot find module "' + name + '"');
    }
    return {
        createHash: function (algorithm) {
            let text = '';
            return {
                update: function (more) { text += more; return this; },
                digest: function (encoding) { return __digest(algorithm, text, encoding); },
            };
        },
    };
}
"""
_CALL = """
function __constant(name) { return eval(name); }
function __call(name, text) {
    return JSON.stringify(globalThis[name].apply(null, JSON.parse(text)));
}
"""


def source(formats: Iterable[Format] | None = None) -> str:
    """The source of ``negotiate.js``, with a recipe's formats or unchanged.

    Raises:
        CheckoutMissing: Safelight was installed without its checkout.
    """
    text = path().read_text("utf-8")
    return text if formats is None else edge_source(text, formats)


def path() -> Path:
    """Where ``negotiate.js`` is. Raises ``CheckoutMissing``."""
    return folder() / "functions" / "negotiate.js"


class EdgeFunction:
    """A function, loaded. For one thread at a time.

    Args:
        text: its source.
    """

    def __init__(self, text: str) -> None:
        import quickjs  # only the local stack and its commands need it

        self._context = quickjs.Context()
        self._context.add_callable("__digest", _digest)
        self._context.eval(_RUNTIME)
        self._context.eval(text)
        self._context.eval(_CALL)
        self._call = self._context.get("__call")

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The function's result: the changed request, or a response."""
        answer: dict[str, Any] = self.call("handler", event)
        return answer

    def call(self, name: str, *arguments: Any) -> Any:
        """The return value of one of its functions, by name; values are JSON."""
        return json.loads(self._call(name, json.dumps(arguments)))


def request_event(
    uri: str,
    headers: Iterable[tuple[str, str]],
    *,
    method: str = "GET",
    address: str = "",
    query: Iterable[tuple[str, str]] = (),
) -> dict[str, Any]:
    """The event of a viewer request ("Event structure", CloudFront developer guide).

    Args:
        uri: path as the client sent it, without its query.
        headers: names in any case; of those that come twice all values.
        address: of the client.
        query: of the URL, as ``headers``.
    """
    return {
        "version": "1.0",
        "context": {"eventType": "viewer-request"},
        "viewer": {"ip": address},
        "request": {
            "method": method,
            "uri": uri,
            "querystring": _fields(query),
            "headers": _fields((name.lower(), value) for name, value in headers),
            "cookies": {},
        },
    }


def _fields(given: Iterable[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, list[str]] = {}
    for name, value in given:
        values.setdefault(name, []).append(value)
    return {
        name: {"value": all_[0]}
        | ({"multiValue": [{"value": one} for one in all_]} if len(all_) > 1 else {})
        for name, all_ in values.items()
    }


def _digest(algorithm: str, text: str, encoding: str) -> str:
    if encoding != "hex":
        raise ValueError(f"no digest as {encoding}")
    return hashlib.new(algorithm, text.encode()).hexdigest()


# --- explained ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionStep:
    """One step of a decision."""

    name: str
    read: str
    """The inputs of the step."""
    result: str


def explain(
    function: EdgeFunction, path: str, headers: Sequence[tuple[str, str]]
) -> tuple[list[DecisionStep], str]:
    """How the function decides, by its own parts one after the other, and the key; empty for a 404.

    Args:
        path: of the URL.
        headers: of the client.
    """
    event = request_event(path, headers)
    sent = event["request"]["headers"]
    answer = function.handle(event)
    key = str(answer.get("uri", "")).removeprefix("/")
    if not key:
        names = "/{asset}/{version}/{name} or /{asset}/{version}/w/{width}"
        return [DecisionStep(name="path", read=path, result=f"404: the path is not {names}")], ""
    asset, version, file = path.removeprefix("/").split("/", 2)
    steps = [DecisionStep(name="path", read=path, result=f"asset {asset}, version {version}")]
    agent = _value(sent, "user-agent").lower()
    bot = bool(function.call("isBot", agent))
    sized, forced = file.startswith("w/"), "." in file
    if not forced or sized:
        said = "a bot: JPEG, and no hints" if bot else "not a bot"
        steps.append(DecisionStep(name="client", read=_value(sent, "user-agent"), result=said))
    if forced:
        ending = file.rpartition(".")[2]
        steps.append(DecisionStep(name="format", read=f".{ending}", result="forced by the URL"))
    else:
        found = function.call("readAccept", _value(sent, "accept"))
        offered = ", ".join(function.call("__constant", "FORMATS"))
        known = [f"{name[2:]} {q:g}" for name, q in found.items() if name != "t:"]
        chosen = function.call("chooseFormat", sent, bot)
        said = f"{chosen} (the recipe makes jpg, {offered}; {', '.join(known) or 'nothing named'})"
        steps.append(DecisionStep(name="format", read=_value(sent, "accept"), result=said))
    if sized:
        steps += _width_steps(function, file, sent, agent, bot=bot)
    return steps, key


def _width_steps(
    function: EdgeFunction, file: str, sent: Mapping[str, Any], agent: str, *, bot: bool
) -> list[DecisionStep]:
    asked, _, forced = file.removeprefix("w/").partition(".")
    auto = asked == "auto"
    wanted = function.call("wantedWidth", sent, agent, bot) if auto else int(asked)
    hints = (
        "sec-ch-width",
        "width",
        "sec-ch-viewport-width",
        "viewport-width",
        "sec-ch-dpr",
        "dpr",
    )
    read = _shown(sent, (*hints, "sec-ch-ua-mobile")) or "the kind of device"
    steps = [
        DecisionStep(name="width", read=read if auto else f"w/{asked}", result=f"{wanted:g} px")
    ]
    fixed = bot or (forced and not auto)
    down = 0 if fixed else function.call("stepsDown", sent)
    snapped = function.call("snapUp", wanted, 0)
    steps.append(DecisionStep(name="next width", read=f"{wanted:g} px", result=f"{snapped} px"))
    if down:
        result = f"{down} down: {function.call('snapUp', wanted, down)} px"
        slow = _shown(sent, ("save-data", "ect", "downlink"))
        steps.append(DecisionStep(name="slow line", read=slow, result=result))
    return steps


def _value(sent: Mapping[str, Any], name: str) -> str:
    return str(sent.get(name, {}).get("value", ""))


def _shown(sent: Mapping[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{name}: {_value(sent, name)}" for name in names if name in sent)
