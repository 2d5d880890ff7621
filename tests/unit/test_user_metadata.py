"""Owner, tags and attributes in the metadata of an object: written, read, refused with words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import InputError
from worker.domain.user_metadata import (
    MAX_ATTRIBUTES,
    MAX_METADATA,
    MAX_NAME,
    MAX_TAGS,
    UserMetadata,
    from_metadata,
    merged,
    to_metadata,
)

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


def test_metadata_is_written_as_the_documentation_says() -> None:
    """The three names, percent-encoded, with commas, and as in a query string."""
    said = UserMetadata(
        owner="Zoë",
        tags=frozenset({"north sea", "a,b"}),
        attributes={"lens": "f/2 & wide", "n": ""},
    )
    assert to_metadata(said) == {
        "owner": "Zo%C3%AB",
        "tags": "a%2Cb,north%20sea",
        "attributes": "lens=f%2F2%20%26%20wide&n=",
    }
    assert to_metadata(UserMetadata()) == {}


@given(
    owner=TEXT,
    tags=st.frozensets(TEXT, max_size=3),
    attributes=st.dictionaries(TEXT, TEXT | st.just(""), max_size=3),
)
def test_what_is_written_is_read_again(
    owner: str, tags: frozenset[str], attributes: dict[str, str]
) -> None:
    """Any text comes back as it was, in plain ASCII on the way."""
    said = UserMetadata(owner=owner, tags=tags, attributes=attributes)
    metadata = to_metadata(said)
    assert all(value.isascii() and value.isprintable() for value in metadata.values())
    assert from_metadata(metadata) == said


def test_metadata_written_by_hand_is_understood() -> None:
    """Spaces after commas, plain text, empty parts, and a plus that is one."""
    found = from_metadata(
        {"owner": " ada ", "tags": "sea, sun ,,c++", "attributes": "a=b&&note=two+words"}
    )
    assert found == UserMetadata(
        owner="ada",
        tags=frozenset({"sea", "sun", "c++"}),
        attributes={"a": "b", "note": "two words"},
    )


@pytest.mark.parametrize(
    ("metadata", "kept", "reason"),
    [
        (
            {"tags": f"{'x' * 129},ok"},
            UserMetadata(tags=frozenset({"ok"})),
            "1 to 128 characters, not 129",
        ),
        ({"tags": "%FF,ok"}, UserMetadata(tags=frozenset({"ok"})), "not percent-encoded UTF-8"),
        ({"owner": "a%0Ab"}, UserMetadata(), "control character"),
        ({"owner": "a%C2%85b"}, UserMetadata(), "control character"),
        ({"tags": "%20%20,ok"}, UserMetadata(tags=frozenset({"ok"})), "blank"),
        ({"owner": "x" * 201}, UserMetadata(), "1 to 200 characters"),
        ({"attributes": "alone&a=b"}, UserMetadata(attributes={"a": "b"}), "has no value"),
        ({"attributes": "=b"}, UserMetadata(), "attribute name"),
        ({"attributes": f"a={'x' * 1025}"}, UserMetadata(), "0 to 1024 characters"),
        ({"attributes": "a=%00"}, UserMetadata(), "control character"),
    ],
)
def test_a_bad_text_is_left_out_with_a_reason(
    metadata: dict[str, str], kept: UserMetadata, reason: str
) -> None:
    """The rest is kept, and nothing is raised."""
    found = from_metadata(metadata)
    assert (found.owner, found.tags, found.attributes) == (kept.owner, kept.tags, kept.attributes)
    assert [reason in one for one in found.ignored] == [True]
    assert all(len(one) < 300 for one in found.ignored)


def test_too_many_are_cut_and_counted() -> None:
    """The first forty of each stay."""
    found = from_metadata(
        {
            "tags": ",".join(f"t{n}" for n in range(MAX_TAGS + 3)),
            "attributes": "&".join(f"a{n}=1" for n in range(MAX_ATTRIBUTES + 1)),
        }
    )
    assert (len(found.tags), len(found.attributes)) == (MAX_TAGS, MAX_ATTRIBUTES)
    assert found.ignored == ("tags: 3 more than 40", "attributes: 1 more than 40")


@given(st.dictionaries(st.sampled_from(["owner", "tags", "attributes"]), st.text(max_size=60)))
def test_no_metadata_is_ever_an_error(metadata: dict[str, str]) -> None:
    """For any metadata the kept values can be stored."""
    said = from_metadata(metadata)
    to_metadata(UserMetadata(owner=said.owner, tags=said.tags, attributes=said.attributes))


@pytest.mark.parametrize(
    "said",
    [
        UserMetadata(owner="x" * 201),
        UserMetadata(tags=frozenset({"x" * (MAX_NAME + 1)})),
        UserMetadata(tags=frozenset(map(str, range(MAX_TAGS + 1)))),
        UserMetadata(attributes={"a": "x" * 1024, "b": "x" * 1024}),
    ],
)
def test_what_no_object_can_carry_is_refused(said: UserMetadata) -> None:
    """Before anything is uploaded, and the last ones because of their length together."""
    with pytest.raises(InputError):
        to_metadata(said)


def test_the_largest_metadata_is_as_large_as_an_object_can_carry() -> None:
    """One byte more is refused."""
    room = MAX_METADATA - len("attributes") - len("a=&b=")
    fits = {"a": "x" * 1024, "b": "x" * (room - 1024)}
    assert to_metadata(UserMetadata(attributes=fits))
    with pytest.raises(InputError, match=f"{MAX_METADATA + 1} bytes"):
        to_metadata(UserMetadata(attributes=fits | {"b": fits["b"] + "x"}))


def test_tags_of_a_newer_upload_join_those_that_are_there() -> None:
    """Newer values win; what is there already is not pushed out."""
    tags, attributes = merged(
        (frozenset({"kept"}), {"a": "old", "b": "1"}), (frozenset({"new"}), {"a": "new"})
    )
    assert (tags, attributes) == (frozenset({"kept", "new"}), {"a": "new", "b": "1"})
    full = frozenset(f"t{n:02}" for n in range(MAX_TAGS))
    assert merged((full, {}), (frozenset({"new"}), {}))[0] == full
