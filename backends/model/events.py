"""Events: what a registry tells of a push, a pull, a mount or a deletion. PURE.

The shape is distribution's (`notifications/event.go`, `bridge.go`), field by field, so that what receives its events
receives ours. Its two releases differ in what they leave out where it is empty (`Form`). What v1 clients do is told in
the same shape, with a field of ours, `portside`, beside it: consumers pass over fields that they do not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from backends.model import media_types
from backends.model.actor import Actor
from backends.model.descriptors import Descriptor, Platform
from backends.model.digest import Digest
from backends.model.manifests import Index, Manifest, Schema1
from backends.model.names import ImageId, RepositoryName
from backends.model.targets import Target as Original
from backends.model.targets import V1Target
from backends.model.v1names import V1Name

MANY_REFERENCES = 500
"""An event with more takes milliseconds to write; a manifest may name tens of thousands."""

_NOT_TEXT = re.compile("[\ud800-\udfff]")
"""What stands for bytes that are not UTF-8, or for half a character of JSON: nothing that can be sent."""


class EventAction(Enum):
    """What happened."""

    PULL = "pull"
    PUSH = "push"
    MOUNT = "mount"
    DELETE = "delete"


class Form(Enum):
    """Whose letter an event follows."""

    V1 = "v1"
    """distribution 2.x: of a target, whatever is empty is left out."""

    V2 = "v2"
    """distribution 3.x: mediaType, digest and size are always there, as OCI's descriptors have them."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which registry tells it.

    Attributes:
        address: host and port.
        instance_id: of the run, the same in all its processes; another one after each start.
    """

    address: str = ""
    instance_id: str = ""


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a manifest was made of something else.

    Attributes:
        source: of what.
        media_type: the type of that.
        rule: the steps.
    """

    source: Original
    media_type: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What it happened to; "", 0 and None for what is not told of it.

    Attributes:
        media_type: a manifest's own, `application/octet-stream` of a blob, `media_types.V1_IMAGE` of a v1 image.
        digest: what names the content.
        size: of the content in bytes.
        repository: by its canonical name.
        from_repository: where a blob was mounted from.
        url: where the content can be read.
        tag: by which it was pushed or pulled, or which was deleted.
        references: what a manifest names, where that is asked for.
        v1: it is v1's.
        image_id: of the v1 image.
        conversion: how it was made, where a client got another form of what was pushed.
    """

    media_type: str = ""
    digest: Digest | None = None
    size: int = 0
    repository: str = ""
    from_repository: str = ""
    url: str = ""
    tag: str = ""
    references: tuple[Descriptor, ...] = ()
    v1: bool = False
    image_id: ImageId | None = None
    conversion: Conversion | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        event_id: names it, a UUID; the same however often it is sent.
        timestamp: RFC 3339, in UTC.
        action: what happened.
        target: to what.
        actor: by whom, by which request.
        source: who tells it.
    """

    event_id: str
    timestamp: str
    action: EventAction
    target: Target
    actor: Actor
    source: Source

    @property
    def is_large(self) -> bool:
        """Whether `to_json` takes so long that it belongs in a thread."""
        return len(self.target.references) > MANY_REFERENCES

    def to_json(self, form: Form = Form.V2) -> bytes:
        """Returns it as one compact JSON object, in UTF-8."""
        head = _dump({"id": self.event_id, "timestamp": self.timestamp, "action": self.action.value})
        rest: dict[str, Any] = {
            "request": _request(self.actor),
            "actor": _without_empty(name=self.actor.user),
            "source": _without_empty(addr=self.source.address, instanceID=self.source.instance_id),
        }
        if self.target.v1:
            rest["portside"] = {"generation": "v1", **_without_empty(imageID=self.target.image_id)}
        if self.target.conversion is not None:
            rest["portside"] = {**rest.get("portside", {}), "conversion": _conversion(self.target.conversion)}
        text = f'{head[:-1]},"target":{_dump_target(self.target, form)},{_dump(rest)[1:]}'
        try:
            return text.encode()
        except UnicodeEncodeError:
            return _NOT_TEXT.sub("\ufffd", text).encode()


# targets


def blob_target(name: RepositoryName, digest: Digest, size: int, *, from_repository: str = "", origin: str) -> Target:
    """Returns a blob that was pushed, pulled or mounted.

    Args:
        name: the repository.
        digest: of the blob.
        size: of the blob in bytes.
        from_repository: where it was mounted from; "" if it was not.
        origin: scheme and authority of addresses; "" for addresses without either.
    """
    return Target(
        media_type=media_types.OCTET_STREAM,
        digest=digest,
        size=size,
        repository=name,
        from_repository=from_repository,
        url=f"{origin}/v2/{name}/blobs/{digest}",
    )


def manifest_target(
    name: RepositoryName,
    digest: Digest,
    size: int,
    *,
    media_type: str,
    tag: str = "",
    references: tuple[Descriptor, ...] = (),
    conversion: Conversion | None = None,
    origin: str,
) -> Target:
    """Returns a manifest that was pushed or pulled.

    Args:
        name: the repository.
        digest: of the manifest.
        size: in bytes of what the digest names: of schema 1, without signatures.
        media_type: its own.
        tag: by which it was pushed or pulled; "" if by its digest.
        references: see `references_of`; () unless they are asked for.
        conversion: how it was made; None of one that was pushed.
        origin: scheme and authority of addresses; "" for addresses without either.
    """
    return Target(
        media_type=media_type,
        digest=digest,
        size=size,
        repository=name,
        url=f"{origin}/v2/{name}/manifests/{digest}",
        tag=tag,
        references=references,
        conversion=conversion,
    )


def references_of(manifest: Manifest) -> tuple[Descriptor, ...]:
    """Returns what a manifest names, as distribution lists it: configuration and layers, or the entries of an index."""
    if isinstance(manifest, Index):
        return manifest.manifests
    if isinstance(manifest, Schema1):
        return tuple(Descriptor(media_types.SCHEMA1_LAYER, layer, 0) for layer in manifest.layers)
    return (manifest.config, *manifest.layers)


def v1_layer_target(image_id: ImageId, digest: Digest | None, size: int, *, origin: str) -> Target:
    """Returns the layer of a v1 image that was pushed or pulled, which v1 names by the image, without a repository.

    Args:
        image_id: of the image.
        digest: of the layer; None when it is not known.
        size: of the layer in bytes.
        origin: scheme and authority of addresses; "" for addresses without either.
    """
    return Target(
        media_type=media_types.OCTET_STREAM,
        digest=digest,
        size=size,
        url=f"{origin}/v1/images/{image_id}/layer",
        v1=True,
        image_id=image_id,
    )


def v1_image_target(
    name: V1Name,
    *,
    tag: str,
    image_id: ImageId,
    blob: Descriptor | None,
    conversion: Conversion | None = None,
    origin: str,
) -> Target:
    """Returns a v1 image that was pushed or pulled by a tag.

    Args:
        name: the repository.
        tag: the tag.
        image_id: of the image.
        blob: its own layer, the top one; None when that is not known.
        conversion: how it was made of a manifest; None of one that was pushed.
        origin: scheme and authority of addresses; "" for addresses without either.
    """
    return Target(
        media_type=media_types.V1_IMAGE,
        digest=None if blob is None else blob.digest,
        size=0 if blob is None else blob.size,
        repository=name.canonical,
        url=f"{origin}/v1/images/{image_id}/json",
        tag=tag,
        v1=True,
        image_id=image_id,
        conversion=conversion,
    )


def v1_repository_target(name: V1Name) -> Target:
    """Returns a v1 repository that somebody begins to pull from: with a tag, or all of them."""
    return Target(media_type=media_types.V1_IMAGE, repository=name.canonical, v1=True)


def v1_removed_target(name: V1Name, *, tag: str = "") -> Target:
    """Returns a v1 tag that was deleted, or a v1 repository."""
    return Target(repository=name.canonical, tag=tag, v1=True)


# JSON


def _dump_target(target: Target, form: Form) -> str:
    found = _described(target.media_type, target.digest, target.size, form)
    found |= _without_empty(
        length=target.size,
        repository=target.repository,
        fromRepository=target.from_repository,
        url=target.url,
        tag=target.tag,
    )
    if not target.references:
        return _dump(found)
    # Of a list's entries, 2.x keeps the platform apart and does not tell it.
    platform = form is Form.V2 or target.media_type not in media_types.INDEXES
    # One by one: a thread that writes very many in one call would keep all others waiting all the same.
    references = ",".join([_dump(_reference(each, form, platform=platform)) for each in target.references])
    fields = _dump(found)[:-1]
    return f'{fields}{"," if found else ""}"references":[{references}]}}'


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _reference(descriptor: Descriptor, form: Form, *, platform: bool) -> dict[str, Any]:
    found = _described(descriptor.media_type, descriptor.digest, descriptor.size, form)
    found |= _without_empty(urls=list(descriptor.urls), annotations=dict(descriptor.annotations))
    if platform and descriptor.platform is not None:
        found["platform"] = _platform(descriptor.platform)
    if form is Form.V2:
        found |= _without_empty(artifactType=descriptor.artifact_type)
    return found


def _described(media_type: str, digest: Digest | None, size: int, form: Form) -> dict[str, Any]:
    named = "" if digest is None else str(digest)
    if form is Form.V2:
        return {"mediaType": media_type, "digest": named, "size": size}
    return _without_empty(mediaType=media_type, size=size, digest=named)


def _platform(platform: Platform) -> Mapping[str, Any]:
    rest = {
        "os.version": platform.os_version,
        "os.features": list(platform.os_features),
        "variant": platform.variant,
    }
    return {"architecture": platform.architecture, "os": platform.os, **_without_empty(**rest)}


def _conversion(conversion: Conversion) -> Mapping[str, str]:
    source = conversion.source
    named = {"imageID": source.image_id} if isinstance(source, V1Target) else {"digest": str(source.digest)}
    return {"mediaType": conversion.media_type, **named, "rule": conversion.rule}


def _request(actor: Actor) -> Mapping[str, Any]:
    return {
        "id": actor.request_id,
        **_without_empty(addr=_peer(actor), host=actor.host),
        "method": actor.method,
        "useragent": actor.agent,
    }


def _peer(actor: Actor) -> str:
    if not actor.port:
        return actor.address
    host = f"[{actor.address}]" if ":" in actor.address else actor.address
    return f"{host}:{actor.port}"


def _without_empty(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
