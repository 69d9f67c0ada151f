#!/usr/bin/env bash
# python-isal 1.9.1 (isa-l): a gzip member whose header has both a name and a comment (RFC 1952, section 2.3), or a checksum of
# the header (FHCRC), is an error when the header comes in two pieces: "Invalid lookback distance found" or "Incorrect checksum
# found". In one piece it is read; zlib reads it however it is cut.
#
# Needs: Python 3, PyPI. Takes some seconds. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check isal==1.9.1

"$folder/venv/bin/python" - <<'PY'
import gzip
import sys
import zlib

from isal import igzip_lib, isal_zlib

RAW = b"the quick brown fox " * 500
BODY = gzip.compress(RAW)[10:]
FIXED = b"\0\0\0\0\0\xff"


def checked(header):
    return header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")


HEADERS = {
    "plain": b"\x1f\x8b\x08\x00" + FIXED,
    "name": b"\x1f\x8b\x08\x08" + FIXED + b"layer.tar\0",
    "name and comment": b"\x1f\x8b\x08\x18" + FIXED + b"layer.tar\0by hand\0",
    "checksum": checked(b"\x1f\x8b\x08\x02" + FIXED),
}


def inflate(decompressor, *pieces):
    try:
        return "read" if b"".join(map(decompressor.decompress, pieces)) == RAW else "other bytes"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is printed
        return f"{type(error).__name__}: {error}"


seen = {}
for name, header in HEADERS.items():
    content = header + BODY
    halves = content[:10], content[10:]
    seen[name] = (
        inflate(zlib.decompressobj(31), *halves),
        inflate(isal_zlib.decompressobj(31), content),
        inflate(isal_zlib.decompressobj(31), *halves),
        inflate(igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), *halves),
    )
    print(f"{name}: zlib in two pieces: {seen[name][0]}; isal_zlib in one: {seen[name][1]}, in two: {seen[name][2]};"
          f" igzip_lib in two: {seen[name][3]}")

as_expected = all(row[:2] == ("read", "read") for row in seen.values())
whole = all("read" in seen[name][2:] for name in ("plain", "name"))
broken = all("Error" in told for name in ("name and comment", "checksum") for told in seen[name][2:])
sys.exit(0 if as_expected and whole and broken else 1)
PY
