"""Damage to files: what disks, networks and attackers do to bytes, chosen by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Values at which lengths and counts change their meaning."""


def mutant(originals: Sequence[bytes], chance: random.Random) -> bytes:
    """One of the originals with one to four kinds of damage."""
    data = bytearray(chance.choice(originals))
    for _ in range(chance.randint(1, 4)):
        damage = chance.choice(_DAMAGES)
        damage(data, originals, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    # Headers are at the beginning: half of the damage is there.
    end = len(data) if chance.random() < 0.5 else min(len(data), 256)
    return chance.randrange(end) if end else 0


def _flip(data: bytearray, _originals: Sequence[bytes], chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, _originals: Sequence[bytes], chance: random.Random) -> None:
    """A number in one, two or four bytes, in either order."""
    size = chance.choice((1, 2, 4))
    order = "little" if chance.random() < 0.5 else "big"
    value = chance.choice(_NUMBERS) & ((1 << 8 * size) - 1)
    at = _place(data, chance)
    data[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]


def _cut(data: bytearray, _originals: Sequence[bytes], chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _drop(data: bytearray, _originals: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.randint(1, 64)]


def _repeat(data: bytearray, _originals: Sequence[bytes], chance: random.Random) -> None:
    at, length = _place(data, chance), chance.randint(1, 512)
    data[at:at] = data[at : at + length] * chance.randint(1, 8)


def _splice(data: bytearray, originals: Sequence[bytes], chance: random.Random) -> None:
    """The end of another file."""
    other = chance.choice(originals)
    data[_place(data, chance) :] = other[chance.randrange(len(other)) if other else 0 :]


_DAMAGES = (_flip, _flip, _overwrite, _overwrite, _cut, _drop, _repeat, _splice)
