"""Damaged samples through the sandbox: whatever a file holds, a code comes back, or pictures.

Each batch goes twice through one sandboxed child. What the second time adds to the peak of its
memory leaks.
"""

from __future__ import annotations

import hashlib
import random
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutations import mutant
from worker import recipes
from worker.domain.errors import PoisonInput, Rejected
from worker.domain.image import Format, Recipe
from worker.imaging import engine
from worker.subprocesses.sandbox import SandboxLimits, run

LIMITS = SandboxLimits(cpu_seconds=60, wall_seconds=300, memory_bytes=2 * 10**9)
LEAK_BYTES = 48 * 10**6
"""More than the peak of the second time may add: allocators keep some."""
MADE = "made"
BATCH = 24
_RECIPE = """name = "fuzz"
version = 1
accept = [{formats}]

[limits]
pixels = 4_000_000
frames = 20

[[renditions]]
name = "thumb"
width = 48
height = 48
fit = "cover"
formats = ["jpeg", "webp", "png"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of some damaged files."""

    codes: Counter[str]
    """How often each stable code came back; ``made`` for pictures that were made."""
    defects: tuple[str, ...]
    """What is no answer: an exception that is none of ours, memory that leaks."""
    poison: tuple[bytes, ...]
    """Files that broke the child. The sandbox holds them: an outside decoder is at fault."""


def recipe() -> Recipe:
    """One small rendition of every format."""
    return recipes.parse(_RECIPE.format(formats=", ".join(f'"{one.value}"' for one in Format)))


def originals() -> dict[str, bytes]:
    """The project's samples, small, and a specimen of each further format."""
    from tests.unit.heic import make_heic
    from tests.unit.specimens import specimen
    from worker.samples.catalogue import SAMPLES

    found = {sample.name: sample.make(0.05) for sample in SAMPLES}
    more = {name: specimen(name) for name in ("jxl", "jxl-animated", "jxl-jpeg", "tiff", "svg")}
    return found | more | {"heic": make_heic()}


def process_all(files: Sequence[bytes], wanted: Recipe) -> tuple[tuple[str, ...], int]:
    """In the child: the code of each file, and by how many bytes the second time raised the peak.

    Exceptions that are none of ours come back as ``!`` and their text.
    """
    codes = tuple(_code(one, wanted) for one in files)
    first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for one in files:
        _code(one, wanted)
    return codes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) * 1024


def _code(data: bytes, wanted: Recipe) -> str:
    try:
        engine.process(data, wanted)
    except Rejected as rejection:
        return rejection.code
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - what the corpus looks for
        return f"!{type(error).__name__}: {error}"
    return MADE


def attack(seed: int, batches: int, folder: Path) -> Iterator[Batch]:
    """Damage samples and process them.

    Args:
        seed: the same one gives the same files.
        batches: of ``BATCH`` files.
        folder: files that failed are kept here.
    """
    chance = random.Random(seed)
    wanted, good = recipe(), tuple(originals().values())
    for _ in range(batches):
        yield _attacked([mutant(good, chance) for _ in range(BATCH)], wanted, folder)


def _attacked(files: Sequence[bytes], wanted: Recipe, folder: Path) -> Batch:
    try:
        codes, added = run(process_all, tuple(files), wanted, limits=LIMITS)
    except PoisonInput as poison:
        if len(files) == 1:
            return Batch(
                codes=Counter({poison.code: 1}), defects=(), poison=(kept(files[0], folder),)
            )
        half = len(files) // 2
        one, other = (_attacked(part, wanted, folder) for part in (files[:half], files[half:]))
        return Batch(
            codes=one.codes + other.codes,
            defects=one.defects + other.defects,
            poison=one.poison + other.poison,
        )
    wrong = [
        f"{code[1:]}: {name_of(kept(data, folder))}"
        for data, code in zip(files, codes, strict=True)
        if code.startswith("!")
    ]
    if added > LEAK_BYTES:
        wrong.append(f"the second time added {added / 1e6:.0f} MB to the peak of memory")
    plain = Counter(code for code in codes if not code.startswith("!"))
    return Batch(codes=plain, defects=tuple(wrong), poison=())


def name_of(data: bytes) -> str:
    """The file that keeps an input."""
    return f"crash-{hashlib.sha256(data).hexdigest()[:16]}"


def kept(data: bytes, folder: Path) -> bytes:
    """Keep an input in the folder of failures; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name_of(data)).write_bytes(data)
    return data
