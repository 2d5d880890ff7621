#!/usr/bin/env bash
# One would guess: an emulator of DynamoDB gives what AWS's guide gives for the example that stands in it:
# of Chisel, Hammer, Nails, Screwdriver, Hacksaw, REMOVE RelatedItems[1], RelatedItems[2] leaves Chisel,
# Screwdriver and Hacksaw (DynamoDB Developer Guide, "Using update expressions", "Removing elements from a list").
# What is: ministack 1.5.33 removes one after the other and counts the second index in what is left: Nails stays,
# Screwdriver goes. moto 5.2.5 is right. Elements that one SET adds behind the end are sorted by their numbers
# (the same page, "SET"); both emulators leave them as they are written. And ministack reckons with 28 digits, the
# usual ones of Python's decimals, where DynamoDB has 38: 1 less than a number of 38 digits ends in ten zeros.
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
        wanted='Chisel Nails Hacksaw' less=12345678901234567890123456790000000000
    else
        "$work/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/log" 2>&1 &
        wanted='Chisel Screwdriver Hacksaw' less=12345678901234567890123456789012345677
    fi
    server=$!
    "$work/venv/bin/python" - "$port" "$wanted" "$less" <<'PYTHON'
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


def after(items, expression, values=None):
    table.put_item(Item={"Id": 789, "RelatedItems": items})
    more = {"ExpressionAttributeValues": values} if values else {}
    found = table.update_item(Key={"Id": 789}, UpdateExpression=expression, ReturnValues="ALL_NEW", **more)
    print(f"{expression}: {found['Attributes']['RelatedItems']}")
    return found["Attributes"]["RelatedItems"]


tools = ["Chisel", "Hammer", "Nails", "Screwdriver", "Hacksaw"]
upward = after(tools, "REMOVE RelatedItems[1], RelatedItems[2]")
downward = after(tools, "REMOVE RelatedItems[2], RelatedItems[1]")
added = after(["Chisel"], "SET RelatedItems[9] = :a, RelatedItems[7] = :b", {":a": "tenth", ":b": "eighth"})
less = after(12345678901234567890123456789012345678, "SET RelatedItems = RelatedItems - :one", {":one": 1})
sys.exit(
    upward != sys.argv[2].split()
    or downward != ["Chisel", "Screwdriver", "Hacksaw"]
    or added != ["Chisel", "tenth", "eighth"]
    or less != int(sys.argv[3])
)
PYTHON
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
done
