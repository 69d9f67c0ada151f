"""Checksums that Docker clients send with a layer: TarSum and the payload checksum.

Computed from the specification (V1API section 10, FORMATS section 1.5), not with Portside's code.
"""

from __future__ import annotations

import io
import tarfile
from enum import Enum
from hashlib import sha256


class TarSumVersion(Enum):
    """The label of a sum; version 0 counts modification times, version 1 extended attributes instead."""

    V0 = "tarsum"
    V1 = "tarsum.v1"


def tarsum(tar: bytes, extra: bytes = b"", *, version: TarSumVersion = TarSumVersion.V0) -> str:
    """TarSum of an uncompressed tar, seeded with `extra` (the image's JSON).

    A stream without any entry, even one of zero bytes, sums to sha256 of `extra` alone.
    """
    sums: list[str] = []
    if tar.strip(b"\0"):
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            sums = sorted(_entry_sum(archive, entry, version) for entry in archive)
    digest = sha256(extra + "".join(sums).encode())
    return f"{version.value}+sha256:{digest.hexdigest()}"


def _entry_sum(archive: tarfile.TarFile, entry: tarfile.TarInfo, version: TarSumVersion) -> str:
    name = entry.name.rstrip("/") + "/" if entry.isdir() else entry.name
    fields: list[tuple[str, str]] = [
        ("name", name),
        ("mode", str(entry.mode)),
        ("uid", str(entry.uid)),
        ("gid", str(entry.gid)),
        ("size", str(entry.size if entry.isreg() else 0)),
        *([("mtime", str(int(entry.mtime)))] if version is TarSumVersion.V0 else []),
        ("typeflag", entry.type.decode("latin-1")),
        ("linkname", entry.linkname),
        ("uname", entry.uname),
        ("gname", entry.gname),
        ("devmajor", str(entry.devmajor)),
        ("devminor", str(entry.devminor)),
    ]
    if version is TarSumVersion.V1:
        prefix = "SCHILY.xattr."
        names = sorted(key for key in entry.pax_headers if key.startswith(prefix))
        fields += [(key.removeprefix(prefix), entry.pax_headers[key]) for key in names]
    digest = sha256("".join(key + value for key, value in fields).encode("utf-8", "surrogateescape"))
    content = archive.extractfile(entry) if entry.isreg() else None
    if content is not None:
        digest.update(content.read())
    return digest.hexdigest()


def payload_checksum(json_text: bytes, layer: bytes) -> str:
    """``X-Docker-Checksum-Payload``: of the JSON as PUT, a newline, and the layer's bytes as PUT."""
    return "sha256:" + sha256(json_text + b"\n" + layer).hexdigest()
