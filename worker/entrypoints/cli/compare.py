"""``safelight compare``."""

from __future__ import annotations

from pathlib import Path

import click

from worker.entrypoints.cli import output
from worker.services.process_files.wording import change_text, size_text


@click.command(name="compare")
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, first: Path, second: Path, as_json: bool) -> None:
    """Compare B with A: structural similarity (SSIM of luma, 1 is equal), bytes and size.

    Pictures are compared upright and in sRGB, animations by their first frame. If they differ
    in size, B is resized to A's size.
    """
    from worker.services import examine

    bytes_a, bytes_b, found = examine.compare(first, second)
    sides = ((first, bytes_a, found.first), (second, bytes_b, found.second))
    if as_json:
        sides_json = [
            {
                "source": str(path),
                "format": probe.format.value,
                "bytes": size,
                "width": probe.upright_width,
                "height": probe.upright_height,
            }
            for path, size, probe in sides
        ]
        output.print_json(
            {"ssim": found.ssim, "resized": found.resized, "a": sides_json[0], "b": sides_json[1]}
        )
        return
    for name, (path, size, probe) in zip("AB", sides, strict=True):
        pixels = f"{probe.upright_width} x {probe.upright_height}"
        facts = f"{probe.format.value}, {pixels}, {size_text(size)}"
        click.echo(f"{name}     {output.one_line(str(path))}: {facts}")
    note = " (B resized to A's size)" if found.resized else ""
    click.echo(f"SSIM  {found.ssim:.4f}{note}")
    click.echo(f"bytes B is {change_text(bytes_b, bytes_a)}")
