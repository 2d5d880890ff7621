"""What is different between two plans: resources that came and went, inputs path by path. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.infra.plan import Item, Plan


class How(StrEnum):
    """What happened to a value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that is another now."""

    path: str
    """``policy.Statement[0].Action``. In a list, the place in the new one; of what was removed, in
    the old one."""
    how: How
    before: Any = None
    after: Any = None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        found: dict[str, Any] = {"path": self.path, "how": self.how.value}
        if self.how is not How.ADDED:
            found["before"] = self.before
        if self.how is not How.REMOVED:
            found["after"] = self.after
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """From one plan to another."""

    created: tuple[Item, ...]
    changed: tuple[tuple[Item, tuple[Change, ...]], ...]
    removed: tuple[Item, ...]
    exports: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.created or self.changed or self.removed or self.exports)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "created": [item.key for item in self.created],
            "changed": {
                item.key: [change.as_dict() for change in changes] for item, changes in self.changed
            },
            "removed": [item.key for item in self.removed],
            "exports": [change.as_dict() for change in self.exports],
        }


def between(before: Plan, after: Plan) -> Difference:
    """What has to happen to one plan to become the other."""
    old = {item.key: item for item in before.items}
    new = {item.key: item for item in after.items}
    changed = []
    for key, item in new.items():
        if key in old:
            changes = (
                *compare(dict(old[key].inputs), dict(item.inputs)),
                *compare(dict(old[key].options), dict(item.options), "(options)"),
            )
            if changes:
                changed.append((item, changes))
    return Difference(
        created=tuple(item for key, item in new.items() if key not in old),
        changed=tuple(changed),
        removed=tuple(item for key, item in old.items() if key not in new),
        exports=tuple(compare(dict(before.exports), dict(after.exports))),
    )


def compare(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Every place where two values of plain data differ, in order."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            inner = f"{path}.{key}" if path else key
            if key not in before:
                yield Change(path=inner, how=How.ADDED, after=after[key])
            elif key not in after:
                yield Change(path=inner, how=How.REMOVED, before=before[key])
            else:
                yield from compare(before[key], after[key], inner)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, path)
    elif not _same(before, after):
        yield Change(path=path, how=How.CHANGED, before=before, after=after)


def _lists(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[Change]:
    """By what is in them, not by place: one statement more is not a change of all behind it."""
    matcher = difflib.SequenceMatcher(
        None, [_text(one) for one in before], [_text(one) for one in after], autojunk=False
    )
    for what, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if what == "equal":
            continue
        pairs = min(old_to - old_from, new_to - new_from)
        for number in range(pairs):
            new = new_from + number
            yield from compare(before[old_from + number], after[new], f"{path}[{new}]")
        for number in range(old_from + pairs, old_to):
            yield Change(path=f"{path}[{number}]", how=How.REMOVED, before=before[number])
        for number in range(new_from + pairs, new_to):
            yield Change(path=f"{path}[{number}]", how=How.ADDED, after=after[number])


def _same(before: Any, after: Any) -> bool:
    return _text(before) == _text(after)  # not ==: true is 1 in Python


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
