"""Who is asking: from a User-Agent to what that client can speak. PURE.

Docker before 1.6 speaks v1 only; 1.6 to 1.9 schema 1 over v2; 1.10 and later schema 2. `Go 1.1 package http` is what
programs built with Go up to 1.4 send when they set no agent of their own: Docker 1.0 to 1.5 ping with it, so it counts
as older than 1.6 (WIRE section 8). Everything else, known or not, absent or hostile, is a modern client: the ones that
need care are a closed set of old releases.

Pre-releases are no semantic versions here (WIRE section 8): 1.5.0-rc4 speaks v1, 1.5.0-dev was built from the branch
that spoke v2, and 1.6.0-rc1 speaks v2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

MAX_AGENT = 1024
"""Longer agents are cut before they are looked at; no client's is a quarter as long."""

_PRODUCT = re.compile(r"([A-Za-z][A-Za-z0-9._-]{0,39})/v?(\d{1,9}(?:\.\d{1,9}){0,3})([^\s(]{0,60})", re.ASCII)
_GO_DEFAULT = "Go "
_FIRST_V2 = (1, 6)
_FIRST_SCHEMA2 = (1, 10)
_FIRST_OCI = (20, 10)
_DEV_OF_V2 = (1, 5)


class Generation(Enum):
    """What a client can speak, oldest first."""

    V1 = "v1"
    SCHEMA1 = "schema 1"
    SCHEMA2 = "schema 2"
    MODERN = "modern"


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """A client as far as its User-Agent tells.

    Attributes:
        product: its name, `docker`; "" when it says none that can be read.
        version: its numbers, (24, 0, 7); empty when it says none.
        prerelease: what follows them, `rc4`, `ce`, `dfsg1`.
        generation: what it can speak.
    """

    product: str
    version: tuple[int, ...]
    prerelease: str
    generation: Generation

    @property
    def speaks_v2(self) -> bool:
        return self.generation is not Generation.V1

    @property
    def text(self) -> str:
        """Names the client in a sentence; printable ASCII, whatever it sent."""
        if not self.product:
            return "an unnamed client"
        version = ".".join(map(str, self.version))
        return f"{self.product} {version}{'-' + self.prerelease if self.prerelease else ''}"


UNNAMED = ClientProfile("", (), "", Generation.MODERN)


def parse_user_agent(text: str | None) -> ClientProfile:
    """Returns who a User-Agent says it is. Never fails."""
    return UNNAMED if not text else _parse(text[:MAX_AGENT])


@lru_cache(maxsize=4096)
def _parse(text: str) -> ClientProfile:
    if text.startswith(_GO_DEFAULT):
        return ClientProfile("Go", (1, 1), "", Generation.V1)
    match = _PRODUCT.match(text)
    if match is None:
        return UNNAMED
    version = tuple(map(int, match[2].split(".")))
    prerelease = re.sub(r"[^A-Za-z0-9._+~-]", "", match[3]).lstrip("-+~")
    generation = _docker_generation(version, prerelease) if match[1] == "docker" else Generation.MODERN
    return ClientProfile(match[1], version, prerelease, generation)


def _docker_generation(version: tuple[int, ...], prerelease: str) -> Generation:
    if version[:2] == _DEV_OF_V2 and prerelease == "dev":
        return Generation.SCHEMA1
    if version < _FIRST_V2:
        return Generation.V1
    if version < _FIRST_SCHEMA2:
        return Generation.SCHEMA1
    return Generation.SCHEMA2 if version < _FIRST_OCI else Generation.MODERN
