"""What the judge knows of layers: packings are read by whom they should be, and whiteouts hide what they should."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest

from tests.support.images import EMPTY_LAYER, EMPTY_TAR, make_built_image
from tests.support.layers import (
    CONTAINERD,
    OLD_READERS,
    Compression,
    UnreadableLayerError,
    compression_of,
    pack,
    pack_gzip_members,
    pack_zstd_frames,
    tree_of,
    unpack,
)

TAR = make_built_image("packings").layers[0].tar


@pytest.mark.parametrize("compression", Compression)
def test_each_packing_is_known_by_its_first_bytes_and_unpacked(compression: Compression) -> None:
    packed = pack(TAR, compression)
    assert compression_of(packed) is compression
    assert unpack(packed) == TAR


@pytest.mark.parametrize(
    ("packing", "compression"), [(pack_gzip_members, Compression.GZIP), (pack_zstd_frames, Compression.ZSTD)]
)
def test_layers_of_several_parts_are_unpacked_whole(
    packing: Callable[[bytes], bytes], compression: Compression
) -> None:
    packed = packing(TAR)
    assert compression_of(packed) is compression
    assert unpack(packed) == TAR


def test_a_client_reads_only_what_it_knows() -> None:
    with pytest.raises(UnreadableLayerError, match="unexpected EOF: the layer is zstd"):
        unpack(pack_zstd_frames(TAR), OLD_READERS)
    with pytest.raises(UnreadableLayerError, match="xz"):
        unpack(pack(TAR, Compression.XZ), CONTAINERD)


@pytest.mark.parametrize("compression", [each for each in Compression if each is not Compression.NONE])
def test_a_layer_that_is_cut_off_is_refused(compression: Compression) -> None:
    with pytest.raises(UnreadableLayerError, match="broken"):
        unpack(pack(TAR, compression)[:-12])


def test_zeros_after_a_gzip_are_refused_as_go_refuses_them() -> None:
    with pytest.raises(UnreadableLayerError, match="broken"):
        unpack(pack(TAR, Compression.GZIP) + bytes(512))


def test_the_empty_layer_of_old_docker_is_two_blocks_of_zeros() -> None:
    assert unpack(EMPTY_LAYER) == EMPTY_TAR


def test_a_tree_obeys_whiteouts() -> None:
    image = make_built_image("tree")
    tree = tree_of(layer.tar for layer in image.layers)
    assert "etc/gone" not in tree
    assert not {"opt/old/a", "opt/old/b", "srv/kept"} & {*tree}
    assert {"opt/old/c", "var/empty/deep", "srv/noise"} <= {*tree}
    assert tree["etc/hard"].content == tree["etc/mark"].content


def test_a_file_takes_the_place_of_a_folder() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("opt/old"))
    tree = tree_of([TAR, buffer.getvalue()])
    assert tree["opt/old"].kind == tarfile.REGTYPE
    assert not [path for path in tree if path.startswith("opt/old/")]
