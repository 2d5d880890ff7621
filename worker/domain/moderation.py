"""Domain types of moderation: rules of a recipe, labels of a moderator, and the verdict in a
record.

Pure functions. ``services.moderate`` asks the tiers in their order; this module judges what they
saw by the recipe. docs/moderation.md explains the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

MODERATION_REJECTED = "moderation_rejected"
"""Verdict of an asset whose picture a moderator saw what the recipe rejects in."""
MODERATION_HELD = "moderation_held"
"""Verdict of an asset that waits for a person because of what a moderator saw."""
MODERATION_UNDECIDED = "moderation_undecided"
"""Verdict of an asset that waits because no moderator has decided yet, or none could be asked."""
LOWEST_KEPT = 50.0
"""Labels of at least this confidence are kept even if every threshold is above it."""
MOST_LABELS = 50
"""In a record: a record is paid by the kilobyte."""


class ModerationOutcome(StrEnum):
    """The outcome of moderation for one version of an asset."""

    PASS = "pass"  # noqa: S105 - no password
    BLUR = "blur"
    """A person decides; viewers get a blurred picture meanwhile."""
    UNCERTAIN = "uncertain"
    """Not decided: the next tier is asked. The picture is not served meanwhile."""
    HOLD = "hold"
    """A person decides; the picture is not served meanwhile."""
    REJECT = "reject"


SEVERITY: tuple[ModerationOutcome, ...] = tuple(ModerationOutcome)
"""From the mildest to the most severe: of several the last one counts."""


class ModerationTier(StrEnum):
    """The tier that decided, from the cheapest to the most expensive."""

    EARLIER = "earlier"
    """An earlier verdict on the same bytes or on a near duplicate."""
    CLASSIFIER = "classifier"
    """A model in the same process."""
    REKOGNITION = "rekognition"
    PERSON = "person"
    UNAVAILABLE = "unavailable"
    """No moderator could be asked: the recipe decides."""


ASKED = (ModerationTier.EARLIER, ModerationTier.CLASSIFIER, ModerationTier.REKOGNITION)
"""The tiers that a recipe may choose from. People come after all of them."""


class Unavailable(StrEnum):
    """The treatment of a picture if no moderator can be asked."""

    HOLD = "hold"
    PASS = "pass"  # noqa: S105 - no password


# --- the rules of a recipe ----------------------------------------------------------------------

CATEGORIES: tuple[str, ...] = (
    "explicit",
    "nudity",
    "swimwear",
    "violence",
    "disturbing",
    "drugs",
    "alcohol",
    "gestures",
    "gambling",
    "hate",
)
"""Categories of the shipped moderators. A custom classifier may report others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryRule:
    """From which confidence on a category leads to what; 0 to 100, inclusive.

    Where several are set, ``blur < hold < reject``.
    """

    name: str
    blur: float | None = None
    hold: float | None = None
    reject: float | None = None

    @property
    def thresholds(self) -> tuple[tuple[ModerationOutcome, float], ...]:
        """Those that are set, the most severe first."""
        levels = (
            (ModerationOutcome.REJECT, self.reject),
            (ModerationOutcome.HOLD, self.hold),
            (ModerationOutcome.BLUR, self.blur),
        )
        return tuple((outcome, at) for outcome, at in levels if at is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationRules:
    """``[moderation]`` of a recipe."""

    categories: tuple[CategoryRule, ...]
    tiers: frozenset[ModerationTier] = frozenset(ASKED)
    near_duplicates: bool = True
    """The tier ``earlier`` looks for pictures that look alike, too, and not for the same bytes
    alone."""
    uncertain: tuple[float, float] = (20.0, 80.0)
    """Confidences of the classifier that do not decide: from the first one on, below the second."""
    sample: float = 0.0
    """Share, 0 to 1, of what the classifier lets pass that Rekognition is asked about as well. It
    stays public meanwhile."""
    unavailable: Unavailable = Unavailable.HOLD

    @property
    def lowest(self) -> float:
        """The lowest threshold."""
        return min((at for one in self.categories for _, at in one.thresholds), default=100.0)

    @property
    def minimum(self) -> float:
        """The confidence below which a label is of no interest."""
        return min(self.lowest, LOWEST_KEPT)


# --- what was seen ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationLabel:
    """One thing that a moderator saw."""

    name: str
    """In the moderator's words."""
    category: str = ""
    """The category of rules that it belongs to; empty if it is of none that we know. Such a label
    is kept and decides nothing."""
    confidence: float
    """0 to 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The answer of a moderator about one picture."""

    labels: tuple[ModerationLabel, ...] = ()
    model: str
    """``rekognition``, or the name of a classifier's model."""
    model_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A threshold of the recipe that a label has reached."""

    category: str
    outcome: ModerationOutcome
    """The outcome of the threshold; ``uncertain`` if the confidence is within the band of that
    name."""
    threshold: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """The verdict of moderation on one version of an asset, with its tier and reasons."""

    outcome: ModerationOutcome
    tier: ModerationTier
    labels: tuple[ModerationLabel, ...] = ()
    """The most confident first."""
    crossed: tuple[Crossing, ...] = ()
    model: str = ""
    model_version: str = ""
    minimum: float = 0.0
    """Labels of a lower confidence are not in ``labels``."""
    time: str = ""
    """ISO 8601 UTC."""
    sampled: bool = False
    """It passed, and Rekognition is asked all the same. The asset is public meanwhile."""
    earlier: str = ""
    """The asset whose verdict is followed, of the tier of that name."""
    distance: int = 0
    """Bits in which its perceptual hash differs; 0 for the same bytes."""
    error: str = ""
    """Code of the error, of the tier ``unavailable``."""
    pictures: int = 0
    """How many the moderator was shown; each is a question to Rekognition, of that tier."""

    @property
    def asks(self) -> bool:
        """Whether a machine is still to be asked."""
        return self.sampled or self.outcome is ModerationOutcome.UNCERTAIN

    @property
    def waits(self) -> bool:
        """Whether the asset waits: for a further tier, or for a person."""
        return self.outcome not in (ModerationOutcome.PASS, ModerationOutcome.REJECT)


def judged(
    seen: Seen, rules: ModerationRules, *, tier: ModerationTier, time: str = ""
) -> Moderation:
    """The verdict on what a moderator saw, by the rules of a recipe.

    The most confident label of a category counts, and of all categories the most severe outcome.
    Of the classifier a confidence in the band ``uncertain`` decides nothing. Labels of categories
    without a rule are kept and decide nothing.

    Args:
        seen: the answer.
        rules: of the recipe.
        tier: who answered.
        time: ISO 8601 UTC.
    """
    band = rules.uncertain if tier is ModerationTier.CLASSIFIER else None
    confidences: dict[str, float] = {}
    for label in seen.labels:
        confidences[label.category] = max(label.confidence, confidences.get(label.category, 0.0))
    crossed = tuple(
        found
        for rule in rules.categories
        if rule.name in confidences
        for found in _crossed(rule, confidences[rule.name], band)
    )
    outcome = severest(one.outcome for one in crossed)
    return Moderation(
        outcome=outcome,
        tier=tier,
        labels=kept(seen.labels, rules),
        crossed=crossed,
        model=seen.model,
        model_version=seen.model_version,
        minimum=rules.minimum,
        time=time,
    )


def _crossed(
    rule: CategoryRule, confidence: float, band: tuple[float, float] | None
) -> tuple[Crossing, ...]:
    def crossing(outcome: ModerationOutcome, threshold: float) -> Crossing:
        return Crossing(
            category=rule.name, outcome=outcome, threshold=threshold, confidence=confidence
        )

    if band is not None and band[0] <= confidence < band[1]:
        return (crossing(ModerationOutcome.UNCERTAIN, band[0]),)
    if band is not None and confidence < band[0]:
        return ()
    return tuple(crossing(outcome, at) for outcome, at in rule.thresholds if confidence >= at)[:1]


def severest(outcomes: Iterable[ModerationOutcome]) -> ModerationOutcome:
    """The most severe one; ``pass`` if there is none."""
    return max(outcomes, key=SEVERITY.index, default=ModerationOutcome.PASS)


def kept(labels: Iterable[ModerationLabel], rules: ModerationRules) -> tuple[ModerationLabel, ...]:
    """The labels that a record keeps: confident ones, the most confident first."""
    found = [one for one in labels if one.confidence >= rules.minimum]
    return tuple(sorted(found, key=lambda one: (-one.confidence, one.name)))[:MOST_LABELS]


def together(answers: Sequence[Seen]) -> Seen:
    """Answers about several pictures of one asset as one: of each label the most confident one.

    Args:
        answers: at least one, all by the same model.
    """
    best: dict[str, ModerationLabel] = {}
    for label in (one for answer in answers for one in answer.labels):
        if label.name not in best or best[label.name].confidence < label.confidence:
            best[label.name] = label
    return replace(answers[0], labels=tuple(best.values()))


def by_person(known: Moderation | None, outcome: ModerationOutcome, time: str) -> Moderation | None:
    """The verdict after a person's decision; an asset without moderation stays without."""
    if known is None or known.outcome is outcome:
        return known
    return replace(
        known, outcome=outcome, tier=ModerationTier.PERSON, sampled=False, time=time, error=""
    )


def told(known: Moderation) -> dict[str, object]:
    """A verdict as events and the API tell it."""
    return {
        "outcome": known.outcome.value,
        "tier": known.tier.value,
        "labels": [
            {"name": one.name, "category": one.category, "confidence": round(one.confidence, 2)}
            for one in known.labels
        ],
        "crossed": [
            {
                "category": one.category,
                "outcome": one.outcome.value,
                "threshold": one.threshold,
                "confidence": round(one.confidence, 2),
            }
            for one in known.crossed
        ],
        "model": known.model,
        "model_version": known.model_version,
        "time": known.time,
        "sampled": known.sampled,
        "earlier": known.earlier,
        "error": known.error,
    }


def wording(known: Moderation) -> str:
    """Why an asset waits or is rejected, in a sentence for a person."""
    if known.tier is ModerationTier.UNAVAILABLE:
        return f"no moderator could be asked ({known.error})"
    if known.tier is ModerationTier.EARLIER and known.earlier:
        same = "the same bytes as" if not known.distance else "a near duplicate of"
        return f"{same} {known.earlier}, which was rejected or is held"
    if not known.crossed:
        return "no moderator has decided yet"
    seen = (f"{one.category} {one.confidence:.0f} of {one.threshold:g}" for one in known.crossed)
    return f"{known.tier.value} saw {', '.join(seen)}"


def said(found: Moderation) -> dict[str, str]:
    """A verdict as the timeline has it."""
    why = wording(found) if found.outcome is not ModerationOutcome.PASS else ""
    model = " ".join(filter(None, (found.model, found.model_version)))
    texts = {
        "moderation": found.outcome.value,
        "by": found.tier.value,
        "model": model,
        "why": why[:300],
        "error": found.error,
        "earlier": found.earlier,
    }
    return {name: text for name, text in texts.items() if text}
