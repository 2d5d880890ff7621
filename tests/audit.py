"""``make audit``: what pip-audit finds in all that is pinned, and what it could not look up.

pip-audit ends with 0 where its service knows none of the packages, and with 1 both for a hole and
for a service that cannot be reached. This tells the three apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
ACCEPTED = ROOT / "tests" / "audit-accepted.txt"
SECONDS = 300
UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "ServiceError")


def pinned() -> list[Path]:
    """Every hashed requirement file."""
    found = [*ROOT.glob("images/*/*.txt"), *ROOT.glob("tests/*.txt"), *ROOT.glob("worker/*/*.txt")]
    return sorted(path for path in found if "--hash=" in path.read_text("utf-8"))


def accepted(text: str) -> dict[str, str]:
    """Advisories that are accepted, each with its reason."""
    lines = [line.partition(" ") for line in text.splitlines() if line and line[0] != "#"]
    return {number: reason.strip() for number, _, reason in lines}


def verdict(
    status: int, out: str, err: str, *, required: bool, allowed: Mapping[str, str]
) -> tuple[int, list[str]]:
    """What the end of pip-audit means.

    Args:
        status: its exit code.
        out: its report, JSON; empty if it made none.
        err: the rest of what it said.
        required: whether an audit that was not made is a failure.
        allowed: accepted advisories.

    Returns:
        The exit code, and lines for people.
    """
    if not out.lstrip().startswith("{"):
        last = err.strip().splitlines()[-1:] or ["it said nothing"]
        if not any(word in err for word in UNREACHABLE):
            return 2, [f"audit: pip-audit has failed with status {status}: {last[0]}"]
        return int(required), [f"audit: NOT MADE: the service does not answer: {last[0]}"]
    packages = json.loads(out)["dependencies"]
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    holes = [
        f"audit: {one['name']} {one['version']}: {hole['id']}, mended in"
        f" {', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in packages
        for hole in one.get("vulns", ())
        if allowed.keys().isdisjoint({hole["id"], *hole.get("aliases", ())})
    ]
    lines = [f"audit: {len(packages) - len(unknown)} of {len(packages)} packages were looked up"]
    if unknown:
        lines.append(f"audit: NOT LOOKED UP: {', '.join(unknown)}")
    return int(bool(holes) or (required and bool(unknown))), [*lines, *holes]


def main() -> int:
    """Run pip-audit and print what it means."""
    files = [word for path in pinned() for word in ("-r", str(path.relative_to(ROOT)))]
    command = [sys.argv[1], "--no-deps", "--disable-pip", "--vulnerability-service", "osv"]
    command += ["--timeout", "15", "--progress-spinner", "off", "--format", "json", *files]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        status, out, err = ended.returncode, ended.stdout, ended.stderr
    except subprocess.TimeoutExpired:
        status, out, err = 1, "", f"ReadTimeout: no answer in {SECONDS} s"
    code, lines = verdict(
        status,
        out,
        err,
        required=os.environ.get("AUDIT") == "required",
        allowed=accepted(ACCEPTED.read_text("utf-8")),
    )
    print("\n".join(lines))  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
