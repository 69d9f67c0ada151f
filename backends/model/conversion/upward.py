"""From v1 images to the configuration and layers of schema 2 and OCI (FORMATS section 2). PURE.

The top image's JSON becomes the configuration, its members to the letter; each image becomes a step of the history. A
layer is left out where its content is empty, whatever `Size` and `throwaway` say: both are wrong in the wild.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.model.conversion.image_config import MAX_CONFIG_BYTES
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.v1_chain import NOT_IN_V1, without
from backends.model.descriptors import parse_text
from backends.model.go_json import dump, dump_members, join_members, parse_object
from backends.model.layers import EMPTY_STORED_LAYER, StoredLayer
from backends.model.strict_json import refuse_lookalikes, spellings
from backends.model.timestamps import EPOCH, ZERO, normalise

MAX_IMAGES = 500
"""No Docker makes or runs a chain of 130."""

MAX_TEXTS = 2 * MAX_CONFIG_BYTES
"""Characters of all v1 JSONs of an image, which are held in memory; real ones have a few KB each."""

_FIELDS = spellings("id", "parent", "created", "author", "comment", "config", "container_config", "architecture", "os",
                    "rootfs", "history")  # fmt: skip
_ARCHITECTURES = {"": "amd64", "x86_64": "amd64", "i386": "386"}
_LISTS = ("Cmd", "Entrypoint", "OnBuild")
_SETS = ("ExposedPorts", "Volumes")


@dataclass(frozen=True, slots=True)
class UpwardImage:
    """An image as schema 2 and OCI have it.

    Attributes:
        config: its configuration, one blob for both forms.
        layers: those that are not empty, from the base to the top; the empty one where all are.
    """

    config: bytes
    layers: tuple[StoredLayer, ...]


@dataclass(frozen=True, slots=True)
class _V1Image:
    """A v1 image's JSON: the values of its members, and their text."""

    values: Mapping[str, Any]
    members: Mapping[str, str]


def convert_upward(texts: Sequence[str], layers: Sequence[StoredLayer]) -> UpwardImage:
    """Makes a configuration of v1 images.

    Args:
        texts: the JSON of each image, from the base to the top.
        layers: the layer of each image, in the same order; those in bzip2 or xz made gzip.

    Raises:
        ValueError: a text is not a v1 image's JSON, or there are not as many layers; the message says which.
        ImpossibleConversion: there are more images than any client can use, or they say more than any image does.
    """
    if not texts or len(texts) != len(layers):
        raise ValueError(
            f"an image has as many layers as v1 JSONs, at least 1; here are {len(layers)} and {len(texts)}"
        )
    require_short_chain(len(texts))
    require_few_characters(sum(map(len, texts)))
    images = [_parse(text, f"image {number} of {len(texts)}") for number, text in enumerate(texts, start=1)]
    kept = [layer for layer in layers if not layer.facts.is_empty] or [EMPTY_STORED_LAYER]
    empty = [layer.facts.is_empty for layer in layers]
    if all(empty):
        empty[-1] = False
    members = _config_members(images[-1])
    members["rootfs"] = dump({"type": "layers", "diff_ids": [str(layer.facts.diff_id) for layer in kept]})
    members["history"] = dump([_step(image, is_empty=each) for image, each in zip(images, empty, strict=True)])
    config = dump_members(members).encode()
    if len(config) > MAX_CONFIG_BYTES:
        raise ImpossibleConversion(
            f"the configuration of this image would have {len(config)} bytes, and {MAX_CONFIG_BYTES} are allowed;"
            " build it again with shorter commands and variables"
        )
    return UpwardImage(config, tuple(kept))


def require_short_chain(count: int) -> None:
    """Checks how many v1 images an image is a chain of, for whoever is about to read them.

    Raises:
        ImpossibleConversion: there are more than any client can use.
    """
    if count > MAX_IMAGES:
        raise ImpossibleConversion(
            f"this image is a chain of {count} v1 images, and no client can use more than 125 layers;"
            " build it again with fewer"
        )


def require_few_characters(count: int) -> None:
    """Checks how many characters the JSONs of a chain have so far, for whoever reads them one by one.

    Raises:
        ImpossibleConversion: there are more than any image has.
    """
    if count > MAX_TEXTS:
        raise ImpossibleConversion(
            f"the v1 JSONs of this image have more than {MAX_TEXTS} characters, and no Docker writes so many;"
            " build it again with shorter commands and variables"
        )


def _parse(text: str, where: str) -> _V1Image:
    try:
        values, members = parse_object(text)
        refuse_lookalikes(values, _FIELDS)
        for key in ("config", "container_config"):
            if not isinstance(values.get(key), Mapping | None):
                raise ValueError(f"{key} is not an object")
        for key in ("author", "comment", "architecture", "os"):
            parse_text(values.get(key), key)
    except ValueError as error:
        raise ValueError(f"{where} is not a v1 image's JSON: {error}") from None
    return _V1Image(values, members)


def _config_members(top: _V1Image) -> dict[str, str]:
    members = without(top.members, NOT_IN_V1)
    architecture = top.values.get("architecture") or ""
    if architecture in _ARCHITECTURES:
        members["architecture"] = dump(_ARCHITECTURES[architecture])
    if not top.values.get("os"):
        members["os"] = dump("linux")
    if normalise(top.values.get("created")) is None:
        members["created"] = dump(EPOCH)
    if members.get("config") == "null":
        members["config"] = "{}"
    for key in ("config", "container_config"):
        if isinstance(top.values.get(key), Mapping):
            members[key] = _readable_by_all(members[key])
    return members


def _readable_by_all(config: str) -> str:
    """Returns what runs with its members as all readers expect them, not only Docker: lists and objects."""
    values, members = parse_object(config)
    for key in _LISTS:
        if isinstance(values.get(key), str):
            members[key] = f"[{members[key]}]"
    for key in _SETS:
        if key in values and not isinstance(values[key], Mapping):
            members[key] = "null"
    return join_members(members)


def _step(image: _V1Image, *, is_empty: bool) -> dict[str, object]:
    values = image.values
    said = {
        "author": values.get("author"),
        "created_by": _made_by(values.get("container_config")),
        "comment": values.get("comment"),
        "empty_layer": is_empty,
    }
    return {"created": normalise(values.get("created")) or ZERO, **{key: value for key, value in said.items() if value}}


def _made_by(container_config: Mapping[str, Any] | None) -> str:
    command = (container_config or {}).get("Cmd")
    if isinstance(command, str):
        return command
    return " ".join([word for word in command if isinstance(word, str)]) if isinstance(command, list) else ""
