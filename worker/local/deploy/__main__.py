"""``python -m worker.local.deploy --endpoint URL --out FILE``: one deploy, then gone.

Exit codes: 0 done, 1 the emulator refused something, 2 the configuration must be edited. The reason
is on standard error.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi

from worker.adapters.aws.errors import aws_call
from worker.atomic import atomic_write
from worker.domain.errors import ConfigurationError, SafelightError
from worker.infra import program
from worker.local.deploy import MISTAKEN, ROLE_HOLDERS, STACK, shipped_workflows
from worker.local.deploy.registrar import Registrar
from worker.local.deploy.resource_types import EmulatorClients
from worker.local.emulator import client_environment
from worker.recipes import shipped

LOCAL: Mapping[str, Any] = {
    # No container is run here, but the program wants to know which ones.
    "image": f"local/safelight@sha256:{0:064x}",
    "batchImage": f"local/safelight-batch@sha256:{0:064x}",
    "storage": {"forceDestroy": True},
    "catalog": {"deletionProtection": False, "pointInTimeRecovery": False},
    # Every owner may try each of them.
    "settings": {"recipes": ",".join(shipped())},
    # And every workflow; that of heavy uploads is always there.
    "heavy": {"workflows": shipped_workflows()},
    # The local stack signs people in itself.
    "api": {"enabled": True, "issuer": "https://safelight.invalid", "audience": "safelight-local"},
}
"""A stack that may be thrown away."""


def main(arguments: Sequence[str]) -> int:
    """Deploy as the arguments say and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker.local.deploy")
    parser.add_argument("--endpoint", required=True, help="URL of the emulator")
    parser.add_argument("--out", required=True, type=Path, help="file for the outputs")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON; merged into LOCAL")
    given = parser.parse_args(arguments)
    # Pulumi logs each failure with a traceback; what a person needs is said below.
    logging.getLogger().setLevel(logging.CRITICAL)
    try:
        with aws_call(f"reach the emulator at {given.endpoint}"):
            registrar = Registrar(EmulatorClients(client_environment(given.endpoint)))
    except SafelightError as error:
        print(error, file=sys.stderr)  # noqa: T201 - its parent reads it
        return MISTAKEN if isinstance(error, ConfigurationError) else 1
    try:
        outputs = program.run(registrar, stack=STACK, config=merged(LOCAL, given.config))
    except (ConfigurationError, pulumi.RunError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - its parent reads it
        return MISTAKEN
    except Exception:
        if not registrar.failures:
            raise
        for failure in registrar.failures:
            print(f"{failure.what}: {failure.error}", file=sys.stderr)  # noqa: T201
        unknown = isinstance(registrar.failures[0].error, NotImplementedError)
        return MISTAKEN if unknown else 1
    holders = sorted(registrar.role_holders, key=lambda one: (one["type"], one["name"]))
    _write(given.out, {"endpoint": given.endpoint, ROLE_HOLDERS: holders, **outputs})
    return 0


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps in maps are merged, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _write(out: Path, outputs: Mapping[str, Any]) -> None:
    """The file is written atomically: a parent that was killed must not find half of it."""
    atomic_write(out, json.dumps(outputs, indent=2, sort_keys=True) + "\n", mode=0o600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
