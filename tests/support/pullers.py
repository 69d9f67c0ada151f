"""Clients that are no Docker with an image store of its own: containerd and what is built on it, the image library of
podman and skopeo, go-containerregistry, oras. What they ask for and check is FORMATS section 5.2 and USER_AGENTS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.support.http_calls import Caller
from tests.support.images import Pulled, digest_of
from tests.support.layers import ALL, CONTAINERD, Compression, UnreadableLayerError, unpack
from tests.support.media_types import INDEX, LIST, MANIFEST, SCHEMA2, SIGNED_SCHEMA1
from tests.support.wire import Address, BrokenConnectionError, Exchange, Response

_UNSIGNED: Final = "application/vnd.docker.distribution.manifest.v1+json"
_OCI_ARTIFACT: Final = "application/vnd.oci.artifact.manifest.v1+json"


class PullError(Exception):
    """The client gives up, with this message."""


@dataclass(frozen=True, slots=True)
class Program:
    """One of them.

    Attributes:
        accepts: Accept lines of a request by tag.
        heads: Asks HEAD by tag, then GET by the digest it was told, whose type it believes.
        pings: Asks ``/v2/`` first.
        accepts_own: By digest it asks for the type it expects and ``*/*``, rather than for all again.
        layers_read: How layers may be packed.
        needs_digest: Fails where the registry does not say the manifest's digest.
        follows_urls: Fetches layers that the registry has not from where their descriptors say.
        images_only: Refuses what is no image.
    """

    name: str
    agent: str
    accepts: tuple[str, ...]
    heads: bool = False
    pings: bool = True
    accepts_own: bool = False
    layers_read: frozenset[Compression] = ALL
    needs_digest: bool = False
    follows_urls: bool = True
    images_only: bool = True


_CONTAINERD_ACCEPTS: Final = (f"{SCHEMA2}, {LIST}, {MANIFEST}, {INDEX}, */*",)
_LIBRARY_ACCEPTS: Final = (MANIFEST, SCHEMA2, SIGNED_SCHEMA1, _UNSIGNED, LIST, INDEX)
_GGCR_ACCEPTS: Final = (f"{_UNSIGNED},{SIGNED_SCHEMA1},{SCHEMA2},{MANIFEST},{LIST},{INDEX}",)
_ORAS_ACCEPTS: Final = (f"{SCHEMA2}, {LIST}, {MANIFEST}, {INDEX}, {_OCI_ARTIFACT}",)


def _containerd(name: str, agent: str) -> Program:
    return Program(name, agent, _CONTAINERD_ACCEPTS, heads=True, pings=False, accepts_own=True, layers_read=CONTAINERD)


_DOCKER_29: Final = (
    "docker/29.7.2 go/go1.26.6 git-commit/src kernel/6.18.44 os/linux arch/amd64 containerd-client/2.3.3+unknown "
    r"storage-driver/overlayfs UpstreamClient(Docker-Client/29.7.2 \(linux\))"
)

PROGRAMS: Final = {
    program.name: program
    for program in (
        _containerd("Docker 29", _DOCKER_29),
        _containerd("containerd 1.6", "containerd/1.6.20~ds1"),
        _containerd("containerd 2", "containerd/2.2.7"),
        Program("podman", "containers/5.23.1 (github.com/containers/image)", _LIBRARY_ACCEPTS),
        Program("skopeo", "skopeo/1.22.2", _LIBRARY_ACCEPTS, images_only=False),
        Program("crane", "crane/v0.21.9 go-containerregistry/v0.21.9", _GGCR_ACCEPTS, images_only=False),
        Program("oras", "oras/1.3.3", _ORAS_ACCEPTS, pings=False, needs_digest=True, images_only=False),
    )
}
"""All of them, by name."""


class Puller:
    """A fresh machine with one of the programs."""

    def __init__(self, program: Program, address: Address, *, timeout_s: float = 30.0) -> None:
        self._program = program
        self._caller = Caller(address, program.agent, timeout_s=timeout_s)
        self._name = ""

    @property
    def exchanges(self) -> list[Exchange]:
        return self._caller.transcript.exchanges

    def pull(self, name: str, tag: str) -> Pulled:
        """Pull a tag: its manifest, for a list that of linux/amd64, its configuration and layers.

        Raises:
            PullError: It is not there, not what its digests say, or nothing that the program can use.
        """
        self._name = name
        try:
            return self._pull(tag)
        except BrokenConnectionError as error:
            raise PullError(str(error)) from error

    def _pull(self, tag: str) -> Pulled:
        if self._program.pings and self._caller.send("GET", "/v2/").status != 200:
            raise PullError("no registry")
        media_type, content = self._resolve(tag)
        digest = digest_of(content)
        if media_type in {LIST, INDEX}:
            entry = _choose(_parsed(content)["manifests"])
            media_type, content = self._by_digest(entry["digest"], entry["mediaType"])
            if len(content) != entry["size"] or media_type != entry["mediaType"]:
                raise PullError(f"{entry['digest']} is not what its list says")
        if media_type not in {SCHEMA2, MANIFEST}:
            raise PullError(f"unsupported media type {media_type!r}")
        return self._pull_image(tag, _parsed(content), digest)

    def _resolve(self, tag: str) -> tuple[str, bytes]:
        """Type and content of what the tag names."""
        accepts = [("Accept", line) for line in self._program.accepts]
        method = "HEAD" if self._program.heads else "GET"
        answer = self._caller.send(method, f"/v2/{self._name}/manifests/{tag}", accepts)
        if answer.status != 200:
            raise PullError(f"{answer.status}: {answer.body.decode(errors='replace')}")
        told = answer.value("Docker-Content-Digest")
        media_type = _media_type(answer)
        if self._program.heads:
            if told is None:
                raise PullError("no digest in the answer to HEAD")
            by_digest = self._by_digest(told, media_type)
            if str(len(by_digest[1])) != answer.value("Content-Length"):
                raise PullError("the manifest has another size than HEAD said")
            return media_type, by_digest[1]
        if told is None and self._program.needs_digest:
            raise PullError("no digest in the answer")
        if told is not None and told != digest_of(answer.body):
            raise PullError(f"the manifest's digest is {digest_of(answer.body)}, not {told}")
        return media_type, answer.body

    def _by_digest(self, digest: str, media_type: str) -> tuple[str, bytes]:
        lines = [f"{media_type}, */*"] if self._program.accepts_own else self._program.accepts
        answer = self._caller.send("GET", f"/v2/{self._name}/manifests/{digest}", [("Accept", line) for line in lines])
        if answer.status != 200:
            raise PullError(f"{answer.status}: {answer.body.decode(errors='replace')}")
        if digest_of(answer.body) != digest:
            raise PullError(f"the manifest's digest is {digest_of(answer.body)}, not {digest}")
        return _media_type(answer), answer.body

    def _pull_image(self, tag: str, manifest: Mapping[str, Any], digest: str) -> Pulled:
        config = self._blob(manifest["config"])
        layers = tuple(self._blob(layer) for layer in manifest["layers"])
        diff_ids = _diff_ids(config)
        if diff_ids is None and not self._program.images_only:
            return Pulled(tag, (config,), layers, digest)
        try:
            found = [digest_of(unpack(layer, self._program.layers_read)) for layer in layers]
        except UnreadableLayerError as error:
            raise PullError(f"failed to extract layer: {error}") from error
        if found != diff_ids:
            raise PullError("wrong diff id calculated on extraction")
        return Pulled(tag, (config,), layers, digest)

    def _blob(self, described: Mapping[str, Any]) -> bytes:
        fields = [("Accept", f"{described['mediaType']}, */*")] if self._program.accepts_own else []
        answer = self._caller.send("GET", f"/v2/{self._name}/blobs/{described['digest']}", fields)
        if answer.status == 404 and self._program.follows_urls and described.get("urls"):
            answer = self._caller.send("GET", described["urls"][0])
        if answer.status != 200:
            raise PullError(f"{answer.status} for blob {described['digest']}")
        if digest_of(answer.body) != described["digest"] or len(answer.body) != described["size"]:
            raise PullError(f"blob {described['digest']} is not what its descriptor says")
        return answer.body


def _choose(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for entry in entries:
        platform = entry.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
            return entry
    raise PullError("no match for platform linux/amd64")


def _diff_ids(config: bytes) -> list[str] | None:
    """None: no image's configuration."""
    try:
        diff_ids: list[str] = json.loads(config)["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError):
        return None
    return diff_ids


def _media_type(answer: Response) -> str:
    return (answer.value("Content-Type") or "").partition(";")[0].strip()


def _parsed(content: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(content)
    return document
