"""The chart: CPU time per photo as bars, drawn as SVG by hand."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import pyvips

from worker.bench.job import USUAL_EFFORT
from worker.bench.lineup import OURS, SAME, USUAL, Key
from worker.bench.report import Figures, Report

_WIDTH = 920
_LEFT = 270
"""Where bars begin: labels stand before them."""
_RIGHT = 235
"""Room for what is written behind the longest bar."""
_BAR = 22
_ROW = 32
_GROUP = 40
_TOP = 66

_OURS = "#0f766e"
_LIGHTER = "#5eaaa3"
_OTHERS = "#94a3b8"
_FLOOR = "#dc2626"
_INK = "#0f172a"
_DIM = "#64748b"

_PNG_SCALE = 2.0
"""A PNG has twice the pixels, for sharp screens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    label: str
    milliseconds: float
    text: str
    colour: str


def svg(report: Report) -> str:
    """Draw the report. The result needs no fonts or files of its own."""
    groups = [
        (f"Usual settings (the others: WebP effort {USUAL_EFFORT})", _bars(report, USUAL)),
        (f"Same settings (all: WebP effort {report.webp_effort})", _bars(report, SAME)),
    ]
    longest = max(bar.milliseconds for _, bars in groups for bar in bars)
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    body: list[str] = []
    y = _TOP
    for title, bars in groups:
        body.append(_text(20, y + 14, title, weight="600"))
        y += _GROUP - 12
        for bar in bars:
            body += _drawn(bar, y, scale)
            y += _ROW
        y += 12
    if report.floor is not None:
        x = _LEFT + report.floor.cpu_ms * scale
        body.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{y}" stroke="{_FLOOR}" '
            'stroke-width="1.5" stroke-dasharray="5 4"/>'
        )
        floor = f"floor: {report.floor.cpu_ms:.0f} ms (one decode and the bare encoder calls)"
        body.append(_text(x, y + 16, floor, colour=_FLOOR, anchor="middle"))
        y += 22
    height = y + 40
    kind = "generated pictures" if report.photos.synthetic else "photos"
    foot = f"{report.photos.count} {kind}, {report.machine.cpu}, one thread, {report.date[:10]}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="system-ui, DejaVu Sans, sans-serif" '
            'font-size="13" role="img">',
            "<title>CPU time per photo</title>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            _text(20, 30, "CPU milliseconds per photo: three sizes, JPEG and WebP", size=17),
            _text(20, 49, "shorter is better", colour=_DIM),
            *body,
            _text(20, height - 14, foot, colour=_DIM, size=11),
            "</svg>",
            "",
        ]
    )


def png(report: Report) -> bytes:
    """The same chart as a PNG."""
    drawn = svg(report).encode()
    data: bytes = pyvips.Image.svgload_buffer(drawn, scale=_PNG_SCALE).pngsave_buffer()
    return data


def _bars(report: Report, keys: tuple[Key, ...]) -> list[_Bar]:
    found = [report.of(key) for key in (*OURS, *keys)]
    return [_bar(report, figures) for figures in found if figures is not None]


def _bar(report: Report, figures: Figures) -> _Bar:
    text = f"{figures.cpu_ms:.0f} ms"
    ratio = report.ratio(figures.key)
    if ratio is not None:
        text += f" (Safelight: {ratio.cpu:.2f} of it)"
    colour = _OTHERS
    if figures.key in OURS:
        colour = _OURS if figures.key is Key.ENGINE else _LIGHTER
    return _Bar(label=figures.label, milliseconds=figures.cpu_ms, text=text, colour=colour)


def _drawn(bar: _Bar, y: float, scale: float) -> list[str]:
    width = bar.milliseconds * scale
    return [
        _text(_LEFT - 10, y + 16, bar.label, anchor="end"),
        f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" '
        f'fill="{bar.colour}"/>',
        _text(_LEFT + width + 8, y + 16, bar.text),
    ]


def _text(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = _INK,
    anchor: str = "start",
    weight: str = "400",
    size: int = 13,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}" font-size="{size}">{escape(text)}</text>'
    )
