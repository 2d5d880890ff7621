#!/usr/bin/env bash
# One would guess: an emulator of S3 that takes, keeps and gives checksums compares them with the bytes, as S3 does
# before it takes an object (Amazon S3 User Guide, "Checking object integrity for data uploads").
# What is: moto 5.2.5 compares nothing. A body with another's SHA-256 or Content-MD5 is stored with 200, by a presigned
# URL, too, and parts that are put together may have any size beside MpuObjectSize (S3: 400, InvalidRequest). Of
# GetObject with PartNumber it gives the whole object. ministack 1.5.33 does these four right, but an upload that was
# begun with ChecksumType FULL_OBJECT has a COMPOSITE checksum there, which is no CRC-32 of its bytes; on moto it is.
# Why it matters: what one of them lets pass the other refuses, and no test on either shows that an upload which was
# damaged on its way is refused and one that was not is accepted. A download by its N parts has N times the bytes.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
for emulator in ministack==1.5.33 'moto[server,s3]==5.2.5 flask==3.1.3 flask-cors==6.0.5'; do
    python3 -m venv --clear "$work/venv"
    # shellcheck disable=SC2086
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check $emulator boto3==1.43.106
    port=$((20000 + RANDOM % 20000))
    if [[ $emulator == ministack* ]]; then
        BIND_HOST=127.0.0.1 GATEWAY_PORT=$port LOG_LEVEL=ERROR "$work/venv/bin/ministack" >"$work/log" 2>&1 &
    else
        "$work/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/log" 2>&1 &
    fi
    server=$!
    "$work/venv/bin/python" - "$port" "${emulator%%[=\[]*}" <<'PYTHON'
import base64
import hashlib
import sys
import time
import urllib.error
import urllib.request
import zlib
from importlib.metadata import version

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError

port, emulator = sys.argv[1:]
print(emulator, version(emulator), "boto3", version("boto3"))
s3 = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
for _ in range(200):
    try:
        s3.create_bucket(Bucket="findings")
        break
    except EndpointConnectionError:
        time.sleep(0.1)
PARTS = (b"a" * 5 * 2**20, b"b")
OTHER = b"what was sent"
SHA = base64.b64encode(hashlib.sha256(OTHER).digest()).decode()
MD5 = base64.b64encode(hashlib.md5(OTHER).digest()).decode()


def said(call):
    """The status, or the code of the error."""
    try:
        return call()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["Error"]["Code"]


def put(**checksum):
    return said(lambda: s3.put_object(Bucket="findings", Key="a", Body=b"what arrived", **checksum))


def presigned():
    name = {"Bucket": "findings", "Key": "b", "ChecksumSHA256": SHA}
    headers = {"x-amz-checksum-sha256": SHA}
    request = urllib.request.Request(
        s3.generate_presigned_url("put_object", name), b"what arrived", headers, method="PUT"
    )
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.status


def in_parts(**more):
    name = {"Bucket": "findings", "Key": "c"}
    begun = s3.create_multipart_upload(**name, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    name["UploadId"] = begun["UploadId"]
    done = []
    for number, body in enumerate(PARTS, 1):
        part = s3.upload_part(**name, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        done.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    return said(lambda: s3.complete_multipart_upload(**name, MultipartUpload={"Parts": done}, **more))


found = {
    "another's SHA-256": put(ChecksumSHA256=SHA),
    "another's MD5": put(ContentMD5=MD5),
    "another's SHA-256, presigned": presigned(),
    "parts of another size": in_parts(MpuObjectSize=7),
}
assert in_parts() == 200
head = s3.head_object(Bucket="findings", Key="c", ChecksumMode="ENABLED")
whole = base64.b64encode(zlib.crc32(b"".join(PARTS)).to_bytes(4, "big")).decode()
found["FULL_OBJECT is"] = head["ChecksumType"]
found["its checksum is that of the bytes"] = head["ChecksumCRC32"] == whole
part = s3.get_object(Bucket="findings", Key="c", PartNumber=2)
found["bytes of part 2, which has 1"] = len(part["Body"].read())
documented = ["BadDigest", "BadDigest", 400, "InvalidRequest", "FULL_OBJECT", True, 1]
wanted = {
    "ministack": [*documented[:4], "COMPOSITE", False, 1],
    "moto": [200, 200, 200, 200, "FULL_OBJECT", True, 5 * 2**20 + 1],
}[emulator]
for (what, value), by_aws, expected in zip(found.items(), documented, wanted):
    print(f"  {what}: {value} (expected {expected}; S3: {by_aws})")
sys.exit(list(found.values()) != wanted)
PYTHON
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
done
