"""The services a job uses: S3 and the catalog, each made when it is first used.

The only module of ``batch`` that chooses adapters. A job on files makes no client at all; the
environment alone decides which AWS answers, as everywhere in Safelight.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from batch.arguments import S3Address, read_address
from batch.outputs import IMMUTABLE, LocalOutputStore, OutputStore, S3OutputStore, Transfers
from batch.work import Stop
from worker.domain.asset import CLOSED

if TYPE_CHECKING:
    from worker.adapters.aws.clients import AwsClients
    from worker.ports import Catalog, ObjectStore


class JobServices:
    """The services of the environment, or those that are given.

    Args:
        store: small objects and lists.
        transfers: large objects to and from files.
        assets: the catalog, whatever table is asked for.
    """

    def __init__(
        self,
        store: ObjectStore | None = None,
        transfers: Transfers | None = None,
        assets: Catalog | None = None,
    ) -> None:
        if store is not None:
            self.store = store
        if transfers is not None:
            self.transfers = transfers
        self._assets = assets

    def start_tracing(self) -> None:
        """Let spans go where the environment says. Without that nothing is imported.

        Raises:
            SettingsError: a variable is wrong.
        """
        if os.environ.get("SAFELIGHT_TRACE_TO"):
            from worker.adapters import tracing
            from worker.settings import tracing_of

            tracing.start(*tracing_of(os.environ), self._clients)

    @cached_property
    def store(self) -> ObjectStore:
        """Small objects and lists."""
        from worker.adapters.aws.s3 import S3ObjectStore
        from worker.adapters.tracing import traced

        return traced(S3ObjectStore(self._clients), "store")

    @cached_property
    def transfers(self) -> Transfers:
        """Large objects to and from files."""
        from worker.adapters.aws.s3 import S3Transfers
        from worker.adapters.tracing import traced

        return traced(S3Transfers(self._clients), "transfers")

    def catalog(self, table: str) -> Catalog:
        """The catalog in a table."""
        from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
        from worker.adapters.tracing import traced

        if self._assets is not None:
            return self._assets
        return traced(DynamoCatalog(self._clients.dynamodb, table), "catalog")

    def output_store(
        self,
        output: str,
        *,
        immutable: bool,
        stop: Stop,
        closed: bool = False,
        traceparent: str = "",
    ) -> OutputStore:
        """The output store of an address.

        Args:
            immutable: results are never replaced by different ones: caches may keep them.
            closed: the distribution may not read them.
            traceparent: of the upload that they are made of; empty for none.
        """
        address = read_address(output)
        if not isinstance(address, S3Address):
            return LocalOutputStore(address.absolute())
        prefix = address.key if address.is_prefix else f"{address.key}/"
        return S3OutputStore(
            address.bucket,
            prefix,
            store=self.store,
            transfers=self.transfers,
            cache_control=IMMUTABLE if immutable else "",
            tags=CLOSED if closed else None,
            traceparent=traceparent,
            stop=stop,
        )

    @cached_property
    def _clients(self) -> AwsClients:
        from worker.adapters.aws.clients import AwsClients

        return AwsClients()
