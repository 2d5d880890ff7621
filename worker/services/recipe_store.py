"""Recipes by their digest, with their first use: an old version can be made again by them.

A record names the digest of its recipe. The file of a recipe may have changed since.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime

from worker import recipes
from worker.domain.errors import EngineError, ObjectMissing, RecipeError
from worker.domain.image import Recipe
from worker.domain.keys import recipe_key
from worker.ports import ObjectStore


class RecipeStore:
    """Recipes in the delivery bucket; each is written once, and asked for once a process."""

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Work on ``bucket`` of ``store``; ``now`` is for the time of a first use."""
        self._store, self._bucket, self._now = store, bucket, now
        self._known: dict[str, Recipe] = {}

    def keep(self, recipe: Recipe) -> None:
        """Store a recipe, unless it is there already: its first use stays.

        Raises:
            TransientError: the store does not answer.
        """
        if recipe.digest in self._known:
            return
        content = {
            "digest": recipe.digest,
            "first_used": self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "toml": recipes.dump(recipe),
            "assets": {
                path: base64.b64encode(data).decode() for path, data in recipe.assets.items()
            },
        }
        self._store.put(
            self._bucket,
            recipe_key(recipe.digest),
            json.dumps(content).encode(),
            content_type="application/json",
            once=True,
        )
        self._known[recipe.digest] = recipe

    def load(self, digest: str) -> Recipe:
        """The recipe of a digest.

        Raises:
            ObjectMissing: nothing was ever made by it here.
            EngineError: the stored text is not this recipe.
            TransientError: the store does not answer.
        """
        if digest not in self._known:
            self._known[digest] = self._read(digest)
        return self._known[digest]

    def _read(self, digest: str) -> Recipe:
        try:
            data, _ = self._store.get(self._bucket, recipe_key(digest))
        except ObjectMissing:
            raise ObjectMissing(f"no recipe {digest[:16]} was ever used here") from None
        try:
            content = json.loads(data)
            assets = {path: base64.b64decode(text) for path, text in content["assets"].items()}
            recipe = recipes.parse(content["toml"], assets=assets, subject=digest[:16])
        except (ValueError, KeyError, TypeError, AttributeError, RecipeError) as error:
            raise EngineError(f"the stored recipe {digest[:16]} cannot be read: {error}") from error
        if recipe.digest != digest:
            raise EngineError(f"the stored recipe {digest[:16]} is another: {recipe.digest[:16]}")
        return recipe
