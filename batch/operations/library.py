"""``batch-process``: any recipe over folders, prefixes or given images.

It reprocesses a library, or one image that is too big for the ingest function: then parameters
raise the limits, and the renditions go to the top of the output store.

A library is processed in groups: fetch a group, process it in worker processes that may die with
their image (``worker.services.process_files.pool``), store its renditions, record it in the
checkpoint. An image that cannot be processed is an entry of the manifest; a job for one given image
is rejected with it.
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

GROUP_IMAGES = 64
GROUP_BYTES = 2**30
"""Most files and bytes of a group, which is on the scratch disk as a whole."""
_RESERVED = frozenset(
    {"manifest.json", "manifests", "result.json", "rejected.json", "results", ".checkpoint"}
)
"""Names that the runner and this operation use at the top of the output store."""
NAME_CHARACTERS = 200
"""Longest path of an image that is used as it is; longer ones become a slug."""


def run(work: Work) -> Mapping[str, object]:
    """Process this child's share; the details have counts and the manifest's name.

    Raises:
        Rejected: the only image, given by itself, can never succeed.
        Stopped: the next attempt does the rest.
    """
    return _BatchProcess(work).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _LibraryImage:
    found: ListedFile
    folder: str
    """Folder of its renditions in the output store; empty for the top."""

    @property
    def key(self) -> str:
        """Key of its entry in the checkpoint."""
        return f"{self.found.uri} {self.found.etag}"


class _BatchProcess:
    def __init__(self, work: Work) -> None:
        if work.inventory is None:
            raise EngineError("batch-process was started without an inventory")
        self._work = work
        self._inventory: InputListing = work.inventory
        given = recipes.load(work.text("recipe"))
        self._recipe = _with_limits(given, work.parameters)
        # An image above the usual limits is only decoded in a process with a memory limit.
        self._needs_sandbox = self._recipe.limits != given.limits
        self._entries: dict[str, dict[str, Any]] = {}
        self._groups = 0

    def run(self) -> Mapping[str, object]:
        everything = self._inventory.list()
        single = len(everything) == 1 and everything[0].alone
        mine = share(assign_folders(everything), self._work.index, self._work.size)
        self._load_checkpoint()
        waiting = [image for image in mine if image.key not in self._entries]
        self._report(len(mine))
        for group in groups_of(waiting):
            self._process(group, total=len(mine))
        entries = [self._entries[image.key] for image in mine]
        if single and entries and entries[0]["reason"] is not None:
            raise _verdict(entries[0]["reason"])
        return self._finish(entries)

    def _process(self, group: Sequence[_LibraryImage], *, total: int) -> None:
        """Process one group and record it in the checkpoint, also when it is stopped."""
        work, before = self._work, set(self._entries)
        try:
            self._process_files(group, total)
        finally:
            fresh = {key: self._entries[key] for key in self._entries if key not in before}
            if fresh:
                self._groups += 1
                note = work.scratch / "group.json"
                note.write_text(json.dumps(fresh), "utf-8")
                work.checkpoint.put(f"group-{self._groups:06d}.json", note)
        work.stop.check()

    def _process_files(self, group: Sequence[_LibraryImage], total: int) -> None:
        staging = self._work.scratch / "staging"
        staging.mkdir()
        paths: dict[int, Path] = {}
        try:
            jobs = list(self._fetch(group, paths, staging))
            with contextlib.closing(self._outcomes(jobs)) as outcomes:
                for outcome in outcomes:
                    if outcome.failure is not None:
                        raise outcome.failure
                    image = group[outcome.number]
                    folder = staging / str(outcome.number)
                    if outcome.cause is None:
                        self._work.outputs.tree(folder, image.folder)
                    shutil.rmtree(folder, ignore_errors=True)
                    self._record(image, outcome)
                    self._report(total)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            for path in paths.values():
                self._inventory.release(path)

    def _fetch(
        self, group: Sequence[_LibraryImage], paths: dict[int, Path], staging: Path
    ) -> Iterator[FileTask]:
        for number, image in enumerate(group):
            size, limit = image.found.bytes, self._recipe.limits.bytes
            if size > limit:
                self._record(image, FileOutcome(number=number, cause=too_large(size, limit)))
                continue
            try:
                paths[number] = self._inventory.fetch(image.found)
            except (InputError, ObjectMissing, ObjectChanged) as error:
                cause = Cause(code=error.code, message=error.message)
                self._record(image, FileOutcome(number=number, cause=cause))
                continue
            yield FileTask(
                number=number,
                path=paths[number],
                name=image.folder,
                staging=staging / str(number),
                sandboxed=self._needs_sandbox,
            )

    def _outcomes(self, jobs: Sequence[FileTask]) -> Generator[FileOutcome]:
        work = self._work
        seconds = work.number("seconds")
        setup = Setup(
            engine=real_engine(),
            recipe=self._recipe,
            limits=SandboxLimits(
                wall_seconds=seconds,
                cpu_seconds=2 * seconds,
                memory_bytes=work.integer("memory_mib") * 2**20,
            ),
        )
        stop = Stop()
        remove_callback = work.stop.add_callback(stop.request)
        try:
            size = 1 if self._needs_sandbox else work.threads
            yield from Pool(setup, size=size).run(jobs, stop=stop)
        finally:
            remove_callback()
            stop.close()

    def _record(self, image: _LibraryImage, outcome: FileOutcome) -> None:
        self._entries[image.key] = {
            "uri": image.found.uri,
            "folder": image.folder,
            "etag": image.found.etag,
            "bytes": image.found.bytes,
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

    def _load_checkpoint(self) -> None:
        """Take over the entries that earlier attempts finished and stored."""
        for name in self._work.checkpoint.names():
            self._groups = max(self._groups, int(name[6:12]))
            path = self._work.checkpoint.get(name)
            if path is not None:
                self._entries |= json.loads(path.read_bytes())
        for entry in self._entries.values():
            for made in entry["renditions"]:
                self._work.outputs.earlier(made["path"], size=made["bytes"], sha256=made["sha256"])

    def _report(self, total: int) -> None:
        done = len(self._entries)
        self._work.progress(done / total if total else 1.0, f"{done} of {total} images")

    def _finish(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        work, used = self._work, self._recipe
        manifest = work.scratch / "manifest.json"
        content = {
            "recipe": {"name": used.name, "version": used.version, "digest": used.digest},
            "engine": real_engine().version,
            "pictures": list(entries),
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        # Names that are not UTF-8 have lone surrogates: escaped, JSON reads them as the same.
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


def share(images: Sequence[_LibraryImage], index: int | None, size: int) -> Sequence[_LibraryImage]:
    """The images of one child of an array: every image belongs to exactly one child.

    Given images are dealt out, every n-th to the same child. Listed images are divided by a hash
    of their address: children list at different times, and an image that comes or goes in between
    must not move all others to other children.
    """
    if index is None:
        return images
    if all(image.found.alone for image in images):
        return images[index::size]
    return [image for image in images if _hash(image.found.uri) % size == index]


def assign_folders(everything: Sequence[ListedFile]) -> Sequence[_LibraryImage]:
    """Give every image a folder of its own: its path with its extension.

    Names follow from the addresses alone, so that children need not agree on them. Two images of
    the same name, and names that no folder can have, get a hash of the address appended.
    """
    if len(everything) == 1 and everything[0].alone:
        return [_LibraryImage(found=everything[0], folder="")]
    # Ignoring case: not every disk distinguishes a.jpg from A.JPG.
    times = Counter(found.name.casefold() for found in everything)
    return [
        _LibraryImage(found=found, folder=_folder(found, shared=times[found.name.casefold()] > 1))
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
        and parts[0].lower() not in _RESERVED
    )
    if fits and not shared:
        return name
    return f"{name if fits else slug(name)}-{_hash(found.uri):016x}"


def _hash(uri: str) -> int:
    return int.from_bytes(hashlib.sha256(uri.encode(errors="surrogateescape")).digest()[:8], "big")


def groups_of(images: Sequence[_LibraryImage]) -> Iterator[Sequence[_LibraryImage]]:
    """Groups of at most ``GROUP_IMAGES`` and ``GROUP_BYTES``, and at least one image."""
    group: list[_LibraryImage] = []
    held = 0
    for image in images:
        size = image.found.bytes
        if group and (len(group) >= GROUP_IMAGES or held + size > GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(image)
        held += size
    if group:
        yield group


def _with_limits(recipe: Recipe, parameters: Mapping[str, object]) -> Recipe:
    """The recipe with the limits of the parameters; its digest stays, as do the renditions."""
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
