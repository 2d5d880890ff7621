"""The composition root of a job: which adapters stand behind the ports. Made when first used.

The only module of ``batch`` that chooses adapters. A job on files makes no client at all; which
AWS answers is decided by the environment alone, as everywhere in Safelight.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from batch.addresses import S3Address, read_address
from batch.outputs import IMMUTABLE, LocalOutputStore, OutputStore, S3OutputStore
from batch.work import Stop

if TYPE_CHECKING:
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.s3 import S3Transfers
    from worker.ports import Catalog, ObjectStore


class AwsCloud:
    """S3 and the catalog of the environment."""

    @cached_property
    def store(self) -> ObjectStore:
        """See ``inputs.Cloud``."""
        from worker.adapters.aws.s3 import S3ObjectStore

        return S3ObjectStore(self._clients)

    @cached_property
    def transfers(self) -> S3Transfers:
        """See ``inputs.Cloud``."""
        from worker.adapters.aws.s3 import S3Transfers

        return S3Transfers(self._clients)

    def catalog(self, table: str) -> Catalog:
        """The catalog in a table."""
        from worker.adapters.aws.dynamodb.catalog import DynamoCatalog

        return DynamoCatalog(self._clients.dynamodb, table)

    def place(self, output: str, *, immutable: bool, stop: Stop) -> OutputStore:
        """The output place of an address.

        Args:
            immutable: results are never replaced by different ones: caches may keep them.
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
            stop=stop,
        )

    @cached_property
    def _clients(self) -> AwsClients:
        from worker.adapters.aws.clients import AwsClients

        return AwsClients()
