"""A client of the API as anybody could write it: standard library, no credentials of AWS."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen


class ApiClient:
    """The API at an address, with a token."""

    def __init__(self, address: str, token: str) -> None:
        """Ask nothing yet."""
        self._address, self._token = address, token

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request; status and body of the answer."""
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        status, answer = send(method, self._address + path, data, headers)
        return status, json.loads(answer) if answer else None

    def get(self, path: str) -> Any:
        """The body of an answer that is no problem."""
        return self._asked("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """The same."""
        return self._asked("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """The same."""
        return self._asked("PATCH", path, body)

    def delete(self, path: str) -> Any:
        """The same."""
        return self._asked("DELETE", path)

    def deleted(self, asset: str) -> bool:
        """Delete an asset; whether its jobs had ended, without which it is not done."""
        status, _ = self.ask("DELETE", f"/assets/{asset}")
        return status in {204, 410}

    def upload(self, name: str, data: bytes, **more: Any) -> Any:
        """Upload a file the way the API says; what it said first."""
        begun = self.post("/uploads", {"name": name, "size": len(data), **more})
        if begun["ticket"] is not None:
            assert use(begun["ticket"], data) in {200, 201}
            return begun
        for part in begun["tickets"]:
            piece = data[part["offset"] : part["offset"] + part["size"]]
            assert send("PUT", part["url"], piece)[0] == 200
        self.post(f"/uploads/{begun['asset']}/complete")
        return begun

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.ask(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer


def use(ticket: Mapping[str, Any], data: bytes, **headers: str) -> int:
    """Send a file with a ticket; the status of the store's answer."""
    if ticket["method"] == "PUT":
        sent = {**ticket["headers"], **headers}
        return send("PUT", ticket["url"], data, sent)[0]
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in ticket["fields"].items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = "".join(parts).encode() + head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    form = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return send("POST", ticket["url"], body, form)[0]


def send(
    method: str, url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """One request, whatever the answer."""
    request = Request(url, data=data, method=method, headers=dict(headers or {}))
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()
