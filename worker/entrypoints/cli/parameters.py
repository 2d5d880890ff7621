"""Parameter types that several commands use."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_WEEK = 7 * 86_400.0
"""Seconds."""


class Number(click.FloatRange):
    """A number in a range. Click's own range accepts "nan"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            BadParameter: it is not a number in the range.
        """
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Percent(Number):
    """A share: ``1%`` or ``1`` is 0.01."""

    name = "percent"

    def __init__(self) -> None:
        """Take 0 to 100 percent."""
        super().__init__(0, 100)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The share, 0 to 1. A default that is not a text is a share already.

        Raises:
            BadParameter: it is not a percentage from 0 to 100.
        """
        if not isinstance(value, str):
            return value
        return super().convert(value.strip().removesuffix("%"), param, ctx) / 100


class Duration(click.ParamType[float]):
    """Seconds, above 0 and at most a week: ``90``, ``90s``, ``10m``, ``1.5h``."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds. Raises ``BadParameter`` unless it is a duration above 0 and at most a
        week."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", str(value).strip(), re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no duration like 90, 90s, 10m or 1.5h", param, ctx)
        seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
        if not 0 < seconds <= _WEEK:
            self.fail(f"{value!r} is not above 0 and at most 7 days", param, ctx)
        return seconds
