"""Archives of every format read as they come, in pieces of any size, as Python's own tarfile reads them whole."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.model.tar_headers import TarHeader, parse_pax
from backends.registry.layers.tar_members import EXTRA_BYTES, EXTRA_HEADERS, NotATar, TarMembers
from tests.support.tars import make_tar, member

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
BLOCK = 512


def read(archive: bytes, *, step: int = 1000) -> list[TarHeader]:
    members = TarMembers()
    found = [each for at in range(0, len(archive), step) for each in members.take(archive[at : at + step])]
    members.end()
    return found


def told(archive: bytes, step: int = 1000) -> list[tuple[object, ...]]:
    return [
        (
            each.name.decode("utf-8", "surrogateescape"),
            each.kind,
            each.size,
            each.modified,
            each.mode,
            each.uid,
            each.gid,
        )
        for each in read(archive, step=step)
    ]


def by_tarfile(archive: bytes) -> list[tuple[object, ...]]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        return [
            (each.name, each.type, each.size, each.mtime, each.mode, each.uid, each.gid) for each in opened.getmembers()
        ]


NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0/"), min_size=1, max_size=60).map(
    lambda text: text.replace("\n", "n")
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
TYPES = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    kind = draw(TYPES)
    content = draw(st.binary(max_size=1300)) if kind == tarfile.REGTYPE else b""
    link = draw(PATHS) if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
    return member(
        draw(PATHS),
        content,
        type=kind,
        linkname=link,
        uid=draw(st.integers(0, 2**40)),
        gid=draw(st.integers(0, 1000)),
        mode=draw(st.integers(0, 0o7777)),
        mtime=draw(st.integers(0, 2**35) | st.floats(0, 2**32).map(lambda seconds: round(seconds, 3))),
    )


@settings(max_examples=150)
@given(
    st.lists(members(), max_size=6), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(20, 3000)
)
@example([member("a" * 99 + "/" + "b" * 99), member("c" * 700, b"x" * 512)], tarfile.GNU_FORMAT, 1)
def test_any_archive_is_read_as_tarfile_reads_it(
    them: list[tuple[tarfile.TarInfo, bytes]], form: int, step: int
) -> None:
    archive = make_tar(them, form=form)
    # Python 2.7, and so docker-registry, leaves the slash at the end of a folder's long name in GNU tar's format.
    assert [(str(name).rstrip("/"), *more) for name, *more in told(archive, step)] == by_tarfile(archive)


@pytest.mark.parametrize("form", FORMATS)
def test_names_that_are_split_in_two_fields(form: int) -> None:
    archive = make_tar([member("d" * 90 + "/" + "e" * 90, b"1")], form=form)
    assert told(archive) == by_tarfile(archive)


def test_records_for_the_whole_archive_count_where_a_member_has_none_of_its_own() -> None:
    one, other = member("f", b"x"), member("g", pax_headers={"mtime": "2.5"})
    archive = make_tar([one, other], form=tarfile.PAX_FORMAT, pax_headers={"mtime": "9.25", "uid": "42"})
    assert [(each.modified, each.uid) for each in read(archive)] == [(9.25, 42), (2.5, 42)]


def test_values_that_are_no_utf_8_are_passed_over_as_they_are() -> None:
    """Extended attributes of the kernel's are bytes, and docker writes them as they are."""
    value = b"\x01\x00\x00\x02\xff\xfe"
    record = b" SCHILY.xattr.security.capability=" + value + b"\n"
    size = len(record) + 2
    content = str(size).encode() + record
    assert parse_pax(content + b"9 path=x\n") == {b"path": b"x"}
    pax, _ = member("pax", content, type=tarfile.XHDTYPE)
    archive = pax.tobuf(tarfile.USTAR_FORMAT) + content.ljust(BLOCK, b"\0") + make_tar([member("f", b"y")])
    assert [(each.name, each.size) for each in read(archive)] == [(b"f", 1)]


def test_of_two_headers_about_one_member_the_first_counts() -> None:
    long = member("long", b"by GNU tar", type=b"L")
    pax = member("pax", b"15 path=by PAX\n", type=tarfile.XHDTYPE)
    for headers, name in (((long, pax), b"by GNU tar"), ((pax, long), b"by PAX")):
        before = b"".join(info.tobuf(tarfile.GNU_FORMAT) + content.ljust(BLOCK, b"\0") for info, content in headers)
        assert [each.name for each in read(before + make_tar([member("f", b"y")]))] == [name]


def test_a_name_is_bytes() -> None:
    info, _ = member("x")
    raw = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    raw[:3] = b"\xff\xe4x"
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    assert [each.name for each in read(bytes(raw))] == [b"\xff\xe4x"]


def test_a_sparse_file_has_the_size_that_it_unpacks_to() -> None:
    """GNU tar's old format: the real size is in the header, and more blocks say where there is data."""
    info, _ = member("sparse", b"d" * 700, type=b"S")
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[482] = 1
    raw[483:495] = b"00000100000\0"
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    archive = bytes(raw) + bytes(504) + b"\1" + bytes(7) + bytes(BLOCK) + bytes(1024) + make_tar([member("next", b"n")])
    assert [(each.name, each.size) for each in read(archive)] == [(b"sparse", 0o100000), (b"next", 1)]


WHOLE = make_tar([member("f", b"x" * 700), member("g")])


@pytest.mark.parametrize(
    ("archive", "names"),
    [
        (b"", []),
        (bytes(512), []),
        (bytes(10240), []),
        (WHOLE, [b"f", b"g"]),
        (WHOLE[:2048], [b"f", b"g"]),  # without its end
        (WHOLE[:1900], [b"f"]),  # in the middle of a header: as tarfile
        (WHOLE + b"what follows the end" * 100, [b"f", b"g"]),
        (WHOLE[:1536] + b"no header" * 200, [b"f"]),
    ],
)
def test_an_archive_ends_where_tarfile_ends_it(archive: bytes, names: Sequence[bytes]) -> None:
    assert [each.name for each in read(archive)] == names


def _long(kind: bytes, size: int, *, times: int = 1) -> bytes:
    info, _ = member("long", type=kind)
    info.size = size
    content = min(size, 2 * EXTRA_BYTES)  # nobody reads what is too long
    return (info.tobuf(tarfile.GNU_FORMAT) + bytes(-(-content // BLOCK) * BLOCK)) * times + WHOLE


@pytest.mark.parametrize(
    "archive",
    [
        b"x",
        b"hello" * 200,
        bytes(511) + b"\1" + bytes(1024),
        WHOLE[:600],
        WHOLE[:1500],  # without the padding of its content
        _long(b"L", 700)[:BLOCK],
        _long(b"L", 700)[:1400],
        _long(b"L", 700)[:1536] + bytes(1024),
        _long(b"x", 700)[:1536] + b"no header" * 200,
        _long(b"L", EXTRA_BYTES + 1),
        _long(b"x", EXTRA_BYTES + 1),
        _long(b"g", 8**11 - 1)[:4096],
        _long(b"L", 1, times=EXTRA_HEADERS + 1),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("step", [1, 512, 1_000_000])
def test_what_is_no_archive_is_refused(archive: bytes, step: int) -> None:
    with pytest.raises(NotATar):
        read(archive, step=step if len(archive) < 10_000 or step > 1 else 512)


def test_records_of_nonsense_take_no_time() -> None:
    """Each would be looked through for its end by a careless reader."""
    for content in (b"2 " * 500_000, b"0 x=" * 200_000, b"1 " * 500_000 + b"=", b"9" * 900_000):
        assert parse_pax(content) == {}


def test_records_for_the_whole_archive_take_no_time_at_each_header() -> None:
    """All of 100 000 records looked through at each of 1800 headers took ten seconds."""
    records = b"".join(b"9 %05x=\n" % number for number in range(100_000))
    one = b"9 path=x\n".ljust(BLOCK, b"\0")
    info, _ = member("pax", one[:9], type=tarfile.XGLTYPE)
    headers = (info.tobuf(tarfile.USTAR_FORMAT) + one) * 60
    whole, _ = member("pax", records, type=b"g")
    archive = whole.tobuf(tarfile.USTAR_FORMAT) + records.ljust(-(-len(records) // BLOCK) * BLOCK, b"\0")
    archive += (headers + member("f")[0].tobuf(tarfile.USTAR_FORMAT)) * 30
    before = time.process_time()
    assert [each.name for each in read(archive, step=1_000_000)] == [b"x"] * 30
    assert time.process_time() - before < 2


@given(st.binary(max_size=3000))
def test_any_bytes_are_an_archive_or_are_refused(content: bytes) -> None:
    try:
        read(content)
    except NotATar:
        return


@settings(max_examples=200)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_an_archive_with_a_wrong_byte_is_read_or_refused(at: int, byte: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] = byte
    try:
        read(bytes(changed))
    except NotATar:
        return


def test_records_for_the_whole_archive_take_no_time_with_each_header_that_follows() -> None:
    """Few of them say what is read; a careless reader would go through all of them again for each header."""
    records = b"".join(_record(b"%x" % number, b"") for number in range(4096, 84_096)) + _record(b"mtime", b"9.25")
    many, _ = member("many", type=tarfile.XGLTYPE)
    many.size = len(records)
    none, _ = member("none", type=tarfile.XGLTYPE)
    headers = many.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % BLOCK)
    archive = headers + none.tobuf(tarfile.USTAR_FORMAT) * 10_000 + make_tar([member("f", b"x")])
    began = time.monotonic()
    assert [(each.name, each.modified) for each in read(archive, step=100_000)] == [(b"f", 9.25)]
    assert time.monotonic() - began < 10  # a fifth of a second; it was a minute


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    size = len(rest) + 1
    return b"%d%b" % (size if size < 10 else size + 1, rest)
