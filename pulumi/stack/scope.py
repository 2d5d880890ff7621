"""Names and tags that every resource shares. No resources here.

Resources get a logical name only and Pulumi appends seven random characters to it (auto-naming),
so that a replacement can be made before the old one goes and two stacks share one account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PROJECT = "safelight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which stack this is and whose account it runs in."""

    stack: str
    account: str
    """Twelve digits. Services may act on our resources only on behalf of this account."""
    extra_tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Prefix of all names: ``safelight-dev``."""
        return f"{PROJECT}-{self.stack}"

    @property
    def metrics(self) -> str:
        """CloudWatch's namespace of what this stack counts itself: ``Safelight/dev``."""
        return f"{PROJECT.title()}/{self.stack}"

    def name(self, what: str) -> str:
        """The logical name of a resource: ``safelight-dev-intake``.

        AWS limits most names to 63 or 64 characters, of which auto-naming takes eight; the
        stack's name is limited to twenty (``config``), which leaves 25 for ``what``.
        """
        return f"{self.prefix}-{what}"

    def tags(self, component: str) -> dict[str, str]:
        """Tags of every resource; activate the first three as cost allocation tags."""
        ours = {"Project": PROJECT, "Stack": self.stack, "Component": component}
        return {**self.extra_tags, **ours}
