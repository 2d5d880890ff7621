"""The API function: it answers events of an API Gateway HTTP API (payload format 2.0).

Mangum turns an event into a request, and the app answers it. The local stack serves the same app.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from mangum import Mangum

from worker.bootstrap import assemble
from worker.entrypoints import logs
from worker.entrypoints.api.app import ApiServices, create
from worker.entrypoints.api.problems import MEDIA_TYPE
from worker.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = logs.logger("api")


@cache
def services() -> ApiServices:
    """Wire the services once for the life of the process, at the first event."""
    from worker.adapters.aws.batch import BatchJobs
    from worker.adapters.aws.clients import AwsClients

    settings, clients = Settings.from_environment(os.environ), AwsClients()
    jobs = BatchJobs(clients, settings.batch_prefix)
    return ApiServices(app=assemble(settings, clients), jobs=jobs)


@cache
def adapter() -> Mangum:
    """The adapter from events to requests, made once for the life of the process."""
    logs.adopt(logger)
    app = create(services, origins=services().app.settings.api_origins)
    # Mangum encodes unknown media types as base64, so the media type of problems is listed as text.
    return Mangum(app, lifespan="off", text_mime_types=["application/json", MEDIA_TYPE])


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    answer: dict[str, Any] = adapter()(event, context)  # type: ignore[arg-type]
    return answer
