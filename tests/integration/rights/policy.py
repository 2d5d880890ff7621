"""Whether a policy allows something: as much of IAM's language as this project's policies use.

Pure. Anything else in a policy is refused, so that nothing is judged that is not understood (IAM
User Guide, "Policy evaluation logic" and "IAM JSON policy elements").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KNOWN = frozenset({"Sid", "Effect", "Action", "Resource", "Principal", "Condition"})


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action on one resource, as a statement names them."""

    action: str
    resource: str

    def covers(self, action: str, resource: str) -> bool:
        """Whether something is of this grant. Actions know no case, ARNs do."""
        return _like(action.lower(), self.action.lower()) and _like(resource, self.resource)


def grants(document: Mapping[str, Any]) -> Iterator[Grant]:
    """Everything that a role's policy allows, one by one.

    Raises:
        ValueError: it denies, is conditional, or says something that is not understood.
    """
    for statement in _listed(document["Statement"]):
        if statement["Effect"] != "Allow" or {*statement} - {"Sid", "Effect", "Action", "Resource"}:
            raise ValueError(f"not a plain Allow: {statement}")
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield Grant(action, resource)


def allowed(
    document: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    """What a resource's policy says to somebody, who is in the context as ``Service`` or ``AWS``.

    Raises:
        ValueError: it says something that is not understood.
    """
    found = [
        statement["Effect"]
        for statement in _listed(document["Statement"])
        if _applies(statement, action, resource, context)
    ]
    return "Deny" not in found and "Allow" in found


def _applies(
    statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    if {*statement} - KNOWN:
        raise ValueError(f"not understood: {sorted({*statement} - KNOWN)}")
    principal = statement["Principal"]
    named = principal == "*" or any(
        context.get(kind) in _listed(names) for kind, names in principal.items()
    )
    return (
        named
        and any(_like(action.lower(), one.lower()) for one in _listed(statement["Action"]))
        and any(_like(resource, one) for one in _listed(statement["Resource"]))
        and all(
            _holds(test, context.get(key), _listed(wanted))
            for test, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(test: str, actual: str | None, wanted: Sequence[str]) -> bool:
    if test not in {"StringEquals", "StringLike", "ArnEquals", "ArnLike", "Bool"}:
        raise ValueError(f"the condition {test} is not understood")
    if actual is None:  # what is not there is equal to nothing
        return False
    if test in {"StringEquals", "Bool"}:
        return actual in wanted
    return any(_like(actual, one) for one in wanted)


def _like(text: str, pattern: str) -> bool:
    """``*`` is anything, ``?`` one character, all else itself."""
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
