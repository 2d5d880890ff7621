"""The Pulumi program of this checkout, run without Pulumi's engine and without AWS.

:func:`run` is the seam that the local stack deploys through. :func:`record` keeps every
registration as a :class:`Declaration`. :func:`declare` does so with placeholders for what only AWS
knows: what people read, compare and draw is made of that.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import json
import logging
import re
import runpy
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import pulumi
from pulumi import _types
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, rpc
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import SETTINGS, get_root_resource, set_root_resource
from pulumi.runtime.stack import Stack, run_pulumi_func

from worker.domain.errors import ConfigurationError, ProblemsError
from worker.infra.checkout import folder
from worker.infra.stack_file import missing_images

PROJECT = "safelight"
STACK_KIND = "pulumi:pulumi:Stack"
"""The root that Pulumi makes itself: the parent of everything without another one."""
OPTIONS = ("protect", "retainOnDelete", "deleteBeforeReplace", "ignoreChanges", "deletedWith")
"""Properties of a registration other than its inputs."""
_THREADS = 8
"""Resources that register at the same time."""
_ZONES = 6
"""As many availability zones as any region has. Only their number is invented."""
_DEPTH = 4
"""Objects in objects; types may contain themselves."""
_SYMBOL = re.compile(r"<<([^<>\s]+)>>")
_UNFIT = re.compile(r"[<>\s]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource, or component of resources, with its inputs, relations and options."""

    kind: str
    """``aws:s3/bucket:Bucket`` is ``s3/Bucket``; components of ours keep their token."""
    name: str
    """Without project and stack."""
    inputs: Mapping[str, Any]
    parent: str
    """The parent's own kind."""
    waits_for: frozenset[tuple[str, str]]
    """Kind and name of each dependency."""
    urn: str = ""
    parent_urn: str = ""
    needs: tuple[str, ...] = ()
    """URNs of its dependencies and of its provider, if it names one; sorted."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How it is replaced and deleted: the :data:`OPTIONS` that are not at their defaults."""
    component: bool = False
    """Consists of other resources; nothing in AWS by itself."""

    def document(self, key: str) -> Any:
        """An input that is JSON text."""
        return json.loads(self.inputs[key])

    def statements(self, key: str = "policy") -> list[dict[str, Any]]:
        """The statements of a policy."""
        found: list[dict[str, Any]] = self.document(key)["Statement"]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """All that one run of the program has registered."""

    resources: tuple[Resource, ...]
    """By URN: registrations come from several threads, in any order."""
    exports: Mapping[str, Any]

    def of(self, kind: str) -> list[Resource]:
        """All resources of a kind, by name."""
        found = [one for one in self.resources if one.kind == kind]
        return sorted(found, key=lambda one: one.name)

    def one(self, kind: str, name: str) -> Resource:
        """The one resource of that kind and name."""
        (found,) = [one for one in self.of(kind) if one.name == name]
        return found


def short_kind(token: str) -> str:
    """``aws:s3/bucket:Bucket`` is ``s3/Bucket``; what is not of AWS keeps its token."""
    package, module, kind = token.split(":")
    return f"{module.partition('/')[0]}/{kind}" if package == "aws" else token


def short_name(name: str, stack: str) -> str:
    """A resource's name without what all names of a stack begin with."""
    return name.removeprefix(f"safelight-{stack}-")


def run(
    mocks: Mocks,
    *,
    stack: str,
    config: Mapping[str, Any],
    monitor: MockMonitor | None = None,
) -> dict[str, Any]:
    """Run the program and return its exports once everything is registered.

    The thread must have no running event loop. Another run in the same process has to be in the
    same thread, because Pulumi's runtime keeps its state there.

    Args:
        mocks: called with every resource and every invoke, from several threads.
        stack: the stack's name.
        config: without the ``safelight:`` prefix; objects become JSON, as the engine
            makes them.
        monitor: sees the registrations themselves (parents, dependencies).

    Raises:
        CheckoutMissing: the program is not here.
        pulumi.RunError: the configuration is mistaken.
    """
    home = folder()
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))  # as Pulumi does: the program imports `stack`
    pulumi.runtime.set_all_config(
        {
            f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in config.items()
        }
    )
    with _without_collector(), _event_loop() as loop:
        # Forget a former run, one that has failed too.
        set_root_resource(None)  # type: ignore[arg-type]
        SETTINGS.outputs.clear()
        pulumi.runtime.set_mocks(mocks, project=PROJECT, stack=stack, monitor=monitor)
        root = get_root_resource()
        assert isinstance(root, Stack)
        return loop.run_until_complete(_run(home, root))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Garbage collection is off: each would visit the million objects of Pulumi's SDK, which stay.
    A run takes 0.75 s of CPU time without it and 2.3 s with it.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of this thread, and threads that have one each, as Pulumi's mocks expect. All
    are closed here; Pulumi leaves that to the end of the process.
    """
    loops: list[asyncio.AbstractEventLoop] = []

    def add() -> None:
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    add()
    loop = loops[0]
    # The run raises what fails; asyncio would log it again for each output that waited.
    loop.set_exception_handler(lambda _loop, _context: None)
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, initializer=add))
    try:
        yield loop
    finally:
        left = asyncio.all_tasks(loop)  # of a run that has failed
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        for one in loops:
            one.close()


async def _run(home: Path, root: Stack) -> dict[str, Any]:
    def start() -> None:
        runpy.run_path(str(home / "__main__.py"), run_name="__main__")

    await run_pulumi_func(start)
    exports = await pulumi.Output.all(**root.outputs).future()
    assert exports is not None  # unknown only in previews
    return exports


def _without_secrets(value: Any) -> Any:
    """The value as a plan may show it."""
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == rpc._special_secret_sig:
            return "[secret]"
        return {key: _without_secrets(item) for key, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def whole(value: Any) -> Any:
    """Whole numbers as integers: the protocol has only floats, and AWS refuses those."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class DeclarationRecorder(MockMonitor):
    """Keeps the requests: mocks do not see parents, dependencies and options."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.requests: list[Any] = []

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The URN as Pulumi's engine makes it, with all kinds from the outermost on; mocks use only
        two of them.
        """
        kinds = parent.split("::")[2].split("$") if parent else []
        whole_kind = "$".join([*(kind for kind in kinds if kind != STACK_KIND), type_])
        return "::".join(
            [f"urn:pulumi:{pulumi.get_stack()}", pulumi.get_project(), whole_kind, name]
        )

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Answer as mocks do, and keep the request."""
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != STACK_KIND:
            self.requests.append((answer.urn, request))
        return answer


def record(mocks: Mocks, *, stack: str, config: Mapping[str, Any]) -> Declaration:
    """Run the program and return what it declares.

    Args:
        mocks: answer each registration and each look-up.
        stack: the stack's name.
        config: without the ``safelight:`` prefix, see :func:`run`.

    Raises:
        CheckoutMissing: the program is not here.
        pulumi.RunError: the configuration is mistaken.
        ConfigurationError: two resources have one identity.
    """
    monitor = DeclarationRecorder(mocks)
    exports = run(mocks, stack=stack, config=config, monitor=monitor)
    twice = sorted(
        urn for urn, count in Counter(urn for urn, _ in monitor.requests).items() if count > 1
    )
    if twice:
        # Mocks accept that; Pulumi's engine refuses it half-way through a deployment.
        raise ConfigurationError(f"the program declares these more than once: {', '.join(twice)}")
    return Declaration(
        resources=tuple(
            _resource(urn, request, stack)
            for urn, request in sorted(monitor.requests, key=lambda one: str(one[0]))
        ),
        exports=exports,
    )


def _resource(urn: str, request: Any, stack: str) -> Resource:
    dependencies = {*request.dependencies}
    needs = {*dependencies}
    if request.provider:
        needs.add(request.provider.rpartition("::")[0])
    return Resource(
        urn=urn,
        kind=short_kind(request.type),
        name=short_name(request.name, stack),
        inputs=whole(_without_secrets(rpc.deserialize_properties(request.object))),
        parent=_kind_of(request.parent),
        parent_urn=request.parent,
        waits_for=frozenset(
            (_kind_of(one), short_name(one.split("::")[3], stack)) for one in dependencies
        ),
        needs=tuple(sorted(needs)),
        options=_options(request),
        component=not request.custom,
    )


def _kind_of(urn: str) -> str:
    """The kind in a URN, which names all kinds from the outermost on."""
    return short_kind(urn.split("::")[2].rpartition("$")[2])


def _options(request: Any) -> dict[str, Any]:
    found = {name: getattr(request, name) for name in OPTIONS}
    found["ignoreChanges"] = list(found["ignoreChanges"])
    return {name: value for name, value in found.items() if value}


def declare(stack: str, config: Mapping[str, Any], *, region: str | None) -> Declaration:
    """Run the program and record its resources, with placeholders for values that only AWS knows
    and for images that the configuration does not name.

    Args:
        stack: the stack's name.
        config: without ``safelight:``.
        region: where the stack is; None if the configuration names none.

    Raises:
        CheckoutMissing: the program is not here.
        ProblemsError: the configuration is mistaken; every mistake by its key.
        ConfigurationError: the program refuses it for another reason.
    """
    with _quiet():
        try:
            return record(
                PlaceholderMocks(stack=stack, region=region),
                stack=stack,
                config={**missing_images(config), **config},
            )
        except pulumi.RunError as error:
            if isinstance(error.__cause__, ProblemsError):
                raise error.__cause__ from None
            raise ConfigurationError(str(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pulumi's log, which has a traceback for each failure; the error says enough."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def shown(text: str) -> str:
    """Text with its placeholders as people read them: ``${s3/Bucket:intake.arn}``."""
    return _SYMBOL.sub(r"${\1}", text)


def placeholder(what: str) -> str:
    """The placeholder of a property: ``s3/Bucket:intake.arn``."""
    return f"<<{_UNFIT.sub('_', what)}>>"


class PlaceholderMocks(Mocks):
    """Answers every registration and look-up with placeholders for what only AWS knows.

    A placeholder says whose property it is. It is the same in every run, so that a policy or an
    environment that contains it can be read and compared. The program itself sees
    ``<<s3/Bucket:intake.arn>>``: it fills templates of ``${...}`` and checks that none is left.
    Called from several threads; keeps only the regions of providers.

    Args:
        stack: the stack's name, left out of placeholders.
        region: where the stack is; None if the configuration names none.
    """

    def __init__(self, *, stack: str, region: str | None) -> None:
        self._stack = stack
        self._region = region
        self._regions: dict[str, str] = {}

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """The inputs, and a placeholder for every property that is no input."""
        if args.custom is False:
            return args.name, args.inputs
        what = f"{short_kind(args.typ)}:{short_name(args.name, self._stack)}"
        identity = args.resource_id or placeholder(f"{what}.id")
        if args.typ.startswith("pulumi:providers:") and "region" in args.inputs:
            self._regions[identity] = str(args.inputs["region"])
        return identity, _values(_resource_types(args.typ), what) | args.inputs

    def call(self, args: MockCallArgs) -> Any:
        """Account and region as far as the configuration has them; placeholders otherwise."""
        name = args.token.rpartition(":")[2]
        # The classes of results refuse text where they want a number or a boolean.
        types = {
            key: kind
            for key, kind in _look_up_types(args.token).items()
            if _types.unwrap_type(kind) not in (bool, int, float)
        }
        region = (
            args.args.get("region")
            or self._regions.get(args.provider.rpartition("::")[2])
            or self._region
            or placeholder("aws.region")
        )
        numbers = range(1, _ZONES + 1)
        known: dict[str, dict[str, Any]] = {
            "getCallerIdentity": {"accountId": placeholder("aws.account")},
            "getRegion": {"region": region, "name": region, "id": region},
            "getPartition": {"partition": placeholder("aws.partition")},
            "getAvailabilityZones": {
                "names": [placeholder(f"aws.zone.{number}") for number in numbers],
                "zoneIds": [placeholder(f"aws.zoneId.{number}") for number in numbers],
            },
        }
        return {**_values(types, _label(args)), **args.args, **known.get(name, {})}


def _label(args: MockCallArgs) -> str:
    """Lookups of the program: ``cloudfront/getCachePolicy(name=Managed-CachingOptimized)``."""
    package, module, name = args.token.split(":")
    below = module.partition("/")[0]
    values = ",".join(f"{key}={args.args[key]}" for key in sorted(args.args))
    return f"{package if below == 'index' else below}/{name}{f'({values})' if values else ''}"


def _values(types: Mapping[str, Any], what: str, depth: int = _DEPTH) -> dict[str, Any]:
    found = {name: _value(kind, f"{what}.{name}", depth) for name, kind in types.items()}
    return {name: value for name, value in found.items() if value is not None}


def _value(kind: Any, what: str, depth: int) -> Any:
    """A value of a type, made of placeholders. None where none can be made: such a property is
    left out."""
    kind = _types.unwrap_type(kind)
    if isinstance(kind, type) and _types.is_output_type(kind):
        return _values(_types.output_type_types(kind), what, depth - 1) if depth else None
    base = get_origin(kind) or kind
    if not isinstance(base, type):
        return placeholder(what)  # a choice of types, text among them
    if issubclass(base, str) and not issubclass(base, Enum):
        return placeholder(what)
    if issubclass(base, Sequence):
        item = _value((*get_args(kind), str)[0], f"{what}[0]", depth - 1) if depth else None
        return None if item is None else [item]
    return None if issubclass(base, (Mapping, Enum)) else placeholder(what)


def _resource_types(token: str) -> Mapping[str, Any]:
    """The types of a resource's properties, by the names of Pulumi's protocol; none where the
    provider's package is not known.

    Args:
        token: ``aws:s3/bucket:Bucket``.
    """
    found = _class(token, token.rpartition(":")[2])
    return {} if found is None else _types.resource_types(found)


def _look_up_types(token: str) -> Mapping[str, Any]:
    """The types of a look-up's results.

    Args:
        token: ``aws:iam/getPolicy:getPolicy``.
    """
    name = token.rpartition(":")[2]
    found = _class(token, f"{name[:1].upper()}{name[1:]}Result")
    return {} if found is None else _types.output_type_types(found)


@functools.cache
def _class(token: str, name: str) -> type | None:
    package, module, _ = token.split(":")
    below = module.partition("/")[0]
    path = f"pulumi_{package}" if below == "index" else f"pulumi_{package}.{below}"
    for candidate in (path, f"{path}_"):  # "lambda" is a keyword of Python
        try:
            found = getattr(importlib.import_module(candidate), name, None)
        except ModuleNotFoundError:
            continue
        if isinstance(found, type):
            return found
    return None
