"""Layers of real files, compressed as Docker and BuildKit compress them: random bytes and zeros cost something else.

Each can be numbered: the same content in other bytes, which no registry has seen yet.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import os
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

from bench.programs import Hindrance

PLACES = (Path("/usr/bin"), Path(sysconfig.get_path("stdlib")), Path("/usr/lib"))
"""What images of distributions are made of: programs, scripts, libraries. gzip makes 1 byte of 2.9. A layer begins with
one of them, the next layer with the next."""

LARGEST_FILE = 8 * 1024 * 1024
_BZIP2 = b"BZh9" + bytes.fromhex("314159265359")


@dataclass(frozen=True, slots=True)
class Layer:
    """A tar of real files.

    Attributes:
        diff_id: digest of the tar.
        size: of the tar, in bytes.
        gzip: it in gzip, at Docker's level.
        zstd: it in zstd, at BuildKit's level.
    """

    diff_id: str
    size: int
    gzip: bytes
    zstd: bytes

    def numbered_gzip(self, number: int) -> bytes:
        """Returns the gzip with a time of its own in its header."""
        return self.gzip[:4] + number.to_bytes(4, "little") + self.gzip[8:]

    def numbered_zstd(self, number: int) -> bytes:
        """Returns the zstd behind a frame that is skipped."""
        return b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + number.to_bytes(4, "little") + self.zstd

    def numbered_opaque(self, number: int) -> bytes:
        """Returns as many bytes as the gzip has, which begin as bzip2: nobody inflates those while they are pushed."""
        return _BZIP2 + number.to_bytes(4, "little") + self.gzip[len(_BZIP2) + 4 :]


@functools.cache
def real_layers(count: int, *, size: int) -> tuple[Layer, ...]:
    """Makes layers of the files of this machine.

    Args:
        count: how many.
        size: of the tar of each, at least, in bytes.

    Raises:
        Hindrance: there are too few files.
    """
    places = [PLACES[number % len(PLACES) :] + PLACES[: number % len(PLACES)] for number in range(count)]
    with ThreadPoolExecutor() as threads:  # both compressors let others run meanwhile
        return tuple(threads.map(_layer, [_tar(_files(each), size) for each in places]))


def _layer(tar: bytes) -> Layer:
    diff_id = f"sha256:{hashlib.sha256(tar).hexdigest()}"
    return Layer(diff_id, len(tar), gzip.compress(tar, 6, mtime=0), zstd.compress(tar, 3))


def _tar(files: Iterator[Path], size: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        while packed.tell() < size:
            path = next(files, None)
            if path is None:
                raise Hindrance(f"{', '.join(map(str, PLACES))} hold too few files to make layers of")
            tar.add(path, path.relative_to("/"))
    return packed.getvalue()


def _files(places: Sequence[Path]) -> Iterator[Path]:
    """Yields regular files that can be read, folder by folder, in the same order at any time."""
    for place in places:
        for folder, folders, names in os.walk(place):
            folders.sort()
            yield from filter(_is_fit, (Path(folder, name) for name in sorted(names)))


def _is_fit(path: Path) -> bool:
    is_regular = path.is_file() and not path.is_symlink()
    return is_regular and os.access(path, os.R_OK) and path.stat().st_size <= LARGEST_FILE
