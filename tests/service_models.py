"""A request held against the model of its service, which botocore ships.

botocore itself checks names, types, what is required, and least numbers and lengths. AWS checks
more of what the model says: enumerations, patterns, most numbers and most lengths. An emulator
checks what its authors wrote. So this reads the whole model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

_SESSION = botocore.session.Session()
_JAVA = {r"\p{L}": r"^\W\d_", r"\p{Z}": r"\s", r"\p{N}": r"\d", r"\p{IsAlphabetic}": r"^\W\d_"}
"""Classes of characters that models write as Java does."""


@cache
def operation(service: str, name: str) -> OperationModel:
    """The model of an operation, by botocore's name of the service."""
    return _SESSION.get_service_model(service).operation_model(name)


def flaws(service: str, name: str, request: Mapping[str, Any]) -> list[str]:
    """What the service's model says against a request; nothing if it is as the model has it."""
    shape = operation(service, name).input_shape
    if shape is None:
        return ["the operation takes nothing"] if request else []
    report = ParamValidator().validate(request, shape)
    basic = report.generate_report().splitlines() if report.has_errors() else []
    # What is of a wrong type has no length; the rest of the model is read when the basics hold.
    return basic or list(_against(request, shape, name))


def _against(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for key, item in value.items():
            yield from _against(item, shape.members[key], f"{path}.{key}")
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            yield f"{path} has {len(value)} members of a union"
        return
    yield from _in_range(value, shape, path)
    if isinstance(shape, ListShape):
        for index, item in enumerate(value):
            yield from _against(item, shape.member, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _against(key, shape.key, f"{path} (key {key})")
            yield from _against(item, shape.value, f"{path}.{key}")
    elif isinstance(value, str):
        yield from _as_written(value, shape, path)


def _in_range(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(value, bool | datetime) or value is None:
        return
    size = value if isinstance(value, int | float) else len(value)
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{path} is {size}, and at least {least} is asked"
    if most is not None and size > most:
        yield f"{path} is {size}, and at most {most} is allowed"


def _as_written(value: str, shape: Shape, path: str) -> Iterator[str]:
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        yield f"{path} is {value!r}, and not one of {', '.join(allowed)}"
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"{path} is {value!r}, which is not of the pattern {pattern}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern, re.DOTALL)
