"""Schema 1: what Docker 1.6 to 1.9 push, a list of layers and v1 image JSONs, signed (FORMATS section 4).

Invariant: the digest is that of the payload, the document without its signatures, so signing again does not change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backends.model import media_types
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.names import parse_repository_name, parse_tag
from backends.model.strict_json import refuse_lookalikes, spellings

_LAYER = spellings("blobSum")
_HISTORY = spellings("v1Compatibility")


@dataclass(frozen=True, slots=True)
class Schema1:
    """A schema 1 manifest.

    Attributes:
        content: the document as pushed, signatures included; of a stored one that is read without them, the payload.
        payload: the bytes that were signed.
        layers: blob sums, top layer first; they may repeat.
        history: the v1 JSON of each layer, to the letter, in the same order.
    """

    content: bytes
    payload: bytes
    layers: tuple[Digest, ...]
    history: tuple[str, ...]
    media_type: ClassVar[str] = media_types.SCHEMA1_SIGNED


def parse_schema1(document: Mapping[str, Any], content: bytes, payload: bytes) -> Schema1:
    """Makes a manifest of a parsed document.

    Raises:
        ValueError: it is not schema 1; the message says why.
    """
    layers, history = document.get("fsLayers"), document.get("history")
    if not isinstance(layers, list) or not isinstance(history, list) or not layers or len(layers) != len(history):
        raise ValueError("`fsLayers` and `history` must be lists of one length, at least 1")
    texts = tuple(_v1_compatibility(entry, index) for index, entry in enumerate(history))
    for key in ("name", "tag"):
        if not isinstance(document.get(key), str):
            raise ValueError(f"it has no text `{key}`")
    return Schema1(content, payload, tuple(_blob_sum(layer, index) for index, layer in enumerate(layers)), texts)


def require_names(document: Mapping[str, Any]) -> None:
    """Checks the name and the tag that a pushed document has for itself, by the grammar alone.

    They may be others than those in the path: distribution takes that too, and whoever copies an image, or gives it a
    second tag, cannot sign it anew. Nothing here is decided by them.

    Raises:
        RegistryError: NAME_INVALID, TAG_INVALID.
    """
    parse_repository_name(document["name"])
    if document["tag"]:
        parse_tag(document["tag"])


def _v1_compatibility(entry: object, index: int) -> str:
    text = entry.get("v1Compatibility") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(text, str):
        raise ValueError(f"history[{index}] has no text `v1Compatibility`")
    refuse_lookalikes(entry, _HISTORY)
    return text


def _blob_sum(layer: object, index: int) -> Digest:
    text = layer.get("blobSum") if isinstance(layer, Mapping) else None
    if not isinstance(layer, Mapping) or not isinstance(text, str):
        raise ValueError(f"fsLayers[{index}] has no text `blobSum`")
    refuse_lookalikes(layer, _LAYER)
    try:
        return parse_digest(text)
    except RegistryError as error:
        raise ValueError(f"fsLayers[{index}]: {error.detail}") from None
