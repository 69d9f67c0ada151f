"""What a tag names where both generations have files of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.digest import Digest
from backends.model.names import ImageId
from backends.model.tag_records import Seen, TagRecord, dump_record, load_record, named
from backends.model.targets import Target, V1Target, V2Target

OLD, NEW = V2Target(Digest.of(b"old")), V2Target(Digest.of(b"new", "sha512"))
IMAGE, OTHER = V1Target(ImageId("a" * 64)), V1Target(ImageId("b" * 16))
V2_SAYS, V1_SAYS = Seen(OLD, 10.0), Seen(IMAGE, 20.0)
BY_V1 = TagRecord(IMAGE, V2_SAYS, V1_SAYS)
BY_V2 = TagRecord(OLD, V2_SAYS, V1_SAYS)
DELETED = TagRecord(None, V2_SAYS, V1_SAYS)

CASES: list[tuple[str, TagRecord | None, Seen | None, Seen | None, Target | None]] = [
    ("nothing is there", None, None, None, None),
    ("only v2's", None, V2_SAYS, None, OLD),
    ("only v1's", None, None, V1_SAYS, IMAGE),
    ("v1's is younger", None, V2_SAYS, V1_SAYS, IMAGE),
    ("v2's is younger", None, Seen(OLD, 21.0), V1_SAYS, OLD),
    ("of equal age", None, Seen(OLD, 20.0), V1_SAYS, OLD),
    ("as recorded, v1", BY_V1, V2_SAYS, V1_SAYS, IMAGE),
    ("as recorded, v2, though v1's is younger", BY_V2, V2_SAYS, V1_SAYS, OLD),
    ("as recorded: deleted", DELETED, V2_SAYS, V1_SAYS, None),
    ("v2's was moved", BY_V1, Seen(NEW, 5.0), V1_SAYS, NEW),
    ("v2's was written anew", BY_V1, Seen(OLD, 11.0), V1_SAYS, OLD),
    ("v2's was moved within one tick of the clock", BY_V1, Seen(NEW, 10.0), V1_SAYS, NEW),
    ("v1's was moved", BY_V2, V2_SAYS, Seen(OTHER, 5.0), OTHER),
    ("v1's was written anew", BY_V2, V2_SAYS, Seen(IMAGE, 21.0), IMAGE),
    ("v2's was moved after a deletion", DELETED, Seen(NEW, 11.0), V1_SAYS, NEW),
    ("v1's appeared", TagRecord(OLD, V2_SAYS, None), V2_SAYS, V1_SAYS, IMAGE),
    ("what held was removed: v1's", BY_V1, V2_SAYS, None, None),
    ("what held was removed: v2's", BY_V2, None, V1_SAYS, None),
    ("what did not hold was removed: v1's", BY_V2, V2_SAYS, None, OLD),
    ("what did not hold was removed: v2's", BY_V1, None, V1_SAYS, IMAGE),
    ("both were moved, v1's last", BY_V2, Seen(NEW, 30.0), Seen(OTHER, 31.0), OTHER),
    ("both were moved, v2's last", BY_V1, Seen(NEW, 31.0), Seen(OTHER, 30.0), NEW),
    ("both were moved at once", BY_V1, Seen(NEW, 30.0), Seen(OTHER, 30.0), NEW),
    ("one was moved, the other removed", BY_V2, None, Seen(OTHER, 30.0), OTHER),
    ("both were removed", BY_V1, None, None, None),
]


@pytest.mark.parametrize(
    ("record", "v2", "v1", "target"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_a_tag_names(record: TagRecord | None, v2: Seen | None, v1: Seen | None, target: Target | None) -> None:
    assert named(record, v2=v2, v1=v1) == target


V2_FILES = st.none() | st.builds(Seen, st.sampled_from([OLD, NEW]), st.floats(0, 2e9))
V1_FILES = st.none() | st.builds(Seen, st.sampled_from([IMAGE, OTHER]), st.floats(0, 2e9))


@given(V2_FILES, V1_FILES, V2_FILES | V1_FILES)
def test_a_record_of_what_was_makes_a_move_one_step(v2: Seen | None, v1: Seen | None, new: Seen | None) -> None:
    before = named(None, v2=v2, v1=v1)
    record = TagRecord(before, v2, v1)
    assert named(record, v2=v2, v1=v1) == before
    if new is not None and isinstance(new.target, V2Target) and new != v2:
        assert named(record, v2=new, v1=v1) == new.target
    if new is not None and isinstance(new.target, V1Target) and new != v1:
        assert named(record, v2=v2, v1=new) == new.target


@given(
    st.builds(
        TagRecord,
        st.none() | st.sampled_from([OLD, NEW, IMAGE, OTHER]),
        V2_FILES,
        V1_FILES,
        written=st.just("2026-11-27T10:00:00Z"),
        writer=st.text(st.characters(max_codepoint=126), max_size=200),
    )
)
def test_a_record_is_read_as_it_was_written(record: TagRecord) -> None:
    assert load_record(dump_record(record)) == record


def test_a_record_is_small_whoever_writes_it() -> None:
    record = TagRecord(NEW, Seen(NEW, 1.5), V1_SAYS, writer="\udcff\u2028" * 5000)
    assert len(dump_record(record)) < 2048
    assert load_record(dump_record(record)) is not None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b'{"target": 1}', b'{"target": "x", "v1": null, "v2": null}', b"\xff"]
)
def test_a_damaged_record_is_none(content: bytes) -> None:
    assert load_record(content) is None
