"""Pulumi.<stack>.yaml, read as Pulumi reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from worker.domain.errors import ConfigurationError, InputError, ProblemsError
from worker.infra import stack_file

ENCRYPTED = """\
encryptionsalt: v1:abc
config:
  aws:region: eu-central-1
  safelight:tags:
    team: media # ours
  safelight:settings:
    redis_url:
      secure: v1:xyz
  safelight:image:
    secure: v1:uvw
  other:token:
    secure: v1:rst
"""


def written(folder: Path, text: str) -> Path:
    """The file of a stack."""
    path = folder / "Pulumi.dev.yaml"
    path.write_text(text, "utf-8")
    return path


def test_values_keep_their_types(tmp_path: Path) -> None:
    """YAML 1.2, as Pulumi has it: on and yes are words, and so is what is quoted."""
    text = """\
config:
  aws:region: eu-west-1
  safelight:recipe: archive
  safelight:settings: {video: off, redis_url: "yes", upload_threads: 4, share: 0.5, empty: }
  safelight:tags: {code: 007, none: ~, when: 2026-01-02, size: 1e3, answer: "42"}
  safelight:intake:
    names: [a, true, 1:30]
  other:thing: 1
"""
    found = stack_file.read(written(tmp_path, text))

    assert found.region == "eu-west-1"
    assert found.config == {
        "recipe": "archive",
        "settings": {
            "video": "off",
            "redis_url": "yes",
            "upload_threads": 4,
            "share": 0.5,
            "empty": None,
        },
        "tags": {"code": 7, "none": None, "when": "2026-01-02", "size": 1000.0, "answer": "42"},
        "intake": {"names": ["a", True, "1:30"]},
    }


@pytest.mark.parametrize("text", ["", "config:\n", "encryptionsalt: x\n"])
def test_a_file_may_be_without_values(tmp_path: Path, text: str) -> None:
    """As it is before anything is set."""
    found = stack_file.read(written(tmp_path, text))

    assert (found.config, found.region) == ({}, None)


def test_encrypted_values_are_named_and_refused(tmp_path: Path) -> None:
    """All of ours at once; those of others are none of our business."""
    found = stack_file.read(written(tmp_path, ENCRYPTED))

    with pytest.raises(ProblemsError) as caught:
        stack_file.require_plain(found)

    assert [problem.path for problem in caught.value.problems] == [
        "safelight:settings.redis_url",
        "safelight:image",
    ]
    assert "v1:" not in caught.value.message


def test_a_key_for_uploads_has_a_placeholder(tmp_path: Path) -> None:
    """A stack with one can be planned and checked; a copy of its file keeps the real one."""
    secret = {"secure": "v1:abc"}
    path = written(tmp_path, "config: {safelight:delivery: {uploadKey: {secure: 'v1:abc'}}}\n")
    found = stack_file.read(path)

    assert (found.config, found.encrypted) == ({"delivery": {"uploadKey": "0" * 64}}, ())
    copied = YAML(typ="safe").load(stack_file.changed(found, {"image": "i"}))
    assert copied["config"]["safelight:delivery"] == {"uploadKey": secret}


def test_a_file_like_another_keeps_what_it_does_not_change(tmp_path: Path) -> None:
    """Keys of encryption and encrypted values too: pulumi reads it in place of the real one."""
    found = stack_file.read(written(tmp_path, ENCRYPTED))

    text = stack_file.changed(
        found, {"image": "i", "tags": {"more": "x"}, "heavy": {"enabled": False}}
    )

    assert "    team: media # ours\n" in text
    assert YAML(typ="safe").load(text) == {
        "encryptionsalt": "v1:abc",
        "config": {
            "aws:region": "eu-central-1",
            "safelight:tags": {"team": "media", "more": "x"},
            "safelight:settings": {"redis_url": {"secure": "v1:xyz"}},
            "safelight:image": "i",
            "other:token": {"secure": "v1:rst"},
            "safelight:heavy": {"enabled": False},
        },
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("config: [a\n", "is no YAML"),
        ("- a\n", "config must be a map"),
        ("config: text\n", "config must be a map"),
        ("config:\n  image: x\n", "image: must have the form namespace:key"),
        ("config:\n  aws:region: 5\n", "aws:region: must be the name of a region"),
        ("config:\n  a:b: 1\n  a:b: 2\n", 'is no YAML: line 3: found duplicate key "a:b"'),
    ],
)
def test_what_pulumi_would_not_take_is_told(tmp_path: Path, text: str, says: str) -> None:
    """With the file's name."""
    with pytest.raises(ConfigurationError) as caught:
        stack_file.read(written(tmp_path, text))

    assert says in caught.value.message
    assert "Pulumi.dev.yaml" in caught.value.message


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in its place, or bytes that are no text."""
    (tmp_path / "Pulumi.dev.yaml").mkdir()
    with pytest.raises(InputError):
        stack_file.read(tmp_path / "Pulumi.dev.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text"):
        stack_file.read(tmp_path / "binary")


def test_a_stack_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """The commonest mistake is a typing error."""
    written(tmp_path, "")

    assert stack_file.path_of("dev", tmp_path).is_file()
    with pytest.raises(InputError, match="configuration for dev"):
        stack_file.path_of("dve", tmp_path)
