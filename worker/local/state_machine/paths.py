"""The expressions of a state machine: reference paths, two intrinsic functions, templates.

Pure functions on JSON values. Understood are ``$.a.b[0]``, ``$$.Execution.Name`` (the context),
``States.Format('{}', ...)`` and ``States.Array(...)``, as the Amazon States Language defines them
(states-language.net, "Paths", "Payload Template", "Intrinsic Functions"). Everything is parsed
once, when a definition is read; what else there is is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Expression = Callable[[Any, Any], Any]
"""From the input and the context to a value. Raises ``PathFailed``."""

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,4})\]")
_CALL = re.compile(r"States\.(Format|Array)\(")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_DEEPEST = 5
"""Functions within functions."""


class PathFailed(Exception):
    """A path leads nowhere in this input: ``States.ParameterPathFailure``."""


class ExpressionRefused(ValueError):
    """Not an expression, or not one that is understood here."""


@dataclass(frozen=True, slots=True)
class Path:
    """A reference path: names and indexes, from the input or from the context."""

    steps: tuple[str | int, ...]
    context: bool = False

    def __call__(self, value: Any, context: Any) -> Any:
        """The value it leads to."""
        found = context if self.context else value
        for step in self.steps:
            try:
                if isinstance(step, str) and not isinstance(found, Mapping):
                    raise KeyError(step)
                found = found[step]
            except (KeyError, IndexError, TypeError):
                where = "".join(
                    f"[{one}]" if isinstance(one, int) else f".{one}" for one in self.steps
                )
                raise PathFailed(f"${where} is not in the input") from None
        return found


def path(text: str) -> Path:
    """Read a reference path. Raises ``ExpressionRefused``."""
    rest = text.removeprefix("$")
    if rest == text:
        raise ExpressionRefused(f"{text!r} is no path")
    context = rest.startswith("$")
    rest = rest.removeprefix("$")
    steps: list[str | int] = []
    while rest:
        found = _STEP.match(rest)
        if found is None:
            raise ExpressionRefused(f"{text!r}: {rest!r} is not understood")
        steps.append(found[1] if found[1] is not None else int(found[2]))
        rest = rest[found.end() :]
    return Path(tuple(steps), context)


def place(value: Any, where: Path, result: Any) -> Any:
    """The input with a result put where a ``ResultPath`` says; the input itself stays as it is."""
    if not where.steps:
        return result
    if not isinstance(value, Mapping):
        raise PathFailed("a result cannot be put into an input that is no object")
    name, *others = where.steps
    inside = place(value.get(str(name), {}), Path(tuple(others)), result) if others else result
    return {**value, str(name): inside}


def expression(text: str) -> Expression:
    """Read what stands behind a name that ends in ``.$``. Raises ``ExpressionRefused``."""
    made, rest = _expression(text.strip(), 0)
    if rest:
        raise ExpressionRefused(f"{text!r}: {rest!r} is left over")
    return made


def _expression(text: str, depth: int) -> tuple[Expression, str]:
    call = _CALL.match(text)
    if call is not None and depth < _DEEPEST:
        return _call(call[1], text[call.end() :], depth)
    if text.startswith("$"):
        end = next((at for at, letter in enumerate(text) if letter in ",) "), len(text))
        return path(text[:end]), text[end:].lstrip()
    if text.startswith("'"):
        return _literal(text)
    number = _NUMBER.match(text)
    if number is not None:
        value = float(number[0]) if number[1] else int(number[0])
        return (lambda _value, _context: value), text[number.end() :].lstrip()
    raise ExpressionRefused(f"{text!r} is not understood")


def _literal(text: str) -> tuple[Expression, str]:
    letters: list[str] = []
    at = 1
    while at < len(text) and text[at] != "'":
        # A backslash takes the next letter as it is; in front of a brace it stays for Format.
        if text[at] == "\\" and text[at + 1 : at + 2] in ("'", "\\"):
            at += 1
        letters.append(text[at])
        at += 1
    if at >= len(text):
        raise ExpressionRefused(f"{text!r}: the text does not end")
    made = "".join(letters)
    return (lambda _value, _context: made), text[at + 1 :].lstrip()


def _call(name: str, text: str, depth: int) -> tuple[Expression, str]:
    arguments: list[Expression] = []
    rest = text.lstrip()
    while not rest.startswith(")"):
        if arguments:
            if not rest.startswith(","):
                raise ExpressionRefused(f"{rest!r}: a comma is missing")
            rest = rest[1:].lstrip()
        argument, rest = _expression(rest, depth + 1)
        arguments.append(argument)
    rest = rest[1:].lstrip()
    if name == "Array":
        return (lambda value, context: [one(value, context) for one in arguments]), rest
    return _format(arguments), rest


def _format(arguments: list[Expression]) -> Expression:
    if not arguments:
        raise ExpressionRefused("States.Format needs a text")
    template, *values = arguments
    try:
        parts = str(template(None, None)).split("{}")
    except PathFailed:
        raise ExpressionRefused("the text of States.Format is written out here") from None
    if "\\" in "".join(parts) or len(parts) - 1 != len(values):
        raise ExpressionRefused("States.Format: as many {} as values, and no escapes")

    def made(value: Any, context: Any) -> str:
        texts = [_text(one(value, context)) for one in values]
        return parts[0] + "".join(text + part for text, part in zip(texts, parts[1:], strict=True))

    return made


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise PathFailed("States.Format takes texts and numbers")
    return str(value)


def template(value: Any) -> Expression:
    """Read a payload template: an object in which names ending in ``.$`` hold expressions."""
    if isinstance(value, Mapping):
        fields: dict[str, Expression] = {}
        for name, held in value.items():
            if name.endswith(".$"):
                if not isinstance(held, str):
                    raise ExpressionRefused(f"{name}: not a text")
                fields[name.removesuffix(".$")] = expression(held)
            else:
                fields[name] = template(held)
        if len(fields) != len(value):
            raise ExpressionRefused("a field is there twice, with and without .$")
        return lambda given, context: {name: made(given, context) for name, made in fields.items()}
    if isinstance(value, list):
        items = [template(held) for held in value]
        return lambda given, context: [made(given, context) for made in items]
    return lambda _given, _context: value
