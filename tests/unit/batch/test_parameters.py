"""Parameters: text to values, every mistake at once."""

from __future__ import annotations

import pytest

from batch.catalog import kind
from batch.kind import Kind, Parameter
from batch.parameters import pairs, read
from worker.errors import ParameterError

KIND = Kind(
    name="sample",
    summary="Of every type",
    media="any",
    parameters=(
        Parameter(name="width", type="int", default=640, minimum=1, maximum=4096, help="Pixels."),
        Parameter(name="rate", type="float", minimum=0, help="A second."),
        Parameter(name="deep", type="bool", default=False, help="Or not."),
        Parameter(name="title", type="text", required=True, help="Of it."),
        Parameter(name="mode", type="choice", choices=("fast", "good"), help="How."),
        Parameter(name="codecs", type="list", choices=("h264", "av1"), help="Which."),
        Parameter(name="box", type="list", minimum=4, maximum=4, help="Where."),
    ),
)


def test_values_have_their_types_and_defaults() -> None:
    """Each type is read; what is not given has its default, or is not there at all."""
    given = {"rate": "1e-1", "deep": "YES", "title": " a b ", "mode": "good", "codecs": "av1, h264"}

    assert dict(read(KIND, given)) == {
        "width": 640,
        "rate": 0.1,
        "deep": True,
        "title": "a b",
        "mode": "good",
        "codecs": ("av1", "h264"),
    }


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
    ],
)
def test_wrong_values_are_refused(name: str, text: str) -> None:
    """Each is one problem with the parameter's name, and a message of one short line."""
    with pytest.raises(ParameterError) as caught:
        read(KIND, {"title": "x", name: text})

    (problem,) = caught.value.problems
    assert problem.path == name
    assert len(problem.message) < 200
    assert problem.message.isprintable()


def test_all_mistakes_come_at_once() -> None:
    """Wrong, missing and unknown parameters are listed together; a near name is suggested."""
    with pytest.raises(ParameterError) as caught:
        read(KIND, {"width": "x", "mode": "slow", "witdh": "3"})

    problems = {problem.path: problem.message for problem in caught.value.problems}
    assert set(problems) == {"width", "mode", "title", "'witdh'"}
    assert "did you mean width" in problems["'witdh'"]
    assert caught.value.code == "parameters_invalid"


def test_the_command_line_is_split_at_the_first_equals_sign() -> None:
    """A value may have more of them, and may be empty."""
    assert pairs(["a=b=c", "d="]) == ({"a": "b=c", "d": ""}, ())


def test_pairs_that_are_none_are_listed() -> None:
    """No ``=``, no name, and a name twice are three problems."""
    read, problems = pairs(["a", "=b", "c=1", "c=2"])

    assert read == {"c": "1"}
    assert len(problems) == 3


def test_shares_may_repeat_in_a_list_without_choices() -> None:
    """A box can have one number twice."""
    box = read(kind("background"), {"box": "0.1,0.1,0.5,0.5"})["box"]

    assert box == ("0.1", "0.1", "0.5", "0.5")
