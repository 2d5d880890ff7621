"""What an output folder remembers: its manifest, and the journal of a run that did not end.

While a run works, each finished source is one line of the journal; the manifest is written once,
at the end, and the journal removed. A run that was killed leaves its journal, and the next run
reads both. Names are claimed in the journal before any folder gets one, so that a folder whose
line was never written is still known to be ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from worker.domain.errors import InputError
from worker.services.process_files import manifest, storage
from worker.services.process_files.manifest import Entry
from worker.services.process_files.names import NAME

JOURNAL = ".safelight-journal"


class Journal:
    """The memory of one output folder. Only the run that holds the folder's lock has one.

    Attributes:
        entries: the newest record of each source, by identity.
        names: the folder of each source that was ever given one, by identity.
    """

    def __init__(self, out: Path) -> None:
        """Read what earlier runs left. Raises InputError if the manifest is not ours."""
        self._out = out
        self._path = out / JOURNAL
        self.entries: dict[str, Entry] = {}
        self.names: dict[str, str] = {}
        for record in _manifest_records(out / storage.MANIFEST):
            self._take(record)
        for line in _lines(self._path):
            claims = line.get("claims")
            if isinstance(claims, dict):
                for identity, name in claims.items():
                    self._claim(identity, name)
            else:
                self._take(line)

    def claim(self, names: Mapping[str, str]) -> None:
        """Write down who gets which folder, before anybody does."""
        self._append({"claims": dict(names)})
        self.names.update(names)

    def add(self, entry: Entry) -> None:
        """Write down one finished source."""
        self._append(manifest.plain(entry))
        self.entries[entry.input.path] = entry
        self.names[entry.input.path] = entry.name

    def settle(self, entries: Iterable[Entry]) -> None:
        """Write the manifest; then the journal has nothing to say that it does not."""
        storage.replace_file(self._out / storage.MANIFEST, manifest.encode(entries))
        storage.remove(self._path)

    def _append(self, record: Mapping[str, Any]) -> None:
        try:
            # Opened for each line: a run adds a few a second, and nothing is left to close.
            with self._path.open("a", encoding="utf-8") as file:
                # The line break comes first: it ends a line that a kill cut short.
                file.write("\n" + json.dumps(record))
        except OSError as error:
            raise storage.storage_error(error, self._path) from error

    def _take(self, record: Mapping[str, Any]) -> None:
        source = record.get("input")
        if isinstance(source, dict):
            self._claim(source.get("path"), record.get("name"))
        entry = manifest.entry_from(record)
        if entry is not None and self.names.get(entry.input.path) == entry.name:
            self.entries[entry.input.path] = entry

    def _claim(self, identity: object, name: object) -> None:
        # A name is a folder that may be replaced: nothing but a plain name is believed.
        if isinstance(identity, str) and isinstance(name, str) and NAME.fullmatch(name):
            self.names[identity] = name


def _manifest_records(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise _foreign(path) from error
    try:
        records = json.loads(text)
    except ValueError as error:
        raise _foreign(path) from error
    if not isinstance(records, list) or not all(
        isinstance(record, dict) and "source" in record and "renditions" in record
        for record in records
    ):
        raise _foreign(path)
    return records


def _foreign(path: Path) -> InputError:
    return InputError(
        f"{path} was not written by Safelight and would be replaced: choose another folder",
        code="output_unwritable",
    )


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage.storage_error(error, path) from error
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the line a kill cut short
        if isinstance(record, dict):
            yield record
