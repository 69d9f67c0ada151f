"""The generations of clients that `portside inspect` shows (FORMATS 5.2 and 6): one that stands for each. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model import media_types
from backends.model.clients import ClientProfile, Generation, parse_user_agent

_DOCKER_1_10 = (media_types.SCHEMA1_SIGNED, "application/json", media_types.SCHEMA2, media_types.MANIFEST_LIST)
_DOCKER_19 = (*_DOCKER_1_10, media_types.OCI_INDEX)
_DOCKER_20 = (*_DOCKER_19, media_types.OCI_MANIFEST)
_ALL_BUT_SCHEMA1 = (media_types.SCHEMA2, media_types.MANIFEST_LIST, media_types.OCI_MANIFEST, media_types.OCI_INDEX)


@dataclass(frozen=True, slots=True)
class ClientGroup:
    """Clients that receive the same.

    Attributes:
        key: names them for machines, for ever.
        text: names them for people.
        accept: the lines of `Accept` that they send for a tag.
        agent: the User-Agent of one of them.
    """

    key: str
    text: str
    accept: tuple[str, ...]
    agent: str

    @property
    def short(self) -> str:
        """The first version of Docker in it."""
        return self.key.removeprefix("docker-")

    @property
    def profile(self) -> ClientProfile:
        return parse_user_agent(self.agent)

    @property
    def speaks_v1(self) -> bool:
        """Whether they pull by the v1 protocol."""
        return self.profile.generation is Generation.V1


GROUPS = (
    ClientGroup("docker-1.0", "Docker 1.0 to 1.5", (), "docker/1.5.0 go/go1.3.3 os/linux"),
    ClientGroup("docker-1.6", "Docker 1.6 to 1.9", (), "docker/1.9.1 go/go1.4.3"),
    ClientGroup("docker-1.10", "Docker 1.10 to 18.09", _DOCKER_1_10, "docker/18.09.9 go/go1.11.13"),
    ClientGroup("docker-19.03", "Docker 19.03", _DOCKER_19, "docker/19.03.15 go/go1.13.15"),
    ClientGroup("docker-20.10", "Docker 20.10", _DOCKER_20, "docker/20.10.24 go/go1.19.7"),
    ClientGroup("docker-23", "Docker 23 to 28, podman, skopeo", _DOCKER_20, "docker/28.5.2 go/go1.24.9"),
    ClientGroup("docker-29", "Docker 29, containerd, crane", _ALL_BUT_SCHEMA1, "docker/29.0.0 go/go1.25.4"),
)
"""Oldest first."""
