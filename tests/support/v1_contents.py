"""What the requests of v1's differential test push: layers and image ids by name, the same in every run."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from string import Template
from typing import Any, Final

_TIME: Final = 1_400_000_000


def _entry(name: str, *, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.mtime = kind, mode, link, _TIME
    return entry


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


_base = _tar(
    (_entry("etc", kind=tarfile.DIRTYPE, mode=0o755), b""),
    (_entry("etc/hello"), b"hello\n"),
    (_entry("etc/lnk", kind=tarfile.SYMTYPE, link="hello"), b""),
)
# Compressed once: other versions of the programs that compress write other bytes, with other checksums.
NAMED: Final[Mapping[str, bytes]] = {
    "tar": _base,
    "gzip": base64.b64decode(
        "H4sIAAAAAAACA+3UMQ7CMAyFYc+cIjcgTe34PAhFqkQEEpT7E5UtQ7cw0P9bHHnJ8ORX1utZBouNm22z6ef2ntI8q6p/99lMJZj8"
        "wPu1Xp7tSzmm0vJfSq2Pwfln1Z38c5e/m2cJkfyH27I/CQ58//V+G97/+/ff9f8Uk7uENLqYuH8AAAAAAAAAAAAAAPAHPrZ2K1oA"
        "KAAA"
    ),
    "bzip2": base64.b64decode(
        "QlpoOTFBWSZTWXJaL4IAAK97gMmQBABAAP+AAKxqTZ4ACIggAJKGVHommgAAAyeoIpKPU9Jp6jCMgANNPPeLb6sy2FWVEFMMcfTF"
        "kVGjwpEmxRIQrIOzhrENTCu5gHLPpMHKbJkypm82+8uCGUFrBU2QaUB6OKJM9AYA9nf5eHJGBZEmJUqzdDS5EP4u5IpwoSDktF8E"
    ),
    "xz": base64.b64decode(
        "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AIpdADKdCIYQ5JSzSsi80f5CS2Mz1B2JkVQVwHamLhQM1z/RxCDeRBdjhY1snkgn"
        "4jfvnt7k7b1YgIQntPK76gQO06x6Uw80vQvUEwCVa0ShElAr2eVJI9CrpQ+fbVFau3VKxWOxG0+xamP8Z6/x+Zu+ewXQagY+/cUX"
        "wpSFgihIR3IEkeg9CCvJ69HYrQAAAOD8T0Ug3OzTAAGmAYBQAAAVl5WwscRn+wIAAAAABFla"
    ),
    "kinds": _tar(
        (_entry("./", kind=tarfile.DIRTYPE, mode=0o755), b""),
        (_entry("./x", mode=0o4755), b"x"),
        (_entry("./hard", kind=tarfile.LNKTYPE, link="./x"), b""),
        (_entry("dev/c", kind=tarfile.CHRTYPE), b""),
        (_entry("dev/b", kind=tarfile.BLKTYPE), b""),
        (_entry("dev/p", kind=tarfile.FIFOTYPE), b""),
        (_entry("long/" + "n" * 90), b""),
    ),
    "whiteouts": _tar(
        (_entry("./.wh.top"), b""),
        (_entry("./.wh..wh.plnk"), b""),
        (_entry("etc/.wh.hello"), b""),
        (_entry(".wh.nodot"), b""),
    ),
    "notar": b"this is not a tar, but some text",
    "hello": b"hello",
    "other": b"another layer",
    "empty": b"",
    "ten": b"0123456789abcde\n" * 64,
    "cut": _base[:700],
}


class Words(dict[str, str]):
    """Ids by name: a letter `A` to `F` is that letter 64 times, `id_…` the hash of its name,
    `long` one that is too long."""

    def __missing__(self, name: str) -> str:
        if name in set("ABCDEF"):
            return name.lower() * 64
        if name == "long":
            return "a" * 65
        if name.startswith("id_"):
            return sha256(name.encode()).hexdigest()
        raise KeyError(name)


@cache
def fill(text: str) -> str:
    """Writes ids where a text names them."""
    return Template(text).substitute(Words())


def image_json(image_id: str, parent: str = "", **more: Any) -> str:
    """The JSON of an image, as it is pushed."""
    known = {"id": image_id, **({"parent": parent} if parent else {}), "created": "2014-01-01T00:00:00Z", "os": "linux"}
    return json.dumps({**known, **more})


def payload(json_text: str, layer: bytes) -> str:
    """The checksum with which the push of an image ends."""
    return "sha256:" + sha256(json_text.encode() + b"\n" + layer).hexdigest()
