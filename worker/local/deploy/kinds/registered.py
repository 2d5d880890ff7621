"""What the local stack runs itself: registered with an identity, created nowhere.

An emulator would run these beside the local stack (functions fed by a queue), or say that it runs
them and not do it (pipes).
"""

from __future__ import annotations

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind


def _function(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    return name, {"name": name, "arn": aws.arn("lambda", f"function:{name}")}


def _mapping(aws: Aws, declared: Declared) -> Created:
    arn = aws.arn("lambda", f"event-source-mapping:{declared.name}")
    return declared.name, {"arn": arn, "uuid": declared.name}


def _pipe(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    return name, {"name": name, "arn": aws.arn("pipes", f"pipe/{name}")}


KINDS = {
    "aws:lambda/function:Function": Kind(
        _function,
        frozenset(
            {
                "architectures",
                "code",
                "description",
                "environment",
                "handler",
                "imageConfig",
                "imageUri",
                "loggingConfig",
                "memorySize",
                "name",
                "packageType",
                "role",
                "runtime",
                "tags",
                "timeout",
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
    "aws:pipes/pipe:Pipe": Kind(
        _pipe,
        frozenset(
            {
                "description",
                "enrichment",
                "name",
                "roleArn",
                "source",
                "sourceParameters",
                "tags",
                "target",
                "targetParameters",
            }
        ),
    ),
}
