"""Which properties a resource or a look-up has once it exists, from the provider's own classes.

Read by the names that Pulumi's protocol uses. What may not live here: what their values are.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from pulumi import _types


def of_resource(token: str) -> Mapping[str, Any]:
    """The types of a resource's properties; none where the provider's package is not known.

    Args:
        token: ``aws:s3/bucket:Bucket``.
    """
    found = _class(token, token.rpartition(":")[2])
    return {} if found is None else _types.resource_types(found)


def of_look_up(token: str) -> Mapping[str, Any]:
    """The types of a look-up's results.

    Args:
        token: ``aws:iam/getPolicy:getPolicy``.
    """
    name = token.rpartition(":")[2]
    found = _class(token, f"{name[:1].upper()}{name[1:]}Result")
    return {} if found is None else _types.output_type_types(found)


def of_part(kind: Any) -> Mapping[str, Any] | None:
    """The types of the properties of an object within another; None if this is no such object."""
    if isinstance(kind, type) and _types.is_output_type(kind):
        return _types.output_type_types(kind)
    return None


def plain(kind: Any) -> Any:
    """A type without what Pulumi wraps around it."""
    return _types.unwrap_type(kind)


@functools.cache
def _class(token: str, name: str) -> type | None:
    package, module, _ = token.split(":")
    below = module.partition("/")[0]
    path = f"pulumi_{package}" if below == "index" else f"pulumi_{package}.{below}"
    for candidate in (path, f"{path}_"):  # lambda is a word of Python's
        try:
            found = getattr(importlib.import_module(candidate), name, None)
        except ModuleNotFoundError:
            continue
        if isinstance(found, type):
            return found
    return None
