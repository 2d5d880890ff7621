#!/usr/bin/env bash
# One would guess: a server that answers in 1 ms from one process answers as fast from several, and
# asyncio turns Nagle's algorithm off on every TCP connection, as its documentation says.
# What is: asyncio sets TCP_NODELAY only if the socket's `proto` is IPPROTO_TCP. `socket.socket()` leaves
# it at 0, and accepted sockets inherit that. uvicorn makes its socket this way for `--workers` and
# `--reload`, and so does everybody who passes a socket of their own to `Server.run(sockets=...)`. uvicorn
# sends head and body in two packets, so on a connection that stays open the second one waits for the
# acknowledgement of the first: 40 ms a response on Linux. One process without `--reload` is fast.
# Why it matters: more workers make each response of a kept connection, as a proxy has them, 40 ms slower.
# The fix is `socket.socket(proto=socket.IPPROTO_TCP)`.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q uvicorn==0.54.0
cat > "$work/app.py" <<'PY'
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})
PY
cat > "$work/ask.py" <<'PY'
import socket, statistics, sys, time
port, end = int(sys.argv[1]), time.monotonic() + 60
while True:
    try:
        one = socket.create_connection(("127.0.0.1", port))
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
times = []
for _ in range(80):
    began, data = time.perf_counter(), b""
    one.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    while not data.endswith(b"hello"):
        data += one.recv(1000)
    times.append(1000 * (time.perf_counter() - began))
# Linux acknowledges the first packets of a connection at once.
print(round(statistics.quantiles(times[40:], n=4)[0]))
PY
"$work/venv/bin/python" -c 'import sys, uvicorn; print("uvicorn", uvicorn.__version__, "Python", sys.version.split()[0])'
failed=0
expect() { # what, words of the command, least and most milliseconds
    port=$("$work/venv/bin/python" -c 'import socket; one = socket.create_server(("127.0.0.1", 0)); print(one.getsockname()[1])')
    # shellcheck disable=SC2086 # words
    "$work/venv/bin/uvicorn" app:app --app-dir "$work" --port "$port" --log-level error $2 &
    found=$("$work/venv/bin/python" "$work/ask.py" "$port")
    kill $!
    wait $! 2>/dev/null || true
    printf '%-16s %s ms a response (expected %s to %s)\n' "$1" "$found" "$3" "$4"
    if [ "$found" -lt "$3" ] || [ "$found" -gt "$4" ]; then failed=1; fi
}
expect "one process" "" 0 25
expect "two workers" "--workers 2" 35 100
exit "$failed"
