"""From a request to jobs: one name for the same work, many inputs, every mistake at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batch.catalogue import KINDS
from batch.submit import HEAD_BYTES, JobSpec, SubmitContext, requests, unsuitable
from tests.unit.fakes import MemoryStore
from worker import recipes
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    ParameterError,
    Problem,
    ProblemsError,
)
from worker.domain.job import JobRequest
from worker.imaging.formats.sniff import identify
from worker.ports import StoredObject

VIDEO = JobSpec(kind="transcode", inputs=("s3://source/video.mp4",), output="s3://results/videos")
AWAY = SubmitContext(files=False, outputs="s3://delivery/")
HERE = SubmitContext(files=True)


MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isommp42"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"
"""How a video begins."""


class Store(MemoryStore):
    """Buckets of which ``gone`` is none, and ``secret`` another's."""

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        first: int | None = None,
    ) -> tuple[bytes, StoredObject]:
        """See the port."""
        self._check(bucket)
        return super().get(bucket, key, version_id=version_id, etag=etag, first=first)

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See the port."""
        self._check(bucket)
        return super().list(bucket, prefix, after=after)

    def _check(self, bucket: str) -> None:
        if bucket == "gone":
            raise ConfigurationError("NoSuchBucket")
        if bucket == "secret":
            raise AccessDenied("403")


def holding(**objects: bytes) -> SubmitContext:
    """Away, with a store that has these objects in ``source``."""
    store = Store()
    for name, data in objects.items():
        store.upload("source", name.replace("_", "."), data)
    return replace(AWAY, store=store)


def only(spec: JobSpec, around: SubmitContext = AWAY) -> JobRequest:
    """The one job of a spec."""
    (made,) = requests(spec, around)
    return made


def problems(spec: JobSpec, around: SubmitContext = AWAY) -> list[str]:
    """What is wrong with a spec."""
    with pytest.raises(ParameterError) as caught:
        requests(spec, around)
    return [str(problem) for problem in caught.value.problems]


def test_a_job_spec_becomes_a_request() -> None:
    """Given values are passed unchanged, and defaults are not included."""
    made = only(replace(VIDEO, parameters={"heights": "720"}, asset="a1"))

    assert (made.kind, made.queue, made.priority) == ("transcode", "standard", 0)
    assert (made.inputs, made.output) == (("s3://source/video.mp4",), "s3://results/videos/")
    assert (made.parameters, made.asset, made.array_size) == ({"heights": "720"}, "a1", None)
    assert re.fullmatch(r"transcode-video-[0-9a-f]{20}", made.name)


def test_the_same_work_has_the_same_name() -> None:
    """The name does not depend on the caller, the priority, or explicit defaults."""
    name = only(VIDEO).name

    assert only(replace(VIDEO, urgent=True)).name == name
    assert only(replace(VIDEO, parameters={"hls": "yes"})).name == name
    assert only(replace(VIDEO, output="s3://results/videos/")).name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "poster"},
        {"inputs": ("s3://source/other/video.mp4",)},
        {"output": "s3://results/elsewhere"},
        {"parameters": {"hls": "no"}},
        {"asset": "a1"},
        {"again": "1"},
    ],
    ids=",".join,
)
def test_other_work_has_another_name(changes: dict[str, object]) -> None:
    """Everything that the result depends on is in the name."""
    assert only(replace(VIDEO, **changes)).name != only(VIDEO).name  # type: ignore[arg-type]


def test_new_content_under_the_same_name_is_other_work(tmp_path: Path) -> None:
    """An object's etag, a file's size and time."""
    one, two = holding(video_mp4=MP4 + b"1"), holding(video_mp4=MP4 + b"2")
    assert only(VIDEO, one).name != only(VIDEO, two).name

    file = tmp_path / "video.mp4"
    file.write_bytes(MP4)
    spec = replace(VIDEO, inputs=(str(file),))
    before = only(spec, HERE).name
    assert only(spec, HERE).name == before
    os.utime(file, ns=(1, 1))
    assert only(spec, HERE).name != before


def test_priority_is_a_queue_and_a_rank() -> None:
    """Before everything else."""
    made = only(replace(VIDEO, urgent=True))

    assert (made.queue, made.priority) == ("urgent", 100)


def test_each_input_of_a_kind_that_takes_one_is_a_job() -> None:
    """With a place of its own below the output; one that is given twice is done once."""
    inputs = (
        "s3://source/a/video.mp4",
        "s3://source/b/VIDEO.mov",
        "s3://source/c.mp4",
        "s3://source/c.mp4",
    )
    made = requests(replace(VIDEO, inputs=inputs), AWAY)

    assert [job.output for job in made] == [
        "s3://results/videos/video/",
        "s3://results/videos/VIDEO-2/",
        "s3://results/videos/c/",
    ]
    assert len({job.name for job in made}) == 3


def test_a_kind_that_takes_many_gets_all_in_one_job() -> None:
    """In the order they were given."""
    inputs = tuple(f"s3://source/{n}.jpg" for n in (3, 1, 2))
    made = only(replace(VIDEO, kind="stitch", inputs=inputs))

    assert (made.inputs, made.array_size) == (inputs, None)


@pytest.mark.parametrize(
    ("count", "array", "size"),
    [(1, None, None), (2, None, 2), (500, None, 100), (1, 7, 7), (5, 1, None)],
)
def test_many_inputs_of_an_array_kind_are_one_array(
    count: int, array: int | None, size: int | None
) -> None:
    """As many children as inputs, up to a point, or as told; an array of one is a single job."""
    inputs = tuple(f"s3://source/{n}.jpg" for n in range(count))
    made = only(replace(VIDEO, kind="batch-process", inputs=inputs, array=array))

    assert (made.array_size, made.queue, len(made.inputs)) == (size, "bulk", count)


def test_without_an_output_each_job_gets_its_own() -> None:
    """Below the delivery bucket, behind two hexadecimal digits that spread the load."""
    made = only(replace(VIDEO, output=None))

    assert made.output == f"s3://delivery/{made.name[-2:]}/{made.name}/"


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job may run in another working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "video.mp4").write_bytes(MP4)
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "ours.toml").write_text(recipes.dump(recipes.load("avatar")))

    made = only(replace(VIDEO, inputs=("video.mp4",), output="out"), HERE)
    library = JobSpec(
        kind="batch-process", inputs=("a.jpg",), output="o", parameters={"recipe": "ours.toml"}
    )

    assert (made.inputs, made.output) == ((str(tmp_path / "video.mp4"),), str(tmp_path / "out"))
    assert only(library, HERE).parameters == {"recipe": str(tmp_path / "ours.toml")}


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    """Each by the option or the parameter it is in."""
    spec = JobSpec(
        kind="transcode",
        inputs=("http://example.com/video.mp4", str(tmp_path / "missing.mp4")),
        output="s3://bucket-alone",
        parameters={"max_seconds": "long", "preset": "warp"},
        unread=(Problem("'fast'", "must be name=value"),),
        array=3,
    )

    found = problems(spec, HERE)

    assert sorted(text.partition(":")[0] for text in found[:3]) == [
        "--param 'fast'",
        "--param max_seconds",
        "--param preset",
    ]
    assert [text.partition(":")[0] for text in found[3:]] == [
        "INPUT",
        "INPUT",
        "--out",
        "--array",
    ]


def test_a_file_here_is_no_input_there() -> None:
    """And a folder here no place for results."""
    found = problems(replace(VIDEO, inputs=("video.mp4",), output="out"))

    assert "safelight put" in found[0]
    assert found[1].startswith("--out: must be s3://")


def test_an_object_that_is_not_there_is_told_before_anything_is_submitted() -> None:
    """Batch would find out minutes later."""
    found = problems(VIDEO, holding())

    assert found == ["INPUT: s3://source/video.mp4 does not exist [input_missing]"]


@pytest.mark.parametrize(
    ("bucket", "code"), [("gone", "input_missing"), ("secret", "access_denied")]
)
@pytest.mark.parametrize("key", ["video.mp4", "library/"])
def test_a_bucket_that_is_not_there_is_told(bucket: str, code: str, key: str) -> None:
    """Of an object and of a prefix, beside all other mistakes."""
    spec = replace(VIDEO, kind="batch-process", inputs=(f"s3://{bucket}/{key}", "s3://source/x"))
    first, second = problems(spec, holding())

    assert first.startswith(f"INPUT: s3://{bucket}/{key} ")
    assert first.endswith(f"[{code}]")
    assert "s3://source/x" in second


@pytest.mark.parametrize(
    ("bucket", "code"), [("gone", "output_unwritable"), ("secret", "access_denied")]
)
def test_an_output_in_no_bucket_is_told(bucket: str, code: str) -> None:
    """Hours of work would be lost at its end."""
    (found,) = problems(replace(VIDEO, output=f"s3://{bucket}/videos"), holding(video_mp4=MP4))

    assert found.startswith("--out: ")
    assert found.endswith(f"[{code}]")


def test_a_file_is_no_folder_for_results(tmp_path: Path) -> None:
    """A file cannot be the output folder."""
    file = tmp_path / "video.mp4"
    file.write_bytes(MP4)
    (found,) = problems(replace(VIDEO, inputs=(str(file),), output=str(file)), HERE)

    assert found == f"--out: must be a folder, and {file} is a file [output_unwritable]"


def test_a_prefix_must_have_something_below_it() -> None:
    """A prefix without objects is refused; otherwise the job lists the objects below it."""
    spec = replace(VIDEO, kind="batch-process", inputs=("s3://source/library/",))
    around = holding()
    assert problems(spec, around) == [
        "INPUT: s3://source/library/ has no objects below it [input_missing]"
    ]

    assert isinstance(around.store, Store)
    around.store.upload("source", "library/a.jpg", JPEG)
    assert only(spec, around).inputs == ("s3://source/library/",)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    """A folder in it is no file."""
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    spec = JobSpec(kind="batch-process", inputs=(str(tmp_path / "in"),), output="out")
    assert problems(spec, HERE) == [f"INPUT: {tmp_path / 'in'} has no files in it [input_missing]"]
    (tmp_path / "in" / "deeper" / "a.jpg").write_bytes(JPEG)
    assert requests(spec, HERE)


def test_a_recipe_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """One that ships by its name; a file where the job sees it, with every mistake in it."""
    (tmp_path / "a.jpg").write_bytes(JPEG)
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "bad"\nversion = 0\nwidht = 3\n')
    spec = JobSpec(kind="batch-process", inputs=(str(tmp_path / "a.jpg"),), output="out")
    (unknown,) = problems(replace(spec, parameters={"recipe": "nope"}), HERE)
    assert unknown.startswith("--param recipe: nope: ")
    assert unknown.endswith("[recipe_invalid]")
    assert len(problems(replace(spec, parameters={"recipe": str(bad)}), HERE)) > 1

    assert requests(replace(spec, parameters={"recipe": "avatar"}), HERE)
    away = replace(spec, inputs=("s3://source/a.jpg",), output="s3://results/x")
    assert requests(replace(away, parameters={"recipe": "/recipes/ours.toml"}), AWAY)


def test_a_parameter_is_told_by_the_option_it_was_given_by() -> None:
    """The other way is named where that was used."""
    spec = replace(VIDEO, parameters={"max_seconds": "x", "hls": "?"}, options=frozenset({"hls"}))

    assert [text.partition(":")[0] for text in problems(spec)] == ["--hls", "--param max_seconds"]


def test_an_input_that_the_kind_cannot_take_is_told() -> None:
    """By its content, of objects and of files alike, with the code that the job would end with."""
    spec = replace(VIDEO, inputs=("s3://source/photo.jpg", "s3://source/video.mp4"))
    assert problems(spec, holding(photo_jpg=JPEG, video_mp4=MP4)) == [
        "INPUT: s3://source/photo.jpg is an image (jpeg); transcode takes videos"
        " [format_not_allowed]"
    ]


@pytest.mark.parametrize(("kind", "count"), [("stitch", 1), ("hdr-merge", 17), ("restore", 3)])
def test_too_few_and_too_many_inputs_are_told(kind: str, count: int) -> None:
    """With how many there may be."""
    inputs = tuple(f"s3://source/{n}.jpg" for n in range(count))
    (found,) = problems(replace(VIDEO, kind=kind, inputs=inputs))

    assert found.startswith(f"INPUT: {kind} takes at ")


def test_here_an_output_must_be_named() -> None:
    """There is no delivery bucket to fall back to."""
    assert problems(replace(VIDEO, output=None), HERE) == [
        "--out: is needed: a folder or s3://bucket/prefix"
    ]


def test_an_unknown_kind_lists_those_there_are() -> None:
    """Before anything else is looked at."""
    with pytest.raises(ProblemsError, match="audio-waveform"):
        requests(replace(VIDEO, kind="transmogrify"), AWAY)


@pytest.mark.parametrize("name", ["..", "...", " ", "日本", "a" * 300 + ".mp4"])
def test_strange_names_make_ordinary_jobs(name: str) -> None:
    """A name that Batch takes and a place below the one that was asked for."""
    made = requests(replace(VIDEO, inputs=(f"s3://source/x/{name}", "s3://source/y")), AWAY)[0]

    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", made.name)
    assert made.output.startswith("s3://results/videos/")
    assert "/../" not in made.output


@pytest.mark.parametrize("kind", ["poster", "stitch"])
def test_a_folder_where_files_are_wanted_is_named(kind: str, tmp_path: Path) -> None:
    """Before there is a job; a kind that goes through libraries takes it."""
    inputs = (str(tmp_path), str(tmp_path))
    found = problems(JobSpec(kind=kind, inputs=inputs, output="out"), HERE)
    assert len(found) == 2
    assert all("is a folder" in problem for problem in found)
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert requests(JobSpec(kind="batch-process", inputs=inputs, output="out"), HERE)


def test_a_prefix_where_objects_are_wanted_is_named() -> None:
    """The same in S3."""
    (problem,) = problems(replace(VIDEO, inputs=("s3://source/videos/",)))
    assert "names a prefix" in problem


# --- which files a kind can take --------------------------------------------------------------


GIF = b"GIF89a\1\0\1\0"
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
MATROSKA = b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska"
EBML = b"\x1a\x45\xdf\xa3\x80"
TRANSPORT = (b"\x47" + bytes(187)) * 6
FLASH = b"FLV\x01\5"
OGG = b"OggS\0"
MXF = b"\x06\x0e\x2b\x34\2\5\1\1\x0d\1\2\1\1\2" + bytes(100)
H264 = b"\0\0\0\1\x67\x64\0\x1f"
WAV = b"RIFF\x24\0\0\0WAVEfmt "
MP3 = b"ID3\4\0\0"
M4A = b"\0\0\0\x18ftypM4A \0\0\2\0isommp42"
PDF = b"%PDF-1.7\n"
ZIP = b"PK\3\4"
TEXT = "Grüße,\nthis is a letter.\n".encode()
UTF16 = "Grüße,\nthis is a letter.\n".encode("utf-16")
PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n"
SUBRIP = b"1\n00:00:01,000 --> 00:00:02,000\nHello\n"
WEBVTT = b"\xef\xbb\xbfWEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"
ASS = b"[Script Info]\nScriptType: v4.00+\n"

OK = None
RARE = [FLASH, OGG, MXF, H264, EBML, M4A]
"""Containers that ffmpeg reads, some of which no table of ours names."""


def code(kind: str, head: bytes) -> str | None:
    """The code a file is refused with."""
    found = unsuitable(KINDS[kind], head)
    return None if found is None else found[0].value


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.media == "video"])
def test_kinds_of_moving_pictures(name: str) -> None:
    """Every container that may hold a video; no still, no audio alone, no text."""
    assert {code(name, head) for head in (MP4, MATROSKA, TRANSPORT, *RARE)} == {None}
    assert {code(name, head) for head in (JPEG, GIF, AVIF, SVG, PDF, ZIP)} == {"format_not_allowed"}
    assert {code(name, head) for head in (WAV, MP3)} == {"no_video"}
    assert {code(name, head) for head in (TEXT, UTF16, SUBRIP)} == {"unknown_format"}
    assert code(name, b"") == "empty"


@pytest.mark.parametrize("name", ["audio-waveform", "subtitles", "video-metadata"])
def test_kinds_of_any_tracks(name: str) -> None:
    """Audio and subtitles alone too."""
    heads = (MP4, MATROSKA, TRANSPORT, WAV, MP3, SUBRIP, WEBVTT, ASS, *RARE)
    assert {code(name, head) for head in heads} == {None}
    assert {code(name, head) for head in (JPEG, GIF, AVIF, SVG, PDF)} == {"format_not_allowed"}
    assert code(name, TEXT) == "unknown_format"


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.media == "image"])
def test_kinds_of_pictures(name: str) -> None:
    """Every format that ingest may accept; no video, no audio, no document."""
    assert {code(name, head) for head in (JPEG, GIF, AVIF, SVG)} == {None}
    assert {code(name, head) for head in (MP4, MATROSKA, WAV, PDF)} == {"format_not_allowed"}
    assert {code(name, head) for head in (TEXT, MXF)} == {"unknown_format"}


def test_a_playlist_is_no_input() -> None:
    """It names other files, which are never opened."""
    assert {code(name, PLAYLIST) for name in KINDS} == {"format_not_allowed"}


def test_text_that_is_cut_within_a_letter_is_text() -> None:
    """A head ends anywhere."""
    text = ("a" + "é" * HEAD_BYTES).encode()[:HEAD_BYTES]
    assert identify(text) is None
    assert code("poster", text) == "unknown_format"


def test_the_sentence_names_what_was_found_and_what_is_taken() -> None:
    """For a person who took the wrong file."""
    found = unsuitable(KINDS["denoise"], MP4)
    assert found is not None
    assert found[1] == "is video (MP4); denoise takes images"
