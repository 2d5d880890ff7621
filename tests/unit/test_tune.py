"""Power tuning on AWS: what the state machine is given, what its answers mean, what is left behind.

The state machine here is a stand-in that does what the published one does (Lambda Power Tuning
4.4.0, ``executor.js``, ``utils.js``, ``analyzer.js`` and ``statemachine.asl.json``) and invokes the
real handler on stores in memory. Another handler on the same stores is the live function, which S3
tells of every original.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pictures import encoded, photo
from tests.unit.test_ingest_handler import World
from worker.domain.asset import AssetRecord
from worker.domain.errors import (
    ConfigurationError,
    InputError,
    SafelightError,
    TransientError,
    TuningFailed,
    Unreachable,
)
from worker.domain.workflow import RunResult
from worker.services import tune
from worker.services.erase import Eraser
from worker.services.messages import announcement
from worker.services.tune import FunctionFacts, Photo, Tuning
from worker.services.tuning_curve import DurationCurve, Where
from worker.settings import Ordering

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:safelight-prod-ingest"
PHOTOS = tuple(
    Photo(name=f"{number}.jpg", data=encoded(photo(64 + number, 48, seed=number), "JPEG"))
    for number in range(4)
)
INIT, FIRST = 1500.0, 20.0
"""Milliseconds of a cold start, and of the handler's first, empty event."""


def work_ms(size: int) -> float:
    """Milliseconds that the stand-in says an upload takes with some memory."""
    return 400_000 / size


class PowerTuning:
    """The state machine: executions are run at once, and looked at twice before they have ended."""

    def __init__(self, invoke: Callable[[Mapping[str, Any]], Any]) -> None:
        """Invoke a function by calling this."""
        self.invoke = invoke
        self.inputs: dict[str, Any] = {}
        self._asked: dict[str, int] = {}
        self._results: dict[str, RunResult] = {}

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """See Workflows."""
        assert workflow == tune.MACHINE
        assert name not in self.inputs
        self.inputs[name] = json.loads(json.dumps(payload))  # what is no JSON fails here
        self._results[name] = self.run(self.inputs[name])
        return f"arn:{name}"

    def result(self, workflow: str, name: str) -> RunResult | None:
        """See TuningRuns."""
        assert workflow == tune.MACHINE
        self._asked[name] = self._asked.get(name, 0) + 1
        return self._results[name] if self._asked[name] > 2 else None

    def run(self, given: Mapping[str, Any]) -> RunResult:
        """Initializer, Executor for each size, Analyzer."""
        assert isinstance(given["num"], int)
        assert given["num"] >= 5  # initializer.js refuses fewer
        assert given["lambdaARN"].count(":") == 6  # regionFromARN
        stats = [self._executor(size, given) for size in given["powerValues"]]
        best = stats[0]
        return RunResult(
            succeeded=True,
            failures=(),
            output={
                "power": best["value"],
                "cost": best["averagePrice"],
                "duration": best["averageDuration"],
                "stateMachine": {"executionCost": 0.0002, "lambdaCost": 0.001},
                "stats": stats if given.get("includeOutputResults") else None,
            },
        )

    def _executor(self, size: int, given: Mapping[str, Any]) -> dict[str, Any]:
        cold = bool(given.get("onlyColdStarts"))
        durations = []
        for number, payload in enumerate(_payloads(given["num"], given["payload"])):
            event = json.loads(payload)
            self.invoke(event)
            durations.append(
                (INIT if cold or number == 0 else 0.0)
                + (len(event["Records"]) * work_ms(size) or FIRST)
            )
        discarded = 0 if cold else int(len(durations) * given.get("discardTopBottom", 0.2))
        kept = sorted(durations)[discarded : len(durations) - discarded]
        mean = sum(kept) / len(kept)
        return {"value": size, "averageDuration": mean, "averagePrice": mean * size * 1e-11}


def _payloads(count: int, payload: Any) -> list[str]:
    """``generatePayloads`` of utils.js."""
    weighted = isinstance(payload, list) and payload
    if not (weighted and all(one.get("weight") and one.get("payload") for one in payload)):
        return [json.dumps(payload)] * count
    assert count >= len(payload)
    total, made = sum(one["weight"] for one in payload), list[str]()
    for number, one in enumerate(payload):
        times = one["weight"] * count // total
        assert times >= 1
        times = count - len(made) if number == len(payload) - 1 else times
        made += [json.dumps(one["payload"])] * times
    return made


@dataclass
class Cloud:
    """A stack in memory."""

    world: World = field(default_factory=lambda: World(Ordering.FIFO))
    facts: FunctionFacts = field(
        default_factory=lambda: FunctionFacts(memory=1769, architecture="arm64", log_format="Text")
    )
    said: list[str] = field(default_factory=list)
    now: float = 0.0
    outcomes: list[str] = field(default_factory=list)
    """What the tuned function did with each upload."""

    def __post_init__(self) -> None:
        """Let S3 tell the live function of every original."""
        store, put = self.world.store, self.world.store.put
        self.machine = PowerTuning(self.tuned)

        def told(bucket: str, key: str, data: bytes, **options: Any) -> str:
            if bucket != "intake":
                return put(bucket, key, data, **options)
            upload = store.upload(bucket, key, data)
            self.live(announcement(upload, sender="aws:s3"))
            return upload.etag

        store.put = told  # type: ignore[method-assign]

    def live(self, body: str) -> None:
        """The event source calls the live function."""
        record = {
            "messageId": "m",
            "receiptHandle": "r",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g"},
        }
        assert self.world.handle({"Records": [record]}) == {"batchItemFailures": []}

    def tuned(self, event: Mapping[str, Any]) -> Any:
        """Power Tuning calls a version of the function."""
        before = len(self.world.catalog.told)
        answer = self.world.handle(dict(event))
        self.outcomes += [one.type for one in self.world.catalog.told[before:]]
        return answer

    def tuning(self) -> Tuning:
        """The service on this stack."""
        world = self.world

        def pause(seconds: float) -> None:
            self.now += seconds

        return Tuning(
            store=world.store,
            catalog=world.catalog,
            runs=self.machine,
            facts=lambda: self.facts,
            erase=Eraser(
                catalog=world.catalog, store=world.store, settings=world.app.settings
            ).erase_all,
            function=FUNCTION,
            bucket="intake",
            run="r1",
            say=self.said.append,
            pause=pause,
            clock=lambda: self.now,
        )

    def measure(
        self,
        photos: Sequence[Photo] = PHOTOS,
        sizes: Sequence[int] = (1769, 1024),
        *,
        each: int = 5,
        batch: int = 1,
    ) -> DurationCurve:
        """Tune it."""
        return self.tuning().measure(photos, sizes, each=each, batch=batch, today="2026-11-30")

    def check_clean(self) -> None:
        """Nothing of the tuning is left."""
        assert self.world.catalog.records == {}
        assert self.world.store.keys("intake") == set()
        # The recipe is kept for all assets.
        kept = {key for key in self.world.store.keys("delivery") if not key.startswith("recipes/")}
        assert kept == set()


@pytest.fixture
def cloud() -> Cloud:
    """An empty stack."""
    return Cloud()


# --- a tuning that works ------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
def test_the_curve_is_that_of_real_work(cloud: Cloud, batch: int) -> None:
    """Seconds of a warm upload come back without the cold start, for every size and batch."""
    found = cloud.measure(batch=batch)

    assert (found.where, found.architecture, found.recipe) == (Where.LAMBDA, "arm64", "avatar")
    assert [one.memory for one in found.points] == [1024, 1769]
    for point in found.points:
        assert point.seconds == pytest.approx(work_ms(point.memory) / 1000)
        assert point.init_seconds == pytest.approx((INIT + FIRST) / 1000)
        assert point.uploads == 5 * batch
    assert found.photos.count == 4
    assert found.failed == {}


def test_each_invocation_does_the_whole_work(cloud: Cloud) -> None:
    """No upload is a duplicate of one before: not for the handler, and not by its bytes."""
    cloud.measure()

    assert cloud.outcomes == ["asset.accepted"] * 10
    warm = [one for name, one in cloud.machine.inputs.items() if "warm" in name]
    bodies = [
        record["body"]
        for given in warm
        for one in given["payload"]
        for record in one["payload"]["Records"]
    ]
    assert len(set(bodies)) == len(bodies) == 10


def test_nothing_is_left_of_a_tuning(cloud: Cloud) -> None:
    """Originals, renditions and records are erased."""
    cloud.measure()

    cloud.check_clean()


def test_an_execution_gets_one_size_and_every_payload_once(cloud: Cloud) -> None:
    """The input has the names and types of the published table of parameters."""
    cloud.measure()

    assert sorted(cloud.machine.inputs) == [
        f"tune-r1-{size}-{kind}" for size in (1024, 1769) for kind in ("cold", "warm")
    ]
    given = cloud.machine.inputs["tune-r1-1024-warm"]
    assert {name: type(value).__name__ for name, value in given.items()} == {
        "lambdaARN": "str",
        "powerValues": "list",
        "num": "int",
        "payload": "list",
        "parallelInvocation": "bool",
        "discardTopBottom": "int",
        "includeOutputResults": "bool",
        "autoOptimize": "bool",
        "disablePayloadLogs": "bool",
    }
    assert given["powerValues"] == [1024]
    assert given["num"] == len(given["payload"]) == 6
    assert given["payload"][0] == {"payload": {"Records": []}, "weight": 1}
    assert given["autoOptimize"] is False
    assert cloud.machine.inputs["tune-r1-1024-cold"]["onlyColdStarts"] is True


def test_the_largest_input_is_taken() -> None:
    """As many uploads as are allowed fit into what Step Functions takes, long keys included."""
    upload = Cloud().world.store.upload("b" * 63, "tuning/2026-11-30-abcdef/10240-149.jpg", b"x")
    payloads = [tune.START, *[tune.sqs_event([upload])] * tune.MOST_UPLOADS]

    text = json.dumps(tune.machine_input(FUNCTION, 10_240, payloads))

    assert len(text) < 200_000  # the state gets the sizes and the aliases beside it


# --- executions that fail -----------------------------------------------------------------------


def failing(machine: PowerTuning, result: RunResult, *, size: int) -> None:
    """Let executions of one size end with this."""
    usual = machine.run

    def run(given: Mapping[str, Any]) -> RunResult:
        return result if given["powerValues"] == [size] else usual(given)

    machine.run = run  # type: ignore[method-assign]


CLEANED_UP = RunResult(
    succeeded=True, output={}, failures=("Error: Invocation error (running in series)",)
)
"""``CleanUpOnError`` is an end: the execution of a function that failed is SUCCEEDED."""


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (CLEANED_UP, "Invocation error"),
        (
            replace(CLEANED_UP, failures=("Lambda.TooManyRequestsException: Rate Exceeded.",)),
            "Rate",
        ),
        (replace(CLEANED_UP, failures=()), "no duration for 1024 MB"),
        (RunResult(succeeded=False, output=None, failures=()), "did not succeed"),
        (RunResult(succeeded=True, output=None, failures=()), "no duration"),
        (RunResult(succeeded=True, output=[1], failures=()), "no duration"),
        (RunResult(succeeded=True, output={"stats": 5}, failures=()), "no duration"),
        (RunResult(succeeded=True, output={"stats": ["x", None]}, failures=()), "no duration"),
        (
            RunResult(
                succeeded=True,
                output={"stats": [{"value": 512, "averageDuration": 1.0}]},
                failures=(),
            ),
            "no duration",
        ),
        *[
            (
                RunResult(
                    succeeded=True,
                    output={"stats": [{"value": 1024, "averageDuration": value}]},
                    failures=(),
                ),
                "no duration",
            )
            for value in (0, -1, float("nan"), float("inf"), "7", None, True)
        ],
    ],
)
def test_a_size_that_failed_is_left_out(cloud: Cloud, result: RunResult, said: str) -> None:
    """It is named with its reason; the others are measured all the same, and all is cleaned up."""
    failing(cloud.machine, result, size=1024)

    found = cloud.measure(sizes=(1024, 1769, 2048))

    assert [one.memory for one in found.points] == [1769, 2048]
    assert set(found.failed) == {1024}
    assert said in found.failed[1024]
    cloud.check_clean()


def test_two_sizes_are_needed(cloud: Cloud) -> None:
    """At least two sizes must remain after failures."""
    failing(cloud.machine, CLEANED_UP, size=1024)

    with pytest.raises(TuningFailed, match="1024 MB: the execution tune-r1-1024-cold") as caught:
        cloud.measure()

    assert caught.value.code == "tuning_failed"
    cloud.check_clean()


def test_failures_that_the_function_answers_are_found(cloud: Cloud) -> None:
    """Power Tuning takes an answer with failed messages for a success; the catalog knows better."""

    def invoke(event: Mapping[str, Any]) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": "tune-0"}]}

    cloud.machine.invoke = invoke

    with pytest.raises(
        TuningFailed, match=r"5 of 5 uploads were not accepted, like tuning/r1/1024-0"
    ):
        cloud.measure()
    cloud.check_clean()


def test_a_mean_below_the_cold_start_is_no_measurement(cloud: Cloud) -> None:
    """A second that never was is not written into the curve."""
    short = RunResult(
        succeeded=True,
        output={"stats": [{"value": 1024, "averageDuration": 100.0}]},
        failures=(),
    )
    usual = cloud.machine.run
    cloud.machine.run = lambda given: (  # type: ignore[method-assign]
        usual(given) if given.get("onlyColdStarts") or given["powerValues"] != [1024] else short
    )

    found = cloud.measure(sizes=(1024, 1769, 2048))

    assert "less than a start" in found.failed[1024]


def test_an_execution_that_does_not_end_is_not_waited_for_for_ever(cloud: Cloud) -> None:
    """After half an hour the tuning gives up, and cleans up."""

    def result(workflow: str, name: str) -> RunResult | None:
        assert (workflow, name) == (tune.MACHINE, "tune-r1-1024-cold")
        return None

    cloud.machine.result = result  # type: ignore[method-assign]

    with pytest.raises(TransientError, match="has not ended after 1800 s") as caught:
        cloud.measure()

    assert caught.value.code == "not_finished"
    cloud.check_clean()


def test_what_cannot_be_removed_is_said(cloud: Cloud) -> None:
    """The curve is not lost, and a person knows what to remove."""
    tuning = cloud.tuning()
    erase = tuning.erase

    def failing_once(record: AssetRecord) -> object:
        if record.source.key == "tuning/r1/1769-0.jpg":
            raise Unreachable("the store does not answer")
        return erase(record)

    found = replace(tuning, erase=failing_once).measure(
        PHOTOS, (1024, 1769), each=5, batch=1, today="2026-11-30"
    )

    assert len(found.points) == 2
    assert "s3://intake/tuning/r1/1769-0.jpg is left: the store does not answer" in cloud.said


def test_a_memory_that_is_not_set_back_is_said(cloud: Cloud) -> None:
    """Power Tuning leaves the last size it has published if it fails before it sets it back."""
    first = cloud.facts
    answers = [first, replace(first, memory=3008)]
    tuning = replace(cloud.tuning(), facts=lambda: answers.pop(0))

    tuning.measure(PHOTOS, (1024, 1769), each=5, batch=1, today="2026-11-30")

    assert any("3008 MB now instead of 1769" in line for line in cloud.said)


# --- what is refused before anything is uploaded -------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": (1769,)}, "one size is no curve"),
        ({"sizes": ()}, "one size is no curve"),
        ({"sizes": (1769, 1769)}, "named twice"),
        ({"sizes": (64, 1769)}, "64 MB is not a size"),
        ({"sizes": (1024, 10_241)}, "10241 MB is not a size"),
        ({"each": 4}, "at least 5"),
        ({"batch": 4}, "at most 3"),
        ({"each": 100, "batch": 2}, "more than 150"),
    ],
)
def test_wrong_options_are_refused(cloud: Cloud, options: dict[str, Any], said: str) -> None:
    """Before anything is uploaded or started."""
    with pytest.raises(InputError, match=said):
        cloud.measure(**options)

    assert cloud.world.store.versions == {}
    assert cloud.machine.inputs == {}


def test_a_function_that_logs_json_is_refused(cloud: Cloud) -> None:
    """Power Tuning would fail on its logs; the message says which setting makes it log text."""
    cloud.facts = replace(cloud.facts, log_format="JSON")

    with pytest.raises(ConfigurationError, match=r"cost\.powerTuning"):
        cloud.measure()

    assert cloud.world.store.versions == {}


def test_a_photo_that_the_stack_rejects_stops_the_tuning(cloud: Cloud) -> None:
    """With the photo's name and the code of the rejection; nothing is started, nothing is left."""
    cut = PHOTOS[1].data
    broken = Photo(name="broken.jpg", data=cut[: len(cut) // 3])

    with pytest.raises(InputError, match=r"broken\.jpg: the stack does not accept it: \w+"):
        cloud.measure(photos=(PHOTOS[0], broken))

    assert cloud.machine.inputs == {}
    cloud.check_clean()


def test_uploads_that_nobody_records_are_not_waited_for_for_ever(cloud: Cloud) -> None:
    """A stack whose live function stands still is said to, and the originals are removed."""

    def live(body: str) -> None:
        assert "1024-" in body

    cloud.live = live  # type: ignore[method-assign]

    with pytest.raises(TransientError, match="not recorded after") as caught:
        cloud.measure()

    assert caught.value.code == "not_recorded"
    cloud.check_clean()


# --- photos -------------------------------------------------------------------------------------


def test_marked_photos_differ_in_bytes_and_in_nothing_else() -> None:
    """A comment is the whole difference: it stands behind EXIF and JFIF, which come first."""
    from PIL import Image

    one = PHOTOS[0]
    marked = [one.marked("a"), one.marked("b")]

    assert len({one.data, *marked}) == 3
    assert all(data[:4] == one.data[:4] for data in marked)
    assert marked[0].replace(b"\xff\xfe\x00\x03a", b"", 1) == one.data
    with Image.open(io.BytesIO(marked[0])) as picture:
        assert picture.size == (64, 48)
        assert picture.info["comment"] == b"a"


def test_photos_are_found_in_folders(tmp_path: Path) -> None:
    """Files in the order they are named, those of a folder by name; other files are passed by."""
    (tmp_path / "in").mkdir()
    for name in ("b.JPG", "in/c.jpeg", "a.jpg"):
        (tmp_path / name).write_bytes(PHOTOS[0].data)
    (tmp_path / "notes.txt").write_text("x")

    found = tune.read_photos([tmp_path / "b.JPG", tmp_path])

    assert [Path(one.name).name for one in found] == ["b.JPG", "a.jpg", "b.JPG", "c.jpeg"]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("gone.jpg", None, "input_missing"),
        ("text.jpg", b"no picture", "input_invalid"),
        ("cut.jpg", b"\xff\xd8\xff\xe0", "input_invalid"),
        ("empty.jpg", b"", "input_invalid"),
        ("empty", ..., "input_invalid"),
    ],
)
def test_what_is_no_photo_is_refused(name: str, data: Any, code: str, tmp_path: Path) -> None:
    """A file that is missing or no JPEG, and a folder without any, have clear errors."""
    path = tmp_path / name
    if data is ...:
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)

    with pytest.raises(SafelightError) as caught:
        tune.read_photos([path])

    assert caught.value.code == code
