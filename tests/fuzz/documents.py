"""Targets that read documents of people: recipes, workflows, mixes, fault plans, settings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.targets import SCRATCH, Target, WrongAnswer, text_of
from worker import recipes
from worker.domain.errors import (
    ConfigurationError,
    InputError,
    MixError,
    RecipeError,
    Rejected,
    WorkflowError,
)
from worker.domain.image import ColourSpace, Format, Probe
from worker.domain.webhook import endpoints
from worker.imaging.plan import Plan, make_plan
from worker.local.faults import plan as fault_plans
from worker.recipes import canonical, workflow
from worker.samples.catalogue import SAMPLES
from worker.services import load_mix
from worker.settings import Settings

_WORKER = Path(recipes.__file__).parents[1]
_MAKERS = {sample.name: lambda _scale: b"GIF89a" for sample in SAMPLES}


def _recipe(data: bytes) -> None:
    """A recipe that is accepted says the same when it is written out, and plans any picture."""
    recipe = recipes.parse(text_of(data))
    written = canonical.dump(recipe)
    again = recipes.parse(written, assets=recipe.assets)
    if again.digest != recipe.digest or canonical.dump(again) != written:
        raise WrongAnswer("a recipe that was written out is another one")
    recipes.advise(recipe)
    for found in _PROBES:
        try:
            plan = make_plan(found, recipe)
        except Rejected:
            continue
        _check_plan(found, plan)


def _probe(kind: Format, width: int, height: int, **more: object) -> Probe:
    about: dict[str, object] = {
        "format": kind,
        "bytes": 1000,
        "width": width,
        "height": height,
        "colour_space": ColourSpace.RGB,
        "bit_depth": 8,
        "alpha": False,
    }
    return Probe(**(about | more))  # type: ignore[arg-type]


_PROBES = (
    _probe(Format.JPEG, 6000, 4000, orientation=6),
    _probe(Format.PNG, 1, 1, alpha=True),
    _probe(Format.JPEG, 30_000, 1, colour_space=ColourSpace.CMYK),
    _probe(Format.GIF, 64, 3000, frames=3, animated=True, duration_ms=300, loop=0),
    _probe(Format.SVG, 100, 30, alpha=True),
)
"""Pictures with sides that a plan could get wrong."""


def _check_plan(found: Probe, plan: Plan) -> None:
    for step in plan.steps:
        if min(step.geometry.size.width, step.geometry.size.height) < 1 or not step.outputs:
            raise WrongAnswer(f"{step.name} of {found.width}x{found.height} has no pixels")


def _plan(data: bytes) -> None:
    """Any size, format and orientation, with a recipe that ships."""
    padded = data.ljust(16, b"\0")
    kinds, names = list(Format), recipes.shipped()
    pages = padded[10] % 5
    kind = kinds[padded[0] % len(kinds)]
    animated = pages > 1 and kind in (Format.GIF, Format.WEBP, Format.JXL)
    found = _probe(
        kind,
        1 + int.from_bytes(padded[1:5]) % 30_000,
        1 + int.from_bytes(padded[5:9]) % 30_000,
        orientation=1 + padded[9] % 8,
        frames=max(1, pages),
        animated=animated,
        duration_ms=100 * pages if animated else None,
        loop=0 if animated else None,
        colour_space=list(ColourSpace)[padded[11] % len(ColourSpace)],
        bit_depth=(1, 8, 16)[padded[12] % 3],
        alpha=bool(padded[13] % 2),
    )
    _check_plan(found, make_plan(found, recipes.load(names[padded[14] % len(names)])))


def _workflow(data: bytes) -> None:
    found = workflow.parse(text_of(data))
    if not found.stages:
        raise WrongAnswer("a workflow without stages")


def _mix(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="safelight-fuzz-", dir=SCRATCH) as folder:
        path = Path(folder) / "mix.toml"
        path.write_bytes(data)
        load_mix.read(path, makers=lambda: _MAKERS)


def _faults(data: bytes) -> None:
    plan = fault_plans.loads(text_of(data))
    if fault_plans.loads(fault_plans.dumps(plan)) != plan:
        raise WrongAnswer("a plan that was written out is another one")


def _fault_seeds() -> Iterator[bytes]:
    for seed in range(4):
        plan = fault_plans.random_plan(seed, 60.0, workers=2)
        yield fault_plans.dumps(plan).encode()


def _endpoints(data: bytes) -> None:
    endpoints(text_of(data))


def _settings(data: bytes) -> None:
    """Lines of NAME=value."""
    lines = (line.partition("=") for line in text_of(data).split("\n"))
    Settings.from_environment({name: value for name, _, value in lines if name})


_SETTINGS = b"""SAFELIGHT_TABLE=catalog
SAFELIGHT_INTAKE_BUCKET=intake
SAFELIGHT_DELIVERY_BUCKET=delivery
SAFELIGHT_QUARANTINE_BUCKET=quarantine
SAFELIGHT_EVENT_BUS=bus
SAFELIGHT_QUEUE_URL=work.fifo
SAFELIGHT_DLQ_URL=dead.fifo
SAFELIGHT_ORDERING=fifo
SAFELIGHT_RETRY_SECONDS=10
SAFELIGHT_API_RATE=1000
SAFELIGHT_API_ORIGINS=https://www.example.com
SAFELIGHT_WEBHOOKS={"shop": {"url": "https://x.example/", "queue": "q", "dead_letters": "d", \
"events": ["asset.published"]}}"""


def _files(folder: Path, pattern: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(folder.glob(pattern)))


_TOML = (b"[[", b"]]", b" = true", b" = 1e999", b" = nan", b'"""', b" = 1979-05-27", b"inf")
TARGETS = (
    Target(
        name="recipe",
        about="recipes, and the plans they make",
        call=_recipe,
        seeds=lambda: _files(_WORKER / "recipes", "*.toml"),
        refuses=(RecipeError,),
        words=(*_TOML, b"renditions", b"width", b"target", b"watermark", b"[moderation"),
        longest=6000,
        weight=2,
    ),
    Target(
        name="plan",
        about="plans of any picture with the recipes that ship",
        call=_plan,
        seeds=lambda: (bytes(16), bytes(range(16)), b"\xff" * 16),
        refuses=(Rejected,),
        longest=16,
    ),
    Target(
        name="workflow",
        about="workflows",
        call=_workflow,
        seeds=lambda: _files(_WORKER / "recipes" / "workflows", "*.toml"),
        refuses=(WorkflowError,),
        words=(*_TOML, b"[stages.", b"next", b"on_failure", b"outcomes"),
    ),
    Target(
        name="mix",
        about="mixes of `safelight load`",
        call=_mix,
        seeds=lambda: _files(_WORKER / "samples", "*.toml"),
        refuses=(MixError, InputError),
        words=(*_TOML, b"[[files]]", b"share", b"scale", b"path = "),
    ),
    Target(
        name="faults",
        about="plans of `safelight chaos run`",
        call=_faults,
        seeds=_fault_seeds,
        refuses=(InputError,),
        words=(*_TOML, b"[[fault]]", b"kind", b"seconds"),
    ),
    Target(
        name="settings",
        about="environment variables, webhook endpoints in them",
        call=_settings,
        seeds=lambda: (_SETTINGS,),
        refuses=(ConfigurationError,),
        words=(b"SAFELIGHT_", b"=https://", b"=1e999", b"=nan", b'{"'),
    ),
    Target(
        name="endpoints",
        about="the setting of webhook endpoints",
        call=_endpoints,
        seeds=lambda: (_SETTINGS.rpartition(b"WEBHOOKS=")[2],),
        refuses=(ValueError,),
        words=(b"https://", b"[::1]", b"%00", b":99999", b"[" * 40),
    ),
)
