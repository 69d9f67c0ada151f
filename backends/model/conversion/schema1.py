"""Schema 1 as a chain of v1 images, and the payload of one that is made (FORMATS sections 4.1 and 4.4 to 4.7). PURE.

Signing is `model/jws.py`'s. The texts of the images pass to the letter in both directions, so ids survive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.descriptors import parse_text
from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.go_json import dump, indent, parse_object
from backends.model.manifests.schema1 import Schema1
from backends.model.names import ImageId, is_image_id
from backends.model.v1images import ImageJson, parse_image_json

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""distribution and its clients take no larger manifest, and neither does this registry."""


@dataclass(frozen=True, slots=True)
class Schema1Entry:
    """An image of a schema 1 manifest.

    Attributes:
        text: its v1 JSON, to the letter.
        blob_sum: the digest of its layer; of the empty layer where it has none.
    """

    text: str
    blob_sum: Digest


def schema1_entries(manifest: Schema1) -> tuple[Schema1Entry, ...]:
    """Returns a manifest's images, from the base to the top, cleaned as clients clean them.

    Docker 1.6 and 1.7 push the top image twice: of neighbours with one id the lower one stays. Parents are not looked
    at, since the order says all: 1.8.3 and others wrote wrong ones.

    Raises:
        ValueError: a text is not JSON with an id; the message says which.
    """
    kept: list[Schema1Entry] = []
    below: object = None
    pairs = list(zip(manifest.history, manifest.layers, strict=True))
    for index in range(len(pairs) - 1, -1, -1):
        text, blob_sum = pairs[index]
        try:
            image_id = parse_text(parse_object(text)[0].get("id"), "its id")
        except ValueError as error:
            raise ValueError(f"history[{index}] is not a v1 image's JSON: {error}") from None
        if not image_id:
            raise ValueError(f"history[{index}] is not a v1 image's JSON: it has no id")
        if image_id != below:
            kept.append(Schema1Entry(text, blob_sum))
        below = image_id
    return tuple(kept)


def own_images(entries: Sequence[Schema1Entry]) -> tuple[ImageJson, ...]:
    """Returns the v1 images that entries are by their own ids, from the base to the top.

    Raises:
        ValueError: they are no chain that a v1 client follows: an id is malformed or there twice, a parent is not the
            image below, or two readers could read a text differently; the message says which. Such a manifest has
            another chain for v1, made of its conversion.
    """
    images: list[ImageJson] = []
    for entry in entries:
        image_id = parse_object(entry.text)[0].get("id")
        if not isinstance(image_id, str) or not is_image_id(image_id):
            raise ValueError(f"{str(image_id)[:80]!r} is not a valid image id")
        try:
            image = parse_image_json(entry.text.encode(), ImageId(image_id))
        except RegistryError as error:
            raise ValueError(f"the image {image_id} is not a v1 image: {error.detail}") from None
        below = images[-1].image_id if images else None
        if image.parent != below:
            raise ValueError(f"the image {image_id} has the parent {image.parent}, and lies on {below}")
        images.append(image)
    if len({image.image_id for image in images}) != len(images):
        raise ValueError("an image lies on itself")
    return tuple(images)


def architecture_of(text: str) -> str:
    """Returns what a manifest says of its top image's JSON: the architecture, `amd64` where the image says none.

    Raises:
        ValueError: the text is not a v1 image's JSON.
    """
    return parse_text(parse_object(text)[0].get("architecture"), "architecture") or "amd64"


def schema1_payload(name: str, tag: str, architecture: str, entries: Sequence[Schema1Entry]) -> bytes:
    """Returns a manifest as it is signed, laid out as Docker and distribution do.

    Args:
        name: the repository.
        tag: the tag.
        architecture: of the top image.
        entries: its images, from the base to the top, as everywhere; they are written from the top to the base.

    Raises:
        ValueError: there are none.
        ImpossibleConversion: they say more than fits into a manifest.
    """
    if not entries:
        raise ValueError("a schema 1 manifest has one image at least")
    _require_small(sum([len(entry.text) for entry in entries]))  # before it is written, six times as long at most
    downward = entries[::-1]
    document = {
        "schemaVersion": 1,
        "name": name,
        "tag": tag,
        "architecture": architecture,
        "fsLayers": [{"blobSum": str(entry.blob_sum)} for entry in downward],
        "history": [{"v1Compatibility": entry.text} for entry in downward],
    }
    payload = indent(dump(document)).encode()
    _require_small(len(payload))
    return payload


def _require_small(size: int) -> None:
    if size > MAX_MANIFEST_BYTES:
        raise ImpossibleConversion(
            f"the v1 JSONs of this image take {size} bytes, and a schema 1 manifest can hold {MAX_MANIFEST_BYTES};"
            " pull it with Docker 1.10 or later"
        )
