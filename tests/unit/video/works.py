"""A job's work for tests of operations: one input, parameters as the catalogue has them, a folder
for what is stored."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch.catalogue import kind
from batch.work import Value, Work
from worker.job_context import Stop


@dataclass
class FolderOutputs:
    """Stores into a folder."""

    folder: Path
    types: dict[str, str | None] = field(default_factory=dict)

    def file(self, path: Path, name: str, *, content_type: str | None = None) -> None:
        """A copy under its final name."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        self.types[name] = content_type

    def tree(self, folder: Path, prefix: str = "") -> None:
        """Copies of all files below."""
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            self.file(path, f"{prefix}{path.relative_to(folder)}")

    def earlier(self, name: str, *, size: int, sha256: str) -> None:
        """Nothing here was stored earlier."""

    def fetch(self, name: str) -> Path | None:
        """What lies there."""
        path = self.folder / name
        return path if path.exists() else None


class NoCheckpoint:
    """Remembers nothing."""

    def get(self, name: str) -> Path | None:
        """Never there."""
        return None

    def put(self, name: str, path: Path) -> None:
        """Forgotten."""

    def names(self) -> Sequence[str]:
        """None."""
        return ()

    def clear(self) -> None:
        """Nothing to do."""


def work(name: str, source: Path, folder: Path, **given: Value) -> tuple[Work, FolderOutputs]:
    """An attempt at a job of a kind, with its defaults; outputs go to ``folder/out``."""
    defaults = {each.name: each.default for each in kind(name).parameters}
    scratch = folder / "scratch"
    scratch.mkdir()
    outputs = FolderOutputs(folder / "out")
    known = {key: value for key, value in defaults.items() if value is not None}
    return (
        Work(
            inputs=(source,),
            sources=(str(source),),
            digests=("0" * 64,),
            parameters={**known, **given},
            scratch=scratch,
            outputs=outputs,
            checkpoint=NoCheckpoint(),
            stop=Stop(),
            progress=lambda share, what: None,
            threads=1,
        ),
        outputs,
    )
