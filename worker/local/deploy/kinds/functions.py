"""Lambda functions and what is set on them. The embedded AWS holds them and never calls them.

The local stack runs the functions itself, so the mappings from queues to functions are made
switched off: the embedded AWS would take messages away from the local stack's workers.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind, camel_to_pascal

SAME = (
    *("architectures", "description", "environment", "handler", "loggingConfig", "memorySize"),
    *("role", "runtime", "timeout", "tracingConfig", "deadLetterConfig", "ephemeralStorage"),
)
"""Inputs that the API knows under the same name."""


def _function(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    wanted = camel_to_pascal({key: inputs[key] for key in SAME if key in inputs})
    if "environment" in inputs:
        # Names of variables are nobody's to respell.
        wanted["Environment"] = {"Variables": dict(inputs["environment"]["variables"])}
    if "imageConfig" in inputs:
        wanted["ImageConfig"] = {"Command": list(inputs["imageConfig"]["commands"])}
    image = inputs.get("imageUri")
    code: Any = {"ImageUri": image} if image else {"ZipFile": zipped(inputs["code"])}
    functions = aws.functions
    try:
        functions.create_function(
            FunctionName=name,
            Code=code,
            PackageType=inputs["packageType"],
            Tags=declared.tags,
            **wanted,
        )
    except functions.exceptions.ResourceConflictException:
        unchanging = {"Architectures"}
        functions.update_function_configuration(
            FunctionName=name,
            **{key: value for key, value in wanted.items() if key not in unchanging},
        )
        functions.update_function_code(FunctionName=name, **code)
    reserved = inputs.get("reservedConcurrentExecutions")
    if reserved is not None:
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    arn = aws.arn("lambda", f"function:{name}")
    return name, {"name": name, "arn": arn, "qualifiedArn": f"{arn}:$LATEST", "version": "$LATEST"}


def zipped(archive: object) -> bytes:
    """An archive of files as Lambda takes it, the same bytes every time."""
    if not isinstance(archive, pulumi.AssetArchive):
        raise NotImplementedError(f"the local stack packs no {type(archive).__name__}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, asset in sorted(archive.assets.items()):
            if not isinstance(asset, pulumi.FileAsset):
                raise NotImplementedError(f"the local stack packs no {type(asset).__name__}")
            opened.writestr(zipfile.ZipInfo(name), Path(asset.path).read_bytes())
    return packed.getvalue()


def _mapping(aws: Aws, declared: Declared) -> Created:
    inputs = declared.inputs
    function, source = inputs["functionName"], inputs["eventSourceArn"]
    found = aws.functions.list_event_source_mappings(FunctionName=function, EventSourceArn=source)
    if found["EventSourceMappings"]:
        made: Mapping[str, Any] = found["EventSourceMappings"][0]
    else:
        same = ("batchSize", "functionResponseTypes", "maximumBatchingWindowInSeconds")
        asked = {key: inputs[key] for key in same if inputs.get(key) is not None}
        if "scalingConfig" in inputs:
            asked["scalingConfig"] = inputs["scalingConfig"]
        made = aws.functions.create_event_source_mapping(
            EventSourceArn=source,
            FunctionName=function,
            Enabled=False,  # see the module's docstring
            **camel_to_pascal(asked),
        )
    uuid = made["UUID"]
    return uuid, {"uuid": uuid, "arn": aws.arn("lambda", f"event-source-mapping:{uuid}")}


def _permission(aws: Aws, declared: Declared) -> Created:
    inputs, functions = declared.inputs, aws.functions
    statement = inputs.get("statementId") or declared.name
    with contextlib.suppress(functions.exceptions.ResourceNotFoundException):
        functions.remove_permission(FunctionName=inputs["function"], StatementId=statement)
    more = {"SourceAccount": inputs["sourceAccount"]} if "sourceAccount" in inputs else {}
    functions.add_permission(
        FunctionName=inputs["function"],
        StatementId=statement,
        Action=inputs["action"],
        Principal=inputs["principal"],
        SourceArn=inputs["sourceArn"],
        **more,
    )
    return statement, {"statementId": statement}


def _invocations(aws: Aws, declared: Declared) -> Created:
    inputs = declared.inputs
    asked = {
        "maximumEventAgeInSeconds": inputs.get("maximumEventAgeInSeconds"),
        "maximumRetryAttempts": inputs.get("maximumRetryAttempts"),
        "destinationConfig": inputs.get("destinationConfig"),
    }
    given = camel_to_pascal({key: value for key, value in asked.items() if value is not None})
    aws.functions.put_function_event_invoke_config(FunctionName=inputs["functionName"], **given)
    return inputs["functionName"], {}


KINDS = {
    "aws:lambda/function:Function": Kind(
        _function,
        frozenset(
            {
                *SAME,
                *("code", "imageConfig", "imageUri", "name", "packageType"),
                *("reservedConcurrentExecutions", "tags"),
            }
        ),
    ),
    "aws:lambda/eventSourceMapping:EventSourceMapping": Kind(
        _mapping,
        frozenset(
            {
                "batchSize",
                "eventSourceArn",
                "functionName",
                "functionResponseTypes",
                "maximumBatchingWindowInSeconds",
                "scalingConfig",
                "tags",
            }
        ),
    ),
    "aws:lambda/permission:Permission": Kind(
        _permission,
        frozenset({"action", "function", "principal", "sourceAccount", "sourceArn", "statementId"}),
    ),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": Kind(
        _invocations,
        frozenset(
            {
                "destinationConfig",
                "functionName",
                "maximumEventAgeInSeconds",
                "maximumRetryAttempts",
            }
        ),
    ),
}
