"""S3 Inventory files (CSV, plain or gzip) as a source of a backfill.

The files have no header; their columns are whatever the inventory was configured with, named in
``fileSchema`` of the ``manifest.json`` beside them. Keys are URL-encoded (Amazon S3 User Guide,
"Amazon S3 Inventory list"). A row of another form is an error that names the row; it is never
skipped.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote_plus

from worker.domain.errors import InputError
from worker.services.backfill import ListedObject

COLUMNS = "Bucket, Key, Size, LastModifiedDate, ETag"
"""Columns of an inventory of current versions with the fields that a backfill uses."""
_NEEDED = ("Bucket", "Key", "Size", "LastModifiedDate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One inventory file."""

    path: Path
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name with a hash of its size and columns, so that another file is another
        source."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}", code="input_unreadable") from error
        text = f"{size}\n{','.join(self.columns)}"
        return f"{self.path.name} ({hashlib.sha256(text.encode()).hexdigest()[:8]})"

    def after(self, mark: str) -> Iterator[ListedObject]:
        """Objects in order of rows; a mark is the number of the last row read."""
        begin = int(mark or 0)
        for number, row in enumerate(_rows(self.path), start=1):
            if number > begin and row:
                found = self._found(number, row)
                if found is not None:
                    yield found

    def _found(self, number: int, row: list[str]) -> ListedObject | None:
        where = f"{self.path}, row {number}"
        if len(row) != len(self.columns):
            text = f"{where}: {len(row)} columns instead of {len(self.columns)}"
            raise InputError(f"{text}; --columns takes fileSchema of the inventory's manifest.json")
        value = dict(zip(self.columns, row, strict=True))
        if value.get("IsLatest", "true") != "true" or value.get("IsDeleteMarker") == "true":
            return None
        try:
            size = int(value["Size"] or 0)
            datetime.fromisoformat(value["LastModifiedDate"])
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
        return ListedObject(
            bucket=value["Bucket"],
            key=unquote_plus(value["Key"]),
            size=size,
            modified=value["LastModifiedDate"],
            etag=value.get("ETag", ""),
            version_id=value.get("VersionId") or None,
            mark=str(number),
        )


def open_inventory(path: Path, columns: str = COLUMNS) -> Inventory:
    """An inventory file with its columns, ``fileSchema`` of its manifest.

    Raises:
        InputError: the file or a required column is missing.
    """
    names = tuple(name.strip() for name in columns.split(","))
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InputError(f"the inventory needs the columns {', '.join(missing)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file", code="input_missing")
    return Inventory(path=path, columns=names)


def _rows(path: Path) -> Iterator[list[str]]:
    """Rows of the file; every defect of the file is an InputError."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if packed
            else path.open(encoding="utf-8", newline="")
        ) as text:
            yield from csv.reader(text, strict=True)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: {error}", code="input_unreadable") from error
