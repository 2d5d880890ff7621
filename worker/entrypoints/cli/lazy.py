"""A click group that imports a command when it is used, not when it is listed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pkgutil import resolve_name
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands are named by where they are.

    Args:
        commands_at: for each command ``module:attribute`` and its line in the help.
        checkout: names of the commands that work in a checkout only; a section of their own.
    """

    def __init__(
        self,
        *args: Any,
        commands_at: Mapping[str, tuple[str, str]],
        checkout: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at
        self.checkout = checkout

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order they were given."""
        return list(self._commands_at)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._commands_at:
            return None
        found = resolve_name(self._commands_at[cmd_name][0])
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of these arguments; a mistyped one gets a suggestion."""
        name = args[0]
        if name not in self._commands_at and not name.startswith("-"):
            near = difflib.get_close_matches(name, self._commands_at, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the lists of commands without importing them."""
        texts = {name: text for name, (_, text) in self._commands_at.items()}
        with formatter.section("Commands"):
            formatter.write_dl([row for row in texts.items() if row[0] not in self.checkout])
        if self.checkout:
            with formatter.section("Commands that need a checkout of Safelight"):
                formatter.write_dl([row for row in texts.items() if row[0] in self.checkout])
