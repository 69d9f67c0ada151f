"""Checksums, signatures and images of the replayer against worked examples of the specification."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from tests.support import schema1
from tests.support.images import digest_of, make_image
from tests.support.layers import unpack
from tests.support.tarsum import payload_checksum, tarsum

# The five entries of V1API section 10, all ustar, modification time 1400000000.
A_ID = b'{"id": "' + b"a" * 64 + b'"}'


def example_tar(*, entries: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        items: list[tuple[str, bytes, bytes, str]] = [
            ("etc", tarfile.DIRTYPE, b"", ""),
            ("etc/hello", tarfile.REGTYPE, b"hello\n", ""),
            ("etc/lnk", tarfile.SYMTYPE, b"", "hello"),
            ("etc/hard", tarfile.LNKTYPE, b"", "etc/hello"),
            ("empty", tarfile.REGTYPE, b"", ""),
        ]
        for name, kind, content, target in items[:entries]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size, entry.mtime = kind, target, len(content), 1_400_000_000
            entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("text", "tar", "expected"),
    [
        (b"", example_tar(entries=3), "538df217545c4cf867b1fdf4b07bddea0c956a67c7157f0572b996b2383d127b"),
        (A_ID, example_tar(entries=5), "dc61cb4172b3d5752d99f4d4b106ce77091ee3289246c0f3c31a3c2cf1a5e822"),
        (b"{}", bytes(10240), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        (b"{}", b"", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
    ],
)
def test_tarsum_agrees_with_the_worked_examples(text: bytes, tar: bytes, expected: str) -> None:
    assert tarsum(tar, text) == f"tarsum+sha256:{expected}"


@pytest.mark.parametrize(
    ("text", "layer", "expected"),
    [
        (b"{}", b"", "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"),
        (b"{}", b"hello", "edf8906cf6ea9c16186c129fffa316f9d77564d488e5c4c012de3fadeb5a1ced"),
        (A_ID, b"layerbytes", "08bc63e9ecd3e03126d246b605e1b823272b1b702299599ced602debdf6a6dc0"),
    ],
)
def test_the_payload_checksum_agrees_with_the_worked_examples(text: bytes, layer: bytes, expected: str) -> None:
    assert payload_checksum(text, layer) == f"sha256:{expected}"


@pytest.mark.parametrize("version_first", [True, False])
def test_a_signed_manifest_verifies_and_gives_its_payload_back(version_first: bool) -> None:  # noqa: FBT001 - a case
    entries = [schema1.Entry("sha256:" + "0" * 64, '{"id":"x","Cmd":"a && b <c>"}\n')]
    payload = schema1.payload("team/ml", "b", entries, version_first=version_first)
    signed = schema1.sign(payload, schema1.new_key())
    manifest = schema1.verify(signed)
    assert manifest.payload == payload
    assert manifest.digest == digest_of(payload)
    assert manifest.entries == tuple(entries)
    assert b"\\u0026\\u0026" in payload
    assert list(json.loads(signed))[-1] == "signatures"


def test_a_manifest_changed_after_signing_is_refused() -> None:
    payload = schema1.payload("team/ml", "b", [schema1.Entry("sha256:0", "{}")], version_first=True)
    signed = schema1.sign(payload, schema1.new_key())
    with pytest.raises(schema1.SignatureError):
        schema1.verify(signed.replace(b"team/ml", b"team/mm"))
    with pytest.raises(schema1.SignatureError):
        schema1.verify(payload)


def test_two_tags_of_one_image_share_ids_and_blobs_and_other_seeds_share_none() -> None:
    image, other = make_image("a/b"), make_image("a/c")
    chain = image.v1_chain(final_newline=True, closing_blocks=True)
    assert image.parent().v1_chain(final_newline=True, closing_blocks=True) == chain[:-1]
    assert not {layer.diff_id for layer in image.layers} & {layer.diff_id for layer in other.layers}
    assert json.loads(chain[1].json)["parent"] == chain[0].id


def test_docker_1_0_1_sends_tars_without_closing_blocks() -> None:
    layer = make_image("a/b").layers[0]
    assert unpack(layer.packed_without_end()) + bytes(1024) == unpack(layer.packed)


def test_a_modern_image_pushed_by_v1_has_ids_made_of_digests() -> None:
    image = make_image("a/b")
    chain = image.digest_chain()
    assert chain[0].id == image.layers[0].diff_id.removeprefix("sha256:")
    assert json.loads(chain[0].json) == {"id": chain[0].id}
    assert chain[-1].id == digest_of(image.config()).removeprefix("sha256:")
    assert "rootfs" not in json.loads(chain[-1].json)
