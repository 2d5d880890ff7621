"""Reads the configuration of a Lambda function."""

from __future__ import annotations

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.services.tune import FunctionFacts


def facts(clients: AwsClients, function: str) -> FunctionFacts:
    """The configuration of a function (AWS Lambda API Reference, GetFunctionConfiguration).

    Args:
        clients: of a person who may read it.
        function: its ARN or name, without a version.
    """
    with aws_call(f"look at function {function}"):
        found = clients.functions.get_function_configuration(FunctionName=function)
    return FunctionFacts(
        memory=found["MemorySize"],
        architecture=found["Architectures"][0],
        # Functions that were made before there was a choice have none here.
        log_format=found.get("LoggingConfig", {}).get("LogFormat", "Text"),
    )
