"""Shared parts of the benchmarks: files with their scores, and goals."""

from __future__ import annotations

from dataclasses import dataclass

FileName = tuple[str, str, str]
"""Photo, rendition, format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScore:
    """One file of an implementation."""

    bytes: int
    ssim: float
    ssimulacra2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One goal and whether it is reached."""

    name: str
    goal: str
    found: str
    met: bool


def most(name: str, value: float, limit: float, *, goal: str = ".2f", found: str = ".3f") -> Check:
    """A figure that is to be at most ``limit``, decided before rounding; both as formats say."""
    return Check(name=name, goal=f"≤ {limit:{goal}}", found=f"{value:{found}}", met=value <= limit)


def least(name: str, value: float, limit: float, *, goal: str, found: str) -> Check:
    """A figure that is to be at least ``limit``, decided before rounding; both as formats say."""
    return Check(name=name, goal=f"≥ {limit:{goal}}", found=f"{value:{found}}", met=value >= limit)
