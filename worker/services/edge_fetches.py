"""How often the edge fetches the files of an upload, by how often they are viewed.

A cache of a part of the world fetches a file at its first view there and answers the others. So of
``n`` views it fetches 1 - exp(-n) on average, if they come independently of each other: the answer
of a cache that forgets nothing while views come (Che, Tung, Wang, "Hierarchical Web caching
systems", IEEE JSAC 20, 2002, with an unlimited characteristic time).

Pictures are not viewed alike: few have most of the views. Their popularity is taken as a gamma
distribution of the shape ``skew``, which turns exp(-n) into (1 + n / skew) ** -skew (Greenwood and
Yule 1920: a Poisson count whose mean is gamma distributed). The smaller the skew, the more alike
are views of few pictures; infinity is the case that all pictures are viewed alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SIZES = (0.5, 0.4, 0.1)
"""Shares of thumbnail, medium and large in all views: what the bytes of a view assume."""


def files_fetched(views: float, skew: float, parts: Sequence[float] = (1.0,)) -> float:
    """Files of an upload that caches fetch; with one part: files that are viewed at all.

    Args:
        views: of the upload, mean, all of them by clients that get the same formats.
        skew: the shape of the popularity, above 0.
        parts: the share of the views in each part of the world with a cache of its own.
    """
    return sum(1 - _never(views * size * part, skew) for size in SIZES for part in parts)


def _never(views: float, skew: float) -> float:
    """Share of the files that nobody views, of a mean number of views."""
    return math.exp(-skew * math.log1p(views / skew)) if math.isfinite(skew) else math.exp(-views)
