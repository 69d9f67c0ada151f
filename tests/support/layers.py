"""Layers as clients see them: packed in any way that is pushed, unpacked by what a client can read, laid over each
other to one tree. Independent of Portside's own code, which it judges (FORMATS sections 1.4 and 1.6).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Final

from backports import zstd

_SKIPPABLE: Final = b"\x50\x2a\x4d\x18"
_WINDOW_LOG_MAX: Final = 31
_OPAQUE: Final = ".wh..wh..opq"
_WHITEOUT: Final = ".wh."


class Compression(Enum):
    """What the first bytes of a layer say; anything else is a plain tar."""

    NONE = "plain"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"


OLD_READERS: Final = frozenset({Compression.NONE, Compression.GZIP, Compression.BZIP2, Compression.XZ})
"""Docker before 23."""

CONTAINERD: Final = frozenset({Compression.NONE, Compression.GZIP, Compression.ZSTD})
ALL: Final = frozenset(Compression)


class UnreadableLayerError(Exception):
    """The client cannot unpack the layer."""


def compression_of(layer: bytes) -> Compression:
    """By the magic number; skippable frames of zstd are zstd."""
    if layer.startswith(b"\x1f\x8b\x08"):
        return Compression.GZIP
    if layer.startswith(b"BZh"):
        return Compression.BZIP2
    if layer.startswith(b"\xfd7zXZ\0"):
        return Compression.XZ
    if layer.startswith(b"\x28\xb5\x2f\xfd") or (layer[1:4] == _SKIPPABLE[1:] and layer[0] >> 4 == 5):
        return Compression.ZSTD
    return Compression.NONE


def unpack(layer: bytes, readable: frozenset[Compression] = ALL) -> bytes:
    """The tar in a layer.

    Raises:
        UnreadableLayerError: It is packed in a way that the client does not know, or broken.
    """
    compression = compression_of(layer)
    if compression not in readable:
        raise UnreadableLayerError(f"unexpected EOF: the layer is {compression.value}")
    try:
        match compression:
            case Compression.NONE:
                return layer
            case Compression.GZIP:
                return _gunzip(layer)
            case Compression.BZIP2:
                return bz2.decompress(layer)
            case Compression.XZ:
                return lzma.decompress(layer)
            case Compression.ZSTD:
                return zstd.decompress(layer, options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zstd.ZstdError, ValueError) as error:
        raise UnreadableLayerError(f"the layer's {compression.value} is broken: {error}") from error


def _gunzip(layer: bytes) -> bytes:
    """Every member, as Go does: what follows the last, zeros too, is an invalid header (FOUND 19)."""
    parts: list[bytes] = []
    while layer:
        member = zlib.decompressobj(31)
        parts.append(member.decompress(layer))
        if not member.eof:
            raise EOFError("it ends in the middle")
        layer = member.unused_data
    return b"".join(parts)


def pack(tar: bytes, compression: Compression) -> bytes:
    """A layer of the usual kind; the same bytes each time."""
    match compression:
        case Compression.NONE:
            return tar
        case Compression.GZIP:
            return gzip.compress(tar, compresslevel=6, mtime=0)
        case Compression.BZIP2:
            return bz2.compress(tar)
        case Compression.XZ:
            return lzma.compress(tar)
        case Compression.ZSTD:
            return zstd.compress(tar)


def pack_zstd_frames(tar: bytes) -> bytes:
    """As zstd:chunked and pzstd write it: a skippable frame first, the tar in several frames, one more at the end."""
    third = len(tar) // 3 + 1
    frames = [zstd.compress(tar[at : at + third]) for at in range(0, len(tar), third)]
    return b"".join([_skippable(b"table of contents"), *frames, _skippable(b"footer")])


def _skippable(content: bytes) -> bytes:
    return _SKIPPABLE + len(content).to_bytes(4, "little") + content


def pack_gzip_members(tar: bytes) -> bytes:
    """As pigz and eStargz write it: several members."""
    half = len(tar) // 2
    return b"".join(gzip.compress(part, mtime=0) for part in (tar[:half], tar[half:]))


def is_empty(tar: bytes) -> bool:
    """Whether a layer has no entries: nothing but zero bytes, or nothing (FORMATS section 2.3)."""
    return not tar.strip(b"\0")


@dataclass(frozen=True, slots=True)
class Node:
    """What lies at a path."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    mtime: int
    content: str = ""
    target: str = ""


Tree = Mapping[str, Node]


def tree_of(tars: Iterable[bytes]) -> Tree:
    """The files of an image: its layers laid over each other, base first, with their whiteouts obeyed."""
    tree: dict[str, Node] = {}
    for tar in tars:
        if not is_empty(tar):
            _lay_over(tree, tar)
    return tree


def _lay_over(tree: dict[str, Node], tar: bytes) -> None:
    added: dict[str, Node] = {}
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        for entry in archive:
            path = entry.name.strip("/")
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                _remove_below(tree, folder)
            elif name.startswith(_WHITEOUT):
                gone = f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
                tree.pop(gone, None)
                _remove_below(tree, gone)
            else:
                added[path] = _node(archive, entry, {**tree, **added})
    for path, node in added.items():
        if node.kind != tarfile.DIRTYPE:
            _remove_below(tree, path)
    tree.update(added)


def _remove_below(tree: dict[str, Node], folder: str) -> None:
    for path in [path for path in tree if path.startswith(f"{folder}/")]:
        del tree[path]


def _node(archive: tarfile.TarFile, entry: tarfile.TarInfo, below: Tree) -> Node:
    if entry.islnk():
        return replace(below[entry.linkname.strip("/")], kind=tarfile.REGTYPE)
    content = archive.extractfile(entry)
    return Node(
        entry.type,
        entry.mode,
        (entry.uid, entry.gid),
        int(entry.mtime),
        sha256(content.read()).hexdigest() if content else "",
        entry.linkname,
    )
