"""What can be set about a mirror."""

from __future__ import annotations

from dataclasses import dataclass

TAGS_SECONDS = 172_800.0
"""docker-registry's own: two days."""


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """The registry that this one mirrors (`gateway.v1.mirroring`).

    Attributes:
        source: where it is: `http(s)://host[:port]`, perhaps with a path.
        source_index: where lists of images and search are asked for; "" for `source`.
        tags_seconds: for so long a tag that was had from there is not asked for again.
        ca: a PEM file that its certificate is checked against; "" for the system's.
        user: this registry's name there; "" where it shows nothing.
        password_file: what holds its password.
    """

    source: str
    source_index: str = ""
    tags_seconds: float = TAGS_SECONDS
    ca: str = ""
    user: str = ""
    password_file: str = ""
