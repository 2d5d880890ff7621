"""How functions log: lines of JSON that name the trace and nobody, also those of services."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from worker.domain import redaction, trace

_SERVICES = ("safelight", "worker")
"""First parts of the names of the loggers of services."""


def logger(service: str) -> Logger:
    """The logger of a function; each line is cleaned (``domain.redaction``) and names its trace."""
    made = Logger(service=service, json_serializer=_line)
    made.addFilter(trace.stamp)
    return made


def adopt(own: Logger) -> None:
    """Let the lines of services go the same way as those of the function. Once a process."""
    handler = own.registered_handler
    handler.addFilter(trace.stamp)  # that of a logger does not see what others hand on
    for name in _SERVICES:
        log = logging.getLogger(name)
        log.handlers[:] = [handler]
        log.propagate = False
        log.setLevel(logging.INFO)


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(redaction.line(values), default=str, separators=(",", ":"))
