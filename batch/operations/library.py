"""``batch-process``: any recipe over folders, prefixes or given pictures.

For reprocessing a library, and for the one picture that is too big for the ingest function: then
limits are raised by parameters and its renditions lie at the top of the output store.

A library is worked through in groups: fetch a group, process it in worker processes that may die
with their picture (``worker.services.process_files.pool``), store its renditions, note it in the
checkpoint. A picture that cannot be processed is an entry of the manifest; a job for one given
picture is rejected with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batch.work import InputListing, ListedFile, Work
from worker import recipes
from worker.codec import plain
from worker.domain.errors import (
    EngineError,
    InputError,
    ObjectChanged,
    ObjectMissing,
    Reason,
    Rejected,
)
from worker.domain.image import Limits, Recipe
from worker.job_context import Stop
from worker.services.process_files.inputs import slug
from worker.services.process_files.output_folder import Cause, plain_rendition
from worker.services.process_files.pool import (
    FileOutcome,
    FileTask,
    Pool,
    Setup,
    real_engine,
    too_large,
)
from worker.subprocesses.sandbox import SandboxLimits

GROUP_PICTURES = 64
GROUP_BYTES = 2**30
"""A group ends before either is exceeded: what lies on the scratch disk at the same time."""
_OURS = frozenset(
    {"manifest.json", "manifests", "result.json", "rejected.json", "results", ".checkpoint"}
)
"""What the runner and this operation keep at the top of the output store."""
NAME_CHARACTERS = 200
"""Longest path of a picture that is used as it is; longer ones become a slug."""


def run(work: Work) -> Mapping[str, object]:
    """Process this child's share; details have counts and the manifest's name.

    Raises:
        Rejected: the only picture, given as itself, can never succeed.
        Stopped: the rest is for the next attempt.
    """
    return _BatchProcess(work).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    found: ListedFile
    folder: str
    """Of its renditions below the output store; empty for the top."""

    @property
    def key(self) -> str:
        """Names its entry in the checkpoint."""
        return f"{self.found.uri} {self.found.etag}"


class _BatchProcess:
    def __init__(self, work: Work) -> None:
        if work.inventory is None:
            raise EngineError("batch-process was started without an inventory")
        self._work = work
        self._inventory: InputListing = work.inventory
        given = recipes.load(str(work.parameters["recipe"]))
        self._recipe = _raised(given, work.parameters)
        # What is larger than usual never meets a process that has no limit of memory.
        self._needs_sandbox = self._recipe.limits != given.limits
        self._entries: dict[str, dict[str, Any]] = {}
        self._groups = 0

    def run(self) -> Mapping[str, object]:
        everything = self._inventory.list()
        single = len(everything) == 1 and everything[0].alone
        mine = share(placed(everything), self._work.index, self._work.size)
        self._remember()
        waiting = [picture for picture in mine if picture.key not in self._entries]
        self._told(len(mine))
        for group in grouped(waiting):
            self._process(group, total=len(mine))
        entries = [self._entries[picture.key] for picture in mine]
        if single and entries and entries[0]["reason"] is not None:
            raise _verdict(entries[0]["reason"])
        return self._finish(entries)

    def _process(self, group: Sequence[_Picture], *, total: int) -> None:
        """One group, from fetching to its note in the checkpoint; also when it is stopped."""
        work, before = self._work, set(self._entries)
        try:
            self._go_through(group, total)
        finally:
            fresh = {key: self._entries[key] for key in self._entries if key not in before}
            if fresh:
                self._groups += 1
                note = work.scratch / "group.json"
                note.write_text(json.dumps(fresh), "utf-8")
                work.checkpoint.put(f"group-{self._groups:06d}.json", note)
        work.stop.check()

    def _go_through(self, group: Sequence[_Picture], total: int) -> None:
        staging = self._work.scratch / "staging"
        staging.mkdir()
        paths: dict[int, Path] = {}
        try:
            jobs = list(self._fetched(group, paths, staging))
            with contextlib.closing(self._outcomes(jobs)) as outcomes:
                for outcome in outcomes:
                    if outcome.failure is not None:
                        raise outcome.failure
                    picture = group[outcome.number]
                    folder = staging / str(outcome.number)
                    if outcome.cause is None:
                        self._work.outputs.tree(folder, picture.folder)
                    shutil.rmtree(folder, ignore_errors=True)
                    self._settle(picture, outcome)
                    self._told(total)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            for path in paths.values():
                self._inventory.release(path)

    def _fetched(
        self, group: Sequence[_Picture], paths: dict[int, Path], staging: Path
    ) -> Iterator[FileTask]:
        for number, picture in enumerate(group):
            size, limit = picture.found.bytes, self._recipe.limits.bytes
            if size > limit:
                self._settle(picture, FileOutcome(number=number, cause=too_large(size, limit)))
                continue
            try:
                paths[number] = self._inventory.fetch(picture.found)
            except (InputError, ObjectMissing, ObjectChanged) as error:
                cause = Cause(code=error.code, message=error.message)
                self._settle(picture, FileOutcome(number=number, cause=cause))
                continue
            yield FileTask(
                number=number,
                path=paths[number],
                name=picture.folder,
                staging=staging / str(number),
                sandboxed=self._needs_sandbox,
            )

    def _outcomes(self, jobs: Sequence[FileTask]) -> Generator[FileOutcome]:
        work = self._work
        seconds = float(str(work.parameters["seconds"]))
        setup = Setup(
            engine=real_engine(),
            recipe=self._recipe,
            limits=SandboxLimits(
                wall_seconds=seconds,
                cpu_seconds=2 * seconds,
                memory_bytes=int(str(work.parameters["memory_mib"])) * 2**20,
            ),
        )
        stop = Stop()
        take_back = work.stop.add_callback(stop.request)
        try:
            size = 1 if self._needs_sandbox else work.threads
            yield from Pool(setup, size=size).run(jobs, stop=stop)
        finally:
            take_back()
            stop.close()

    def _settle(self, picture: _Picture, outcome: FileOutcome) -> None:
        self._entries[picture.key] = {
            "uri": picture.found.uri,
            "folder": picture.folder,
            "etag": picture.found.etag,
            "bytes": picture.found.bytes,
            "status": "accepted" if outcome.cause is None else "rejected",
            "reason": plain(outcome.cause, defaults=True),
            "sha256": outcome.sha256,
            "plan": outcome.plan,
            "probe": plain(outcome.probe, defaults=True),
            "metadata": plain(outcome.metadata, defaults=True),
            "renditions": [
                {**plain_rendition(made), "path": made.key.lstrip("/")}
                for made in outcome.renditions
            ],
            "dropped": [plain(item, defaults=True) for item in outcome.dropped],
            "seconds": outcome.seconds,
        }

    def _remember(self) -> None:
        """Take over what earlier attempts have finished and stored."""
        for name in self._work.checkpoint.names():
            self._groups = max(self._groups, int(name[6:12]))
            path = self._work.checkpoint.get(name)
            if path is not None:
                self._entries |= json.loads(path.read_bytes())
        for entry in self._entries.values():
            for made in entry["renditions"]:
                self._work.outputs.earlier(made["path"], size=made["bytes"], sha256=made["sha256"])

    def _told(self, total: int) -> None:
        done = len(self._entries)
        self._work.progress(done / total if total else 1.0, f"{done} of {total} pictures")

    def _finish(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        work, used = self._work, self._recipe
        manifest = work.scratch / "manifest.json"
        content = {
            "recipe": {"name": used.name, "version": used.version, "digest": used.digest},
            "engine": real_engine().version,
            "pictures": list(entries),
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        # Names that are no UTF-8 have lone surrogates: escaped, JSON reads them as the same.
        manifest.write_bytes(text.encode(errors="backslashreplace"))
        name = "manifest.json" if work.index is None else f"manifests/{work.index:05d}.json"
        work.outputs.file(manifest, name)
        codes = Counter(entry["reason"]["code"] for entry in entries if entry["reason"])
        return {
            "manifest": name,
            "pictures": len(entries),
            "accepted": len(entries) - codes.total(),
            "rejected": codes.total(),
            "reasons": dict(sorted(codes.items())),
            "bytes_in": sum(entry["bytes"] for entry in entries),
            "bytes_out": sum(made["bytes"] for entry in entries for made in entry["renditions"]),
        }


def share(pictures: Sequence[_Picture], index: int | None, size: int) -> Sequence[_Picture]:
    """What one child of an array does: every picture is exactly one child's.

    Given pictures go round, every n-th to the same child. What was listed is divided by a hash of
    its address: children list at different times, and a picture that comes or goes in between
    must not move all others to other children.
    """
    if index is None:
        return pictures
    if all(picture.found.alone for picture in pictures):
        return pictures[index::size]
    return [picture for picture in pictures if _hash(picture.found.uri) % size == index]


def placed(everything: Sequence[ListedFile]) -> Sequence[_Picture]:
    """Give every picture a folder of its own: its path with its ending.

    Names follow from the addresses alone, so that children need not agree on them. Two pictures of
    one name, and names that no folder can have, get a hash of the address behind theirs.
    """
    if len(everything) == 1 and everything[0].alone:
        return [_Picture(found=everything[0], folder="")]
    # Without regard to case: not every disk tells a.jpg from A.JPG.
    times = Counter(found.name.casefold() for found in everything)
    return [
        _Picture(found=found, folder=_folder(found, shared=times[found.name.casefold()] > 1))
        for found in everything
    ]


def _folder(found: ListedFile, *, shared: bool) -> str:
    name = found.name
    parts = name.split("/")
    fits = (
        len(name) <= NAME_CHARACTERS
        and name.isascii()
        and name.isprintable()
        and "\\" not in name
        and not any(part in {"", ".", ".."} for part in parts)
        and parts[0].lower() not in _OURS
    )
    if fits and not shared:
        return name
    return f"{name if fits else slug(name)}-{_hash(found.uri):016x}"


def _hash(uri: str) -> int:
    return int.from_bytes(hashlib.sha256(uri.encode(errors="surrogateescape")).digest()[:8], "big")


def grouped(pictures: Sequence[_Picture]) -> Iterator[Sequence[_Picture]]:
    """Groups of at most so many pictures and bytes, and at least one picture."""
    group: list[_Picture] = []
    held = 0
    for picture in pictures:
        size = picture.found.bytes
        if group and (len(group) >= GROUP_PICTURES or held + size > GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(picture)
        held += size
    if group:
        yield group


def _raised(recipe: Recipe, parameters: Mapping[str, object]) -> Recipe:
    """The recipe with the limits that parameters give. Its digest stays: renditions do."""
    names = {"bytes": "max_bytes", "pixels": "max_pixels", "dimension": "max_dimension"}
    names["frames"] = "max_frames"
    given = {field: parameters[name] for field, name in names.items() if name in parameters}
    if not given:
        return recipe
    limits: Limits = replace(recipe.limits, **given)  # type: ignore[arg-type]  # whole numbers
    pixels = max(limits.animation_pixels, limits.pixels)
    return replace(recipe, limits=replace(limits, animation_pixels=pixels))


def _verdict(reason: Mapping[str, str]) -> Exception:
    try:
        return Rejected(Reason(reason["code"]), reason["message"])
    except ValueError:  # a defect of ours, or the file is gone
        return EngineError(reason["message"], code=reason["code"])
