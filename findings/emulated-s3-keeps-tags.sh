#!/usr/bin/env bash
# One would guess: an object that is put anew has the tags of its own request and no others, and tags
# given to CreateMultipartUpload are on the object that the upload makes (Amazon S3 API Reference,
# PutObject and CreateMultipartUpload: "x-amz-tagging").
# What is: in ministack 1.5.33 a PUT onto a tagged object of a bucket without versions keeps the old
# tags, and an upload in parts loses the tags that it was begun with.
# Why it matters: a lifecycle rule that expires objects by a tag takes what was written again for
# what it replaced, and never finds large objects.
set -euo pipefail
work=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ministack==1.5.33 boto3==1.43.106
BIND_HOST=127.0.0.1 GATEWAY_PORT=$port LOG_LEVEL=ERROR "$work/venv/bin/ministack" >"$work/log" 2>&1 &
server=$!
"$work/venv/bin/python" - "$port" <<'PYTHON'
import sys
import time
from importlib.metadata import version

import boto3
from botocore.exceptions import EndpointConnectionError

print("ministack", version("ministack"), "boto3", version("boto3"))
s3 = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{sys.argv[1]}",
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
for _ in range(100):
    try:
        s3.create_bucket(Bucket="findings")
        break
    except EndpointConnectionError:
        time.sleep(0.1)


def tags(key):
    return s3.get_object_tagging(Bucket="findings", Key=key)["TagSet"]


tagged = [{"Key": "superseded", "Value": "true"}]
s3.put_object(Bucket="findings", Key="a", Body=b"old", Tagging="superseded=true")
s3.put_object(Bucket="findings", Key="a", Body=b"new")
print("tags after a PUT without any:", tags("a"))
upload = s3.create_multipart_upload(Bucket="findings", Key="b", Tagging="superseded=true")
name = {"Bucket": "findings", "Key": "b", "UploadId": upload["UploadId"]}
part = s3.upload_part(**name, PartNumber=1, Body=b"x")
s3.complete_multipart_upload(
    **name, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
)
print("tags after an upload in parts that began with one:", tags("b"))
sys.exit(0 if tags("a") == tagged and tags("b") == [] else 1)
PYTHON
