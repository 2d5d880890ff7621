"""Responses of the API and the store as values and errors of the client, and forms for uploads."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx2

Json = dict[str, Any]
LONGEST_PAUSE = 20.0
"""Seconds. A longer pause that a server asks for is cut to this."""


class ApiError(Exception):
    """A request or an upload failed.

    Args:
        code: stable. docs/errors.md has those of the API. This client adds ``unreachable`` (the
            connection or the server failed in all attempts), ``store_refused``, ``answer_invalid``
            (the response is not of this API), ``file_changed``, ``not_ready``.
        status: of the response; 0 if there was none.
        errors: wrong fields: ``path``, ``message``, ``code``.
    """

    def __init__(
        self, message: str, *, code: str, status: int = 0, errors: Sequence[Json] = ()
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.status, self.errors = message, code, status, tuple(errors)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all fields, so that another process gets them."""
        made = partial(
            ApiError, self.message, code=self.code, status=self.status, errors=self.errors
        )
        return made, ()

    def __str__(self) -> str:
        fields = "".join(f"; {one.get('path')}: {one.get('message')}" for one in self.errors)
        return f"{self.message}{fields} ({self.code})"


def form(ticket: Json) -> tuple[bytes, bytes, dict[str, str]]:
    """The parts of a form before and after the file (RFC 7578), and its header."""
    line = uuid.uuid4().hex
    fields = "".join(
        f'--{line}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in ticket["fields"].items()
    )
    file = f'--{line}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    head, tail = (fields + file).encode(), f"\r\n--{line}--\r\n".encode()
    return head, tail, {"content-type": f"multipart/form-data; boundary={line}"}


def retry_after(answer: httpx2.Response) -> float:
    """Seconds that a server asks for; dates and nonsense count as none."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), LONGEST_PAUSE) if text.isascii() and text.isdigit() else 0.0


def read_object(answer: httpx2.Response, fields: Sequence[str]) -> Json:
    """The JSON object of a response. Raises ``answer_invalid`` if a field is missing."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict) or not set(fields) <= found.keys():
        text = f"{answer.url} answered {answer.status_code}, but not as this API does"
        raise ApiError(text, code="answer_invalid", status=answer.status_code)
    return found


def problem_of(answer: httpx2.Response) -> ApiError:
    """A problem response (RFC 9457) as an error."""
    status = answer.status_code
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("code"), str):
        text = f"{answer.url} answered {status} and no problem of this API"
        return ApiError(text, code="answer_invalid", status=status)
    errors = [one for one in document.get("errors") or () if isinstance(one, dict)]
    said = str(document.get("detail", ""))
    return ApiError(said, code=document["code"], status=status, errors=errors)


def refusal_of(answer: httpx2.Response) -> ApiError:
    """A refusal of the store as an error."""
    code = store_code(answer)
    text = f"the store answered {answer.status_code} {code}".rstrip()
    known = "upload_expired" if code == "NoSuchUpload" else "store_refused"
    return ApiError(text, code=known, status=answer.status_code)


def store_code(answer: httpx2.Response) -> str:
    """The code of an error of the store; empty if there is none."""
    found = re.search(rb"<Code>(\w{1,64})</Code>", answer.content)
    return found[1].decode() if found else ""
