"""JSON Schemas of the events, generated from the types in ``domain.events``: one for each type and
version.

They use draft 2020-12 and allow additional fields, so that later additions break no reader.
docs/events has them as files.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from worker.domain import trace
from worker.domain.events import MEANING, SOURCE, TYPES, VERSION, VERSIONS, schema_of

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN: Mapping[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def file_of(kind: str) -> str:
    """The file name of a type's schema."""
    return f"{kind}.v{VERSIONS.get(kind, VERSION)}.json"


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema of each type."""
    for kind in sorted(TYPES):
        yield kind, schema(kind)


def schema(kind: str) -> dict[str, Any]:
    """The schema of the events of a type. Raises KeyError for an unknown type."""
    data = TYPES[kind]
    text = {"type": "string", "minLength": 1}
    return {
        "$schema": DRAFT,
        "$id": schema_of(kind),
        "title": kind,
        "description": MEANING[kind],
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "description": "The same for the same happening, however often sent."},
            "source": {"const": SOURCE},
            "type": {"const": kind},
            "subject": {**text, "description": "The asset, or the job."},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"const": schema_of(kind)},
            "asset": {"type": "string", "format": "uuid"},
            trace.NAME: {**text, "description": "W3C Trace Context of the upload."},
            "data": _object(data),
        },
        "required": [
            *("specversion", "id", "source", "type", "subject", "time"),
            *("datacontenttype", "dataschema", "asset", "data"),
        ],
    }


def _object(shape: type) -> dict[str, Any]:
    hints = get_type_hints(shape, include_extras=True)
    said = _descriptions(shape)
    properties = {}
    required = []
    for name, hint in hints.items():
        may_lack = get_origin(hint) is NotRequired
        found = _value(get_args(hint)[0] if may_lack else hint)
        if not may_lack:
            required.append(name)
        if name in said:
            found["description"] = said[name]
        properties[name] = found
    return {"type": "object", "properties": properties, "required": required}


def _value(hint: Any) -> dict[str, Any]:
    if is_typeddict(hint):
        return {**_object(hint), "description": _first_line(hint)}
    if get_origin(hint) is list:
        return {"type": "array", "items": _value(get_args(hint)[0])}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    return {"type": _PLAIN[hint]}


def _first_line(shape: type) -> str:
    return (shape.__doc__ or "").partition("\n")[0]


def _descriptions(shape: type) -> Mapping[str, str]:
    """The docstrings of a type's fields, each in one line, without backquotes."""
    found: dict[str, str] = {}
    bases = getattr(shape, "__orig_bases__", ())
    for base in bases:
        if is_typeddict(base):
            found |= _descriptions(base)
    tree = ast.parse(textwrap.dedent(inspect.getsource(shape))).body[0]
    assert isinstance(tree, ast.ClassDef)
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).split()).replace("``", "`")
    return found
