"""The one error tree. Everything Safelight raises on purpose is a :class:`SafelightError`.

::

    SafelightError                  code                    retryable
    ├── Rejected                    (see Reason)            no   the input can never succeed
    │   ├── UnsupportedInput
    │   ├── LimitExceeded
    │   ├── DamagedInput
    │   ├── PoisonInput
    │   └── UnsuitableInput
    ├── ConfigurationError          configuration_invalid   no   a file or variable must be edited
    │   ├── ProblemsError                                        every mistake at once
    │   │   ├── RecipeError         recipe_invalid
    │   │   ├── WorkflowError       workflow_invalid
    │   │   ├── MixError            mix_invalid
    │   │   ├── SettingsError       settings_invalid
    │   │   └── ParameterError      parameters_invalid
    │   ├── AccessDenied            access_denied
    │   ├── PortTaken               port_taken
    │   └── CheckoutMissing         checkout_missing
    ├── InputError                  input_*, output_*       no   a given path does not work
    ├── EngineError                 engine_failed           no   a defect here, not in the input
    ├── MalformedMessage            message_malformed       no   a message that we never send
    ├── StateError                  (each its own)          no   the world is not as assumed
    │   ├── ObjectMissing           object_missing
    │   ├── ObjectChanged           object_changed
    │   ├── AssetMissing            asset_missing
    │   ├── RunMissing              run_missing
    │   ├── JobMissing              job_missing
    │   ├── JobRejected             job_rejected
    │   ├── ReviewMissing           review_missing
    │   ├── TraceMissing            trace_missing
    │   ├── WebhookGone             webhook_gone
    │   ├── TaskRefused             task_unknown
    │   ├── TuningFailed            tuning_failed
    │   └── Conflict                conflict
    │       ├── Superseded          superseded
    │       └── AlreadyRecorded     already_recorded
    ├── RequestError                request_invalid         no   what a client of the API asks for
    │   ├── NotSignedIn             token_invalid
    │   ├── NotAllowed              not_allowed
    │   └── UploadError             upload_invalid
    └── TransientError              (each its own)          yes  the same call may work later
        ├── StorageFull             storage_full
        ├── ScratchFull             scratch_full
        ├── Stopped                 stopped
        ├── Throttled               throttled
        ├── Unreachable             unreachable
        ├── MemoryPressure          memory_pressure
        ├── Postponed               postponed
        ├── NotMade                 not_made
        ├── Paused                  paused
        ├── WebhookFailed           webhook_failed
        └── EmulatorError           emulator_failed

``code`` is stable: it is written to manifests, the catalog and events, and may be relied on.
Partial batch failures, HTTP statuses and exit codes are derived from ``code`` and ``retryable``,
nowhere from a class name. Foreign errors are mapped once, at the place that calls the foreign
library, with ``raise ... from error``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why an input was rejected. The values are stable codes."""

    # UnsupportedInput
    UNKNOWN_FORMAT = "unknown_format"
    """The content is of no format Safelight knows."""
    FORMAT_NOT_ALLOWED = "format_not_allowed"
    """A known format that this recipe, or this build, does not accept (SVG, HEIC, video, PDF)."""
    UNSUPPORTED_VARIANT = "unsupported_variant"
    """The right format in a flavour the decoder cannot read (bit depth, compression, colours)."""
    UNSAFE_CONTENT = "unsafe_content"
    """Active or outward-pointing content: scripts, entities, external references in an SVG."""
    NO_VIDEO = "no_video"
    """A readable file without moving pictures, where they are needed."""
    NO_AUDIO = "no_audio"
    """A readable file without audio, where it is needed."""

    # LimitExceeded
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    TOO_LARGE_DIMENSION = "too_large_dimension"
    TOO_LONG_DURATION = "too_long_duration"
    TOO_MANY_STREAMS = "too_many_streams"
    """More video, audio and subtitle streams in a file than are allowed."""
    TOO_LARGE_OUTPUT = "too_large_output"
    """A program would write more than any honest input makes it write."""

    # DamagedInput
    EMPTY = "empty"
    """Zero bytes."""
    TRUNCATED = "truncated"
    """The file ends before its content does."""
    CORRUPT = "corrupt"
    """The content contradicts itself or cannot be decoded."""

    # UnsuitableInput: found by heavy operations
    NO_OVERLAP = "no_overlap"
    """Pictures of a panorama share too little with each other."""
    NOT_ALIGNED = "not_aligned"
    """Pictures share something, but no camera could have taken them from one place."""
    SIZES_DIFFER = "sizes_differ"
    """Pictures that must lie on each other have different sizes."""
    NO_PAGE = "no_page"
    """No sheet of paper is seen in the picture."""
    NO_SUBJECT = "no_subject"
    """Nothing stands out from its background."""
    MASK_UNUSABLE = "mask_unusable"
    """The mask marks nothing, nearly everything, or has another shape than the picture."""

    # PoisonInput: found by the sandbox
    CRASHED = "decoder_crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"


class SafelightError(Exception):
    """Base of the tree.

    Attributes:
        code: stable, machine-readable.
        message: one sentence for a person, without a trailing newline.
        retryable: whether the same call may succeed later.
    """

    code: str = "safelight_error"
    retryable: bool = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (pool, sandbox); keyword-only arguments would be lost.
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(kind: type[SafelightError], message: str, state: dict[str, object]) -> SafelightError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class Rejected(SafelightError):
    """The input can never succeed; it is recorded with its reason and not tried again."""

    probe: object = None
    """What the picture is (``worker.domain.image.Probe``), if that was known by then."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message, code=reason.value)
        self.reason = reason


class UnsupportedInput(Rejected):
    """A format, or a flavour of one, that is not accepted."""


class LimitExceeded(Rejected):
    """A limit of the recipe is exceeded; found in the header, before any decoding."""


class DamagedInput(Rejected):
    """Empty, truncated or corrupt."""


class PoisonInput(Rejected):
    """Decoding it killed, hung or exhausted the sandboxed child."""


class UnsuitableInput(Rejected):
    """A good picture that does not show what the operation asked for needs."""


class ConfigurationError(SafelightError):
    """A file or a variable must be edited. Retrying cannot help."""

    code = "configuration_invalid"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is (``renditions[2].width``) and what is wrong with it."""

    path: str
    message: str
    code: str = field(default="", kw_only=True)
    """Stable, of an error of this tree, where the mistake has one of its own."""

    def __str__(self) -> str:
        said = f"{self.message} [{self.code}]" if self.code else self.message
        return f"{self.path}: {said}" if self.path else said


class ProblemsError(ConfigurationError):
    """A configuration error that lists every mistake at once."""

    def __init__(self, subject: str, problems: tuple[Problem, ...]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{subject}: {count}\n{lines}")
        self.subject = subject
        self.problems = problems


class RecipeError(ProblemsError):
    """A recipe file cannot be used; ``problems`` has every mistake with its path."""

    code = "recipe_invalid"


class WorkflowError(ProblemsError):
    """A workflow file cannot be used; ``problems`` has every mistake with its path."""

    code = "workflow_invalid"


class MixError(ProblemsError):
    """A mix of load cannot be used; ``problems`` has every mistake with its path."""

    code = "mix_invalid"


class SettingsError(ProblemsError):
    """The environment cannot be used; ``problems`` has every mistake with its variable."""

    code = "settings_invalid"


class ParameterError(ProblemsError):
    """A job cannot be run like this; ``problems`` has every mistake with its parameter."""

    code = "parameters_invalid"


class AccessDenied(ConfigurationError):
    """The role in use may not do this: a policy is missing a right."""

    code = "access_denied"


class PortTaken(ConfigurationError):
    """Something else listens on the port that was asked for."""

    code = "port_taken"


class CheckoutMissing(ConfigurationError):
    """This needs a checkout of Safelight with Pulumi: a package or an image alone does not do."""

    code = "checkout_missing"


class InputError(SafelightError):
    """A path or an option given by a person cannot be used.

    Codes: ``input_missing``, ``input_unreadable``, ``input_outside`` (a symbolic link that
    leaves the folder it was found in), ``output_unwritable``.
    """

    code = "input_invalid"


class EngineError(SafelightError):
    """A defect in Safelight or a library, on input that passed every check. Never the user's."""

    code = "engine_failed"


class MalformedMessage(SafelightError):
    """A queue message that no sender of ours writes. It ends in the dead-letter queue."""

    code = "message_malformed"


class StateError(SafelightError):
    """A store is not in the state a call assumed. The same call would fail again."""

    code = "state_unexpected"


class ObjectMissing(StateError):
    """There is no such object (any more)."""

    code = "object_missing"


class ObjectChanged(StateError):
    """The object is there, but it is another one than was asked for."""

    code = "object_changed"


class AssetMissing(StateError):
    """The catalog knows no such asset."""

    code = "asset_missing"


class RunMissing(StateError):
    """There is no run of a workflow with this name."""

    code = "run_missing"


class JobMissing(StateError):
    """There is no such job (any more)."""

    code = "job_missing"


class JobRejected(StateError):
    """A runner of jobs refuses a request as it stands: unknown queue, dependency, or size."""

    code = "job_rejected"


class ReviewMissing(StateError):
    """There is no such review (any more)."""

    code = "review_missing"


class TraceMissing(StateError):
    """No span of a trace was written, or none is left."""

    code = "trace_missing"


class WebhookGone(StateError):
    """A receiver answers 410: it takes no webhooks any more."""

    code = "webhook_gone"


class TaskRefused(StateError):
    """Nothing waits for the answer that a task token stands for.

    Codes: ``task_unknown`` (there is no such token), ``task_timed_out`` (its time is over, or it
    was answered).
    """

    code = "task_unknown"


class TuningFailed(StateError):
    """A measurement of the ingest function did not work, or cannot be trusted."""

    code = "tuning_failed"


class Conflict(StateError):
    """Another writer was faster; read again and decide anew."""

    code = "conflict"


class Superseded(Conflict):
    """The catalog already has a newer upload of the asset: there is nothing left to do."""

    code = "superseded"


class AlreadyRecorded(Conflict):
    """The catalog already has exactly this upload and recipe: there is nothing left to do."""

    code = "already_recorded"


class RequestError(SafelightError):
    """A client of the API asks for what the API does not give."""

    code = "request_invalid"


class NotSignedIn(RequestError):
    """There is no token, or none that is valid here and now.

    Codes: ``token_missing``, ``token_invalid``, ``token_expired``.
    """

    code = "token_invalid"


class NotAllowed(RequestError):
    """The token is valid and does not give this right."""

    code = "not_allowed"


class UploadError(RequestError):
    """An upload cannot go on like this.

    Codes: ``upload_expired``, ``upload_finished`` (the original is there already),
    ``upload_incomplete`` (parts are missing or have another size), ``upload_unparted`` (it has no
    parts), ``upload_reused`` (another request had the same idempotency key).
    """

    code = "upload_invalid"


class TransientError(SafelightError):
    """The same call may work later."""

    code = "transient"
    retryable = True


class StorageFull(TransientError):
    """No space left where the output goes."""

    code = "storage_full"


class ScratchFull(TransientError):
    """A job's scratch disk is too full to start, or was filled; another machine may have room."""

    code = "scratch_full"


class Stopped(TransientError):
    """Somebody asked the job to stop. What is finished is in its checkpoint; a new attempt goes on
    from there."""

    code = "stopped"


class Throttled(TransientError):
    """A service asks to slow down."""

    code = "throttled"


class Unreachable(TransientError):
    """A service does not answer, or answers that it cannot."""

    code = "unreachable"


class MemoryPressure(TransientError):
    """Memory ran out while decoding; the next try runs in the sandbox, which can tell why."""

    code = "memory_pressure"


class Postponed(TransientError):
    """Not tried: too little time is left, or an earlier message of the same group failed."""

    code = "postponed"


class NotMade(TransientError):
    """A file is not there yet, and is not made here: another process is at it, or has failed."""

    code = "not_made"


class Paused(TransientError):
    """Optional work is put off: the daily limit of cost is spent. The next day it goes on."""

    code = "paused"


class WebhookFailed(TransientError):
    """A receiver did not accept a webhook this time.

    Codes: ``webhook_address_refused`` (its name leads to an address that is not of the internet),
    ``webhook_unreachable``, ``webhook_timed_out``, ``webhook_tls_failed``,
    ``webhook_answer_invalid`` (no HTTP, or too long), ``webhook_refused`` (a status that is not
    2xx).
    """

    code = "webhook_failed"

    def __init__(
        self, message: str, *, code: str | None = None, retry_after: float | None = None
    ) -> None:
        """``retry_after``: seconds that the receiver asks to wait."""
        super().__init__(message, code=code)
        self.retry_after = retry_after


class EmulatorError(TransientError):
    """The embedded AWS of the local stack could not be installed, started or reached."""

    code = "emulator_failed"
