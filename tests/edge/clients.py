"""The table of clients: headers that real programs send, and what each of them gets.

``clients.json`` has one client a line. ``format`` is what it gets where the recipe makes all
formats, ``auto`` the width that ``w/auto`` gives it. Tests, and docs/clients.md, are made of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.infra.edge import request_event

FILE = Path(__file__).with_name("clients.json")
ASSET, VERSION = "01890f6e-0000-7000-8000-000000000001", "0123456789abcdef"
SPREAD = "ab"
"""Of that asset."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """One line of the table."""

    name: str
    group: str
    format: str
    auto: int
    source: str
    accept: str | None = None
    agent: str = ""
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """As it sends them."""
        named = [("Accept", self.accept), ("User-Agent", self.agent or None), *self.hints.items()]
        return [(name, value) for name, value in named if value is not None]

    def event(self, file: str) -> dict[str, Any]:
        """Its request of a file of the asset."""
        return request_event(f"/{ASSET}/{VERSION}/{file}", self.headers)


def load() -> tuple[Mapping[str, str], list[Client]]:
    """Where values are from, and the clients."""
    table = json.loads(FILE.read_text("utf-8"))
    return table["sources"], [Client(**one) for one in table["clients"]]


def page() -> str:
    """docs/clients.md."""
    sources, clients = load()
    lines = [
        "# What each client gets",
        "",
        "<!-- Made of tests/edge/clients.json by `pytest tests/edge --write-golden`. -->",
        "",
        f"{len(clients)} clients with the headers that they send for a picture, and what the",
        "edge function ([delivery.md](delivery.md)) chooses for them if the recipe makes",
        "JPEG, WebP, AVIF and JPEG XL. A test runs every line in two engines. The last column is",
        "the width that `w/auto` gives.",
    ]
    group = ""
    for one in clients:
        if one.group != group:
            group = one.group
            lines += ["", f"## {group}", ""]
            lines += [
                "| Client | Headers | Source | Gets | `w/auto` |",
                "| --- | --- | --- | --- | --- |",
            ]
        shown = f"`{one.accept}`" if one.accept else "no `Accept`"
        hints = "".join(f"<br>`{name}: {value}`" for name, value in one.hints.items())
        shown = shown.replace("|", "\\|")
        lines.append(f"| {one.name} | {shown}{hints} | {one.source} | {one.format} | {one.auto} |")
    lines += ["", "## Sources", ""]
    lines += [f"- **{name}**: {text}." for name, text in sources.items()]
    return "\n".join(lines) + "\n"
