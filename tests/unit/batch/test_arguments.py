"""What a job is told: parameters and addresses, every mistake at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.arguments import S3Address, check_parameters, read_address, split_pairs
from batch.catalogue import JobKind, Parameter, kind

KIND = JobKind(
    name="sample",
    summary="Of every type",
    media="image",
    parameters=(
        Parameter(name="width", type="int", default=640, minimum=1, maximum=4096, help="Pixels."),
        Parameter(name="rate", type="float", minimum=0, help="A second."),
        Parameter(name="deep", type="bool", default=False, help="Or not."),
        Parameter(name="title", type="text", help="Of it."),
        Parameter(name="mode", type="choice", choices=("fast", "good"), help="How."),
        Parameter(name="codecs", type="list", choices=("h264", "av1"), help="Which."),
        Parameter(name="box", type="list", minimum=4, maximum=4, help="Where."),
        Parameter(
            name="sides", type="list", part="int", part_minimum=16, part_maximum=99, help="Pixels."
        ),
        Parameter(name="shares", type="list", part="float", part_minimum=0, help="Of it."),
        Parameter(name="colour", type="text", pattern="#[0-9a-f]{6}", shape="#rrggbb", help="Of."),
    ),
)


def test_values_have_their_types_and_defaults() -> None:
    """Each type is read; what is not given has its default, or is not there at all."""
    given = {"rate": "1e-1", "deep": "YES", "title": " a b ", "mode": "good", "codecs": "av1, h264"}

    expected = {
        "width": 640,
        "rate": 0.1,
        "deep": True,
        "title": "a b",
        "mode": "good",
        "codecs": ("av1", "h264"),
    }
    assert check_parameters(KIND, given) == (expected, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("width", ""),
        ("width", "12.5"),
        ("width", "1_000"),
        ("width", "٣"),
        ("width", "0"),
        ("width", "4097"),
        ("width", "9" * 400),
        ("rate", "nan"),
        ("rate", "inf"),
        ("rate", "1e400"),
        ("rate", "-1"),
        ("deep", "maybe"),
        ("title", " "),
        ("title", "a\x00b"),
        ("title", "a\nb"),
        ("title", "a" * 5000),
        ("mode", "Fast"),
        ("codecs", "h264,,av1"),
        ("codecs", "h264,vp9"),
        ("codecs", "h264,h264"),
        ("box", "1,2,3"),
        ("sides", "20,tall"),
        ("sides", "20,15"),
        ("sides", "100"),
        ("sides", "20,\u0663\u0660"),
        ("shares", "nan"),
        ("shares", "0.5,-0.1"),
        ("colour", 'red"/><script>'),
        ("colour", "#3b82f6;"),
    ],
)
def test_wrong_values_are_refused(name: str, text: str) -> None:
    """Each is one problem with the parameter's name, and a message of one short line."""
    _, (problem,) = check_parameters(KIND, {name: text})

    assert problem.path == name
    assert len(problem.message) < 200
    assert problem.message.isprintable()


def test_all_mistakes_come_at_once() -> None:
    """Wrong and unknown parameters are listed together; a near name is suggested."""
    _, found = check_parameters(KIND, {"width": "x", "mode": "slow", "witdh": "3"})

    problems = {problem.path: problem.message for problem in found}
    assert set(problems) == {"width", "mode", "'witdh'"}
    assert "did you mean width" in problems["'witdh'"]


def test_the_command_line_is_split_at_the_first_equals_sign() -> None:
    """A value may have more of them, and may be empty."""
    assert split_pairs(["a=b=c", "d="]) == ({"a": "b=c", "d": ""}, ())


def test_pairs_that_are_none_are_listed() -> None:
    """No ``=``, no name, and a name twice are three problems."""
    read, problems = split_pairs(["a", "=b", "c=1", "c=2"])

    assert read == {"c": "1"}
    assert len(problems) == 3


def test_shares_may_repeat_in_a_list_without_choices() -> None:
    """A box can have one number twice."""
    values, _ = check_parameters(kind("background"), {"box": "0.1,0.1,0.5,0.5"})

    assert values["box"] == ("0.1", "0.1", "0.5", "0.5")


@pytest.mark.parametrize(
    ("name", "given", "wrong"),
    [
        ("transcode", {"hls": "no", "mp4": "no"}, "hls"),
        ("transcode-part", {"hls": "no", "mp4": "no"}, "hls"),
        ("transcode", {"heights": "720,tall"}, "heights"),
        ("background", {"box": "0.5,0.5,0.6,0.2"}, "box"),
        ("background", {"box": "0,0,0,1"}, "box"),
        ("background", {"box": "a,b,c,d"}, "box"),
        ("deepzoom", {"layout": "iiif"}, "id"),
        ("deepzoom", {"layout": "google", "tile_size": "100"}, "tile_size"),
        ("audio-waveform", {"colour": "blue"}, "colour"),
    ],
)
def test_what_a_job_could_not_use_is_said_before_there_is_one(
    name: str, given: dict[str, str], wrong: str
) -> None:
    """Parts of lists, shapes of texts, and values that contradict each other."""
    _, problems = check_parameters(kind(name), given)

    assert [problem.path for problem in problems] == [wrong]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("transcode", {"hls": "no"}),
        ("background", {"box": "0,0,1,1"}),
        ("deepzoom", {"layout": "iiif", "id": "https://a.example/1"}),
        ("deepzoom", {"layout": "zoomify", "tile_size": "128"}),
        ("deepzoom", {"layout": "dz", "tile_size": "100"}),
    ],
)
def test_values_that_go_together_are_taken(name: str, given: dict[str, str]) -> None:
    """The edge of what is refused."""
    values, problems = check_parameters(kind(name), given)

    assert set(given) <= set(values)
    assert problems == ()


# --- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://my-bucket/a/b.mp4", S3Address(bucket="my-bucket", key="a/b.mp4")),
        ("s3://my-bucket", S3Address(bucket="my-bucket", key="")),
        ("video.mp4", Path("video.mp4")),
        ("file:///tmp/a%20b", Path("/tmp/a b")),
        ("file:///tmp/a%ff", Path("/tmp/a\udcff")),
        # A screen recording of macOS, an emoji with joiners, and what else people call files.
        (
            "s3://my-bucket/Recording at 9.41.00\u202fAM.mov",
            S3Address(bucket="my-bucket", key="Recording at 9.41.00\u202fAM.mov"),
        ),
        ("\U0001f469\u200d\U0001f467.mp4", Path("\U0001f469\u200d\U0001f467.mp4")),
        ("two\nlines %03d.mp4", Path("two\nlines %03d.mp4")),
    ],
)
def test_addresses_are_read(text: str, expected: object) -> None:
    """Paths, file URLs and S3 addresses."""
    assert read_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "http://x/y", "s3:///key", "s3://B/key", "file://relative", "a\0b", "concat://x"]
)
def test_other_addresses_are_refused(text: str) -> None:
    """No other scheme is ever opened."""
    with pytest.raises(ValueError, match="must"):
        read_address(text)
