#!/usr/bin/env bash
# One would guess: the reference library of Standard Webhooks signs the moment that it is given. An aware
# datetime is one moment, whatever zone it is written in.
# What is: standardwebhooks 1.1.0 (Python) replaces the zone by UTC and keeps the hands of the clock. A time
# written in +02:00 is signed as one two hours later, and a naive local time (datetime.now()) as if it were UTC.
# The header that a sender writes from the same datetime (int(time.timestamp())) then does not fit the
# signature, and the library's own verify refuses it. The library for JavaScript (1.1.1) signs the moment.
# Why it matters: it works on every machine that runs in UTC, containers and CI, and fails on a laptop.
# Give it datetime.now(timezone.utc), or sign without it.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python
python/bin/pip --disable-pip-version-check install -q standardwebhooks==1.1.0
npm install --no-audit --no-fund --ignore-scripts --loglevel error standardwebhooks@1.1.1 >/dev/null
cat > check.py <<'PY'
import base64
from datetime import datetime, timedelta, timezone

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook("whsec_" + base64.b64encode(bytes(32)).decode())
now = datetime.now(timezone.utc).replace(microsecond=0)
same = now.astimezone(timezone(timedelta(hours=2)))
assert now == same


def accepted(time):
    headers = {"webhook-id": "a", "webhook-timestamp": str(int(time.timestamp()))}
    headers["webhook-signature"] = webhook.sign("a", time, "{}")
    try:
        webhook.verify("{}", headers)
    except WebhookVerificationError as error:
        return str(error)
    return "accepted"


print("Python, written in UTC:   ", accepted(now))
print("Python, written in +02:00:", accepted(same))
assert accepted(now) == "accepted"
assert accepted(same) == "No matching signature found"
assert webhook.sign("a", same, "{}") == webhook.sign("a", now + timedelta(hours=2), "{}")
PY
cat > check.mjs <<'JS'
import { Webhook } from "standardwebhooks";

const webhook = new Webhook("whsec_" + Buffer.alloc(32).toString("base64"));
const now = new Date(Math.floor(Date.now() / 1000) * 1000);
const iso = new Date(now.getTime() + 2 * 3600 * 1000).toISOString().replace("Z", "+02:00");
const same = new Date(iso);
const headers = { "webhook-id": "a", "webhook-timestamp": String(same.getTime() / 1000) };
headers["webhook-signature"] = webhook.sign("a", same, "{}");
webhook.verify("{}", headers);
console.log("JavaScript, +02:00:        accepted");
JS
python/bin/python check.py
node check.mjs
