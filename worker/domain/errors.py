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

docs/errors.md is written from this module: the meaning of a code is the first paragraph of its
class, or its entry under ``Codes`` in the class that it is given to where it is raised.

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
    """The content is of no format that Safelight knows. The name of the file does not matter."""
    FORMAT_NOT_ALLOWED = "format_not_allowed"
    """A known format that this recipe or this installation does not accept: SVG unless the recipe
    asks for it, HEIC without its extra, video, PDF; where a video is expected, pictures and
    playlists."""
    UNSUPPORTED_VARIANT = "unsupported_variant"
    """An accepted format in a flavour that the decoder cannot read: an odd bit depth, compression
    or colour model, such as ICCLAB (photometric 9) or 8-bit CIELAB with alpha in a TIFF; a video in
    Dolby Vision's own colours (profile 5)."""
    UNSAFE_CONTENT = "unsafe_content"
    """Active or outward-pointing content: scripts, entities or external references in an SVG."""
    NO_VIDEO = "no_video"
    """A readable file without moving pictures: audio alone, or a cover picture."""
    NO_AUDIO = "no_audio"
    """A readable file without audio, where the job needs audio."""

    # LimitExceeded
    TOO_MANY_BYTES = "too_many_bytes"
    """The file is larger than the recipe's limit."""
    TOO_MANY_PIXELS = "too_many_pixels"
    """One frame, or all frames of an animation together, has more pixels than the recipe's limit.
    Read from the header, before anything is decoded."""
    TOO_MANY_FRAMES = "too_many_frames"
    """More frames or pages than the recipe's limit."""
    TOO_LARGE_DIMENSION = "too_large_dimension"
    """The longer side is over the recipe's limit."""
    TOO_LONG_DURATION = "too_long_duration"
    """One run of the animation lasts longer than the recipe's limit."""
    TOO_MANY_STREAMS = "too_many_streams"
    """More tracks (video, audio, text) in one file than are allowed."""
    TOO_LARGE_OUTPUT = "too_large_output"
    """A program that works on it would write more than it does for any honest input."""

    # DamagedInput
    EMPTY = "empty"
    """The file has no bytes."""
    TRUNCATED = "truncated"
    """The file ends before its content does."""
    CORRUPT = "corrupt"
    """The content contradicts itself or cannot be decoded."""

    # UnsuitableInput: found by heavy operations
    NO_OVERLAP = "no_overlap"
    """``stitch``: pictures share too little with each other; the message numbers those that do not
    fit."""
    NOT_ALIGNED = "not_aligned"
    """``stitch``: pictures overlap, but no rotation of one camera explains them."""
    SIZES_DIFFER = "sizes_differ"
    """``hdr-merge``: the pictures of a bracket have different sizes."""
    NO_PAGE = "no_page"
    """``document``: no sheet of paper is visible, and ``missing=reject`` is set."""
    NO_SUBJECT = "no_subject"
    """``background``: no subject differs from the background; a box around it may help."""
    MASK_UNUSABLE = "mask_unusable"
    """``restore``: the mask marks nothing, nearly everything, or has another shape than the
    picture."""

    # PoisonInput: found by the sandbox
    CRASHED = "decoder_crashed"
    """Decoding it killed the sandboxed child process."""
    OUT_OF_MEMORY = "out_of_memory"
    """Decoding it needed more memory than the sandbox allows."""
    TIMED_OUT = "timed_out"
    """Decoding it took longer than the sandbox allows."""


class SafelightError(Exception):
    """The base of all others; never reported itself.

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
    """A file or a variable must be edited. Retrying cannot help.

    Codes:
        configuration_invalid: A configuration cannot be used, for a reason that has no code of its
            own.
        secret_missing: A webhook endpoint has no secret: ``safelight webhooks rotate NAME`` makes
            one. Its events wait.
        program_missing: A program of the system is not installed: ffmpeg or ffprobe for videos,
            docker for ``--container``, pulumi for ``infra env --stack``. The message says which.
        program_feature_missing: The installed ffmpeg was built without a filter that this video
            needs (zscale, tonemap: HDR and wide colours). The message names it.
        plan_unusable: The plan.json of a divided transcode is damaged, of another version or made
            for another input: run transcode-plan again.
        usage: An option or an argument of a command is wrong.
    """

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
    """A recipe cannot be used; the message names each mistake by its path in the file."""

    code = "recipe_invalid"


class WorkflowError(ProblemsError):
    """A workflow file cannot be used; the message names each mistake by its path in the file."""

    code = "workflow_invalid"


class MixError(ProblemsError):
    """A mix file of ``safelight load`` cannot be used; the message names each mistake by its path
    in the file."""

    code = "mix_invalid"


class SettingsError(ProblemsError):
    """The environment cannot be used; the message names each variable."""

    code = "settings_invalid"


class ParameterError(ProblemsError):
    """A job cannot be run like this: the message names each input and parameter that is wrong.
    Problems of inputs have codes of their own beside it."""

    code = "parameters_invalid"


class AccessDenied(ConfigurationError):
    """The role or the user in use may not do this: a policy is missing a right."""

    code = "access_denied"


class PortTaken(ConfigurationError):
    """Another program listens on the requested port."""

    code = "port_taken"


class CheckoutMissing(ConfigurationError):
    """This needs a checkout of Safelight, with Pulumi installed for the local stack and ``infra``.
    A package or a container image contains only what processes files and what works on AWS."""

    code = "checkout_missing"


class InputError(SafelightError):
    """A path or an option given by a person cannot be used.

    Codes:
        input_invalid: An input cannot be used, for a reason that has no code of its own.
        input_missing: There is nothing at this path.
        input_unreadable: The path is there and cannot be read.
        input_outside: A symbolic link leaves the folder it was found in; it is not followed.
            ``process`` leaves it out and reports that.
        output_unwritable: The output folder cannot be made or written to.
        output_busy: Another run or job is writing to this output folder, or another local stack
            uses it.
        recipe_unknown: This deployment has no recipe of this name.
        rendition_unknown: The recipe makes no rendition of this name, or not in this format.
        source_too_small: The stored rendition has fewer pixels than the one to be made of it: start
            from the original.
        source_too_large: The original is too large to be decoded while a viewer waits; the nearest
            stored file is given.
        source_unsuitable: The stored rendition lacks transparency, colours, frames or a part of the
            picture, or was sharpened, marked or put on a canvas: start from the original.
        input_url_unknown: ``deliver translate``: a URL of no service that it knows. ``--from`` says
            which service it is.
        input_url_invalid: ``deliver translate``: a URL that is not as its service documents it: a
            number out of range, a source that is no text or is encrypted, a document of another
            shape.
        input_url_too_long: ``deliver translate``: a URL of more than 8,192 characters.
        input_region: ``cost``: there are no prices of this region.
        input_price: ``cost``: a price that the bill needs is not known for this region.
        input_plan: ``cost``: no flat-rate plan of CloudFront takes so many requests or bytes.
        input_day: ``safelight cost resume``: no limit was passed today, nothing pauses.
        input_month: ``safelight cost report --month``: not of the form 2026-11, or a month that has
            not begun.
        input_cursor: The cursor of a listing is damaged, or of another list: start without one.
    """

    code = "input_invalid"


class EngineError(SafelightError):
    """A defect in Safelight or in one of its libraries, on an input that passed every check. Please
    report it."""

    code = "engine_failed"


class MalformedMessage(SafelightError):
    """A queue message that no part of Safelight sends; it ends in the dead-letter queue."""

    code = "message_malformed"


class StateError(SafelightError):
    """A store is not in the state a call assumed. The same call would fail again.

    Codes:
        state_unexpected: Not as assumed, for a reason that has no code of its own.
        object_archived: The object is in a storage class from which it must be restored before it
            can be read.
    """

    code = "state_unexpected"


class ObjectMissing(StateError):
    """There is no such object (any more)."""

    code = "object_missing"


class ObjectChanged(StateError):
    """The object has been replaced since it was named."""

    code = "object_changed"


class AssetMissing(StateError):
    """There is no such asset, or it is no more.

    Codes:
        asset_missing: The catalog knows no such asset.
        asset_erased: The asset was deleted.
    """

    code = "asset_missing"


class RunMissing(StateError):
    """There is no run of a workflow with this name. Step Functions forgets runs 90 days after their
    end."""

    code = "run_missing"


class JobMissing(StateError):
    """There is no such job (any more). AWS Batch forgets ended jobs after about a week."""

    code = "job_missing"


class JobRejected(StateError):
    """A runner of jobs rejects a request: an unknown queue, or a size that it does not take."""

    code = "job_rejected"


class ReviewMissing(StateError):
    """There is no such review, or none for the caller."""

    code = "review_missing"


class TraceMissing(StateError):
    """No span of the trace of an asset is there: it was not sampled, is not written yet, or has
    expired."""

    code = "trace_missing"


class WebhookGone(StateError):
    """The receiver of an endpoint answers 410: it takes no webhooks any more. The event is a dead
    letter at once."""

    code = "webhook_gone"


class TaskRefused(StateError):
    """Nothing waits for the answer that a task token stands for.

    Codes:
        task_unknown: Step Functions knows no task of the token with which a state machine would be
            answered.
        task_timed_out: The state machine waits no more: its time is over, or it has its answer.
    """

    code = "task_unknown"


class TuningFailed(StateError):
    """``safelight tune`` could not measure a size of memory, or not two of them; the message says
    why."""

    code = "tuning_failed"


class Conflict(StateError):
    """Another writer was faster; read again and decide anew.

    Codes:
        conflict: Another process has written since: read again and decide again.
        undecidable: Nothing can be decided of the asset: it is not accepted, published or in
            review.
        asset_unmade: Nothing was made of the asset that could be made again, or jobs have made it.
        original_missing: The asset has no original that a job could work on.
        review_expired: The deadline of the review has passed.
        review_decided: Somebody else has decided already.
        review_withdrawn: The question is void: the asset was replaced, deleted or published without
            this review.
        review_same_reviewer: Two people must approve, and you are one of them already.
        run_not_failed: A run of a workflow is not resumed: it has not failed.
        run_superseded: A run of a workflow is not resumed: its version of the asset is replaced, or
            it does not wait for the workflow any more.
        task_unanswerable: This process has no state machines, and cannot answer one.
    """

    code = "conflict"


class Superseded(Conflict):
    """A newer upload of the asset is recorded already, or the asset was erased meanwhile."""

    code = "superseded"


class AlreadyRecorded(Conflict):
    """Exactly this upload and recipe is recorded already."""

    code = "already_recorded"


class RequestError(SafelightError):
    """A client of the API asks for what the API does not give.

    Codes:
        request_invalid: Fields are wrong, missing or unknown; all are listed.
        too_many_requests: Wait as long as ``Retry-After`` says.
    """

    code = "request_invalid"


class NotSignedIn(RequestError):
    """There is no token, or none that is valid here and now.

    Codes:
        token_missing: There is no bearer token.
        token_invalid: The token is of another issuer or audience, is damaged, or names no owner.
        token_expired: The token has expired.
    """

    code = "token_invalid"


class NotAllowed(RequestError):
    """The token is valid and does not give this right.

    Codes:
        not_allowed: The token lacks the scope that is named, or the request is for somebody else.
        recipe_not_allowed: Only an administrator may choose this recipe (``SAFELIGHT_RECIPES``).
    """

    code = "not_allowed"


class UploadError(RequestError):
    """An upload cannot go on like this.

    Codes:
        upload_invalid: An upload cannot go on, for a reason that has no code of its own.
        upload_expired: Nothing arrived in time; begin anew.
        upload_finished: The original is there already.
        upload_incomplete: Parts are missing or have another size; the message numbers them.
        upload_unparted: The upload is in one piece and has no parts.
        upload_reused: Another request had this ``Idempotency-Key``.
    """

    code = "upload_invalid"


class TransientError(SafelightError):
    """The same call may work later.

    Codes:
        transient: Something outside Safelight failed and may work later.
        reader_gone: The reader of a program's output has ended; the error that ended it is reported
            instead.
        not_finished: What is waited for goes on: jobs of an upload after the time limit of ``put
            --wait``, or an execution that ``safelight tune`` has started.
        not_recorded: The catalog has no record of an upload yet: ``put --wait`` or ``tune`` reached
            its time limit.
        jobs_end: Jobs of an asset that is removed were stopped and have not ended yet. The same
            command completes the work.
        query_failed: A query of CloudWatch Logs has failed or did not end (``safelight logs``,
            ``safelight trace`` on AWS).
    """

    code = "transient"
    retryable = True


class StorageFull(TransientError):
    """No space is left for the output. Finished work stays; run the command again when there is
    space."""

    code = "storage_full"


class ScratchFull(TransientError):
    """The scratch disk of a job has too little room for its inputs and results; another machine may
    have more."""

    code = "scratch_full"


class Stopped(TransientError):
    """A job was asked to stop. Its checkpoint has the finished work; the next attempt continues
    from there."""

    code = "stopped"


class Throttled(TransientError):
    """A service asks to slow down."""

    code = "throttled"


class Unreachable(TransientError):
    """A service does not answer, or answers that it cannot."""

    code = "unreachable"


class MemoryPressure(TransientError):
    """Memory ran out while decoding. The next try runs in the sandbox, which distinguishes a
    picture that needs too much memory from a full machine."""

    code = "memory_pressure"


class Postponed(TransientError):
    """Not tried: too little time was left, or an earlier message of the same group failed."""

    code = "postponed"


class NotMade(TransientError):
    """A file of an asset is not there yet: another process makes it at this moment, or has
    failed."""

    code = "not_made"


class Paused(TransientError):
    """Optional work (reprocessing, jobs that are not urgent, backfill, upgrades) is put off: the
    daily limit of cost is spent. It goes on at midnight UTC, or after ``safelight cost resume``
    (docs/cost-report.md)."""

    code = "paused"


class WebhookFailed(TransientError):
    """A receiver did not accept a webhook this time.

    Codes:
        webhook_failed: A receiver did not take a webhook, for a reason that has no code of its own.
        webhook_address_refused: The name of an endpoint leads to an address that is not of the
            internet, or an address of the internet is to be reached without TLS. Nothing is sent.
        webhook_unreachable: The name of an endpoint cannot be looked up, its addresses take no
            connection, or the connection ends without an answer.
        webhook_timed_out: A receiver has not answered within 20 seconds.
        webhook_tls_failed: A receiver cannot prove its name: the certificate is of another name,
            expired or of an unknown authority.
        webhook_answer_invalid: What a receiver answers is not HTTP, or has headers of more than 16
            kB.
        webhook_refused: A receiver answers with a status that is not 2xx. Redirects are not
            followed.
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
