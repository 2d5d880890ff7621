"""The number of fetches of an upload's files by the edge, computed from their views.

The cache of a part of the world fetches a file at its first view there and serves the later views.
So for ``n`` independent views it makes 1 - exp(-n) fetches on average. This is the result for a
cache that never evicts (Che, Tung, Wang, "Hierarchical Web caching systems", IEEE JSAC 20, 2002,
with an unlimited characteristic time).

Views differ between pictures: few pictures have most of the views. Their popularity is modelled as
a gamma distribution of the shape ``skew``, which turns exp(-n) into (1 + n / skew) ** -skew
(Greenwood and Yule 1920: a Poisson count whose mean is gamma distributed). The smaller the skew,
the more the views concentrate on few pictures; at infinity all pictures have the same popularity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SIZES = (0.5, 0.4, 0.1)
"""Shares of thumbnail, medium and large in all views, as assumed for the bytes of a view."""


def files_fetched(views: float, skew: float, parts: Sequence[float] = (1.0,)) -> float:
    """Fetches of an upload's files by caches; with one part, the number of files that are viewed at
    all.

    Args:
        views: mean number of views of the upload, all by clients that get the same formats.
        skew: the shape of the popularity, above 0.
        parts: the share of the views in each part of the world with a separate cache.
    """
    return sum(1 - _never(views * size * part, skew) for size in SIZES for part in parts)


def _never(views: float, skew: float) -> float:
    """Share of the files without any view, for a mean number of views."""
    return math.exp(-skew * math.log1p(views / skew)) if math.isfinite(skew) else math.exp(-views)
