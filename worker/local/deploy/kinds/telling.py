"""Event buses and log groups."""

from __future__ import annotations

import contextlib

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind


def _bus(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    try:
        arn = aws.events.create_event_bus(
            Name=name,
            Description=declared.inputs["description"],
            Tags=declared.tag_list,  # type: ignore[arg-type]
        )["EventBusArn"]
    except aws.events.exceptions.ResourceAlreadyExistsException:
        arn = aws.events.describe_event_bus(Name=name)["Arn"]
    return name, {"name": name, "arn": arn}


def _log_group(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    with contextlib.suppress(aws.logs.exceptions.ResourceAlreadyExistsException):
        aws.logs.create_log_group(logGroupName=name, tags=declared.inputs["tags"])
    aws.logs.put_retention_policy(
        logGroupName=name, retentionInDays=declared.inputs["retentionInDays"]
    )
    return name, {"name": name, "arn": aws.arn("logs", f"log-group:{name}")}


KINDS = {
    "aws:cloudwatch/eventBus:EventBus": Kind(_bus, frozenset({"description", "name", "tags"})),
    "aws:cloudwatch/logGroup:LogGroup": Kind(
        _log_group, frozenset({"name", "retentionInDays", "tags"})
    ),
}
