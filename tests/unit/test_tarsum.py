"""TarSum over streams: worked examples, recorded pushes of Docker, and any tar against an independent reading of it."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import tarfile
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.model.tarsum import MAX_EXTENDED, NotATar, TarSums, Version
from tests.support import tarsum as slow
from tests.support.formats import FORMATS, example_json
from tests.support.tarsum import TarSumVersion, payload_checksum

BOTH = [Version.V0, Version.V1]
SLOW = {Version.V0: TarSumVersion.V0, Version.V1: TarSumVersion.V1}


def tarsum(tar: bytes, extra: bytes = b"", *, version: Version = Version.V0, piece: int = 65536) -> str:
    sums = TarSums([version])
    for start in range(0, len(tar), piece):
        sums.take(tar[start : start + piece])
    sums.finish()
    return sums.sum(version, extra)


def _entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b""
) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(content)
    entry.mtime, entry.mode = 1_400_000_000, 0o755 if kind == tarfile.DIRTYPE else 0o644
    return entry, content


def _pack(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


FOLDER, HELLO = _entry("etc", tarfile.DIRTYPE), _entry("etc/hello", content=b"hello\n")
SYMLINK, HARD = _entry("etc/lnk", tarfile.SYMTYPE, "hello"), _entry("etc/hard", tarfile.LNKTYPE, "etc/hello")
EMPTY = _entry("empty")
A = b'{"id": "' + b"a" * 64 + b'"}'
OF_VOLUME = b'{"id": "' + b"a" * 64 + b'", "created": "2014-01-01T00:00:00Z", "os": "linux", "architecture": "amd64"}'


@pytest.mark.parametrize(
    ("entries", "extra", "expected"),
    [
        ((FOLDER, HELLO, SYMLINK), b"", "538df217545c4cf867b1fdf4b07bddea0c956a67c7157f0572b996b2383d127b"),
        ((FOLDER, HELLO, SYMLINK, HARD, EMPTY), A, "dc61cb4172b3d5752d99f4d4b106ce77091ee3289246c0f3c31a3c2cf1a5e822"),
        ((), b"{}", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        ((FOLDER, HELLO, SYMLINK), OF_VOLUME, "fe17d7abc6299d83083bab0d66fc0bcb7e5cda9c09b30c8c18ecf9c6ce70ba85"),
    ],
)
def test_the_worked_examples_of_docker_registry(
    entries: Sequence[tuple[tarfile.TarInfo, bytes]], extra: bytes, expected: str
) -> None:
    assert tarsum(_pack(*entries), extra) == f"tarsum+sha256:{expected}"


@pytest.mark.parametrize(
    ("text", "layer", "expected"),
    [
        (b"{}", b"", "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"),
        (b"{}", b"hello", "edf8906cf6ea9c16186c129fffa316f9d77564d488e5c4c012de3fadeb5a1ced"),
        (b'{"id": "' + b"3" * 64 + b'"}', b"", "011117bf09579c3ce16ed7cf787d0e2223062b10c03768746c5f79e529895b8a"),
        (A, b"layerbytes", "08bc63e9ecd3e03126d246b605e1b823272b1b702299599ced602debdf6a6dc0"),
        (b"{}", bytes(10240), "a7b3ccae4b70f4557b648eeafce77e01675bf7307a1dd0fb774d1e24b1c14a3b"),
    ],
)
def test_the_worked_examples_of_payload_checksums(text: bytes, layer: bytes, expected: str) -> None:
    assert payload_checksum(text, layer) == f"sha256:{expected}"


@pytest.mark.parametrize("folder", sorted(path.name for path in (FORMATS / "v1-image").iterdir() if path.is_dir()))
def test_what_docker_1_5_0_computes(folder: str) -> None:
    said = example_json(f"v1-image/{folder}/checksums.json")
    text, layer = ((FORMATS / "v1-image" / folder / file).read_bytes() for file in ("json", "layer.tar"))
    assert tarsum(layer, text) == said["X-Docker-Checksum (tarsum v0 over json+layer)"]
    assert tarsum(layer, version=Version.V1) == said["tarsum.v1 of layer alone (Docker 1.5 v2 preview blob digest)"]
    dev = tarsum(layer, version=Version.DEV)
    assert dev == said["tarsum.v1 of layer alone (Docker 1.5 v2 preview blob digest)"].replace(".v1", ".dev")


def test_what_docker_1_5_0_sent() -> None:
    folder = FORMATS / "v1-pushed-by-docker-1.5.0"
    headers = json.loads((folder / "checksum-headers.json").read_text())
    for path in sorted(folder.glob("[0-9]-*.json")):
        text, layer = path.read_bytes(), path.with_suffix(".layer").read_bytes()
        assert tarsum(gzip.decompress(layer), text) == headers[json.loads(text)["id"]]["X-Docker-Checksum"]


def test_a_tar_that_docker_1_0_1_left_without_an_end() -> None:
    whole = _pack(FOLDER, HELLO)
    assert tarsum(whole[: 512 + 1024]) == tarsum(whole)


def test_the_end_may_come_in_the_middle_of_a_content_or_a_header() -> None:
    whole = _pack(FOLDER, HELLO)
    for end in (100, 512 + 100, 1024 + 3, 1024 + 100):
        with pytest.raises(NotATar, match="ends in the middle"):
            tarsum(whole[:end])


def test_what_is_no_tar_is_told() -> None:
    with pytest.raises(NotATar, match="does not begin"):
        tarsum(b"x" * 1024)


def test_what_stands_behind_a_tar_does_not_count() -> None:
    whole = _pack(FOLDER, HELLO)
    assert tarsum(whole + b"junk" * 1000) == tarsum(whole)
    assert tarsum(whole[: 512 + 1024] + b"x" * 700) == tarsum(whole)


def test_a_v7_folder_is_one_by_its_slash() -> None:
    block = bytearray(_pack(_entry("d/"))[:512])
    block[156:157], block[257:265] = b"\0", bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert tarsum(bytes(block)) == slow.tarsum(bytes(block) + bytes(1024))


def test_an_extended_header_is_bounded() -> None:
    entry = tarfile.TarInfo("x")
    entry.pax_headers = {"comment": "x" * MAX_EXTENDED}
    with pytest.raises(NotATar, match="too long"):
        tarsum(_pack((entry, b""), form=tarfile.PAX_FORMAT))


def _header(kind: bytes, content: bytes) -> bytes:
    entry = tarfile.TarInfo("h")
    entry.type, entry.size = kind, len(content)
    return entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_extended_headers_are_bounded_together(kind: bytes) -> None:
    record = f"{MAX_EXTENDED // 2 - 1024} SCHILY.xattr.user.{{}}=".encode()
    halves = [
        (record.replace(b"{}", b"%d" % number)).ljust(MAX_EXTENDED // 2 - 1025, b"x") + b"\n" for number in range(3)
    ]
    with pytest.raises(NotATar, match="too long"):
        tarsum(b"".join(_header(kind, half) for half in halves) + _pack(HELLO))


def test_many_small_records_take_the_time_of_their_bytes() -> None:
    many = b"6 a=b\n" * (MAX_EXTENDED // 6)
    began = time.process_time()
    assert tarsum(_header(tarfile.XHDTYPE, many) + _pack(HELLO)) == tarsum(_pack(HELLO))
    assert time.process_time() - began < 2.0


def test_a_name_of_bytes_that_are_no_text() -> None:
    entry = tarfile.TarInfo("x\udcff" * 80)
    entry.pax_headers = {"SCHILY.xattr.user.x": "\udcff"}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packed = _pack((entry, b""), form=form)
        for version in BOTH:
            assert tarsum(packed, version=version) == slow.tarsum(packed, version=SLOW[version])


# any tar

_names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=60).filter(str.strip)
_paths = st.lists(_names, min_size=1, max_size=4).map("/".join)
_kinds = st.sampled_from([bytes([kind]) for kind in b"0\x001234567"])


@st.composite
def _entries(draw: Callable[[st.SearchStrategy[object]], object]) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(str(draw(_paths)))
    entry.type = draw(_kinds)  # type: ignore[assignment]
    content = draw(st.binary(max_size=1500)) if entry.isreg() else b""
    assert isinstance(content, bytes)
    entry.size = len(content)
    entry.mode = draw(st.integers(0, 0o177777))  # type: ignore[assignment]
    entry.uid, entry.gid = draw(st.integers(0, 2**31)), draw(st.integers(0, 2**21 - 1))  # type: ignore[assignment]
    entry.mtime = draw(st.integers(0, 2**33))  # type: ignore[assignment]
    entry.uname, entry.gname = draw(st.text("abcé", max_size=9)), draw(st.text("abc", max_size=9))  # type: ignore[assignment]
    if entry.issym() or entry.islnk():
        entry.linkname = str(draw(_paths))
    if entry.ischr() or entry.isblk():
        entry.devmajor, entry.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 255))  # type: ignore[assignment]
    return entry, content


_attributes = st.dictionaries(
    st.text("abc.", min_size=1, max_size=9).map("SCHILY.xattr.user.{}".format), st.text("xyz é", max_size=9), max_size=3
)


@given(
    st.lists(st.tuples(_entries(), _attributes), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.binary(max_size=20),
    st.sampled_from([1, 7, 512, 513, 65536]),
)
@example([], tarfile.GNU_FORMAT, b"", 1)
def test_any_tar_has_the_sum_that_a_slow_reading_of_it_has(
    entries: list[tuple[tuple[tarfile.TarInfo, bytes], dict[str, str]]], form: int, extra: bytes, piece: int
) -> None:
    for (entry, _), attributes in entries:
        entry.pax_headers = dict(attributes)
    packed = _pack(*(each for each, _ in entries), form=form)
    sums = TarSums(BOTH)
    for start in range(0, len(packed), piece):
        sums.take(packed[start : start + piece])
    sums.finish()
    for version in BOTH:
        assert sums.sum(version, extra) == slow.tarsum(packed, extra, version=SLOW[version])


@given(st.binary(max_size=3000), st.integers(0, 4000), st.integers(0, 255))
def test_whatever_comes_is_a_sum_or_no_tar(junk: bytes, at: int, byte: int) -> None:
    damaged = bytearray(_pack(FOLDER, HELLO, SYMLINK, form=tarfile.PAX_FORMAT) + junk)
    damaged[at % len(damaged)] = byte
    for content in (junk, bytes(damaged)):
        with contextlib.suppress(NotATar):
            assert tarsum(content).startswith("tarsum+sha256:")


def test_only_a_header_of_a_large_content_is_held() -> None:
    content = random.Random(1).randbytes(1 << 20) * 8
    packed = _pack(_entry("large", content=content))
    sums = TarSums([Version.V0])
    for start in range(0, len(packed), 100_000):
        sums.take(memoryview(packed)[start : start + 100_000])
        assert len(sums._pieces) <= 512
    sums.finish()
    assert sums.sum(Version.V0, b"") == slow.tarsum(packed)
