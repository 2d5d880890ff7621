"""The ingest function in its image, under Lambda's emulator, on an embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.emulated import Cloud, cloud, event
from tests.container.engine import Engine
from tests.container.lambda_function import function
from tests.unit.pictures import encoded, photo, quadrants
from worker.domain.asset import Status
from worker.ports import Message

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One deployment for all tests here; each uses keys of its own."""
    with cloud(tmp_path_factory.mktemp("aws")) as deployed:
        yield deployed


def test_real_records_become_renditions(engine: Engine, rie: Path, aws: Cloud) -> None:
    """A batch of real notifications is answered as done, and everything is in the store."""
    keys = [f"first/{number} ü.jpg" for number in range(3)]
    data = {key: encoded(photo(640, 480, seed=n), "JPEG") for n, key in enumerate(keys)}
    messages = aws.upload(data)

    with function(engine, rie, aws.environment) as ingest:
        answer = ingest.invoke(event(messages))

        assert answer == {"batchItemFailures": []}, ingest.logs()
    for key in keys:
        aws.check_stored(key)


def test_a_malformed_message_fails_alone(engine: Engine, rie: Path, aws: Cloud) -> None:
    """A message that is not a notification is returned as failed; the process survives and serves
    the next event."""
    messages = aws.upload({"second/good.jpg": encoded(photo(320, 200), "JPEG")})
    broken = Message(id="not-one-of-ours", body="{]", receipt="none", receives=1)

    with function(engine, rie, aws.environment) as ingest:
        answer = ingest.invoke(event([broken, *messages]))
        empty = ingest.invoke({"Records": []})

        assert answer == {"batchItemFailures": [{"itemIdentifier": broken.id}]}, ingest.logs()
        assert empty == {"batchItemFailures": []}
    aws.check_stored("second/good.jpg")


def test_poison_is_rejected_and_spoils_nothing(engine: Engine, rie: Path, aws: Cloud) -> None:
    """A picture that needs more memory than there is ends rejected, the others accepted."""
    # A decoder holds all coefficients of a progressive picture: 180 MB of this one.
    hungry = encoded(quadrants(10_000, 6_000), "JPEG", progressive=True)
    messages = aws.upload(
        {
            "third/a.jpg": encoded(photo(320, 200, seed=1), "JPEG"),
            "third/poison.jpg": hungry,
            "third/b.jpg": encoded(photo(320, 200, seed=2), "JPEG"),
        }
    )
    # The sandbox allows more than the container has: the kernel must step in.
    generous = {**aws.environment, "SAFELIGHT_SANDBOX_MEGABYTES": "4000"}

    with function(engine, rie, generous, mem_limit="250m", memswap_limit="250m") as ingest:
        # The second receive: somebody may have died of one of these.
        answer = ingest.invoke(event(messages, receives=2))

        assert answer == {"batchItemFailures": []}, ingest.logs()
    for key in ("third/a.jpg", "third/b.jpg"):
        aws.check_stored(key)
    record = aws.record("third/poison.jpg")
    assert record is not None
    assert record.status is Status.REJECTED
    assert record.verdict is not None
    assert record.verdict.code == "out_of_memory"
