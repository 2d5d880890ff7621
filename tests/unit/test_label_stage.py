"""The stage that labels: one question for a picture, tags, people, and cuts that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.fakes import Fuse, Killed, MemoryCatalog
from tests.unit.memory_queue import MemoryQueue
from tests.unit.pictures import encoded, photo
from tests.unit.test_ingest import POLICY, World
from worker import recipes
from worker.domain.asset import AssetRecord, ObjectVersion, Status, VideoInfo
from worker.domain.errors import (
    Conflict,
    EngineError,
    ObjectMissing,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.domain.image import Gravity, Recipe
from worker.domain.label import BoundingBox, Label
from worker.domain.workflow import StageCall
from worker.imaging.formats.sniff import sniff
from worker.services.ingest import IngestOutcome
from worker.services.label import LabelStage
from worker.services.messages import changes_in
from worker.services.recipe_store import RecipeStore

TEXT = """
name = "labelled"
version = 1
workflow = "approve"
[labels]
confidence = 60
most = 3
focus = ["Person", "Dog"]
[[renditions]]
name = "square"
width = 40
height = 40
fit = "cover"
formats = ["jpeg"]
[[renditions]]
name = "page"
width = 90
formats = ["webp"]
"""
RECIPE = recipes.parse(TEXT)
PLAIN = recipes.parse(TEXT.replace('focus = ["Person", "Dog"]', ""))
UNASKED = recipes.parse(TEXT.partition("[labels]")[0] + "[[rend" + TEXT.partition("[[rend")[2])
CUTS = recipes.parse(TEXT.rpartition("[[renditions]]")[0])
PHOTO = encoded(photo(120, 80), "JPEG")
QUEUE = "work.fifo"
DOG = Label(
    name="Dog",
    confidence=98.765,
    model_version="3.0",
    boxes=(BoundingBox(left=0.7, top=0.2, width=0.2, height=0.4),),
)
TREE = Label(name="Tree", confidence=70.0, model_version="3.0")
UNSURE = Label(name="Wolf", confidence=59.0, model_version="3.0")


class Labeller:
    """``ports.Labeller`` with a given answer."""

    def __init__(self, *answer: Label) -> None:
        """Answer this, until told otherwise."""
        self.answer: Sequence[Label] = answer
        self.error: SafelightError | None = None
        self.pictures: list[bytes] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def label(self, jpeg: bytes, *, minimum: float) -> Sequence[Label]:
        """See the port."""
        assert minimum == 60
        self.pictures.append(jpeg)
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return self.answer


class Labelled(World):
    """An accepted upload, and the stage."""

    def __init__(self, recipe: Recipe = RECIPE, *answer: Label) -> None:
        """Ingest a photo; the model will see a dog and a tree."""
        super().__init__(policy=replace(POLICY, recipe=recipe))
        self.queue, self.labeller = MemoryQueue(), Labeller(*(answer or (TREE, DOG, UNSURE)))
        self.kept = RecipeStore(self.store, "delivery")
        self.kept.keep(recipe)
        self.upload = self.store.upload("intake", "a.jpg", PHOTO, metadata={"tags": "summer"})
        self.asset = self.ingest(self.upload).asset

    @property
    def record(self) -> AssetRecord:
        """What the catalog says."""
        return self.catalog.records[self.asset]

    @property
    def asked(self) -> int:
        """Questions to the model, each of which costs money."""
        return len(self.labeller.pictures)

    @property
    def announced(self) -> int:
        """How often ingest was asked to make the asset again."""
        return len(self.queue.bodies(QUEUE))

    def run(self, version: str = "") -> str:
        """The stage for a version, that of now by default; its outcome."""
        stage = LabelStage(
            catalog=self.catalog,
            store=self.store,
            bucket="delivery",
            recipe=self.kept.load,
            labeller=self.labeller,
            queue=self.queue,
            queue_url=QUEUE,
            now=self.now,
        )
        call = StageCall(task="label", asset=self.asset, version=version or self.record.version)
        return stage.run(call)["outcome"]

    def make_again(self) -> None:
        """Do what ingest does with the message that the stage has sent."""
        (upload,) = changes_in(self.queue.bodies(QUEUE)[-1])
        assert isinstance(upload, ObjectVersion)
        assert self.ingest(upload).outcome is IngestOutcome.REVIEW
        self.kept.keep(recipes.focused(RECIPE, recipes.point_of(self.record, RECIPE)))


def test_labels_and_their_tags_are_recorded() -> None:
    """Those certain enough, the most certain first, beside the tags of people, with a line."""
    world = Labelled(PLAIN)

    assert world.run() == "labelled"

    assert world.record.labels == (replace(DOG, confidence=98.77), TREE)
    assert world.record.tags == {"summer", "label:dog", "label:tree"}
    line = world.catalog.timeline(world.asset)[0]
    assert (line.kind, line.detail["labels"]) == ("labelled", "Dog 99, Tree 70")
    assert line.detail["model"] == "3.0 rekognition"
    assert (world.record.status, world.announced) == (Status.REVIEW, 0)
    (picture,) = world.labeller.pictures
    assert sniff(picture) is not None
    assert picture.startswith(b"\xff\xd8\xff")


def test_a_recipe_without_labels_asks_nobody() -> None:
    """The stage may be in a workflow of many recipes; it costs nothing where it is not wanted."""
    world = Labelled(UNASKED)
    before = world.record

    assert world.run() == "unlabelled"
    assert (world.asked, world.record) == (0, before)


def test_tags_may_be_unwanted() -> None:
    """Then labels are on the record alone."""
    world = Labelled(recipes.parse(TEXT.replace("most = 3", "most = 3\ntags = false")))
    world.run()

    assert [one.name for one in world.record.labels] == ["Dog", "Tree"]
    assert world.record.tags == {"summer"}


def test_a_repeated_call_asks_nobody() -> None:
    """A state machine calls again when an answer was lost: a picture is paid for once."""
    world = Labelled(PLAIN)
    for _ in range(3):
        assert world.run() == "labelled"

    assert (world.asked, world.record.revision) == (1, 2)


def test_the_same_bytes_are_paid_for_once() -> None:
    """A second upload of the bytes reuses the known labels, except refused ones."""
    world = Labelled(PLAIN)
    world.run()
    world.catalog.update(world.asset, remove_tags=["label:tree"])
    world.asset = world.ingest(world.store.upload("intake", "b.jpg", PHOTO)).asset

    assert world.run() == "labelled"
    assert world.asked == 1
    assert world.record.tags == {"label:dog"}
    assert [one.name for one in world.record.labels] == ["Dog"]


def test_nothing_seen_is_remembered_too() -> None:
    """A picture of nothing is not paid for again and again."""
    world = Labelled(PLAIN, UNSURE)
    for _ in range(2):
        assert world.run() == "labelled"

    assert (world.asked, world.record.labels) == (1, ())


@pytest.mark.parametrize("error", [Throttled("slow down"), Unreachable("down"), EngineError("?")])
def test_a_model_that_does_not_answer_leaves_all_as_it_is(error: SafelightError) -> None:
    """The machine tries again or gives up; a later call works."""
    world = Labelled(PLAIN)
    before = world.record
    world.labeller.error = error

    with pytest.raises(type(error)):
        world.run()
    assert world.record == before

    world.labeller.error = None
    assert world.run() == "labelled"


def test_a_hostile_answer_is_cut_to_what_can_be_stored() -> None:
    """Names for terminals, thousands of labels, boxes outside: few good ones are left."""
    box = BoundingBox(left=-3, top=0.5, width=9, height=9)
    many = [Label(name=f"Thing {number}", confidence=90) for number in range(3_000)]
    names = ["a\x1b[2J", "x" * 1_000, "", "Dog"]
    bad = [Label(name=name, confidence=99, boxes=(box, box)) for name in names]
    world = Labelled(PLAIN, *many, *bad, Label(name="Sure", confidence=1e9))
    world.run()

    assert [one.name for one in world.record.labels] == ["Dog", "Thing 0", "Thing 1"]
    kept = BoundingBox(left=0, top=0.5, width=1, height=0.5)
    assert world.record.labels[0].boxes == (kept, kept)


def test_a_workflow_that_only_labels_holds_nothing_back() -> None:
    """Each upload is accepted at once, and its record says that it is to be labelled."""
    world = Labelled(recipes.parse(TEXT.replace('"approve"', '"label"')))

    assert (world.record.status, world.record.workflow) == (Status.ACCEPTED, "label")
    assert world.run() == "labelled"
    assert world.announced == 1


# --- people -----------------------------------------------------------------------------------


def test_a_tag_that_a_person_has_removed_does_not_come_back() -> None:
    """Not by a run of the same rules, nor by one that asks again."""
    world = Labelled(PLAIN)
    world.run()
    world.catalog.update(world.asset, remove_tags=["label:dog"])

    world.run()
    assert world.record.tags == {"summer", "label:tree"}

    world.catalog.update(world.asset, again=True)
    world.ingest(world.upload)
    assert world.run() == "labelled"
    assert world.asked == 2
    assert world.record.tags == {"summer", "label:tree"}
    assert [(one.name, one.refused) for one in world.record.labels] == [
        ("Dog", True),
        ("Tree", False),
    ]


def test_a_tag_that_is_removed_while_the_model_looks_stays_removed() -> None:
    """The answer is written on what the record says by then, and asked for once."""
    world = Labelled(PLAIN)
    world.run()
    world.catalog.update(world.asset, again=True)
    world.ingest(world.upload)
    world.labeller.meanwhile = lambda: world.catalog.update(
        world.asset, remove_tags=["label:tree"], add_tags=["best"]
    )

    assert world.run() == "labelled"
    assert world.asked == 2
    assert world.record.tags == {"summer", "best", "label:dog"}


def test_what_is_not_seen_any_more_loses_its_tag() -> None:
    """Another run counts, for all but tags of people."""
    world = Labelled(PLAIN)
    world.run()
    world.catalog.update(world.asset, again=True)
    world.ingest(world.upload)
    world.labeller.answer = [DOG]
    world.run()

    assert world.record.tags == {"summer", "label:dog"}


# --- cuts ---------------------------------------------------------------------------------------


def test_cuts_follow_the_box_of_the_wanted_label() -> None:
    """The asset is made again around it, once, and that costs no further question."""
    world = Labelled()
    first = world.record
    assert world.run() == "labelled"
    assert world.announced == 1

    world.make_again()

    assert world.record.version != first.version
    assert [one.name for one in world.record.labels] == ["Dog", "Tree"]
    made_by = world.kept.load(world.record.recipe_digest)
    assert [(one.gravity, one.focal_point) for one in made_by.renditions] == [
        (Gravity.FOCAL, (0.8, 0.4)),
        (Gravity.CENTRE, None),
    ]
    assert world.run(first.version) == "stale"
    assert world.run() == "labelled"
    assert (world.asked, world.announced) == (1, 1)


def test_a_focal_point_of_a_person_goes_before_labels() -> None:
    """And when it is taken away, labels count again."""
    world = Labelled()
    world.catalog.update(world.asset, focal_point=(0.1, 0.1))
    world.ingest(world.upload)
    world.kept.keep(recipes.focused(RECIPE, (0.1, 0.1)))

    assert world.run() == "labelled"
    assert world.announced == 0

    world.catalog.update(world.asset, focal_point=None)
    world.ingest(world.upload)
    assert world.record.recipe_digest == recipes.focused(RECIPE, (0.8, 0.4)).digest


def test_a_crash_between_record_and_message_is_made_good() -> None:
    """Labels are recorded first; the repeated call has the files follow."""
    world = Labelled()
    world.queue.fuse = Fuse(burns_at=1)

    with pytest.raises(Killed):
        world.run()
    assert world.record.labels
    assert world.run() == "labelled"
    assert (world.asked, world.announced) == (1, 1)


def test_boxes_of_a_cut_are_no_places_in_the_picture() -> None:
    """Where every file is a cut, labels come without boxes, and cuts stay in the middle."""
    world = Labelled(CUTS)
    assert world.run() == "labelled"

    assert all(one.boxes == () for one in world.record.labels)
    assert world.announced == 0


# --- what changes meanwhile ---------------------------------------------------------------------


def test_a_version_that_is_not_the_current_one_is_stale() -> None:
    """Nor is one that is gone, rejected, or about to be made again."""
    world = Labelled(PLAIN)
    changes: list[dict[str, Any]] = [
        {"version": "f" * 16},
        {"status": Status.DELETED},
        {"status": Status.REJECTED},
        {"recipe_digest": ""},
    ]
    record = world.record
    for change in changes:
        world.catalog.records[world.asset] = replace(record, **change)
        assert world.run(record.version) == "stale"
    world.catalog.records.pop(world.asset)
    assert world.run(record.version) == "stale"
    assert world.asked == 0


def test_an_asset_that_is_erased_under_way_is_stale() -> None:
    """Its files go before its record is looked at again."""
    world = Labelled(PLAIN)
    version = world.record.version
    for one in world.record.renditions:
        world.store.delete("delivery", one.key)
    with pytest.raises(ObjectMissing):
        world.run()

    load = world.kept.load

    def erased(digest: str) -> Recipe:
        world.catalog.records.pop(world.asset, None)
        return load(digest)

    world.kept.load = erased  # type: ignore[method-assign]
    assert world.run(version) == "stale"


def test_a_record_that_never_rests_is_tried_later() -> None:
    """The model is asked once for all of that."""
    world = Labelled(PLAIN)

    class Restless(MemoryCatalog):
        def update(self, asset: str, **changes: Any) -> AssetRecord:
            raise Conflict("changed")

    world.catalog.__class__ = Restless
    with pytest.raises(Throttled):
        world.run()
    assert world.asked == 1


def test_a_video_is_labelled_by_its_poster() -> None:
    """It is never made again for a cut; without a poster there is nothing to look at."""
    world = Labelled()
    film = VideoInfo(
        container="mp4", duration_ms=1, width=120, height=80, frame_rate="25", codec="h264"
    )
    poster = replace(world.record.renditions[-1], name="poster")
    record = replace(world.record, probe=None, film=film, renditions=(poster,))
    world.catalog.records[world.asset] = record

    assert world.run() == "labelled"
    assert world.record.labels[0].boxes
    assert world.announced == 0

    world.catalog.records[world.asset] = replace(record, renditions=())
    with pytest.raises(EngineError, match="no file that a model could look at"):
        world.run()
