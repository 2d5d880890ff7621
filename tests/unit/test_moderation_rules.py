"""What was seen is judged by the recipe: thresholds, the uncertain band, unknown labels."""

from __future__ import annotations

import pytest

from worker.codec import build, plain
from worker.domain.moderation import (
    MOST_LABELS,
    CategoryRule,
    Moderation,
    ModerationLabel,
    ModerationOutcome,
    ModerationRules,
    ModerationTier,
    Seen,
    by_person,
    judged,
    together,
    told,
    wording,
)

RULES = ModerationRules(
    categories=(
        CategoryRule(name="explicit", blur=40, hold=60, reject=90),
        CategoryRule(name="violence", hold=70),
    ),
    uncertain=(30, 55),
)


def seen(**confidences: float) -> Seen:
    """An answer with a label of each category."""
    labels = tuple(
        ModerationLabel(name=name.title(), category=name, confidence=confidence)
        for name, confidence in confidences.items()
    )
    return Seen(labels=labels, model="stub", model_version="1")


def outcome(tier: ModerationTier = ModerationTier.REKOGNITION, **confidences: float) -> str:
    """What the rules make of an answer."""
    return judged(seen(**confidences), RULES, tier=tier).outcome.value


@pytest.mark.parametrize(
    ("confidence", "rekognition", "classifier"),
    [
        (0, "pass", "pass"),
        (29.99, "pass", "pass"),
        (30, "pass", "uncertain"),
        (39.99, "pass", "uncertain"),
        (40, "blur", "uncertain"),
        (54.99, "blur", "uncertain"),
        (55, "blur", "blur"),
        (60, "hold", "hold"),
        (89.99, "hold", "hold"),
        (90, "reject", "reject"),
        (100, "reject", "reject"),
    ],
)
def test_a_threshold_counts_from_its_own_value_on(
    confidence: float, rekognition: str, classifier: str
) -> None:
    """Thresholds are inclusive; the band is the classifier's alone, without its upper end."""
    assert outcome(explicit=confidence) == rekognition
    assert outcome(ModerationTier.CLASSIFIER, explicit=confidence) == classifier


@pytest.mark.parametrize(
    ("explicit", "violence", "expected"),
    [
        (60, 70, "hold"),
        (90, 0, "reject"),
        (35, 95, "hold"),
        (57, 35, "uncertain"),
        (95, 35, "reject"),
    ],
)
def test_the_most_severe_category_counts(explicit: float, violence: float, expected: str) -> None:
    """Reject before hold, hold before uncertain, uncertain before blur."""
    found = outcome(ModerationTier.CLASSIFIER, explicit=explicit, violence=violence)
    assert found == expected


def test_unknown_labels_are_kept_and_decide_nothing() -> None:
    """A label of no category, or of one without a rule, is in the record; the asset passes."""
    answer = Seen(
        labels=(
            ModerationLabel(name="Brand New", confidence=99.0),
            ModerationLabel(name="Beer", category="alcohol", confidence=98.0),
            ModerationLabel(name="Barely", category="alcohol", confidence=3.0),
        ),
        model="stub",
    )
    found = judged(answer, RULES, tier=ModerationTier.REKOGNITION)
    assert found.outcome is ModerationOutcome.PASS
    assert [one.name for one in found.labels] == ["Brand New", "Beer"]
    assert found.crossed == ()


def test_the_most_confident_label_of_a_category_counts() -> None:
    """Two labels of a category are not added up."""
    labels = tuple(
        ModerationLabel(name=name, category="violence", confidence=confidence)
        for name, confidence in (("Weapons", 65.0), ("Blood", 69.0))
    )
    found = judged(Seen(labels=labels, model="m"), RULES, tier=ModerationTier.REKOGNITION)
    assert found.outcome is ModerationOutcome.PASS


def test_what_decided_and_why_is_in_the_verdict() -> None:
    """Tier, model, thresholds with confidences: enough to tell a person."""
    found = judged(seen(explicit=91), RULES, tier=ModerationTier.REKOGNITION, time="now")
    assert (found.model, found.model_version, found.time) == ("stub", "1", "now")
    assert wording(found) == "rekognition saw explicit 91 of 90"
    assert told(found)["crossed"] == [
        {"category": "explicit", "outcome": "reject", "threshold": 90, "confidence": 91}
    ]
    assert build(Moderation, plain(found)) == found


def test_a_record_keeps_a_bounded_number_of_labels() -> None:
    """A moderator that answers with thousands of labels does not fill the record."""
    labels = tuple(ModerationLabel(name=f"l{n}", confidence=60.0 + n / 1000) for n in range(5000))
    found = judged(Seen(labels=labels, model="m"), RULES, tier=ModerationTier.REKOGNITION)
    assert len(found.labels) == MOST_LABELS
    assert found.labels[0].name == "l4999"


def test_of_several_pictures_the_most_confident_labels_count() -> None:
    """A video is as its worst frame."""
    found = together([seen(explicit=10, violence=80), seen(explicit=95), seen()])
    assert {one.category: one.confidence for one in found.labels} == {
        "explicit": 95,
        "violence": 80,
    }


def test_a_person_has_the_last_word() -> None:
    """A decision replaces the outcome and keeps what was seen; nothing is invented without one."""
    known = judged(seen(explicit=70), RULES, tier=ModerationTier.REKOGNITION)
    decided = by_person(known, ModerationOutcome.PASS, "later")
    assert decided is not None
    assert (decided.outcome, decided.tier) == (ModerationOutcome.PASS, ModerationTier.PERSON)
    assert decided.labels == known.labels
    assert by_person(None, ModerationOutcome.REJECT, "later") is None
