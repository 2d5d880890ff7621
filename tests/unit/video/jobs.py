"""Runs the operations on folders: one input, parameters as the catalogue has them, a stop that can
be set to any moment."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batch.catalogue import kind
from batch.operations import find
from batch.work import Stopped, Value, Work
from worker.job_context import JobContext, Stop


class Folder:
    """Outputs and checkpoint on a folder; remembers what was put."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.put_names: list[str] = []
        self.types: dict[str, str | None] = {}
        root.mkdir(parents=True, exist_ok=True)

    def file(self, path: Path, name: str, *, content_type: str | None = None) -> None:
        """See ``work.Outputs``."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.root / name)
        self.types[name] = content_type

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


def context(folder: Path) -> JobContext:
    """A scratch folder, one thread, and nobody who stops it."""
    return JobContext(scratch=folder, threads=1)


def work(name: str, source: Path, folder: Path, **given: Value) -> tuple[Work, Folder]:
    """An attempt at a job of a kind with one thread; outputs go to ``folder/out``."""
    outputs = Folder(folder / "out")
    values: dict[str, Any] = {"threads": 1, **given}
    return _work(name, source, outputs, folder / "scratch", **values), outputs


def _work(
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
) -> Work:
    defaults = {each.name: each.default for each in kind(name).parameters}
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return Work(
        inputs=(source,),
        sources=(str(source),),
        digests=(hashlib.sha256(source.read_bytes()).hexdigest(),),
        parameters={name: value for name, value in defaults.items() if value is not None}
        | parameters,
        scratch=scratch,
        outputs=outputs,
        checkpoint=checkpoint or Folder(scratch.with_name("kept")),
        stop=stop or CountedStop(),
        progress=lambda share, _what: _share(share),
        threads=threads,
        index=index,
        size=size,
    )


def run(
    name: str, source: Path, outputs: Folder, scratch: Path, **given: object
) -> Mapping[str, object]:
    """One attempt at a transcode job, fast rather than small.

    Args:
        name: of the kind.
        source: the video.
        outputs: where the results go.
        scratch: emptied first.
        given: ``checkpoint``, ``stop``, ``index``, ``size``, ``threads`` (2), and parameters.
    """
    values: dict[str, Any] = {"preset": "ultrafast", **given}
    return find(name)(_work(name, source, outputs, scratch, **values))


def divided(source: Path, outputs: Folder, scratch: Path, **given: object) -> Mapping[str, object]:
    """A transcode by two children, the second first; details of the assembly."""
    for name, index in (("plan", None), ("part", 1), ("part", 0)):
        run(f"transcode-{name}", source, outputs, scratch, index=index, size=2, **given)
    return run("transcode-assemble", source, outputs, scratch, **given)


def _share(share: float) -> None:
    assert 0 <= share <= 1
