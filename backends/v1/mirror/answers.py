"""What the registry that is mirrored says, as far as it is believed. PURE.

It may be damaged, or lie: what does not fit is a ValueError, whose message is a clause about the answer. What goes on
to clients is made anew of what was understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from backends.model.descriptions import one_line
from backends.model.errors import RegistryError
from backends.model.names import ImageId, canonical_name, is_image_id
from backends.model.strict_json import parse_json
from backends.model.v1images import (
    ImageJson,
    dump_json,
    merge_index_images,
    parse_image_json,
    parse_payload_checksum,
)
from backends.model.v1images import parse_ancestry as parse_stored_ancestry
from backends.model.v1names import V1Name, is_plain

VIA = "1.1 portside-mirror"
MOST_HOPS = 3
"""A mirror of a mirror of a mirror is meant; what has come further runs in a circle."""

MOST_FOUND = 1000
"""So many results of a search are taken over."""

_DESCRIBED = frozenset({"arch", "docker_go_version", "docker_version", "kernel", "last_update", "os"})


@dataclass(frozen=True, slots=True)
class Announced:
    """An image that the source has.

    Attributes:
        image: its JSON.
        checksums: what its payload checksum may be, in hex; none where the source does not say.
        size: of its layer in bytes; None where the source does not say.
        told: the checksums as the source says them.
    """

    image: ImageJson
    checksums: frozenset[str] = frozenset()
    size: int | None = None
    told: tuple[str, ...] = ()


def repository_path(name: V1Name, rest: str) -> str | None:
    """Returns the path of something of a repository; None where the source might take it for another one."""
    parts = [name.namespace, *name.repository.split("/")]
    if any(part in {"", ".", ".."} for part in parts):
        return None
    return "/v1/repositories/" + "/".join(quote(part, safe="") for part in parts) + rest


def tag_path(name: V1Name, tag: str, rest: str = "") -> str | None:
    """Returns the path of a tag; None as above."""
    return None if tag in {"", ".", ".."} else repository_path(name, f"/tags/{quote(tag, safe='')}{rest}")


def may_ask(via: Sequence[str]) -> bool:
    """Whether a request may be passed on that has come by the proxies of these `Via` headers."""
    hops = [each.strip() for value in via for each in value.split(",")]
    return hops.count(VIA) < MOST_HOPS


def parse_announced(content: bytes, image_id: ImageId, *, size: str | None, checksums: Sequence[str]) -> Announced:
    """Parses the answer to `GET /v1/images/ID/json`.

    Args:
        content: the body.
        image_id: the image that was asked for.
        size: `X-Docker-Size`.
        checksums: each `X-Docker-Checksum-Payload`.
    """
    try:
        image = parse_image_json(content, image_id)
    except RegistryError as error:
        raise ValueError(f"it is not the JSON of this image ({error.detail})") from None
    said = [each.strip() for value in checksums for each in value.split(",")]
    payloads = filter(None, map(parse_payload_checksum, said))
    told = tuple(each for each in said if each.isascii() and each.isprintable())
    return Announced(image, frozenset(payloads), None if size is None else parse_size(size), told)


def parse_size(text: str) -> int:
    """Parses a length in bytes."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:  # noqa: PLR2004 - an exabyte
        raise ValueError(f"{text[:40]!r} is not the size of a layer")
    return int(text)


def parse_ancestry(content: bytes, image: ImageJson) -> tuple[ImageId, ...]:
    """Parses the answer to `GET /v1/images/ID/ancestry`, which must begin as the image's JSON says."""
    ids = parse_stored_ancestry(content)
    if ids[0] != image.image_id or (ids[1] if len(ids) > 1 else None) != image.parent:
        raise ValueError("it is not the ancestry of this image")
    return ids


def parse_tags(content: bytes) -> dict[str, str]:
    """Parses the answer to `GET .../tags`, without entries that no client could use."""
    listed = _parse(content)
    if not isinstance(listed, Mapping):
        raise ValueError("it is not a list of tags")
    return {
        tag: image_id
        for tag, image_id in listed.items()
        if tag and is_plain(tag) and "/" not in tag and isinstance(image_id, str) and is_image_id(image_id)
    }


def parse_tag(content: bytes) -> str:
    """Parses the answer to `GET .../tags/T`."""
    image_id = _parse(content)
    if not isinstance(image_id, str) or not is_image_id(image_id):
        raise ValueError("it is not an image id")
    return image_id


def parse_images(content: bytes) -> list[dict[str, Any]]:
    """Parses the answer to `GET .../images`; `Tag` is left out, as always (`without_tags`)."""
    listed = _parse(content)
    if not isinstance(listed, list):
        raise ValueError("it is not a list of images")
    named = [each for each in listed if isinstance(each, Mapping) and is_image_id(str(each.get("id")))]
    return merge_index_images([], named)


def parse_description(content: bytes) -> dict[str, Any]:
    """Parses what is recorded of who set a tag."""
    said = _parse(content)
    if not isinstance(said, Mapping):
        raise ValueError("it is not a description")
    return {key: value for key, value in said.items() if key in _DESCRIBED and isinstance(value, str | int | None)}


def merge_found(ours: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    """Returns results of a search with those of the source: of one name the source's, then the others that it has.

    Clients write names and descriptions to terminals as they get them.
    """
    theirs = _parse(content)
    results = theirs.get("results") if isinstance(theirs, Mapping) else None
    if not isinstance(results, list):
        raise ValueError("it is not the result of a search")
    found = {canonical_name(each["name"]): each for each in ours["results"]}
    for each in results[:MOST_FOUND]:
        name = each.get("name") if isinstance(each, Mapping) else None
        if isinstance(name, str) and name and is_plain(name):
            found[canonical_name(name)] = {**each, "description": one_line(_text(each.get("description")))}
    # Ours may be a page of more.
    total = ours["num_results"] + len(found) - len(ours["results"])
    return {**ours, "num_results": total, "results": list(found.values())}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _parse(content: bytes) -> Any:
    try:
        return parse_json(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the source has said of a repository.

    Attributes:
        value: a JSON value.
        asked: when, in seconds since 1970.
    """

    value: Any
    asked: float

    def is_fresh(self, now: float, seconds: float) -> bool:
        """Whether it need not be asked again; a clock that was put back makes nothing fresh for longer."""
        return 0 <= now - self.asked < seconds

    def encode(self) -> bytes:
        return dump_json({"asked": self.asked, "value": self.value})


def decode_remembered(content: bytes) -> Remembered:
    """Raises ValueError where a power cut has left half of it."""
    try:
        said = json.loads(content)
        return Remembered(said["value"], float(said["asked"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("it is damaged") from None
