"""A job as the container runs it, on the embedded AWS: S3 in, S3 out, the asset's record."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tests.contract.catalogs import make_table
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.adapters.aws.s3 import S3ObjectStore
from worker.local.emulator import Emulator

ROOT = Path(__file__).parents[2]
ASSET = "7b6b3b1c-2f6e-4a57-9c55-0d1d5ad1c001"


def run(environment: Mapping[str, str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """``python -m batch run``; the exit code and the lines of the log."""
    done = subprocess.run(
        [sys.executable, "-m", "batch", "run", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_prefix_is_processed_in_the_cloud(
    emulator: Emulator, clients: AwsClients, fresh: Callable[[str], str], tmp_path: Path
) -> None:
    """Renditions, manifest and record are in the bucket; the asset lists the job; again is free."""
    bucket, table = fresh("library"), fresh("catalog")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    make_table(clients.dynamodb, table)
    store = S3ObjectStore(clients)
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "JPEG")
    store.put(bucket, "in/2024/a b.jpg", picture.getvalue(), content_type="image/jpeg")
    store.put(bucket, "in/note.txt", b"no picture", content_type="text/plain")
    environment = {**emulator.environment, "SAFELIGHT_TABLE": table, "AWS_BATCH_JOB_ID": "job-7"}
    line = ["batch-process", "--input", f"s3://{bucket}/in/", "--output", f"s3://{bucket}/out"]
    line += ["--asset", ASSET, "--scratch", str(tmp_path)]

    code, _ = run(environment, *line)
    again, lines = run(environment, *line)

    keys = {found.key for found in store.list(bucket, "out/")}
    (job,) = DynamoCatalog(clients.dynamodb, table).jobs(ASSET)
    video = store.head(bucket, "out/2024/a b.jpg/thumbnail.jpg")
    assert (code, again) == (0, 0)
    assert {"out/result.json", "out/manifest.json"} <= keys
    assert not [key for key in keys if ".checkpoint" in key]
    assert video.content_type == "image/jpeg"
    assert [line["event"] for line in lines if "event" in line] == ["started", "unchanged"]
    assert (job.id, job.kind, job.state) == ("job-7", "batch-process", "SUCCEEDED")
    assert list(tmp_path.iterdir()) == []


def test_a_verdict_and_wrong_use_in_the_cloud(
    emulator: Emulator, clients: AwsClients, fresh: Callable[[str], str], tmp_path: Path
) -> None:
    """A missing object is 65 with a verdict beside the results; a wrong line is 2 and one text."""
    bucket = fresh("library")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    line = ["poster", "--input", f"s3://{bucket}/none.mp4", "--output", f"s3://{bucket}/out/"]

    code, _ = run(emulator.environment, *line, "--scratch", str(tmp_path))
    wrong = subprocess.run(
        [sys.executable, "-m", "batch", "run", "postr", "--output", "x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    verdict = json.loads(S3ObjectStore(clients).get(bucket, "out/rejected.json")[0])
    assert (code, verdict["code"]) == (65, "object_missing")
    assert wrong.returncode == 2
    assert "did you mean poster?" in wrong.stderr
    assert "Traceback" not in wrong.stderr
