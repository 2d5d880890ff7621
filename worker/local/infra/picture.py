"""The components of a stack as a picture: a box each with what is in it, an arrow for a reference.

Drawn as SVG with the standard library's XML. Whole numbers only, and no fonts or files of its own:
the same bytes from every Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET

from worker.local.infra.components import Component, Components, counted
from worker.local.infra.layers import Box, Edge, Layout, arrange
from worker.local.infra.lettering import width, wrapped

ROOM = 1240
"""Widest row of boxes; a page shows the picture at about this width."""
WIDTHS = (290, 608, 926)
"""Of boxes: as wide as one, two and three of them with the gaps between them."""
TALL = 250
"""A box that would be taller is made wider."""
_PAD = 14
_LINE = 17
_HEAD = 36
_TITLE, _TEXT, _SMALL = 16.0, 12.5, 11.5

_INK, _DIM, _PAPER = "#1f2733", "#5b6472", "#ffffff"
_COLOURS = (
    "#0f766e", "#b45309", "#1d4ed8", "#be185d", "#4d7c0f", "#7c3aed", "#0369a1",
    "#c2410c", "#047857", "#a21caf", "#475569", "#b91c1c", "#4338ca", "#a16207",
)  # fmt: skip
_FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, '
    "sans-serif"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of text in a box."""

    text: str
    lead: str = ""
    """Stands before it, bold."""
    dim: bool = False
    size: float = _TEXT
    indent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """A component, laid out."""

    component: Component
    colour: str
    lines: tuple[_Line, ...]
    box: Box


def draw(components: Components, title: str) -> str:
    """The picture as SVG text.

    Args:
        title: what it shows, a line at its top.
    """
    sheets = {
        one.name: _sheet(one, _COLOURS[number % len(_COLOURS)])
        for number, one in enumerate(components.all)
    }
    layout = arrange([sheet.box for sheet in sheets.values()], components.references, room=ROOM)
    top = 78
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {layout.width} {layout.height + top}",
            "width": str(layout.width),
            "height": str(layout.height + top),
            "font-family": _FONT,
            "role": "img",
        },
    )
    ET.SubElement(root, "title").text = title
    root.append(_heads())
    _rectangle(root, 0, 0, layout.width, layout.height + top, fill="#f6f7f9")
    _write(root, 24, 36, title, size=20, bold=True)
    _write(
        root, 24, 60,
        "An arrow leads from a component to one that it refers to: it could not be made without it."
        " Thin: also reached through others.",
        size=13, colour=_DIM,
    )  # fmt: skip
    drawing = ET.SubElement(root, "g", {"transform": f"translate(0 {top})"})
    direct = _direct(components.references)
    for edge in sorted(layout.routes, key=lambda edge: (edge in direct, edge)):
        _arrow(drawing, layout, edge, sheets[edge[0]].colour, thin=edge not in direct)
    for name in sorted(layout.boxes):
        _box(drawing, sheets[name], layout)
    for block in (root, drawing):
        block.text = "\n"
        for child in block:
            child.tail = "\n"
    return ET.tostring(root, encoding="unicode") + "\n"


def _direct(edges: frozenset[Edge]) -> set[Edge]:
    """Arrows that no chain of others stands for."""
    after: dict[str, set[str]] = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)

    def reach(name: str, without: Edge, seen: set[str]) -> set[str]:
        for other in after.get(name, set()):
            if other not in seen and (name, other) != without:
                seen.add(other)
                reach(other, without, seen)
        return seen

    return {edge for edge in edges if edge[1] not in reach(edge[0], edge, set())}


# --- what is in a box -------------------------------------------------------------------------


def _sheet(component: Component, colour: str) -> _Sheet:
    for breadth in WIDTHS:
        lines = _lines(component, breadth - 2 * _PAD)
        height = _HEAD + 8 + _LINE * len(lines) + 8
        if height <= TALL:
            break
    box = Box(name=component.name, width=breadth, height=height)
    return _Sheet(component=component, colour=colour, lines=tuple(lines), box=box)


def _lines(component: Component, room: int) -> list[_Line]:
    found = [_Line(text=text, dim=True) for text in wrapped(component.purpose.split(), _TEXT, room)]
    things = counted(part.resource for part in component.parts if part.thing)
    for kind, names in things.items():
        found += _row(_bare(kind), names, room)
    settings = counted(part.resource for part in component.parts if not part.thing)
    said = [
        f"{len(names)} {_bare(kind)}" if len(names) > 1 else _bare(kind)
        for kind, names in settings.items()
    ]
    if said:
        words = ["with", *_listed(said)]
        found += [_Line(text=text, dim=True, size=_SMALL) for text in wrapped(words, _SMALL, room)]
    return found


def _row(kind: str, names: Sequence[str], room: int) -> list[_Line]:
    lead = width(f"{kind}  ", _TEXT, bold=True)
    indent = 12
    first, *rest = wrapped(_listed(names), _TEXT, room - indent, first=lead - indent)
    return [
        _Line(lead=kind, text=first),
        *(_Line(text=text, indent=indent) for text in rest),
    ]


def _listed(names: Sequence[str]) -> list[str]:
    return [f"{name}," for name in names[:-1]] + [names[-1]]


def _bare(kind: str) -> str:
    """``JobQueue`` of ``batch/JobQueue``."""
    return kind.rpartition("/")[2].rpartition(":")[2]


# --- drawing ----------------------------------------------------------------------------------


def _box(parent: ET.Element, sheet: _Sheet, layout: Layout) -> None:
    placed = layout.boxes[sheet.component.name]
    group = ET.SubElement(parent, "g", {"transform": f"translate({placed.x} {placed.y})"})
    breadth, height = sheet.box.width, sheet.box.height
    _rectangle(group, 0, 0, breadth, height, fill=_PAPER, stroke=sheet.colour, radius=9)
    # The upper corners are round, the lower ones are not.
    head = f"M0 {_HEAD} V9 Q0 0 9 0 H{breadth - 9} Q{breadth} 0 {breadth} 9 V{_HEAD} Z"
    ET.SubElement(group, "path", {"d": head, "fill": sheet.colour})
    _write(group, _PAD, 24, sheet.component.name, size=_TITLE, bold=True, colour=_PAPER)
    count = len(sheet.component.parts)
    _write(
        group, breadth - _PAD, 24, f"{count} resource{'' if count == 1 else 's'}",
        size=_SMALL, colour=_PAPER, end=True,
    )  # fmt: skip
    y = _HEAD + 8
    for line in sheet.lines:
        y += _LINE
        _write(
            group, _PAD + line.indent, y - 4, line.text,
            lead=line.lead, size=line.size, colour=_DIM if line.dim else _INK,
        )  # fmt: skip


def _arrow(parent: ET.Element, layout: Layout, edge: Edge, colour: str, *, thin: bool) -> None:
    points = layout.routes[edge]
    path = [f"M{points[0][0]} {points[0][1]}"]
    for (x1, y1), (x2, y2) in pairwise(points):
        if x1 == x2:
            path.append(f"V{y2}")
        else:
            middle = (y1 + y2) // 2
            path.append(f"C{x1} {middle} {x2} {middle} {x2} {y2}")
    line = ET.SubElement(
        parent,
        "path",
        {
            "d": " ".join(path),
            "fill": "none",
            "stroke": colour,
            "stroke-width": "1.1" if thin else "2",
            "marker-end": f"url(#head-{colour[1:]})",
        },
    )
    if thin:
        line.set("stroke-opacity", "0.45")
    ET.SubElement(line, "title").text = f"{edge[0]} refers to {edge[1]}"


def _heads() -> ET.Element:
    found = ET.Element("defs")
    for colour in _COLOURS:
        marker = ET.SubElement(
            found,
            "marker",
            {
                "id": f"head-{colour[1:]}",
                "viewBox": "0 0 8 8",
                "refX": "7.5",
                "refY": "4",
                "markerWidth": "9",
                "markerHeight": "9",
                "markerUnits": "userSpaceOnUse",
                "orient": "auto",
            },
        )
        ET.SubElement(marker, "path", {"d": "M0 0.5 L8 4 L0 7.5 Z", "fill": colour})
    return found


def _rectangle(
    parent: ET.Element,
    x: int,
    y: int,
    breadth: int,
    height: int,
    *,
    fill: str,
    stroke: str | None = None,
    radius: int = 0,
) -> None:
    given = {"x": str(x), "y": str(y), "width": str(breadth), "height": str(height), "fill": fill}
    if stroke is not None:
        given |= {"stroke": stroke, "stroke-width": "1.5", "rx": str(radius)}
    ET.SubElement(parent, "rect", given)


def _write(
    parent: ET.Element,
    x: int,
    y: int,
    text: str,
    *,
    size: float,
    lead: str = "",
    bold: bool = False,
    end: bool = False,
    colour: str = _INK,
) -> None:
    given = {"x": str(x), "y": str(y), "font-size": f"{size:g}", "fill": colour}
    if bold:
        given["font-weight"] = "600"
    if end:
        given["text-anchor"] = "end"
    element = ET.SubElement(parent, "text", given)
    if lead:
        first = ET.SubElement(element, "tspan", {"font-weight": "600"})
        first.text = lead
        first.tail = f"\u00a0 {text}"  # SVG makes one of two plain spaces
    else:
        element.text = text
