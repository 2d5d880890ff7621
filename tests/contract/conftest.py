"""What the suites share: one emulator for each process of the test run, and clients for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.contract.catalogs import make_table
from tests.contract.differences import SUITES, reason
from tests.emulators import make_sure, make_sure_of_moto, running_moto
from tests.unit.fakes import MemoryCatalog, MemoryStore
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.adapters.aws.s3 import S3ObjectStore
from worker.local.emulator import Emulator, running
from worker.ports import Catalog, ObjectStore


@dataclass(frozen=True)
class BucketUnderTest:
    """A store with an empty, versioned bucket in it."""

    store: ObjectStore
    bucket: str

    def put(self, key: str, data: bytes, **more: str) -> str:
        """Store some bytes whose type does not matter."""
        return self.store.put(self.bucket, key, data, content_type="image/jpeg", metadata=more)

    def keys(self, prefix: str = "", *, after: str = "") -> list[str]:
        """What is listed."""
        return [found.key for found in self.store.list(self.bucket, prefix, after=after)]


@pytest.fixture(scope="session")
def emulator(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Emulator]:
    """The embedded AWS, without checks of policies; with ``--emulator moto``, moto's server."""
    if pytestconfig.getoption("emulator") == "moto":
        program = make_sure_of_moto(tmp_path_factory)
        with running_moto(program, tmp_path_factory.mktemp("emulator")) as emulator:
            yield emulator
        return
    make_sure(tmp_path_factory)
    with running(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def clients(emulator: Emulator) -> Iterator[AwsClients]:
    """Clients that speak to the emulator."""
    clients = AwsClients(emulator.environment)
    yield clients
    clients.close()


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """Makes names that no other test has: the emulator is shared."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["fake", "dynamodb"])
def catalog(request: pytest.FixtureRequest, fresh: Callable[[str], str]) -> Iterator[Catalog]:
    """An empty catalog: the tests' fake, then the table."""
    if request.param == "fake":
        yield MemoryCatalog()
        return
    clients: AwsClients = request.getfixturevalue("clients")
    name = fresh("catalog")
    make_table(clients.dynamodb, name)
    yield DynamoCatalog(clients.dynamodb, name)
    clients.dynamodb.delete_table(TableName=name)


@pytest.fixture(params=["fake", "s3"])
def tested(request: pytest.FixtureRequest, fresh: Callable[[str], str]) -> BucketUnderTest:
    """An empty bucket: in the tests' fake, then in S3."""
    bucket = fresh("bucket")
    if request.param == "fake":
        return BucketUnderTest(MemoryStore(versioned=bucket), bucket)
    clients: AwsClients = request.getfixturevalue("clients")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    clients.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return BucketUnderTest(S3ObjectStore(clients, page=2), bucket)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What must fail on moto fails there, or the list of differences is no longer true."""
    if config.getoption("emulator") == "moto":
        items[:] = [item for item in items if item.path.stem in SUITES]
        for item in items:
            if why := reason(item.name):
                item.add_marker(pytest.mark.xfail(strict=True, reason=why))
