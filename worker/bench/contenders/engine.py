"""This engine with the shipped recipe: ``render`` alone, or ``process`` with everything."""

from __future__ import annotations

import sys

import PIL
import pyvips
import simplejpeg
from PIL import features

from worker import __version__
from worker.bench import job
from worker.bench.contenders.serving import TOTAL, Output, Watch, serve
from worker.media.allocation import keep_memory
from worker.media.engine import process
from worker.media.plan import make_plan
from worker.media.probe import probe
from worker.media.render import render
from worker.model import Recipe, Rendition


def main(mode: str) -> None:
    """Serve ``render`` (probe, plan, render) or ``process`` (also metadata and hashes)."""
    keep_memory()  # as every worker process of ours does
    recipe = job.recipe()
    work = _rendered if mode == "render" else _processed

    def measured(data: bytes, watch: Watch) -> list[Output]:
        with watch.part(TOTAL):
            made = work(data, recipe)
        return [Output(name=one.name, format=one.format.value, data=one.data) for one in made]

    vips = ".".join(str(pyvips.version(part)) for part in range(3))
    serve(
        measured,
        {
            "safelight": __version__,
            "libvips": vips,
            "Pillow": PIL.__version__,
            "Pillow's libjpeg-turbo": str(features.version("libjpeg_turbo")),
            "Pillow's libwebp": str(features.version("webp")),
            "simplejpeg": simplejpeg.__version__,
        },
    )


def _rendered(data: bytes, recipe: Recipe) -> tuple[Rendition, ...]:
    found = probe(data, recipe.limits, formats=recipe.formats)
    return render(data, found, make_plan(found, recipe), assets=recipe.assets).renditions


def _processed(data: bytes, recipe: Recipe) -> tuple[Rendition, ...]:
    return process(data, recipe).renditions


if __name__ == "__main__":
    main(sys.argv[1])
