"""The commands of ``submit``: one for each kind of job, with its parameters as options.

They are made from the job catalogue when they are asked for. What may not live here: running or
submitting anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from batch.catalogue import JobKind, Parameter

_PREFIX = "parameter_"
"""Begins the names under which click hands parameters on: a parameter may be called ``format``."""
_TRUE, _FALSE = "true", "false"


class KindGroup(click.Group):
    """``submit``: its commands are the kinds of jobs.

    Args:
        action: submits; is given ``kind``, ``given`` (see :func:`taken`) and all common options.
        options: makes the options that every kind has.
        epilog_of_kind: stands below the help of each kind.
    """

    def __init__(
        self,
        *args: Any,
        action: Callable[..., int],
        options: Callable[[], list[click.Parameter]],
        epilog_of_kind: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._action = action
        self._options = options
        self._epilog_of_kind = epilog_of_kind

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the kinds that are offered."""
        from batch.catalogue import OFFERED

        return list(OFFERED)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return the command of a kind; steps of divided work have one, too."""
        from batch.catalogue import KINDS

        kind = KINDS.get(cmd_name)
        if kind is None:
            return None
        return _KindCommand(
            name=kind.name,
            help=_help(kind),
            epilog=self._epilog_of_kind,
            callback=self._callback(kind),
            params=[*(_option(each) for each in kind.parameters), *self._options()],
            context_settings={"token_normalize_func": _hyphened},
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the kind first: options that every kind has may stand before it."""
        return super().parse_args(ctx, self._kind_first(ctx, args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a kind; a mistyped one gets a suggestion, of what is offered."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no kind of job {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the kinds, then the options that every kind has."""
        from batch.catalogue import KINDS

        offered = [KINDS[name] for name in self.list_commands(ctx)]
        sections = {
            "Kinds that make one job of each input": [k for k in offered if k.inputs[1] == 1],
            "Kinds that make one job of all inputs": [
                k for k in offered if k.inputs[1] > 1 and not k.array
            ],
            "Kinds that divide inputs among the children of an array job": [
                k for k in offered if k.array
            ],
        }
        for title, kinds in sections.items():
            with formatter.section(title):
                formatter.write_dl([(kind.name, kind.summary) for kind in kinds])
        _write_options(ctx, formatter, "Options of every kind", [*self._options(), _help_of(ctx)])

    def _kind_first(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        valued = {
            name
            for option in self._options()
            if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }
        before: list[str] = []
        rest = list(args)
        while rest and rest[0].startswith("-") and rest[0] not in {"--", *ctx.help_option_names}:
            word = rest.pop(0)
            before += [word, *(rest[:1] if word in valued else ())]
            del rest[: int(word in valued)]
        if not before or (rest and rest[0] in ctx.help_option_names):
            return rest
        if rest[:1] == ["--"]:
            return [*rest[1:2], *before, "--", *rest[2:]]
        if not rest:
            ctx.fail("Missing argument 'KIND'.")
        return [rest[0], *before, *rest[1:]]

    def _callback(self, kind: JobKind) -> Callable[..., int]:
        def act(**values: Any) -> int:
            return self._action(kind=kind.name, given=taken(values), **values)

        return act


class _KindCommand(click.Command):
    """Its help has the parameters of the kind apart from the options of every kind."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both lists."""
        own = [each for each in self.params if _is_own(each)]
        _write_options(ctx, formatter, "Parameters", own)
        rest = [each for each in self.get_params(ctx) if not _is_own(each)]
        _write_options(ctx, formatter, "Options", rest)


def taken(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Take the parameters that were given as options out of what click has read.

    Returns:
        Name and text of each, as often as it was given.
    """
    found: list[tuple[str, str]] = []
    for key in [key for key in values if key.startswith(_PREFIX)]:
        name, value = key.removeprefix(_PREFIX), values.pop(key)
        if isinstance(value, bool):
            found.append((name, _TRUE if value else _FALSE))
        elif value is not None:
            found += [(name, text) for text in value]
    return found


def _option(parameter: Parameter) -> click.Option:
    """A parameter as an option. Its text is checked by ``batch.arguments``, with all others."""
    flag, key = parameter.name.replace("_", "-"), f"{_PREFIX}{parameter.name}"
    said = f"{parameter.help}  [{_takes(parameter)}]"
    if parameter.type == "bool":
        return click.Option([key, f"--{flag}/--no-{flag}"], default=None, help=said)
    # Several, so that one that is given twice is a mistake and not the last one's.
    return click.Option([key, f"--{flag}"], multiple=True, metavar=_metavar(parameter), help=said)


def _metavar(parameter: Parameter) -> str:
    return {"int": "N", "float": "NUMBER", "list": "A,B,..."}.get(parameter.type, "TEXT")


def _takes(parameter: Parameter) -> str:
    """What a parameter may be, and what it is unless given."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.type == "list":
        low, high = parameter.part_minimum, parameter.part_maximum
    words = [
        ", ".join(parameter.choices),
        "" if low is None or high is None else f"{low:,} to {high:,}",
        parameter.shape,
        "" if parameter.default is None else f"default: {_text(parameter.default)}",
        "required" if parameter.required else "",
        "no default" if parameter.default is None and not parameter.required else "",
    ]
    return "; ".join(word for word in words if word)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _help(kind: JobKind) -> str:
    fewest, most = kind.inputs
    what = {"video": "a video", "tracks": "a video or a sound file", "image": "a picture"}[
        kind.media
    ]
    if kind.lazy:
        what += ", or a folder or prefix of them"
    each = f"An INPUT is {what}: a path or an s3:// address."
    many = "Each is a job of its own."
    if most > 1:
        many = f"All inputs, {fewest:,} to {most:,} of them, are one job."
    return (
        f"{kind.summary}.\n\n{each} {many}\n\nAll mistakes are told before anything is submitted."
    )


def _write_options(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    title: str,
    options: Sequence[click.Parameter],
) -> None:
    named = [each for each in options if isinstance(each, click.Option)]
    records = [record for each in named if (record := each.get_help_record(ctx)) is not None]
    with formatter.section(title):
        formatter.write_dl(records)


def _help_of(ctx: click.Context) -> click.Parameter:
    found = ctx.command.get_help_option(ctx)
    assert found is not None
    return found


def _is_own(option: click.Parameter) -> bool:
    return option.name is not None and option.name.startswith(_PREFIX)


def _hyphened(word: str) -> str:
    """``--max_seconds``, as --param has it, is the same as ``--max-seconds``."""
    return word.replace("_", "-")
