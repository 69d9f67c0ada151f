"""v1 images and lists of them as values: ids, image JSON, ancestry. PURE (V1API sections 0, 3, 4 and 11).

An image id is a global name that its pusher chose; `parent` says what belongs together. JSON goes out as
docker-registry writes it: sorted keys, `", "` and `": "`, ASCII.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.model.clients import MAX_AGENT
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId, is_image_id
from backends.model.strict_json import parse_json

MAX_ANCESTRY = 1024
"""No client makes a tenth of it; a longer chain is a mistake or an attack."""

LONGEST_CHECKSUM = 256
MOST_CHECKSUMS = 16
"""What `_checksum` says is bounded by: one has two entries at most, of 150 characters."""

_PAYLOAD = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_AGENT_PAIR = re.compile(r"([^\s/]+)/([^\s/]+)")


@dataclass(frozen=True, slots=True)
class ImageJson:
    """An image's JSON, to the byte as it was pushed, and what it says of itself."""

    image_id: ImageId
    parent: ImageId | None
    content: bytes


def parse_image_id(text: str) -> ImageId:
    """Parses an id in a URL.

    Raises:
        RegistryError: 404, as docker-registry answers.
    """
    if not is_image_id(text):
        raise RegistryError(ErrorCode.IMAGE_UNKNOWN, "Invalid image ID")
    return ImageId(text)


def parse_image_json(content: bytes, image_id: ImageId) -> ImageJson:
    """Parses the body of `PUT /v1/images/ID/json`, in docker-registry's order of checks.

    Raises:
        RegistryError: IMAGE_INVALID; also when two readers could take it for two different things.
    """
    try:
        document = parse_json(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, Mapping) or not document:
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Invalid JSON")
    if "id" not in document:
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Missing key `id' in JSON")
    if document["id"] != image_id:
        raise RegistryError(ErrorCode.IMAGE_INVALID, "JSON data contains invalid id")
    parent = document.get("parent")
    if not parent:
        return ImageJson(image_id, None, content)
    if not isinstance(parent, str) or not is_image_id(parent):
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Image depends on a non existing parent")
    if parent == image_id:
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Image depends on itself")
    return ImageJson(image_id, ImageId(parent), content)


def parse_ancestry(content: bytes) -> tuple[ImageId, ...]:
    """Parses a stored ancestry, newest first.

    docker-registry wrote an id twice when an image was pushed anew as its own parent; it is taken once.

    Raises:
        ValueError: it is not a list of ids, or is too long.
    """
    ids = load_json(content)
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_ANCESTRY:
        raise ValueError(f"an ancestry is a list of 1 to {MAX_ANCESTRY} ids")
    if not all(isinstance(image_id, str) and is_image_id(image_id) for image_id in ids):
        raise ValueError("an ancestry holds ids only")
    return tuple(dict.fromkeys(ids))


def parse_payload_checksum(text: str) -> str | None:
    """Returns the hex of `sha256:<hex>`, or None."""
    match = _PAYLOAD.fullmatch(text.strip())
    return match[1] if match is not None else None


def parse_stored_checksums(content: bytes) -> Sequence[str]:
    """Returns the checksums of a stored `_checksum`; old volumes hold plain text there.

    They go out as headers: what is longer than any checksum would break the answer for clients and proxies.
    """
    found = load_json(content)
    if found is None:
        found = content.decode("ascii", "replace").strip()
    entries = found if isinstance(found, list) else [found]
    return [
        entry for entry in entries if isinstance(entry, str) and entry.isprintable() and len(entry) <= LONGEST_CHECKSUM
    ][:MOST_CHECKSUMS]


def merge_index_images(stored: Sequence[Any], new: Sequence[Any]) -> list[dict[str, Any]]:
    """Merges two lists of images: of each id the first entry with a checksum wins, else the last seen.

    Stored entries that are not objects with an id, which docker-registry took in a first list, are dropped.

    Raises:
        RegistryError: a new entry is not an object with an id.
    """
    if not all(map(_has_id, new)):
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Invalid data")
    merged: dict[str, dict[str, Any]] = {}
    for entry in (*new, *filter(_has_id, stored)):
        kept = merged.get(entry["id"])
        if kept is None or "checksum" not in kept:
            merged[entry["id"]] = {key: entry[key] for key in ("checksum", "id") if key in entry}
    return list(merged.values())


def load_index_images(content: bytes) -> list[Any]:
    """Returns a stored list of images; nothing where there is none that can be read.

    docker-registry 0.9.1 writes it in place without a lock: where two pushes to a repository end at once, a rest of the
    longer list stays behind the shorter one. From then on that goes to every pull, and every push is answered 500.
    """
    try:
        listed, _ = json.JSONDecoder().raw_decode(content.decode("utf-8").lstrip())
    except (ValueError, RecursionError):
        return []
    return listed if isinstance(listed, list) else []


def _has_id(entry: Any) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("id"), str)


def without_tags(content: bytes) -> bytes:
    """Returns a stored list of images as it goes out: without the `Tag` that a push recorded with an image.

    Docker takes it for a tag of that image, even when the tag has long moved on (FORMATS section 1.3).
    """
    listed = load_json(content)
    if not isinstance(listed, list):
        return dump_json(load_index_images(content))
    if not any(isinstance(entry, Mapping) and "Tag" in entry for entry in listed):
        return content
    kept = [
        {key: entry[key] for key in entry if key != "Tag"} if isinstance(entry, Mapping) else entry for entry in listed
    ]
    return dump_json(list({dump_json(entry): entry for entry in kept}.values()))


def describe_agent(agent: str, *, now: int) -> dict[str, Any]:
    """Returns what docker-registry records of who set a tag (V1API section 5)."""
    said = dict(_AGENT_PAIR.findall(agent[:MAX_AGENT]))
    described: dict[str, Any] = {"last_update": now}
    for key, name in (("docker", "docker_version"), ("go", "docker_go_version")):
        if key in said:
            described[name] = said[key]
    for key in ("arch", "kernel", "os"):
        if key in said:
            described[key] = said[key].lower()
    return described


def parse_body(content: bytes, refusal: str) -> Any:
    """Parses a body, refusing what two readers could take for two different things.

    Raises:
        RegistryError: IMAGE_INVALID, with `refusal` as its detail: it is not JSON, or not JSON with one meaning.
    """
    try:
        return parse_json(content)
    except (ValueError, RecursionError):
        raise RegistryError(ErrorCode.IMAGE_INVALID, refusal) from None


def load_json(content: bytes) -> Any:
    """Parses what is stored.

    Returns:
        the value; None when it is not JSON.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def dump_json(value: Any) -> bytes:
    """Writes JSON as docker-registry does."""
    return json.dumps(value, sort_keys=True).encode("ascii")
