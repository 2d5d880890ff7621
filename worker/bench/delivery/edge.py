"""Estimates the compute of the edge function with njs.

CloudFront gives a function a share of its compute limit ("compute utilization", 0 to 100), which
can be read only there. CloudFront says of the limit that a function runs for less than a
millisecond. njs is the engine that is known to be near CloudFront's (NGINX's; both lack the same
of the language). So the estimate is a ratio of times: the processor time that njs takes for one
call, over one millisecond. A function that returns the request as it is, in the same loop, is
subtracted: the loop makes a new event for each call.

Source: "Differences between CloudFront Functions and Lambda@Edge" and "Understand compute
utilization", CloudFront developer guide.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import EngineError
from worker.infra.edge import request_event, source

LIMIT_MS = 1.0
MEAN_GOAL_MS = 0.3
CALLS = 4000
"""Of each kind of request in a run."""
NOTHING = "function handler(event) { return event.request; }"
_PATH = "/6fa459ea-ee8a-3ca4-894e-db77e160355e/0123456789abcdef"
_CHROME = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Mobile Safari/537.36"
)
_ACCEPT = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
_HINTS = {"Sec-CH-Width": "700", "Sec-CH-DPR": "2.625", "Sec-CH-Viewport-Width": "412"}

REQUESTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "a file by its name": ("/medium.webp", {"User-Agent": _CHROME, "Accept": _ACCEPT}),
    "a name": ("/medium", {"User-Agent": _CHROME, "Accept": _ACCEPT}),
    "a width": ("/w/640", {"User-Agent": _CHROME, "Accept": _ACCEPT}),
    "w/auto with hints": (
        "/w/auto",
        {"User-Agent": _CHROME, "Accept": _ACCEPT, "ECT": "4g", "Downlink": "1.5", **_HINTS},
    ),
    "w/auto without hints": ("/w/auto", {"User-Agent": _CHROME, "Accept": _ACCEPT}),
    "saving data on a slow line": (
        "/w/auto",
        {"User-Agent": _CHROME, "Accept": _ACCEPT, "Save-Data": "on", "ECT": "slow-2g", **_HINTS},
    ),
    "a bot": ("/medium", {"User-Agent": "Googlebot/2.1", "Accept": "*/*"}),
    "no such path": ("/../../etc/passwd", {"User-Agent": _CHROME, "Accept": _ACCEPT}),
    "Accept of 8 kB": (
        "/w/auto",
        {"User-Agent": "x" * 1024, "Accept": "image/x;q=0.123," * 512, **_HINTS},
    ),
}
"""Kinds of requests: path behind asset and version, and headers. All but the last are ordinary."""
WORST = "Accept of 8 kB"


class NjsMissing(Exception):
    """njs is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeFigures:
    """Milliseconds a call of each kind of request."""

    milliseconds: Mapping[str, float]
    bytes: int
    """Of the function."""
    version: str
    """Of njs."""

    @property
    def mean_ms(self) -> float:
        """Of the ordinary requests."""
        ordinary = [value for name, value in self.milliseconds.items() if name != WORST]
        return sum(ordinary) / len(ordinary)

    @property
    def worst_share(self) -> float:
        """Of the compute limit, the slowest request, as a share."""
        return max(self.milliseconds.values()) / LIMIT_MS


def measure(*, calls: int = CALLS, rounds: int = 3) -> EdgeFigures:
    """Run the function that is deployed in njs.

    Args:
        calls: of each kind of request in a run.
        rounds: runs of each; the fastest counts.

    Raises:
        NjsMissing: there is no ``njs`` on the PATH.
        EngineError: the function fails.
    """
    njs = shutil.which("njs")
    if njs is None:
        raise NjsMissing("the edge function is not measured: there is no `njs` on the PATH")
    text = source()
    found = {}
    with tempfile.TemporaryDirectory(prefix="safelight-edge-") as folder:
        program = Path(folder, "program.js")
        for name, (path, headers) in REQUESTS.items():
            event = request_event(_PATH + path, headers.items(), address="192.0.2.1")
            seconds = []
            for function in (NOTHING, text):
                program.write_text(_program(function, event, calls), "utf-8")
                seconds.append(min(_cpu_seconds(njs, program) for _ in range(rounds)))
            found[name] = max(0.0, 1000 * (seconds[1] - seconds[0]) / calls)
    version = subprocess.run([njs, "-v"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return EdgeFigures(milliseconds=found, bytes=len(text.encode()), version=version.strip())


def _program(function: str, event: object, calls: int) -> str:
    return f"""{function}
const text = {json.dumps(json.dumps(event))};
for (let i = 0; i < {calls}; i++) {{ handler(JSON.parse(text)); }}
"""


def _cpu_seconds(njs: str, program: Path) -> float:
    process = subprocess.Popen(  # noqa: S603  the program that was found
        [njs, str(program)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise EngineError(f"njs failed: {said.decode(errors='replace')[:200]}")
    return usage.ru_utime + usage.ru_stime


def lines(found: EdgeFigures) -> Sequence[str]:
    """For a terminal: each kind of request."""
    return [f"{name:28}{value * 1000:8.1f} µs" for name, value in found.milliseconds.items()]
