#!/usr/bin/env bash
# One would guess: an adapter between Lambda and ASGI sends JSON as JSON, whatever kind of JSON it is.
# What is: Mangum takes a body for text only if its media type begins with one of six texts, of which
# application/json is one. Errors as application/problem+json (RFC 9457), and every other type that
# ends in +json, are sent as base64 with isBase64Encoded set. API Gateway decodes that for clients; a
# test of the handler, an invocation by hand, an access log or a log of answers shows letters that
# no client can read, for errors alone. text_mime_types adds types, and replaces the six.
# Why it matters: answers of success are readable, so the mistake shows only when the first error matters.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q mangum==0.22.0 starlette==1.10.0
cat > "$work/answer.py" <<'PY'
import sys
from mangum import Mangum
from starlette.responses import Response

kind, *more = sys.argv[1:]

async def app(scope, receive, send):
    await Response('{"code": "x"}', media_type=kind)(scope, receive, send)

event = {
    "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
    "headers": {"host": "example.com"}, "isBase64Encoded": False,
    "requestContext": {
        "domainName": "example.com", "stage": "$default",
        "http": {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
    },
}
given = {"text_mime_types": more} if more else {}
answer = Mangum(app, lifespan="off", **given)(event, None)
print("base64" if answer["isBase64Encoded"] else "text", answer["body"])
PY
"$work/venv/bin/python" -c 'from importlib.metadata import version as v; print("mangum", v("mangum"), "starlette", v("starlette"))'
failed=0
expect() { # wanted, then a media type and types that are text
    local wanted=$1; shift
    local found; found=$("$work/venv/bin/python" "$work/answer.py" "$@")
    printf '%-60s %s\n' "$*" "$found"
    [ "${found%% *}" = "$wanted" ] || failed=1
}
expect text application/json
expect base64 application/problem+json
expect base64 application/geo+json
expect text application/problem+json application/problem+json
expect base64 application/json application/problem+json
exit "$failed"
