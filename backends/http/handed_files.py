"""Files that a registry hands over to our own proxy in place of their bytes, where both see the same folder. PURE.

The proxy says in each request for content that it may be handed files; a registry that is set to (`files`) and that was
asked by a trusted peer answers with the place of the bytes instead of the bytes, and the proxy sends them itself:

    X-Portside-Takes-Files: yes
    X-Portside-File: 0-1048575/268435456 /docker/registry/v2/blobs/sha256/ab/ab12.../data

What a client says of either never passes the proxy. A place is below the folder that the proxy is set to, whatever a
registry says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

TAKES = "X-Portside-Takes-Files"
FILE = "X-Portside-File"
SMALLEST = 64 * 1024
"""Bytes; less is sent by the registry itself: to open the file twice costs more."""
_VALUE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}) (/[!-~]+)", re.ASCII)
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class HandedFile:
    """Bytes of a file.

    Attributes:
        path: from the folder that both see, with a slash at its beginning.
        first: the first byte to send.
        last: the last one.
        size: of the file in bytes.
    """

    path: str
    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        """How many bytes are to be sent."""
        return self.last - self.first + 1


def path_below(folder: str, path: str) -> str | None:
    """Returns an absolute path as it is from a folder; None where it is not below that."""
    folder = folder.rstrip("/")
    return path[len(folder) :] if folder and path.startswith(f"{folder}/") else None


def format_handed(file: HandedFile) -> str:
    """Returns the header's value."""
    return f"{file.first}-{file.last}/{file.size} {quote(file.path)}"


def parse_handed(value: str) -> HandedFile:
    """Reads the header's value.

    Raises:
        ValueError: it is not valid, or its path could lead out of the folder.
    """
    found = _VALUE.fullmatch(value)
    if found is None or len(value) > _LONGEST:
        raise ValueError("it is not valid")
    file = HandedFile(unquote(found[4], errors="strict"), int(found[1]), int(found[2]), int(found[3]))
    if not file.first <= file.last < file.size:
        raise ValueError("its range lies outside the file")
    if "\0" in file.path or any(part in {"", ".", ".."} for part in file.path[1:].split("/")):
        raise ValueError("its path is not plain")
    return file
