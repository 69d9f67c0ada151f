"""`python -m bench.bare (inflate|gzip) FILE…`: what a conversion cannot save, in a loop with nothing around it.

`inflate` reads gzips, hashes their bytes, inflates them and hashes what they hold, with the libraries that Portside
uses. `gzip` reads zstd, does the same, compresses what it holds as Portside does, and hashes that. One line of JSON
says the seconds of CPU, and the digest of what each file holds.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from backports import zstd
from isal import igzip_lib, isal_zlib

from backends.registry.layers.transcoding import LEVEL

BATCH = 1024 * 1024
PIECE = 256 * 1024


def inflate(path: Path) -> str:
    """Returns the digest of what a gzip of one member holds."""
    part = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    stored, raw = hashlib.sha256(), hashlib.sha256()
    for batch in _batches(path):
        stored.update(batch)
        data = batch
        while not part.eof:
            raw.update(part.decompress(data, PIECE))
            data = b""
            if part.needs_input:
                break
    return f"sha256:{raw.hexdigest()}"


def recompress(path: Path) -> str:
    """Returns the digest of what zstd of a skipped frame and another one holds; a gzip of that is made and hashed."""
    part = zstd.ZstdDecompressor()
    deflater = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
    stored, raw, made, checksum = hashlib.sha256(), hashlib.sha256(), hashlib.sha256(), 0
    for batch in _batches(path):
        stored.update(batch)
        data = batch
        while True:
            if part.eof:
                part, data = zstd.ZstdDecompressor(), part.unused_data
                if not data:
                    break
            piece = part.decompress(data, PIECE)
            data = b""
            raw.update(piece)
            checksum = isal_zlib.crc32(piece, checksum)
            made.update(deflater.compress(piece))
            if part.needs_input and not part.eof:
                break
    made.update(deflater.flush())
    return f"sha256:{raw.hexdigest()}"


def _batches(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while batch := file.read(BATCH):
            yield batch


def main() -> None:
    work = {"inflate": inflate, "gzip": recompress}[sys.argv[1]]
    begun = time.process_time()
    held = [work(Path(name)) for name in sys.argv[2:]]
    sys.stdout.write(json.dumps({"cpu": time.process_time() - begun, "held": held}) + "\n")


if __name__ == "__main__":
    main()
