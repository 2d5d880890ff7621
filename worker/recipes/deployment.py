"""The recipes of a deployment, by the names that uploads choose them by."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from worker.domain.errors import Problem, RecipeError
from worker.recipes.files import shipped

if TYPE_CHECKING:
    from worker.domain.image import Recipe


def choice_of(source: str) -> str:
    """The name with which uploads choose a recipe: that of a shipped one, or a file's without its
    extension. So a client learns no path of a deployment."""
    return PurePath(source).stem if source.lower().endswith(".toml") else source


# No slots: cached_property keeps its value in __dict__.
class DeploymentRecipes:
    """The recipes that owners and administrators may choose. Each is read once, when first used.

    Args:
        default: the recipe of uploads that choose none, as the settings name it.
        others: those that every owner may choose as well.
    """

    def __init__(self, default: str, others: Iterable[str] = ()) -> None:
        self._default = default
        self._named = {choice_of(one): one for one in (*others, default)}
        self._read: dict[str, Recipe] = {}

    @property
    def for_everybody(self) -> frozenset[str]:
        """Names that every owner may choose."""
        return frozenset(self._named)

    @cached_property
    def all(self) -> frozenset[str]:
        """Names that an administrator may choose: the shipped recipes, too."""
        return self.for_everybody | frozenset(shipped())

    def source(self, choice: str) -> str:
        """A recipe as ``recipes.load`` takes it.

        Args:
            choice: a name; empty for none.

        Raises:
            RecipeError: this deployment has no recipe of this name (any more).
        """
        if not choice:
            return self._default
        if choice not in self.all:
            said = f"is no recipe of this deployment: {', '.join(sorted(self.all))}"
            raise RecipeError(f"recipe {choice}", (Problem("", said),))
        return self._named.get(choice, choice)

    def find(self, choice: str) -> Recipe | None:
        """A recipe; None if there is none of this name.

        Raises:
            RecipeError: it cannot be used.
        """
        return self.load(choice) if choice in self.all else None

    def load(self, choice: str) -> Recipe:
        """A recipe; the default one if nothing was chosen.

        Raises:
            RecipeError: there is none of this name, or it cannot be used.
        """
        if choice not in self._read:
            from worker import recipes

            self._read[choice] = recipes.load(self.source(choice))
        return self._read[choice]
