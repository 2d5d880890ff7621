"""Kinds that work through many files."""

from __future__ import annotations

from batch.kind import JobKind, Parameter

KINDS: tuple[JobKind, ...] = (
    JobKind(
        name="batch-process",
        summary="Any recipe over a folder, a prefix or given pictures; also one picture that is "
        "too big for the ingest function",
        parameters=(
            Parameter(
                name="recipe",
                type="text",
                default="default",
                help="A shipped recipe's name, or the path of a recipe file.",
            ),
            Parameter(
                name="max_bytes",
                type="int",
                minimum=1,
                maximum=1_000_000_000_000,
                help="Instead of the recipe's limit, bytes of a file.",
            ),
            Parameter(
                name="max_pixels",
                type="int",
                minimum=1,
                maximum=100_000_000_000,
                help="Instead of the recipe's limit, pixels of a frame.",
            ),
            Parameter(
                name="max_dimension",
                type="int",
                minimum=1,
                maximum=10_000_000,
                help="Instead of the recipe's limit, pixels of the longer side.",
            ),
            Parameter(
                name="max_frames",
                type="int",
                minimum=1,
                maximum=1_000_000,
                help="Instead of the recipe's limit, frames or pages.",
            ),
            Parameter(
                name="seconds",
                type="float",
                default=600.0,
                minimum=1,
                maximum=86_400,
                help="Longest time for one picture, seconds.",
            ),
            Parameter(
                name="memory_mib",
                type="int",
                default=6144,
                minimum=256,
                maximum=1_000_000,
                help="Address space of the process that decodes one picture, MiB.",
            ),
        ),
        media="image",
        inputs=(1, 10_000),
        memory_mib=7168,
        queue="bulk",
        timeout_seconds=12 * 3600,
        attempts=10,
        array=True,
        lazy=True,
    ),
)
