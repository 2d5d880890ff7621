"""Which job queues and job definitions of an account are ours, by their names.

The Pulumi program calls them ``{prefix}-{what}`` and lets seven random hexadecimal digits follow,
so that a resource can be replaced. They are looked up once a process. What may not live here: jobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import ConfigurationError

_SUFFIX = re.compile(r"-[0-9a-f]{7}")


class BatchNames:
    """The names of one deployment.

    Args:
        prefix: what they begin with: ``safelight-prod``.
    """

    def __init__(self, clients: AwsClients, prefix: str) -> None:
        self._clients = clients
        self._prefix = prefix
        self._queues: dict[str, str] = {}
        self._definitions: dict[str, str] = {}

    def queue(self, name: str) -> str:
        """The queue that ``urgent``, ``standard`` or ``bulk`` stands for. Raises
        ``ConfigurationError``."""
        if not self._queues:
            with aws_call("list job queues"):
                pages = self._clients.batch.get_paginator("describe_job_queues").paginate()
                self._queues = self._ours(
                    queue["jobQueueName"] for page in pages for queue in page["jobQueues"]
                )
        return self._found(self._queues, name, "job queue")

    def definition(self, kind: str) -> str:
        """The definition of a kind, without a revision: Batch takes the newest. Raises
        ``ConfigurationError``."""
        if not self._definitions:
            with aws_call("list job definitions"):
                pages = self._clients.batch.get_paginator("describe_job_definitions").paginate(
                    status="ACTIVE"
                )
                self._definitions = self._ours(
                    one["jobDefinitionName"] for page in pages for one in page["jobDefinitions"]
                )
        return self._found(self._definitions, kind, "job definition")

    def meant(self, name: str) -> str:
        """What a name or an ARN stands for: ``...:job-definition/safelight-prod-poster-1a2b3c4:7``
        is ``poster``."""
        bare = name.rpartition("/")[2].partition(":")[0]
        what = bare.removeprefix(f"{self._prefix}-")
        end = _SUFFIX.search(what, max(0, len(what) - 8))
        return what[: end.start()] if end and end.end() == len(what) else what

    def _ours(self, names: Iterable[str]) -> dict[str, str]:
        return {self.meant(name): name for name in names if name.startswith(f"{self._prefix}-")}

    def _found(self, known: dict[str, str], what: str, kind: str) -> str:
        found = known.get(what)
        if found is None:
            text = f"AWS Batch has no {kind} {self._prefix}-{what} in this account and region"
            raise ConfigurationError(f"{text}; SAFELIGHT_BATCH_PREFIX says what names begin with")
        return found
