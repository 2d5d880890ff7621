"""Commands that use the API of a deployment, with a person's token and without AWS permissions."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import ConfigurationError, InputError, SafelightError, Unreachable

if TYPE_CHECKING:
    from worker.client import ApiError, Client

VARIABLE = "SAFELIGHT_TOKEN"
"""Variable with a token; a file is better where other people can read the environment."""
PAGE = 200
"""The most that the API lists at once."""

api_option = click.option(
    "--api", metavar="URL", help="Ask the API there, as the person whom the token names."
)
token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"Has the token for --api, and is read before each request.  [default: {VARIABLE}]",
)


@contextmanager
def asking(api: str, token_file: Path | None) -> Iterator[Client]:
    """A client of the API, whose errors are mapped to ``SafelightError`` in this block.

    Raises:
        ConfigurationError: there is no token, or the client is not installed.
        InputError: the file of the token cannot be read; or the API refuses, with its code.
        Unreachable: it does not answer, or is busy.
    """
    try:
        from worker.client import ApiError, Client
    except ModuleNotFoundError as error:
        text = f"--api needs the extra client, which has {error.name}"
        raise ConfigurationError(text) from error
    token = token_of(api, token_file)
    try:
        client = Client(api, token)
    except ValueError as error:
        raise click.UsageError(f"--api: {error}") from None
    try:
        with client as found:
            yield found
    except ApiError as error:
        raise as_ours(error) from error


def token_of(api: str, token_file: Path | None) -> str | Callable[[], str]:
    """The token for an API: the value of the variable, or a function that reads the file.

    Raises:
        ConfigurationError: there is neither.
        InputError: the file cannot be read, or has no token.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if token_file is not None:
        return _reading(token_file)
    if not given:
        raise ConfigurationError(f"{api} needs a token: --token-file, or {VARIABLE}")
    return given


def _reading(path: Path) -> Callable[[], str]:
    """Reads the token each time, because another program may renew it in the file."""

    def read() -> str:
        try:
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            code = "input_missing" if isinstance(error, FileNotFoundError) else "input_unreadable"
            raise InputError(f"--token-file {path}: {error}", code=code) from error
        if not re.fullmatch(r"[\x21-\x7e]{1,20000}", text):
            raise InputError(f"--token-file {path}: has no token", code="input_unreadable")
        return text

    read()  # fail before anything is sent
    return read


def as_ours(error: ApiError) -> SafelightError:
    """Map an error of the client to a ``SafelightError``."""
    again = error.code == "unreachable" or error.status == 429 or error.status >= 500
    return (Unreachable if again else InputError)(
        str(error).removesuffix(f" ({error.code})"), code=error.code
    )
