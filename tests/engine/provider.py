"""A provider plugin for Pulumi's engine that applies to the embedded AWS: ``python -m ... LIST``.

It speaks the protocol of the SDK (``pulumirpc.ResourceProvider``) under the name of AWS's provider,
so that the engine runs the program of this checkout unchanged, and never reaches an account: it
starts only where ``AWS_ENDPOINT_URL`` is on loopback.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from tests.engine import properties, rules
from tests.engine.account import Account, Entry
from tests.engine.emulated import RefusedError
from worker.infra.program import whole
from worker.local.deploy.resource_types import RESOURCE_TYPES, EmulatorClients
from worker.local.emulator import client_environment

THREADS = 16
"""Requests at a time: the engine has as many as there are resources that wait for nothing."""
AUTO_NAME_CHARACTERS = 7
MESSAGE_BYTES = 64 * 1024 * 1024


def _of(message: struct_pb2.Struct) -> dict[str, Any]:
    found: dict[str, Any] = whole(json_format.MessageToDict(message))
    return found


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    json_format.ParseDict(dict(values), message)
    return message


def _unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_unknown(one) for one in value.values())
    if isinstance(value, list):
        return any(_unknown(one) for one in value)
    return bool(value == UNKNOWN)


def _kind(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine. The names of its methods are the protocol's.

    Args:
        account: where everything is made.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Which of the protocol's options it knows."""
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The version that the program asks for."""
        from importlib.metadata import version

        return plugin_pb2.PluginInfo(version=version("pulumi_aws"))

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nothing is asked of the engine."""
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What is being made is made."""
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Region and profile, as they are."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Another region is another provider."""
        old, new = _of(request.old_inputs), _of(request.news)
        changed = sorted(key for key in {*old} | {*new} if old.get(key) != new.get(key))
        replaces = [key for key in changed if key == "region"]
        changes = (
            provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        )
        return provider_pb2.DiffResponse(changes=changes, replaces=replaces, diffs=changed)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Values arrive as they are: no secrets, no outputs."""
        return provider_pb2.ConfigureResponse(
            supportsPreview=True, supports_autonaming_configuration=True
        )

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A look-up."""
        return _answered(
            context,
            lambda: provider_pb2.InvokeResponse(
                **{"return": _struct(self._account.invoke(request.tok))}
            ),
        )

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Give it a name, and refuse what the provider refuses."""
        token = _kind(request.urn)
        new, old = _of(request.news), _of(request.olds)
        new.pop(properties.DEFAULTS, None)
        if token not in RESOURCE_TYPES or token not in rules.REPLACES:
            failure = provider_pb2.CheckFailure(reason=f"{token} is no type that the tests know")
            return provider_pb2.CheckResponse(inputs=request.news, failures=[failure])
        key = properties.name_input(token)
        if properties.auto_named(token) and new.get(key) is None and f"{key}Prefix" not in new:
            new[key] = self._auto_name(token, request, new, old)
            new[properties.DEFAULTS] = [key]
        failures = [
            provider_pb2.CheckFailure(property=name, reason=reason)
            for name, reason in properties.problems(token, new)
        ]
        return provider_pb2.CheckResponse(inputs=_struct(new), failures=failures)

    def _auto_name(
        self, token: str, request: Any, new: Mapping[str, Any], old: Mapping[str, Any]
    ) -> str:
        key = properties.name_input(token)
        if key in old.get(properties.DEFAULTS, ()):
            return str(old[key])
        proposed: str = request.autonaming.proposed_name
        if not proposed:
            proposed = f"{_name(request.urn)}-{request.randomSeed.hex()[:AUTO_NAME_CHARACTERS]}"
        return proposed + (".fifo" if new.get("fifoQueue") is True else "")

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What differs from the inputs that it was made of."""
        token = _kind(request.urn)
        old, new = _of(request.old_inputs), _of(request.news)
        ignored = set(request.ignoreChanges)
        found = {
            path: kind
            for path, kind in properties.differences(token, old, new).items()
            if path not in ignored
        }
        replaces = sorted(path for path, kind in found.items() if kind % 2)
        answer = provider_pb2.DiffResponse
        return provider_pb2.DiffResponse(
            changes=answer.DIFF_SOME if found else answer.DIFF_NONE,
            diffs=sorted({path.partition(".")[0].partition("[")[0] for path in found}),
            replaces=sorted({path.partition(".")[0].partition("[")[0] for path in replaces}),
            deleteBeforeReplace=bool(replaces) and _in_its_own_way(token, old, new),
            detailedDiff={
                path: provider_pb2.PropertyDiff(kind=kind, inputDiff=True)  # type: ignore[arg-type]
                for path, kind in found.items()
            },
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Make it; in a preview say what is known before."""
        inputs = _of(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=_struct(_without_defaults(inputs)))

        def create() -> Any:
            identity, found = self._account.create(
                _kind(request.urn), _name(request.urn), _without_defaults(inputs)
            )
            return provider_pb2.CreateResponse(id=identity, properties=_struct(found))

        return _answered(context, create)

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Change it."""
        token, inputs = _kind(request.urn), _without_defaults(_of(request.news))
        old = Entry(token, request.id, _of(request.olds))
        if request.preview:
            known = {
                key: value for key, value in old.properties.items() if key not in ("arn", "version")
            }
            return provider_pb2.UpdateResponse(properties=_struct({**known, **inputs}))

        def update() -> Any:
            found = self._account.update(token, _name(request.urn), old, inputs)
            return provider_pb2.UpdateResponse(properties=_struct(found))

        return _answered(context, update)

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What there is; no id if there is nothing."""
        found = self._account.read(_kind(request.urn), request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id, properties=_struct(found.properties), inputs=request.inputs
        )

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Delete it."""

        def delete() -> Any:
            self._account.delete(_kind(request.urn), request.id, _of(request.properties))
            return empty_pb2.Empty()

        return _answered(context, delete)


def _without_defaults(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key != properties.DEFAULTS}


def _in_its_own_way(token: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the old one has to go first: the new one has its name, which the program chose."""
    if token in rules.DELETED_FIRST:
        return True
    key = properties.name_input(token)
    chosen = key in new and key not in new.get(properties.DEFAULTS, ())
    return chosen and old.get(key) == new[key]


def _answered(context: Any, work: Callable[[], Any]) -> Any:
    """The answer of some work, or the error that the engine shows."""
    try:
        return work()
    except (RefusedError, ClientError, BotoCoreError) as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    except Exception:  # noqa: BLE001 - gRPC would say "exception calling application" alone
        context.abort(grpc.StatusCode.UNKNOWN, traceback.format_exc())


def serve(account: Account) -> tuple[grpc.Server, int]:
    """A running server, and its port on loopback."""
    options = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
    ]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(account), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> int:
    """Serve until the engine that started it is gone."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost"):
        text = "this provider is for the emulator alone: AWS_ENDPOINT_URL is not on loopback"
        print(text, file=sys.stderr)  # noqa: T201 - the engine shows it
        return 2
    engine = os.getppid()
    account = Account(EmulatorClients(client_environment(endpoint)), Path(sys.argv[1]))
    server, port = serve(account)
    print(port, flush=True)  # noqa: T201 - the engine reads it
    while os.getppid() == engine:
        time.sleep(0.5)
    server.stop(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
