"""Moderation at upload and in a workflow: who is asked, what follows, and what fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.unit.finalize.world import POLICY as HEAVY_POLICY
from tests.unit.finalize.world import World as Heavy
from tests.unit.pictures import encoded, photo
from tests.unit.specimens import animation
from tests.unit.test_deliver import deliver
from tests.unit.test_ingest import POLICY, RECIPE, World
from worker.domain.asset import CLOSED, AssetRecord, Status
from worker.domain.errors import (
    ConfigurationError,
    EngineError,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.domain.image import Encoding, Format, Recipe, RenditionSpec, StoredRendition
from worker.domain.keys import blurred_key, quarantine_key, version_prefix
from worker.domain.moderation import (
    CategoryRule,
    Moderation,
    ModerationLabel,
    ModerationOutcome,
    ModerationRules,
    ModerationTier,
    Seen,
    Unavailable,
    by_person,
)
from worker.domain.review import Choice
from worker.domain.workflow import MODERATE, StageCall
from worker.recipes import DeploymentRecipes
from worker.services.access import Access
from worker.services.breaker import OptionalWork, never
from worker.services.ingest import Ingest
from worker.services.moderate import (
    MOST_STILLS,
    ModerateStage,
    drawn,
    looked_at,
)
from worker.services.owned_assets import Caller
from worker.services.review import Reviews
from worker.subprocesses.sandbox import SandboxLimits, here, run_first

TIERS = frozenset({ModerationTier.EARLIER, ModerationTier.CLASSIFIER, ModerationTier.REKOGNITION})
RULES = ModerationRules(
    categories=(
        CategoryRule(name="explicit", blur=40, hold=60, reject=90),
        CategoryRule(name="violence", hold=70),
    ),
    uncertain=(20, 50),
)
WHOLE = RenditionSpec(name="whole", width=100, encodings=(Encoding(format=Format.JPEG),))
MODERATED = replace(
    RECIPE, workflow=MODERATE, moderation=RULES, renditions=(WHOLE, *RECIPE.renditions)
)
PHOTO = encoded(photo(120, 80), "JPEG")


@dataclass
class Stub:
    """A moderator that says what it was told to say."""

    says: Mapping[str, float] | SafelightError = field(default_factory=dict)
    model: str = "stub"
    pictures: list[bytes] = field(default_factory=list)

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """See ``Moderator.look``."""
        self.pictures.append(jpeg)
        assert minimum == 40
        if isinstance(self.says, SafelightError):
            raise self.says
        labels = tuple(
            ModerationLabel(name=name.title(), category=name, confidence=float(confidence))
            for name, confidence in self.says.items()
        )
        return Seen(labels=labels, model=self.model, model_version="1.2")


class Moderated(World):
    """A deployment whose recipe moderates."""

    def __init__(self, recipe: Recipe = MODERATED) -> None:
        """Start empty."""
        super().__init__(policy=replace(POLICY, recipe=recipe))
        self.classifier, self.rekognition = Stub(), Stub(model="rekognition")
        self.put_off: Callable[[OptionalWork], bool] = never

    def upload(
        self, data: bytes = PHOTO, *, key: str = "a.jpg", says: Any = None, **rules: Any
    ) -> AssetRecord:
        """Upload and ingest; the record. ``says`` is what the classifier answers."""
        self.classifier.says = says if says is not None else {}
        recipe = self.policy.recipe
        if rules:
            assert recipe.moderation is not None
            recipe = replace(recipe, moderation=replace(recipe.moderation, **rules))
            recipe = replace(recipe, digest=f"{abs(hash(repr(recipe))):064x}"[:64])
        self.recipes[recipe.digest] = recipe
        service = Ingest(
            store=self.store,
            catalog=self.catalog,
            policy=replace(self.policy, recipe=recipe),
            classifier=self.classifier,
            now=self.now,
            put_off=self.put_off,
        )
        try:
            change = self.store.upload("intake", key, data)
            done = service.commit(service.render(service.fetch(change)))
        finally:
            service.close()
        return self.record(done.asset)

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """Those that were used, by digest."""
        return {}

    def record(self, asset: str) -> AssetRecord:
        """The record of an asset by now."""
        return self.catalog.records[asset]

    def stage(self, record: AssetRecord, says: Any = None, **parameters: Any) -> str:
        """Run the stage; its outcome. ``says`` is what Rekognition answers."""
        self.rekognition.says = says if says is not None else {}
        access = Access(
            catalog=self.catalog,
            store=self.store,
            bucket="delivery",
            now=self.now,
        )
        stage = ModerateStage(
            catalog=self.catalog,
            store=self.store,
            access=access,
            bucket="delivery",
            recipe=self.recipes.__getitem__,
            rekognition=self.rekognition,
            classifier=self.classifier,
            now=self.now,
        )
        call = StageCall(
            task="moderate", asset=record.asset, version=record.version, parameters=parameters
        )
        return stage.run(call)["outcome"]

    def closed(self, record: AssetRecord) -> bool:
        """Whether nobody may read the files of an asset: all of them, or none."""
        (found,) = {tags(self, one.key) == CLOSED for one in record.renditions}
        return found

    def served(self, record: AssetRecord) -> tuple[int, str]:
        """The status and the lifetime of the delivery function's answer for its first file."""
        answer = deliver(self.store, self.catalog).answer(record.renditions[0].key)
        return answer.status, answer.headers["Cache-Control"]


def tags(world: World, key: str) -> Mapping[str, str]:
    """Of a delivered file."""
    return world.store.versions["delivery", key][-1].tags


def of(record: AssetRecord) -> Moderation:
    """The verdict in a record."""
    assert record.moderation is not None
    return record.moderation


# --- at upload --------------------------------------------------------------------------------


def test_ordinary_recipes_cost_no_call_more() -> None:
    """Without [moderation] nobody is asked, and the catalog is not searched for look-alikes."""
    world = Moderated(RECIPE)
    world.catalog.similar = None  # type: ignore[assignment,method-assign]
    record = world.upload()
    assert (record.status, record.moderation, record.workflow) == (Status.ACCEPTED, None, "")
    assert not world.classifier.pictures
    assert sorted(world.fuse.calls) == sorted(
        [
            *("catalog.get", "store.get", "store.put", "store.put", "store.put"),
            *("catalog.commit", "store.head"),
        ]
    )


@pytest.mark.parametrize(
    ("says", "outcome", "status", "code"),
    [
        ({}, "pass", Status.ACCEPTED, None),
        ({"explicit": 19.9}, "pass", Status.ACCEPTED, None),
        ({"alcohol": 99}, "pass", Status.ACCEPTED, None),
        ({"explicit": 20}, "uncertain", Status.REVIEW, "moderation_undecided"),
        ({"explicit": 50}, "blur", Status.REVIEW, "moderation_held"),
        ({"explicit": 60}, "hold", Status.REVIEW, "moderation_held"),
        ({"explicit": 91, "violence": 30}, "reject", Status.REJECTED, "moderation_rejected"),
    ],
)
def test_the_classifier_decides_what_it_is_certain_of(
    says: dict[str, float], outcome: str, status: Status, code: str | None
) -> None:
    """Certain outcomes need no other tier; only the other pictures wait and name a workflow."""
    world = Moderated()
    record = world.upload(says=says)

    assert (of(record).outcome.value, of(record).tier) == (outcome, ModerationTier.CLASSIFIER)
    assert record.status is status
    assert (record.verdict.code if record.verdict else None) == code
    assert record.workflow == (MODERATE if status is Status.REVIEW else "")
    assert (of(record).model, of(record).model_version) == ("stub", "1.2")
    (line,) = world.catalog.timeline(record.asset)
    assert (line.detail["moderation"], line.detail["by"]) == (outcome, "classifier")
    (told,) = world.catalog.told
    seen = told.detail["moderation"]
    assert isinstance(seen, dict)
    assert seen["outcome"] == outcome


def test_what_waits_is_closed_from_its_first_write() -> None:
    """The files of a held picture are never public, not even for a moment."""
    world = Moderated()
    record = world.upload(says={"explicit": 60})
    assert world.closed(record)
    assert world.served(record) == (403, "public, max-age=10")
    assert not world.store.keys("delivery") - {one.key for one in record.renditions}


def test_a_rejected_picture_goes_as_every_rejected_one() -> None:
    """The original is in quarantine, nothing is delivered, and the reason says what was seen."""
    world = Moderated()
    record = world.upload(says={"explicit": 95})
    assert not world.store.keys("delivery")
    assert not world.store.keys("intake")
    assert world.store.keys("quarantine") == {quarantine_key(record)}
    assert record.verdict is not None
    assert record.verdict.message == "classifier saw explicit 95 of 90"
    assert record.renditions == ()


def test_a_sampled_picture_stays_public() -> None:
    """It passed: it is served while Rekognition is asked as well."""
    world = Moderated()
    record = world.upload(sample=1.0)
    assert (record.status, record.workflow) == (Status.ACCEPTED, MODERATE)
    assert of(record).sampled
    assert not world.closed(record)


def test_the_sample_has_the_share_that_was_asked_for() -> None:
    """Of random versions about that many are drawn; of none none, of all all."""
    versions = [hashlib.sha256(str(n).encode()).hexdigest()[:16] for n in range(4_000)]
    assert 80 < sum(drawn(one, 0.03) for one in versions) < 160
    assert not any(drawn(one, 0.0) for one in versions)
    assert all(drawn(one, 1.0) for one in versions)


@pytest.mark.parametrize("error", [Throttled("busy"), EngineError("nonsense")])
@pytest.mark.parametrize(
    ("rules", "outcome", "tier", "status"),
    [
        ({}, "uncertain", ModerationTier.EARLIER, Status.REVIEW),
        (
            {"tiers": TIERS - {ModerationTier.REKOGNITION}},
            "hold",
            ModerationTier.UNAVAILABLE,
            Status.REVIEW,
        ),
        (
            {"tiers": TIERS - {ModerationTier.REKOGNITION}, "unavailable": Unavailable.PASS},
            "pass",
            ModerationTier.UNAVAILABLE,
            Status.ACCEPTED,
        ),
    ],
)
def test_a_classifier_that_fails_decides_nothing(
    error: SafelightError, rules: dict[str, Any], outcome: str, tier: ModerationTier, status: Status
) -> None:
    """The next tier is asked; where there is none the recipe says whether it is held or passes."""
    record = Moderated().upload(says=error, **rules)
    assert (of(record).outcome.value, of(record).tier) == (outcome, tier)
    assert of(record).error == error.code
    assert record.status is status


def test_a_recipe_with_a_classifier_needs_one() -> None:
    """A deployment without one says so as it starts, not by letting everything pass."""
    with pytest.raises(ConfigurationError, match="SAFELIGHT_CLASSIFIER"):
        World(policy=replace(POLICY, recipe=MODERATED)).ingest(
            World().store.upload("intake", "a.jpg", PHOTO)
        )


def test_without_a_classifier_tier_everything_new_is_uncertain() -> None:
    """No moderator is asked at upload: the workflow asks Rekognition."""
    world = Moderated()
    record = world.upload(tiers=TIERS - {ModerationTier.CLASSIFIER})
    assert of(record).outcome is ModerationOutcome.UNCERTAIN
    assert not world.classifier.pictures


def test_what_the_last_machine_is_uncertain_of_is_held() -> None:
    """Without Rekognition a person is asked about the band."""
    record = Moderated().upload(says={"explicit": 30}, tiers=TIERS - {ModerationTier.REKOGNITION})
    assert (of(record).outcome.value, of(record).tier) == ("hold", ModerationTier.CLASSIFIER)


# --- earlier verdicts -------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [ModerationOutcome.PASS, ModerationOutcome.REJECT])
def test_a_person_has_decided_about_the_same_bytes(outcome: ModerationOutcome) -> None:
    """The same file again, under another name: nobody is asked again."""
    world = Moderated()
    first = world.upload(says={"explicit": 70})
    decided = by_person(first.moderation, outcome, "2030-01-01T00:00:00.000000Z")
    world.catalog.records[first.asset] = replace(first, moderation=decided)
    again = world.upload(key="b.jpg", says=EngineError("nobody is asked"))
    assert (of(again).outcome, of(again).tier) == (outcome, ModerationTier.EARLIER)
    assert of(again).earlier == first.asset
    assert len(world.classifier.pictures) == 1


def test_what_rekognition_saw_is_judged_by_the_rules_of_today() -> None:
    """The same bytes under stricter thresholds: its labels are there, and cost nothing."""
    world = Moderated()
    first = world.upload(says={"explicit": 30})
    assert world.stage(first, {"explicit": 45}) == "blur"
    strict = (CategoryRule(name="explicit", hold=40),)
    again = world.upload(key="b.jpg", says=EngineError("nobody is asked"), categories=strict)
    assert of(again).outcome is ModerationOutcome.HOLD
    assert (of(again).tier, of(again).earlier) == (ModerationTier.EARLIER, first.asset)
    assert of(again).crossed[0].threshold == 40


def test_labels_that_were_not_asked_for_are_not_missing_ones() -> None:
    """Labels from 60 on say nothing about a threshold of 40."""
    world = Moderated()
    first = world.upload(says={"explicit": 30})
    world.stage(first, {})
    known = replace(of(world.record(first.asset)), minimum=60.0)
    world.catalog.records[first.asset] = replace(world.record(first.asset), moderation=known)
    assert of(world.upload(key="b.jpg")).tier is ModerationTier.CLASSIFIER


def test_a_near_duplicate_of_a_rejected_picture_waits_for_a_person() -> None:
    """Saved again by another program it is not the same bytes; the look gives it away."""
    world = Moderated()
    first = world.upload(says={"explicit": 95})
    again = world.upload(encoded(photo(120, 80), "PNG"), key="b.png", says={})
    assert (of(again).outcome.value, of(again).tier) == ("hold", ModerationTier.EARLIER)
    assert of(again).earlier == first.asset
    assert again.verdict is not None
    assert "near duplicate" in again.verdict.message or "same" in again.verdict.message


def test_near_duplicates_can_be_left_out() -> None:
    """The catalog is not searched for them then; the same bytes still count."""
    world = Moderated()
    first = world.upload(says={"explicit": 95})
    world.catalog.similar = None  # type: ignore[assignment,method-assign]
    again = world.upload(encoded(photo(120, 80), "PNG"), key="b.png", near_duplicates=False)
    assert of(again).tier is ModerationTier.CLASSIFIER
    assert first.status is Status.REJECTED


def test_a_near_duplicate_of_an_approved_picture_is_looked_at() -> None:
    """A near duplicate does not inherit an approval."""
    world = Moderated()
    first = world.upload(says={"explicit": 70})
    passed = by_person(first.moderation, ModerationOutcome.PASS, "2030-01-01T00:00:00.000000Z")
    world.catalog.records[first.asset] = replace(first, moderation=passed)
    again = world.upload(encoded(photo(120, 80), "PNG"), key="b.png", says={"explicit": 95})
    assert (of(again).outcome.value, of(again).tier) == ("reject", ModerationTier.CLASSIFIER)


def test_earlier_verdicts_are_a_tier_that_can_be_left_out() -> None:
    """Without it everybody is asked each time."""
    world = Moderated()
    world.upload(says={"explicit": 95})
    again = world.upload(key="b.jpg", tiers=TIERS - {ModerationTier.EARLIER})
    assert of(again).outcome is ModerationOutcome.PASS


def test_copied_files_have_the_verdict_of_those_they_are_copied_of() -> None:
    """The same bytes by the same recipe: nothing is made and nobody is asked."""
    world = Moderated()
    first = world.upload(says={"explicit": 5})
    again = world.upload(key="b.jpg", says=EngineError("nobody is asked"))
    assert again.copied_from == first.asset
    assert (of(again).outcome.value, of(again).earlier) == ("pass", first.asset)


# --- in a workflow ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "outcome"),
    [
        ({}, "pass"),
        ({"explicit": 39.9}, "pass"),
        ({"explicit": 40}, "blur"),
        ({"violence": 70}, "hold"),
        ({"explicit": 99}, "reject"),
    ],
)
def test_rekognition_decides_what_the_classifier_left_open(
    says: dict[str, float], outcome: str
) -> None:
    """One call; its verdict is in the record and the timeline; the files stay closed until then."""
    world = Moderated()
    record = world.upload(says={"explicit": 30})
    assert world.stage(record, says) == outcome

    known = world.record(record.asset)
    assert (of(known).outcome.value, of(known).tier) == (outcome, ModerationTier.REKOGNITION)
    assert len(world.rekognition.pictures) == len(world.classifier.pictures) == 1
    assert known.status is Status.REVIEW
    assert world.closed(known)
    (line,) = [one for one in world.catalog.timeline(record.asset) if one.kind == "moderated"]
    assert (line.detail["moderation"], line.detail["model"]) == (outcome, "rekognition 1.2")


def test_a_repeated_call_asks_nobody_again() -> None:
    """A machine that lost its answer gets the same one."""
    world = Moderated()
    record = world.upload(says={"explicit": 30})
    assert world.stage(record, {"violence": 80}) == "hold"
    assert world.stage(record, EngineError("nobody is asked")) == "hold"
    lines = [one.kind for one in world.catalog.timeline(record.asset)]
    assert lines.count("moderated") == 1


def test_what_was_decided_at_upload_is_handed_on() -> None:
    """The machine of a picture that the classifier holds asks Rekognition nothing."""
    world = Moderated()
    record = world.upload(says={"explicit": 60})
    assert world.stage(record, EngineError("nobody is asked")) == "hold"
    assert not world.rekognition.pictures


def test_a_sampled_picture_is_closed_when_rekognition_sees_something() -> None:
    """It was public: now it waits, and its files are closed."""
    world = Moderated()
    record = world.upload(sample=1.0)
    assert world.served(record)[0] == 200
    assert world.stage(record, {"violence": 80}) == "hold"
    held = world.record(record.asset)
    assert held.status is Status.REVIEW
    assert held.verdict is not None
    assert held.verdict.code == "moderation_held"
    assert world.closed(held)
    assert world.served(held)[0] == 403


def test_a_sampled_picture_that_passes_stays_as_it_is() -> None:
    """The record says who has confirmed it."""
    world = Moderated()
    record = world.upload(sample=1.0)
    assert world.stage(record, {}) == "pass"
    known = world.record(record.asset)
    assert (known.status, of(known).sampled) == (Status.ACCEPTED, False)
    assert of(known).tier is ModerationTier.REKOGNITION


@pytest.mark.parametrize("error", [Throttled("busy"), Unreachable("down"), EngineError("garbage")])
@pytest.mark.parametrize("unavailable", [Unavailable.HOLD, Unavailable.PASS])
def test_a_moderator_that_fails_is_asked_again_until_the_machine_gives_up(
    error: SafelightError, unavailable: Unavailable
) -> None:
    """The machine repeats or catches the error; then the recipe says what follows."""
    world = Moderated()
    record = world.upload(says={"explicit": 30}, unavailable=unavailable)
    with pytest.raises(type(error)):
        world.stage(record, error)
    assert world.record(record.asset) == record

    asked = len(world.rekognition.pictures)
    outcome = world.stage(record, error, unavailable=True)
    assert outcome == unavailable.value
    assert len(world.rekognition.pictures) == asked
    found = of(world.record(record.asset))
    assert (found.tier, found.error) == (ModerationTier.UNAVAILABLE, "unavailable")


def test_a_sample_that_cannot_be_taken_holds_nothing_back() -> None:
    """It had passed before Rekognition went down."""
    world = Moderated()
    record = world.upload(sample=1.0)
    assert world.stage(record, unavailable=True) == "pass"
    known = world.record(record.asset)
    assert (known.status, of(known).tier) == (Status.ACCEPTED, ModerationTier.CLASSIFIER)


def test_a_call_for_another_version_is_stale() -> None:
    """A newer upload has its own machine; deleted and unknown assets have none."""
    world = Moderated()
    record = world.upload(says={"explicit": 30})
    assert world.stage(replace(record, version="0" * 16)) == "stale"
    assert world.stage(replace(record, asset="0" * 32)) == "stale"
    world.catalog.records[record.asset] = replace(record, status=Status.DELETED)
    assert world.stage(record) == "stale"
    assert not world.rekognition.pictures


def test_a_workflow_that_moderates_needs_rules() -> None:
    """A recipe without [moderation] is a mistake of the deployment, and passes nothing."""
    world = Moderated(RECIPE)
    with pytest.raises(ConfigurationError, match=r"no \[moderation\]"):
        world.stage(world.upload())


class Answers:
    """The state machine that waits: it takes every answer."""

    def __init__(self) -> None:
        """Nothing was answered."""
        self.given: list[tuple[str, Mapping[str, object]]] = []

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """See the port."""
        raise NotImplementedError

    def answer(self, token: str, output: Mapping[str, object]) -> None:
        """See the port."""
        self.given.append((token, output))


@pytest.mark.parametrize(
    ("choice", "outcome"), [(Choice.APPROVE, "pass"), (Choice.REJECT, "reject")]
)
def test_what_people_decide_holds_for_the_same_bytes(choice: Choice, outcome: str) -> None:
    """The decision is in the record, and the next upload of the file follows it."""
    world = Moderated()
    record = world.upload(says={"explicit": 60})
    access = Access(
        catalog=world.catalog,
        store=world.store,
        bucket="delivery",
        quarantine="quarantine",
    )
    machine = Answers()
    reviews = Reviews(catalog=world.catalog, access=access, workflows=machine)
    call = StageCall(
        task="approve", asset=record.asset, version=record.version, token="t" * 20, execution="e"
    )
    assert reviews.ask(call) == "asked"
    (asked,) = world.catalog.reviews_of(record.asset)
    assert asked.reason.code == "moderation_held"
    who = Caller(owner="", reviewer="ann", judges_all=True)
    reviews.decide(who, asked.id, choice, "seen")
    reviews.follow(record.asset)
    assert len(machine.given) == 1

    decided = of(world.record(record.asset))
    assert (decided.outcome.value, decided.tier) == (outcome, ModerationTier.PERSON)
    again = world.upload(key="b.jpg", says=EngineError("nobody is asked"))
    assert (of(again).outcome.value, of(again).tier) == (outcome, ModerationTier.EARLIER)


# --- blurred ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["classifier", "rekognition"])
def test_a_blurred_picture_is_served_while_a_person_looks(tier: str) -> None:
    """200 for ten seconds, of every file of the asset; its own files stay closed."""
    world = Moderated()
    if tier == "classifier":
        record = world.upload(says={"explicit": 55})
    else:
        record = world.upload(says={"explicit": 30})
        assert world.served(record)[0] == 403
        assert world.stage(record, {"explicit": 45}) == "blur"
    record = world.record(record.asset)

    assert world.served(record) == (200, "public, max-age=10")
    answer = deliver(world.store, world.catalog).answer(record.renditions[1].key)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.body == world.store.get("delivery", blurred_key(record))[0]
    assert tags(world, blurred_key(record)) == {}
    assert world.closed(record)


@pytest.mark.parametrize("status", [Status.PUBLISHED, Status.DELETED])
def test_the_blurred_picture_goes_with_the_decision(status: Status) -> None:
    """Published, the picture itself is served; deleted, nothing is."""
    world = Moderated()
    record = world.upload(says={"explicit": 55})
    access = Access(catalog=world.catalog, store=world.store, bucket="delivery")
    if status is Status.PUBLISHED:
        access.publish(record.asset)
    else:
        world.catalog.records[record.asset] = replace(record, status=status)
        access.follow(record.asset)
    assert blurred_key(record) not in world.store.keys("delivery")
    assert world.closed(record) is (status is Status.DELETED)


def test_a_blurred_picture_that_is_gone_is_a_refusal() -> None:
    """Between the decision and the next read of the record nothing else leaks."""
    world = Moderated()
    record = world.upload(says={"explicit": 55})
    world.store.delete("delivery", blurred_key(record))
    assert world.served(record)[0] == 403


def test_the_blurred_picture_stays_open_when_files_follow_the_record() -> None:
    """Closing the files again (held twice, or a repeated call) leaves it readable."""
    world = Moderated()
    record = world.upload(says={"explicit": 55})
    Access(catalog=world.catalog, store=world.store, bucket="delivery").follow(record.asset)
    assert tags(world, blurred_key(record)) == {}
    assert world.closed(record)


# --- which pictures ---------------------------------------------------------------------------


def made(name: str, width: int, height: int, **keys: Any) -> StoredRendition:
    """A stored rendition."""
    values: dict[str, Any] = {"format": Format.JPEG, "frames": 1, "bytes": 1}
    values |= {"key": name, "sha256": ""}
    return StoredRendition(name=name, width=width, height=height, **(values | keys))


@pytest.mark.parametrize(
    ("renditions", "chosen"),
    [
        ([made("square", 64, 64), made("small", 300, 200), made("large", 1500, 1000)], ["large"]),
        ([made("a", 900, 600), made("b", 3000, 2000), made("c", 300, 200)], ["a"]),
        ([made("a", 300, 200), made("b", 450, 300)], ["b"]),
        ([made("square", 64, 64), made("wide", 160, 90), made("s2", 128, 128)], ["s2", "wide"]),
        ([made("j", 900, 600, format=Format.JXL), made("a", 30, 20)], ["a"]),
        ([made("w", 900, 600, format=Format.WEBP), made("j", 900, 600)], ["j"]),
        ([made("w", 90, 60, format=Format.WEBP, frames=9), made("j", 900, 600)], ["w"]),
        ([made("w", 60, 60, format=Format.WEBP, frames=9), made("j", 900, 600)], ["w", "j"]),
        ([made("j", 900, 600, format=Format.JXL)], []),
    ],
)
def test_moderators_see_all_that_is_delivered(
    renditions: Sequence[StoredRendition], chosen: list[str]
) -> None:
    """A whole picture that is large enough; else one of each cut; of an animation all frames."""
    assert [one.name for one in looked_at(renditions, (3000, 2000))] == chosen


def test_of_an_animation_several_frames_are_looked_at() -> None:
    """A first frame that is harmless hides nothing of what follows it."""
    world = Moderated()
    record = world.upload(animation("GIF", count=8), key="a.gif", says={"explicit": 30})
    assert len(world.classifier.pictures) == MOST_STILLS
    assert len(set(world.classifier.pictures)) == MOST_STILLS
    world.stage(record, {})
    assert world.rekognition.pictures == world.classifier.pictures


# --- videos -----------------------------------------------------------------------------------

TRACK = """WEBVTT

00:00.000 --> 00:01.000
sheet-0.jpg#xywh=0,0,160,90

00:01.000 --> 00:02.000
sheet-0.jpg#xywh=160,0,160,90

00:02.000 --> 00:03.000
sheet-0.jpg#xywh={box}
"""


@pytest.fixture
def video(tmp_path: Path) -> Heavy:
    """A video that waits for its jobs, by a recipe that moderates."""
    file = tmp_path / "moderated.toml"
    file.write_text(
        'name = "moderated"\nversion = 1\n[moderation]\ntiers = ["earlier", "rekognition"]\n'
        'categories = [{ name = "explicit", blur = 40, hold = 60 }]\n'
        '[[renditions]]\nname = "p"\nwidth = 100\nformats = ["jpeg"]\n'
    )
    world = Heavy(policy=replace(HEAVY_POLICY, recipes=DeploymentRecipes(str(file))))
    world.leave_all()
    return world


def look(world: Heavy, moderator: Stub, first: Any = here) -> str:
    """Run the stage for the video."""
    recipe = world.policy.recipes.load("")
    access = Access(catalog=world.catalog, store=world.store, bucket="delivery")
    stage = ModerateStage(
        catalog=world.catalog,
        store=world.store,
        access=access,
        bucket="delivery",
        recipe=lambda _: recipe,
        rekognition=moderator,
        first=first,
    )
    record = world.now()
    return stage.run(StageCall(task="moderate", asset=record.asset, version=record.version))[
        "outcome"
    ]


def test_a_video_waits_until_its_poster_and_frames_were_looked_at(video: Heavy) -> None:
    """Its jobs close what they store; the workflow asks about the poster and the storyboard."""
    video.runs.start(video.record.asset, video.record.version)
    ((_, started),) = video.workflows.started.values()
    assert started["access"] == "closed"
    video.put("storyboard", "storyboard.vtt", TRACK.format(box="320,0,160,90").encode())
    video.put("storyboard", "sheet-0.jpg", encoded(photo(480, 90), "JPEG"))
    done = video.heavy.finish(video.record.asset, video.record.version)
    assert done.record is not None
    assert (done.record.status, done.record.workflow) == (Status.REVIEW, MODERATE)
    assert of(done.record).outcome is ModerationOutcome.UNCERTAIN

    moderator = Stub({"explicit": 45}, model="rekognition")
    assert look(video, moderator) == "blur"
    assert len(moderator.pictures) == 4
    assert len(set(moderator.pictures)) == 4
    record = video.now()
    assert record.blurred
    poster = next(one for one in record.renditions if one.name == "poster")
    assert deliver(video.store, video.catalog).answer(poster.key).status == 200
    segment = f"{version_prefix(record)}transcode/hls/master.m3u8"
    assert deliver(video.store, video.catalog).answer(segment).status == 403


def test_what_a_stage_looks_at_may_be_decoded_in_a_jailed_child(video: Heavy) -> None:
    """Poster, frames and the blurred picture are decoded where the deployment wants it."""
    video.put("storyboard", "storyboard.vtt", TRACK.format(box="320,0,160,90").encode())
    video.put("storyboard", "sheet-0.jpg", encoded(photo(480, 90), "JPEG"))
    video.heavy.finish(video.record.asset, video.record.version)
    calls: list[int] = []

    def first(*call: Any, limits: SandboxLimits) -> Any:
        calls.append(len(call))
        return run_first(*call, limits=limits)

    moderator = Stub({"explicit": 45}, model="rekognition")
    assert look(video, moderator, first) == "blur"
    assert len(calls) == 5
    assert len(set(moderator.pictures)) == 4
    assert video.now().blurred


def test_a_storyboard_that_names_what_is_not_there_is_a_defect(video: Heavy) -> None:
    """A box beyond its sheet is an error of ours, and nothing passes because of it."""
    video.put("storyboard", "storyboard.vtt", TRACK.format(box="400,0,160,90").encode())
    video.put("storyboard", "sheet-0.jpg", encoded(photo(480, 90), "JPEG"))
    video.heavy.finish(video.record.asset, video.record.version)
    with pytest.raises(EngineError, match="on a sheet"):
        look(video, Stub())
    assert video.now().status is Status.REVIEW


def test_a_video_of_rejected_bytes_is_rejected_by_its_record(video: Heavy) -> None:
    """A person's rejection also applies to the same bytes under another key."""
    video.heavy.finish(video.record.asset, video.record.version)
    first = video.now()
    rejected = by_person(first.moderation, ModerationOutcome.REJECT, "2030-01-01T00:00:00.000000Z")
    other = replace(first, asset="0" * 32, moderation=rejected, status=Status.REJECTED)
    video.catalog.records[other.asset] = other
    video.record = video.upload(b"a film")
    video.leave_all()
    done = video.heavy.finish(video.record.asset, video.record.version)
    assert done.outcome.value == "rejected"
    assert done.record is not None
    assert done.record.verdict is not None
    assert done.record.verdict.code == "moderation_rejected"
    assert quarantine_key(done.record) in video.store.keys("quarantine")
