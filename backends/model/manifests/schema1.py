"""Schema 1: what Docker 1.6 to 1.9 push, a list of layers and v1 image JSONs, signed (FORMATS section 4).

Invariant: the digest is that of the payload, the document without its signatures, so signing anew does not change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

from backends.model import media_types
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.strict_json import refuse_lookalikes


@dataclass(frozen=True, slots=True)
class Schema1:
    """A signed schema 1 manifest.

    Attributes:
        content: the document as pushed, signatures included.
        payload: the bytes that were signed.
        layers: blob sums, top layer first; they may repeat.
    """

    content: bytes
    payload: bytes
    layers: tuple[Digest, ...]
    media_type: ClassVar[str] = media_types.SCHEMA1_SIGNED


def parse_layers(document: Mapping[str, Any]) -> tuple[Digest, ...]:
    """Returns the blob sums of a schema 1 document.

    Raises:
        ValueError: it is not one; the message says why.
    """
    layers, history = document.get("fsLayers"), document.get("history")
    if not _is_list(layers) or not _is_list(history) or not layers or len(layers) != len(history):
        raise ValueError("`fsLayers` and `history` must be lists of one length, at least 1")
    for index, entry in enumerate(history):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("v1Compatibility"), str):
            raise ValueError(f"history[{index}] has no text `v1Compatibility`")
        refuse_lookalikes(entry, ["v1Compatibility"])
    for key in ("name", "tag"):
        if not isinstance(document.get(key), str):
            raise ValueError(f"it has no text `{key}`")
    return tuple(_blob_sum(layer, index) for index, layer in enumerate(layers))


def _blob_sum(layer: object, index: int) -> Digest:
    text = layer.get("blobSum") if isinstance(layer, Mapping) else None
    if not isinstance(layer, Mapping) or not isinstance(text, str):
        raise ValueError(f"fsLayers[{index}] has no text `blobSum`")
    refuse_lookalikes(layer, ["blobSum"])
    try:
        return parse_digest(text)
    except RegistryError as error:
        raise ValueError(f"fsLayers[{index}]: {error.detail}") from None


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
