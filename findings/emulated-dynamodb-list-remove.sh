#!/usr/bin/env bash
# One would guess: an emulator of DynamoDB gives what AWS's guide gives for the example that stands in it:
# of Chisel, Hammer, Nails, Screwdriver, Hacksaw, REMOVE RelatedItems[1], RelatedItems[2] leaves Chisel,
# Screwdriver and Hacksaw (DynamoDB Developer Guide, "Using update expressions", "Removing elements from a list").
# What is: ministack 1.5.33 removes one after the other and counts the second index in what is left: Nails stays,
# Screwdriver goes. With the indexes the other way round it is right. moto 5.2.5 is right both ways.
# Why it matters: code that clears two entries of a list (files of a record, stages of a job) loses another one; it
# passes with one entry, and if it was made right for the emulator it removes the wrong ones on AWS.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
for emulator in ministack==1.5.33 'moto[server,dynamodb]==5.2.5 flask==3.1.3 flask-cors==6.0.5'; do
    python3 -m venv --clear "$work/venv"
    # shellcheck disable=SC2086
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check $emulator boto3==1.43.106
    port=$((20000 + RANDOM % 20000))
    if [[ $emulator == ministack* ]]; then
        BIND_HOST=127.0.0.1 GATEWAY_PORT=$port LOG_LEVEL=ERROR "$work/venv/bin/ministack" >"$work/log" 2>&1 &
        wanted='Chisel Nails Hacksaw'
    else
        "$work/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/log" 2>&1 &
        wanted='Chisel Screwdriver Hacksaw'
    fi
    server=$!
    "$work/venv/bin/python" - "$port" "$wanted" <<'PYTHON'
import sys
import time
from importlib.metadata import PackageNotFoundError, version

import boto3
from botocore.exceptions import EndpointConnectionError

for name in ("ministack", "moto"):
    try:
        print(name, version(name), "boto3", version("boto3"))
    except PackageNotFoundError:
        pass
table = boto3.resource(
    "dynamodb",
    endpoint_url=f"http://127.0.0.1:{sys.argv[1]}",
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
).Table("ProductCatalog")
for _ in range(200):
    try:
        table.meta.client.create_table(
            TableName=table.name,
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "N"}],
            BillingMode="PAY_PER_REQUEST",
        )
        break
    except EndpointConnectionError:
        time.sleep(0.1)


def left(expression):
    items = ["Chisel", "Hammer", "Nails", "Screwdriver", "Hacksaw"]
    table.put_item(Item={"Id": 789, "RelatedItems": items})
    found = table.update_item(Key={"Id": 789}, UpdateExpression=expression, ReturnValues="ALL_NEW")
    print(f"{expression}: {found['Attributes']['RelatedItems']}")
    return " ".join(found["Attributes"]["RelatedItems"])


upward = left("REMOVE RelatedItems[1], RelatedItems[2]")
downward = left("REMOVE RelatedItems[2], RelatedItems[1]")
sys.exit(upward != sys.argv[2] or downward != "Chisel Screwdriver Hacksaw")
PYTHON
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
done
