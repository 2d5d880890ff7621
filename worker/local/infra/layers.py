"""A layered layout: boxes in rows, every arrow downwards, few crossings. Pure and deterministic.

The steps are those of Sugiyama, Tagawa and Toda (1981): break circles, give each box a row, let
long arrows pass through places of their own in the rows between, order each row by what it is
joined to, then shift everything towards what it is joined to. No randomness, no sets in an order of
their own: the same input is the same picture everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import fsum

MARGIN = 24
GAP = 28
"""Between two boxes of a row."""
LANE = 16
"""Width of the place that an arrow has in a row it passes."""
BETWEEN = 76
"""Between two rows, for the arrows."""
SWEEPS = 24
PORT = 18
"""Between two arrows at one side of a box, if there is room."""

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What is to be placed."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a box is: its upper left corner."""

    box: Box
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything is."""

    width: int
    height: int
    boxes: Mapping[str, Placed]
    routes: Mapping[Edge, tuple[tuple[int, int], ...]]
    """For each arrow the points it passes, from its beginning to its head."""


@dataclass(slots=True)
class _Spot:
    """A place in a row: a box, or the lane of an arrow that passes."""

    key: str
    width: int
    box: Box | None = None
    x: float = 0.0
    above: list[_Spot] = field(default_factory=list)
    below: list[_Spot] = field(default_factory=list)


def arrange(boxes: Sequence[Box], edges: Iterable[Edge], *, room: int) -> Layout:
    """Place boxes so that arrows point downwards.

    Args:
        boxes: with their sizes; in the order that decides where nothing else does.
        edges: names; the first is placed above the second, unless they form a circle.
        room: widest row. A single box may be wider.
    """
    names = [box.name for box in boxes]
    wanted = sorted(edge for edge in set(edges) if edge[0] != edge[1])
    backward = _backward(names, wanted)
    downward = sorted({(b, a) if (a, b) in backward else (a, b) for a, b in wanted})
    rows = _rows({box.name: box for box in boxes}, downward, room)
    spots, chains = _spots(rows, downward)
    spots = _ordered(spots)
    width = max(sum(one.width for one in row) + GAP * (len(row) - 1) for row in spots)
    _shift(spots, MARGIN, MARGIN + width)
    tops, y = [], MARGIN
    for row in spots:
        tops.append(y)
        y += max(one.box.height for one in row if one.box is not None) + BETWEEN
    placed = {
        one.key: Placed(box=one.box, x=round(one.x - one.width / 2), y=top)
        for row, top in zip(spots, tops, strict=True)
        for one in row
        if one.box is not None
    }
    bottoms = [top - BETWEEN for top in tops[1:]] + [y - BETWEEN]
    routes = _routes(chains, placed, dict(zip(tops, bottoms, strict=True)), tops)
    return Layout(
        width=width + 2 * MARGIN,
        height=y - BETWEEN + MARGIN,
        boxes=placed,
        routes={
            (a, b): tuple(reversed(routes[b, a])) if (a, b) in backward else routes[a, b]
            for a, b in wanted
        },
    )


# --- rows -------------------------------------------------------------------------------------


def _backward(names: Sequence[str], edges: Sequence[Edge]) -> set[Edge]:
    """Arrows that close a circle, and have to point upwards."""
    found: set[Edge] = set()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for edge in edges:
            if edge[0] == name:
                if edge[1] in (*path, name):
                    found.add(edge)
                elif edge[1] not in done:
                    visit(edge[1], (*path, name))
        done.add(name)

    for name in names:
        if name not in done:
            visit(name, ())
    return found


def _rows(boxes: Mapping[str, Box], edges: Sequence[Edge], room: int) -> list[list[Box]]:
    """As low as possible: each box one row above the highest of those it points to."""
    depth: dict[str, int] = {}

    def measure(name: str) -> int:
        if name not in depth:
            depth[name] = max((1 + measure(b) for a, b in edges if a == name), default=0)
        return depth[name]

    deepest = max(map(measure, boxes))
    rows: list[list[Box]] = [[] for _ in range(1 + deepest)]
    joined = {name for edge in edges for name in edge}
    for name in boxes:
        if name in joined:
            rows[deepest - depth[name]].append(boxes[name])
    heads = [b for _, b in edges]
    folded = [
        part
        for row in rows
        if row
        # What many point to stays up, so that fewer arrows pass through the row.
        for part in _folded(sorted(row, key=lambda box: -heads.count(box.name)), room)
    ]
    rest = _filled(folded, [box for box in boxes.values() if box.name not in joined], edges, room)
    return folded + (_folded(rest, room) if rest else [])


def _filled(
    rows: Sequence[list[Box]], lone: Sequence[Box], edges: Sequence[Edge], room: int
) -> list[Box]:
    """Put boxes without arrows where they make rows least higher; return what fits nowhere."""
    row_of = {box.name: number for number, row in enumerate(rows) for box in row}
    taken = [
        sum(box.width + GAP for box in row)
        + sum(row_of[a] < number < row_of[b] for a, b in edges) * (LANE + GAP)
        for number, row in enumerate(rows)
    ]
    left = []
    for box in sorted(lone, key=lambda box: -box.height):
        fits = [number for number in range(len(rows)) if taken[number] + box.width <= room]
        if not fits:
            left.append(box)
            continue
        tallest = [max(one.height for one in row) for row in rows]
        best = min(fits, key=lambda number: (max(0, box.height - tallest[number]), taken[number]))
        rows[best].append(box)
        taken[best] += box.width + GAP
    return left


def _folded(row: Sequence[Box], room: int) -> list[list[Box]]:
    """A row that is too wide becomes several, of about the same width."""
    total = sum(box.width + GAP for box in row) - GAP
    count = -(-total // room)
    share = max(total / count, *(box.width for box in row))
    parts: list[list[Box]] = [[]]
    used = 0
    for box in row:
        if parts[-1] and used + box.width > min(room, share + box.width / 2):
            parts.append([])
            used = 0
        parts[-1].append(box)
        used += box.width + GAP
    return parts


def _spots(
    rows: Sequence[Sequence[Box]], edges: Sequence[Edge]
) -> tuple[list[list[_Spot]], dict[Edge, list[_Spot]]]:
    """Rows with lanes for arrows that pass, and each arrow's way through them."""
    row_of = {box.name: number for number, row in enumerate(rows) for box in row}
    spots = [[_Spot(box.name, box.width, box) for box in row] for row in rows]
    by_name = {one.key: one for row in spots for one in row}
    chains: dict[Edge, list[_Spot]] = {}
    for a, b in edges:
        chain = [by_name[a]]
        for number in range(row_of[a] + 1, row_of[b]):
            lane = _Spot(f"{a} > {b}", LANE)
            spots[number].append(lane)
            chain.append(lane)
        chain.append(by_name[b])
        for upper, lower in pairwise(chain):
            upper.below.append(lower)
            lower.above.append(upper)
        chains[a, b] = chain
    return spots, chains


# --- order within the rows --------------------------------------------------------------------


def _ordered(rows: list[list[_Spot]]) -> list[list[_Spot]]:
    """By the middle of what each spot is joined to, up and down, as often as it helps."""
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        for number in range(len(rows)) if downward else reversed(range(len(rows))):
            other = number - 1 if downward else number + 1
            if not 0 <= other < len(rows):
                continue
            place = {id(one): where for where, one in enumerate(rows[other])}
            keys = {}
            for where, one in enumerate(rows[number]):
                joined = one.above if downward else one.below
                found = [place[id(near)] for near in joined]
                keys[id(one)] = sum(found) / len(found) if found else float(where)
            rows[number] = sorted(rows[number], key=lambda one: keys[id(one)])
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _crossings(rows: Sequence[Sequence[_Spot]]) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        place = {id(one): where for where, one in enumerate(lower)}
        ends = [(where, place[id(near)]) for where, one in enumerate(upper) for near in one.below]
        count += sum(
            (a[0] - b[0]) * (a[1] - b[1]) < 0 for n, a in enumerate(ends) for b in ends[n + 1 :]
        )
    return count


# --- places along the rows --------------------------------------------------------------------


def _shift(rows: Sequence[Sequence[_Spot]], left: float, right: float) -> None:
    """Move every spot towards what it is joined to, as far as its neighbours let it."""
    for row in rows:
        used = sum(one.width for one in row) + GAP * (len(row) - 1)
        x = left + (right - left - used) / 2
        for one in row:
            one.x = x + one.width / 2
            x += one.width + GAP
    for sweep in range(SWEEPS):
        order = rows if sweep % 2 == 0 else list(reversed(rows))
        for row in order:
            wishes = [_wish(one) for one in row]
            for one, x in zip(row, _fitted(row, wishes, left, right), strict=True):
                one.x = x


def _wish(one: _Spot) -> tuple[float, float]:
    """Where a spot would like to be, and how much: a long arrow should be straight above all."""
    pulls = [
        (near.x, 6.0 if near.box is None and one.box is None else 1.0)
        for near in (*one.above, *one.below)
    ]
    # fsum: what sum makes of floats has changed between versions of Python.
    weight = fsum(pull for _, pull in pulls)
    return (fsum(x * pull for x, pull in pulls) / weight, weight) if pulls else (one.x, 0.1)


def _fitted(
    row: Sequence[_Spot], wishes: Sequence[tuple[float, float]], left: float, right: float
) -> list[float]:
    """The places nearest to the wishes (least squares) that keep order, gaps and borders: pool
    adjacent violators.
    """
    offsets = [0.0]
    for before, after in pairwise(row):
        offsets.append(offsets[-1] + (before.width + after.width) / 2 + GAP)
    pools: list[list[float]] = []  # mean, weight, members
    for (x, weight), offset in zip(wishes, offsets, strict=True):
        pools.append([x - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, heavy, members = pools.pop()
            total = pools[-1][1] + heavy
            pools[-1] = [
                (pools[-1][0] * pools[-1][1] + mean * heavy) / total,
                total,
                pools[-1][2] + members,
            ]
    means = [mean for mean, _, members in pools for _ in range(int(members))]
    lowest = left + row[0].width / 2
    highest = right - row[-1].width / 2 - offsets[-1]
    return [
        min(max(mean, lowest), highest) + offset
        for mean, offset in zip(means, offsets, strict=True)
    ]


# --- arrows -----------------------------------------------------------------------------------


def _routes(
    chains: Mapping[Edge, Sequence[_Spot]],
    placed: Mapping[str, Placed],
    bottom_of: Mapping[int, int],
    tops: Sequence[int],
) -> dict[Edge, tuple[tuple[int, int], ...]]:
    starts = _ports(placed, {edge: (edge[0], chain[1].x) for edge, chain in chains.items()})
    ends = _ports(placed, {edge: (edge[1], chain[-2].x) for edge, chain in chains.items()})
    found = {}
    for edge, chain in chains.items():
        first, last = placed[edge[0]], placed[edge[1]]
        points = [(starts[edge], first.y + first.box.height), (starts[edge], bottom_of[first.y])]
        row = tops.index(first.y)
        for lane in chain[1:-1]:
            row += 1
            points += [(round(lane.x), tops[row]), (round(lane.x), bottom_of[tops[row]])]
        points.append((ends[edge], last.y))
        found[edge] = tuple(points)
    return found


def _ports(
    placed: Mapping[str, Placed], meeting: Mapping[Edge, tuple[str, float]]
) -> dict[Edge, int]:
    """Where along its side each arrow leaves or meets a box, in the order they come from."""
    found: dict[Edge, int] = {}
    for name, one in placed.items():
        here = sorted((x, edge) for edge, (box, x) in meeting.items() if box == name)
        step = min(PORT, (one.box.width - 40) / max(1, len(here) - 1))
        middle = one.x + one.box.width / 2
        for number, (_, edge) in enumerate(here):
            found[edge] = round(middle + (number - (len(here) - 1) / 2) * step)
    return found
