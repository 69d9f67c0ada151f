"""Who is asking: from a User-Agent to what that client can speak. PURE.

Docker before 1.6 speaks v1 only; 1.6 to 1.9 schema 1 over v2; 1.10 and later schema 2; 20.10 and later OCI's types too.
`Go 1.1 package http` is what programs built with Go up to 1.4 send when they set no agent of their own (Go 1.5 and
later say `Go-http-client/1.1`): Docker 1.0 to 1.5 ping with it, so it counts as older than 1.6 (WIRE section 8).

Invariant: everything else, known or not, absent or hostile, is a modern client. The ones that need care are a closed
set of old releases, and every one of them says `docker/` in lower case; `Docker/1.5.0` is some other program.

Pre-releases are not semantic versions here (WIRE section 8): 1.5.0-rc4 speaks v1, 1.5.0-dev was built from the branch
that spoke v2, and 1.6.0-rc1 speaks v2.

A Docker that was not released says no version at all: `docker/library-import`, `docker/dev`, a commit such as
`docker/1a2b3c4`, and, since 2018, `docker/0.0.0-20190424223053-cfe423a`. Every release has two numbers or more, and the
first was 0.1.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

MAX_AGENT = 1024
"""Longer agents are cut before they are looked at; no client's is a quarter as long."""

_VERSION = r"v?(?P<version>[0-9]{1,9}(?:\.[0-9]{1,9}){0,3})(?P<rest>[^\s()]{0,60})"
_PRODUCT = re.compile(rf"(?P<product>[A-Za-z][A-Za-z0-9._-]{{0,39}})(?:/{_VERSION})?")
_COMMENTED = re.compile(rf"(?P<product>[A-Za-z][A-Za-z0-9._-]{{0,39}}/[A-Za-z][A-Za-z0-9._-]{{0,39}}) \({_VERSION}\)")
_GO_DEFAULT = re.compile(r"Go [0-9]{1,3}\.[0-9]{1,3} package http")
_NOT_SAFE = re.compile(r"[^A-Za-z0-9._+~-]")
_RUNS_ON = re.compile(r"\bos/([a-z0-9]{1,16}) arch/([a-z0-9]{1,16})\b")
_FIRST_WORD = re.compile(r"[a-z]*")
_FIRST_V2 = (1, 6)
_FIRST_SCHEMA2 = (1, 10)
_FIRST_OCI = (20, 10)
_FIRST_ZSTD = {"docker": (23,), "containerd": (1, 5)}
_FIRST_WITHOUT_SCHEMA1 = (26,)
_DEV_OF_V2 = (1, 5)
_FIRST_RELEASE = (0, 1)
_NUMBERS_OF_A_RELEASE = 2


class Generation(Enum):
    """What a client can speak, oldest first."""

    V1 = "v1"
    SCHEMA1 = "schema 1"
    SCHEMA2 = "schema 2"
    MODERN = "modern"


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """A client, as far as its User-Agent describes it.

    Attributes:
        product: its name, `docker`; "" when it says none that can be read.
        version: its numbers, (24, 0, 7), which compare as numbers; empty when it says none, or was never released.
        prerelease: what follows them, `rc4`, `ce`, `dfsg1`.
        generation: what it can speak.
        text: names the client in a sentence, `docker 17.03.1-ce`; printable ASCII, at most 140 characters.
        agent: the User-Agent itself, at most 1024 characters, with whatever the client put there.
        runs_on: what a Docker runs on, as Go names both: ("linux", "arm64"); None when it does not say.
    """

    product: str
    version: tuple[int, ...]
    prerelease: str
    generation: Generation
    text: str = "an unnamed client"
    agent: str = field(default="", repr=False)
    runs_on: tuple[str, str] | None = None

    @property
    def speaks_v2(self) -> bool:
        return self.generation is not Generation.V1

    @property
    def reads_schema1(self) -> bool:
        """Whether it takes schema 1 that it says it accepts: Docker 26 to 28 list the type and refuse it."""
        return self.product != "docker" or self.version < _FIRST_WITHOUT_SCHEMA1

    @property
    def reads_zstd(self) -> bool:
        """Whether it can unpack layers in zstd. Docker before 23 fails at them with "unexpected EOF"."""
        first = _FIRST_ZSTD.get(self.product)
        return first is None or not self.version or self.version >= first


UNNAMED = ClientProfile("", (), "", Generation.MODERN)


def parse_user_agent(text: str | None) -> ClientProfile:
    """Returns who a User-Agent says it is. Never fails; takes linear time."""
    return _parse(text[:MAX_AGENT]) if text else UNNAMED


def _parse(agent: str) -> ClientProfile:
    if go := _GO_DEFAULT.match(agent):
        return ClientProfile("Go", (), "", Generation.V1, go[0], agent)
    match = _COMMENTED.match(agent) or _PRODUCT.match(agent)
    if match is None:
        return ClientProfile("", (), "", Generation.MODERN, agent=agent)
    product, written = match["product"], match["version"]
    if written is None:
        return ClientProfile(product, (), "", Generation.MODERN, product, agent, _runs_on(product, agent))
    version = tuple(map(int, written.split(".")))
    rest = _NOT_SAFE.sub("", match["rest"])
    prerelease = rest.lstrip("-+~.")
    text = f"{product} {written}{rest}"
    if product != "docker":
        return ClientProfile(product, version, prerelease, Generation.MODERN, text, agent)
    if len(version) < _NUMBERS_OF_A_RELEASE or version < _FIRST_RELEASE:
        return ClientProfile(product, (), prerelease, Generation.MODERN, text, agent, _runs_on(product, agent))
    generation = _docker_generation(version, prerelease)
    return ClientProfile(product, version, prerelease, generation, text, agent, _runs_on(product, agent))


def _runs_on(product: str, agent: str) -> tuple[str, str] | None:
    found = _RUNS_ON.search(agent) if product == "docker" else None
    return None if found is None else (found[1], found[2])


def _docker_generation(version: tuple[int, ...], prerelease: str) -> Generation:
    word = _FIRST_WORD.match(prerelease)
    if version[:2] == _DEV_OF_V2 and word is not None and word[0] == "dev":
        return Generation.SCHEMA1
    if version < _FIRST_V2:
        return Generation.V1
    if version < _FIRST_SCHEMA2:
        return Generation.SCHEMA1
    return Generation.SCHEMA2 if version < _FIRST_OCI else Generation.MODERN
