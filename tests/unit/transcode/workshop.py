"""Runs the transcode operations on folders, with a stop that can be set to any moment."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from batch.catalogue import kind
from batch.operations import find
from batch.work import Stopped, Value, Work
from worker.job_context import Stop


class Folder:
    """Outputs and checkpoint on a folder; remembers what was put."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.put_names: list[str] = []
        root.mkdir(parents=True, exist_ok=True)

    def file(self, path: Path, name: str, *, content_type: str | None = None) -> None:
        """See ``work.Outputs``."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.root / name)

    def tree(self, folder: Path, prefix: str = "") -> None:
        """See ``work.Outputs``."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.file(path, prefix + path.relative_to(folder).as_posix())

    def earlier(self, name: str, *, size: int, sha256: str) -> None:
        """Nothing here is stored without being given again."""

    def fetch(self, name: str) -> Path | None:
        """See ``work.Outputs``."""
        return self.root / name if (self.root / name).is_file() else None

    def get(self, name: str) -> Path | None:
        """See ``work.Checkpoint``."""
        return self.fetch(name)

    def put(self, name: str, path: Path) -> None:
        """See ``work.Checkpoint``."""
        self.put_names.append(name)
        self.file(path, name)

    def names(self) -> Sequence[str]:
        """See ``work.Checkpoint``."""
        return sorted(path.name for path in self.root.iterdir())

    def clear(self) -> None:
        """See ``work.Checkpoint``."""
        shutil.rmtree(self.root)

    def content(self, *prefixes: str) -> Mapping[str, bytes]:
        """Every file below some prefixes."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.relative_to(self.root).as_posix().startswith(prefixes)
        }


class CountedStop(Stop):
    """Asks to stop after it has been looked at so many times."""

    def __init__(self, looks: int | None = None) -> None:
        super().__init__()
        self._left = looks

    @property
    def requested(self) -> bool:
        """Whether the count has run out."""
        if self._left is None:
            return False
        self._left = max(0, self._left - 1)
        return self._left == 0

    def check(self) -> None:
        """See ``work.Stop``."""
        if self.requested:
            raise Stopped("stopped by a test")

    def add_callback(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See ``work.Stop``."""
        return lambda: None


def run(
    name: str,
    source: Path,
    outputs: Folder,
    scratch: Path,
    *,
    checkpoint: Folder | None = None,
    stop: CountedStop | None = None,
    index: int | None = None,
    size: int = 1,
    threads: int = 2,
    **parameters: Value,
) -> Mapping[str, object]:
    """One attempt at a job of a kind."""
    given: dict[str, Value] = {
        parameter.name: parameter.default
        for parameter in kind(name).parameters
        if parameter.default is not None
    }
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    work = Work(
        inputs=(source,),
        sources=(str(source),),
        digests=(hashlib.sha256(source.read_bytes()).hexdigest(),),
        parameters=given | {"preset": "ultrafast"} | parameters,
        scratch=scratch,
        outputs=outputs,
        checkpoint=checkpoint or Folder(scratch.with_name("kept")),
        stop=stop or CountedStop(),
        progress=lambda share, _what: _share(share),
        threads=threads,
        index=index,
        size=size,
    )
    return find(name)(work)


def _share(share: float) -> None:
    assert 0 <= share <= 1
