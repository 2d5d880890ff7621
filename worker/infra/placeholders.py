"""Mocks that invent nothing: what only AWS knows is a symbol, ``${s3/Bucket:intake.arn}``.

A symbol says whose property it is, so it is the same in every run, and a policy or an environment
that holds it can be read. In what the program itself sees it is ``<<s3/Bucket:intake.arn>>``, for
the program fills templates of ``${...}`` and checks that none is left; :func:`shown` turns one into
the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, get_args, get_origin

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from worker.infra import output_types
from worker.infra.declaration import short_kind, short_name

ZONES = 6
"""As many availability zones as any region has; only their number is invented."""
_DEPTH = 4
"""Objects in objects; types may hold themselves."""
_SYMBOL = re.compile(r"<<([^<>\s]+)>>")
_UNFIT = re.compile(r"[<>\s]")


def shown(text: str) -> str:
    """Text with its symbols as people read them."""
    return _SYMBOL.sub(r"${\1}", text)


def symbol(what: str) -> str:
    """The symbol of a property: ``s3/Bucket:intake.arn``."""
    return f"<<{_UNFIT.sub('_', what)}>>"


class Symbols(Mocks):
    """Answers every registration and look-up. Called from several threads; keeps nothing but
    the regions of providers.

    Args:
        stack: the stack's name, left out of symbols.
        region: where the stack is; None if nothing says it.
    """

    def __init__(self, *, stack: str, region: str | None) -> None:
        self._stack = stack
        self._region = region
        self._regions: dict[str, str] = {}

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """The inputs, and a symbol for every property that is no input."""
        if args.custom is False:
            return args.name, args.inputs
        what = f"{short_kind(args.typ)}:{short_name(args.name, self._stack)}"
        identity = args.resource_id or symbol(f"{what}.id")
        if args.typ.startswith("pulumi:providers:") and "region" in args.inputs:
            self._regions[identity] = str(args.inputs["region"])
        return identity, _values(output_types.of_resource(args.typ), what) | args.inputs

    def call(self, args: MockCallArgs) -> Any:
        """What the configuration says about account and region; symbols for all the rest."""
        name = args.token.rpartition(":")[2]
        # The classes of results refuse text where they want a number or a switch.
        types = {
            key: kind
            for key, kind in output_types.of_look_up(args.token).items()
            if output_types.plain(kind) not in (bool, int, float)
        }
        values = _values(types, _label(args))
        region = (
            args.args.get("region")
            or self._regions.get(args.provider.rpartition("::")[2])
            or self._region
            or symbol("aws.region")
        )
        known: dict[str, dict[str, Any]] = {
            "getCallerIdentity": {"accountId": symbol("aws.account")},
            "getRegion": {"region": region, "name": region, "id": region},
            "getPartition": {"partition": symbol("aws.partition")},
            "getAvailabilityZones": {
                "names": [symbol(f"aws.zone.{number}") for number in range(1, ZONES + 1)],
                "zoneIds": [symbol(f"aws.zoneId.{number}") for number in range(1, ZONES + 1)],
            },
        }
        return {**values, **args.args, **known.get(name, {})}


def _label(args: MockCallArgs) -> str:
    """What is looked up: ``cloudfront/getCachePolicy(name=Managed-CachingOptimized)``."""
    package, module, name = args.token.split(":")
    below = module.partition("/")[0]
    said = ",".join(f"{key}={args.args[key]}" for key in sorted(args.args))
    return f"{package if below == 'index' else below}/{name}{f'({said})' if said else ''}"


def _values(types: Mapping[str, Any], what: str) -> dict[str, Any]:
    found = {name: _value(kind, f"{what}.{name}", _DEPTH) for name, kind in types.items()}
    return {name: value for name, value in found.items() if value is not None}


def _value(kind: Any, what: str, depth: int) -> Any:
    """A value of a type, all of symbols; None where none can be made: the property is absent."""
    kind = output_types.plain(kind)
    parts = output_types.of_part(kind)
    if parts is not None:
        if not depth:
            return None
        inner = {name: _value(one, f"{what}.{name}", depth - 1) for name, one in parts.items()}
        return {name: value for name, value in inner.items() if value is not None}
    base = get_origin(kind) or kind
    if not isinstance(base, type):
        return symbol(what)  # a choice of types, text among them
    if issubclass(base, str) and not issubclass(base, Enum):
        return symbol(what)
    if issubclass(base, Sequence):
        item = _value((*get_args(kind), str)[0], f"{what}[0]", depth - 1) if depth else None
        return None if item is None else [item]
    return None if issubclass(base, (Mapping, Enum)) else symbol(what)
