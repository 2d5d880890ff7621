"""Recipe files and the pictures they name: found, read or refused, each failure with a path."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from worker.domain.errors import Problem, RecipeError
from worker.recipes.schema import Problems, printable, suggestion

FOLDER = Path(__file__).parent
"""Where the shipped recipes are."""

MAXIMUM_BYTES = 256_000
"""Of a recipe file."""
MAXIMUM_LINE = 2_000
"""Characters. The TOML parser takes time in the square of the parts of a dotted key."""
MAXIMUM_ASSET_BYTES = 5_000_000
"""Of a watermark picture, which is held in memory as long as its recipe is."""

_LONGEST_NAME = 300
"""Characters of a path in a message."""

_SIGNATURES = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP", re.DOTALL)
"""PNG (W3C PNG 5.2), JPEG (ITU-T T.81 B.1.1.3), WebP (RFC 9649 2.4)."""


def shipped(folder: Path = FOLDER) -> tuple[str, ...]:
    """Names of the files that ship in a folder, sorted: the recipes, unless it is another."""
    return tuple(sorted(file.stem for file in folder.glob("*.toml")))


def locate(name_or_path: str | Path, *, what: str = "recipe", folder: Path = FOLDER) -> Path:
    """The file meant by a shipped name or a path.

    A ``Path``, and a text that ends in ``.toml`` or has a folder in it, is a path; any other
    text is the name of a file that ships.

    Args:
        name_or_path: a name or a path.
        what: the kind of file, for messages.
        folder: where the shipped ones are.

    Raises:
        RecipeError: none that ships has this name; the message lists those there are.
    """
    if isinstance(name_or_path, Path):
        return name_or_path
    names = shipped(folder)
    if name_or_path in names:
        return folder / f"{name_or_path}.toml"
    if name_or_path.lower().endswith(".toml") or "/" in name_or_path or "\\" in name_or_path:
        return Path(name_or_path)
    message = (
        f"no shipped {what} has this name{suggestion(name_or_path, names)} "
        f"(shipped: {', '.join(names)}; your own is named by its path, ending in .toml)"
    )
    raise RecipeError(subject_of(name_or_path, what=what), (Problem("", message),))


def subject_of(name_or_path: str | Path, *, what: str = "recipe") -> str:
    """The name of the recipe, or of another file, in messages."""
    return f"{what} {printable(str(name_or_path)[:_LONGEST_NAME])}"


def read_text(file: Path, subject: str, *, what: str = "recipe") -> str:
    """The text of a recipe file, or of a workflow file.

    Raises:
        RecipeError: missing, unreadable, not a ``.toml`` file, too large or not UTF-8.
    """
    if file.suffix.lower() != ".toml":
        # Also keeps a mistyped path from reading, and quoting from, any file at all.
        raise RecipeError(subject, (Problem("", f"{what} files end in .toml"),))
    try:
        data = _read(file, MAXIMUM_BYTES)
    except _Unreadable as error:
        raise RecipeError(subject, (Problem("", str(error)),)) from error
    try:
        return data.decode("utf-8-sig")  # editors on Windows write a byte order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte {error.start}, line {line}); save it as UTF-8"
        raise RecipeError(subject, (Problem("", message),)) from error


def read_asset(folder: Path | None, name: str, path: str, problems: Problems) -> bytes | None:
    """Contents of the picture ``name`` in ``folder``; None after noting a problem at ``path``."""
    data = read_beside(folder, name, path, problems, most=MAXIMUM_ASSET_BYTES)
    if data is None or _SIGNATURES.match(data):
        return data
    problems.add(path, "is not a PNG, JPEG or WebP picture")
    return None


def read_beside(
    folder: Path | None, name: str, path: str, problems: Problems, *, most: int
) -> bytes | None:
    """Contents of a file that a recipe names; None after noting a problem at ``path``.

    The file must lie in the folder of the recipe file or below it once every symbolic link
    is followed: a recipe that is handed around must not read the files of its user.
    """
    if folder is None:
        problems.add(path, "needs a recipe file: what it names is found relative to it")
        return None
    try:
        home = folder.resolve()
        file = (home / name).resolve()
    except (OSError, ValueError, RuntimeError):  # loops of links, NUL bytes
        problems.add(path, "is not a path that can be followed")
        return None
    if Path(name).is_absolute() or not file.is_relative_to(home):
        problems.add(path, "must be relative to the recipe file and stay in its folder")
        return None
    try:
        return _read(file, most)
    except _Unreadable as error:
        problems.add(path, str(error))
        return None


class _Unreadable(Exception):
    """Why a file could not be read, in words that follow its path."""


def _read(file: Path, most: int) -> bytes:
    try:
        kind = file.stat().st_mode
        if not stat.S_ISREG(kind):  # opening a pipe would wait for ever
            raise _Unreadable("is a folder" if stat.S_ISDIR(kind) else "is not a regular file")
        with file.open("rb") as stream:
            data = stream.read(most + 1)
    except FileNotFoundError as error:
        raise _Unreadable("is not there") from error
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL byte or half a surrogate pair in the path
        raise _Unreadable("is not a path") from error
    if len(data) > most:
        raise _Unreadable(f"is larger than {most // 1000} kB")
    return data


def document(text: str, subject: str) -> dict[str, object]:
    """The values of a TOML text.

    Raises:
        RecipeError: too large, a line too long, or no TOML; with the place.
    """
    import tomllib  # here, because `safelight --help` starts without it

    if len(text) > MAXIMUM_BYTES:
        message = f"is larger than {MAXIMUM_BYTES // 1000} kB"
        raise RecipeError(subject, (Problem("", message),))
    long_line = re.search(rf"[^\n]{{{MAXIMUM_LINE + 1}}}", text)
    if long_line:
        line = text.count("\n", 0, long_line.start()) + 1
        message = f"is longer than {MAXIMUM_LINE} characters"
        raise RecipeError(subject, (Problem(f"line {line}", message),))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(subject, (_syntax_problem(str(error)),)) from error
    except RecursionError as error:
        problem = Problem("", "is nested too deeply")
        raise RecipeError(subject, (problem,)) from error
    except ValueError as error:  # a whole number of more digits than Python reads
        problem = Problem("", f"is not TOML: {printable(str(error))}")
        raise RecipeError(subject, (problem,)) from error


def _syntax_problem(message: str) -> Problem:
    """tomllib's ``what (at line 1, column 2)`` as a problem with the place as its path."""
    found = re.fullmatch(r"(?s)(.*) \(at (line \d+, column \d+|end of document)\)", message)
    what, where = (found[1], found[2]) if found else (message, "")
    return Problem(where, f"not valid TOML: {printable(what)}")
