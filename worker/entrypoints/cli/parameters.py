"""Kinds of values that options of several commands take."""

from __future__ import annotations

import math
from typing import Any

import click


class Number(click.FloatRange):
    """A number in a range. Click's own range lets "nan" through, which is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            BadParameter: it is none, or not in the range.
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
        """The share, 0 to 1. A default that is no text is a share already.

        Raises:
            BadParameter: it is no number of percent from 0 to 100.
        """
        if not isinstance(value, str):
            return value
        return super().convert(value.strip().removesuffix("%"), param, ctx) / 100
