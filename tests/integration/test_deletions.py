"""What is deleted, renamed, replaced and erased in a local stack, by any S3 client."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.job_uploads import clip, jobs_of
from tests.integration.running import Running, picture, stack, until
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.ledger import LEDGER
from worker.adapters.aws.dynamodb.schema import PARTITION_KEY
from worker.domain.asset import CLOSED, SUPERSEDED, Status, asset_id_of
from worker.local import lifecycle

A, B = "uploads/a.jpg", "uploads/b.jpg"


class Client:
    """Somebody's S3 client on a stack, and what the catalog then says."""

    def __init__(self, running: Running) -> None:
        """It runs."""
        self.app, self.root = running.app, AwsClients(running.root)
        self.s3, settings = AwsClients(running.ready["environment"]).s3, running.app.settings
        self.intake, self.delivery = settings.intake_bucket, settings.delivery_bucket

    def put(self, key: str, data: bytes, **metadata: str) -> None:
        """Upload, and wait until it is recorded."""
        done = self.s3.put_object(Bucket=self.intake, Key=key, Body=data, Metadata=metadata)
        until(lambda: self.version(key) == done["VersionId"])

    def version(self, key: str) -> str | None:
        """Of the upload that a record is of."""
        record = self.app.catalog.get(asset_id_of(self.intake, key))
        return record.source.version_id if record is not None else None

    def items(self) -> list[Any]:
        """What the table has, without sums of the ledger; those name no asset."""
        found = self.root.dynamodb.scan(TableName=self.app.settings.table)["Items"]
        sums = [one for one in found if one[PARTITION_KEY]["S"].startswith(f"{LEDGER}#")]
        assets = [asset_id_of(self.intake, key) for key in (A, B, "uploads/film.mp4")]
        assert not any(asset in str(sums) for asset in assets)
        return [one for one in found if one not in sums]

    def status(self, key: str) -> Status | None:
        """Of an asset."""
        record = self.app.catalog.get(asset_id_of(self.intake, key))
        return record.status if record is not None else None

    def rename(self, old: str, new: str) -> None:
        """As ``aws s3 mv`` does."""
        self.s3.copy_object(
            Bucket=self.intake, Key=new, CopySource={"Bucket": self.intake, "Key": old}
        )
        self.s3.delete_object(Bucket=self.intake, Key=old)

    def files(self) -> set[str]:
        """Everything that was made of anything; the recipe it was made by stays."""
        found = {one.key for one in self.app.store.list(self.delivery)}
        return {key for key in found if not key.startswith("recipes/")}

    def left(self, bucket: str) -> list[Any]:
        """Every version and marker in a bucket."""
        found = self.root.s3.list_object_versions(Bucket=bucket)
        return [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]


def test_record_and_bucket_tell_the_same(tmp_path: Path) -> None:
    """A folder, labels, replaced, expired, renamed, rejected, brought back, and then erased."""
    good, other = (picture(tmp_path, n, c).read_bytes() for n, c in (("1", "red"), ("2", "navy")))
    with stack(tmp_path / "data") as running:
        client = Client(running)
        client.s3.put_object(Bucket=client.intake, Key="uploads/", Body=b"")
        client.put(A, good, owner="Zo%C3%AB", tags="sea", attributes="roll=12")
        record = client.app.catalog.get(asset_id_of(client.intake, A))
        assert record is not None
        assert (record.owner, record.tags, record.attributes) == (
            "Zoë",
            frozenset({"sea"}),
            {"roll": "12"},
        )

        client.put(A, other)
        replaced = {one.key for one in record.renditions}
        tag = [{"Key": key, "Value": value} for key, value in (SUPERSEDED | CLOSED).items()]

        def tagged() -> set[str]:
            return {
                key
                for key in client.files()
                if client.root.s3.get_object_tagging(Bucket=client.delivery, Key=key)["TagSet"]
                == tag
            }

        until(lambda: tagged() == replaced)
        assert client.files() > replaced
        soon = datetime.now(UTC)
        assert lifecycle.sweep(client.root, client.delivery, now=soon + timedelta(days=6)) == 0
        later = soon + timedelta(days=9)
        assert lifecycle.sweep(client.root, client.delivery, now=later) == len(replaced)
        assert not client.files() & replaced

        client.rename(A, B)
        until(lambda: (client.status(A), client.status(B)) == (Status.DELETED, Status.ACCEPTED))

        client.put(B, b"no picture")
        until(lambda: [one.key for one in client.app.store.list(client.intake)] == ["uploads/"])
        assert client.status(B) is Status.REJECTED
        markers = client.root.s3.list_object_versions(Bucket=client.intake, Prefix=B)
        (marker,) = markers["DeleteMarkers"]
        client.root.s3.delete_object(Bucket=client.intake, Key=B, VersionId=marker["VersionId"])
        until(lambda: client.status(B) is Status.ACCEPTED)

        listed = running.json("assets", "list")
        assert {one["source"]["key"]: one["status"] for one in listed} == {
            A: "deleted",
            B: "accepted",
        }
        for one in listed:
            text = running.run("assets", "rm", one["asset"])
            assert f"removed {one['asset']}" in text
        assert client.files() == set()
        assert [one["Key"] for one in client.left(client.intake)] == ["uploads/"]
        assert client.left(client.app.settings.quarantine_bucket) == []
        assert running.json("assets", "list") == []
        assert running.json("dlq", "list") == []


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_what_is_deleted_is_erased_where_that_is_chosen(tmp_path: Path) -> None:
    """A picture by its key; a video at work by the command, which brings nothing back."""
    with stack(tmp_path / "data", "--deleted-originals", "erase") as running:
        client = Client(running)
        client.put(A, picture(tmp_path, "1", "red").read_bytes())
        client.put(A, picture(tmp_path, "2", "navy").read_bytes())
        client.rename(A, B)
        until(lambda: (client.status(A), client.status(B)) == (None, Status.ACCEPTED))
        client.s3.delete_object(Bucket=client.intake, Key=B)
        until(lambda: client.status(B) is None)
        assert client.files() == set()
        assert client.left(client.intake) == []

        video = clip(tmp_path)
        client.put("uploads/film.mp4", video.read_bytes())
        until(lambda: len(jobs_of(running)) > 0)
        asset = asset_id_of(client.intake, "uploads/film.mp4")
        removed = running.json("assets", "rm", asset)
        assert (removed["asset"], removed["originals"]) == (asset, 1)
        until(lambda: all(state.ended for _, state, *_ in jobs_of(running)))
        until(lambda: client.files() == set())
        # The workflow records that its jobs failed, then sees that the asset is gone.
        until(lambda: client.items() == [])
