"""Moderator that sees nothing: for installations that do without, which is the default."""

from __future__ import annotations

from collections.abc import Sequence

from worker.ports import ModerationLabel


class NoModerator:
    """Never holds anything back."""

    def look(self, jpeg: bytes) -> Sequence[ModerationLabel]:  # noqa: ARG002 - the port's
        """See ``Moderator.look``. Always empty."""
        return ()
