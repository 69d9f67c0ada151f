"""From a configuration and layers to the chain of v1 images that Docker before 1.10 reads (FORMATS section 3). PURE.

One chain serves the v1 protocol and schema 1. The id of an entry is the hash of all that it says, its ancestors and its
layer's content included: the same for gzip and zstd, another for every other image, and never two texts under one id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from backends.model.conversion.image_config import HistoryEntry, ImageConfig, parse_image_config
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.layer_types import require_layers_of_files
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.go_json import compact, dump
from backends.model.layers import EMPTY_DIFF_ID
from backends.model.names import ImageId
from backends.model.timestamps import ZERO

MAX_ENTRIES = 120
"""Docker before 1.10 makes no container of a chain of 125; a build on top needs a few."""

NOT_IN_V1 = ("rootfs", "history", "id", "parent", "throwaway", "parent_id", "layer_id", "Size")
"""Members of a configuration that an image's v1 JSON does not have, or that are said anew."""


@dataclass(frozen=True, slots=True)
class V1Entry:
    """A v1 image of a chain.

    Attributes:
        image_id: its id.
        parent: the id of the image below it; None of the base.
        text: its JSON for the v1 protocol.
        schema1_text: its JSON for schema 1, which says `throwaway` where there is no layer.
        layer: the layer as the manifest has it; None where there is none and the empty one stands for it.
        diff_id: the digest of the layer's content, as the configuration has it; of the empty one's where there is none.
    """

    image_id: ImageId
    parent: ImageId | None
    text: str
    schema1_text: str
    layer: Descriptor | None
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class _Step:
    """An entry before it has an id."""

    history: HistoryEntry
    layer: Descriptor | None
    diff_id: Digest


def v1_chain(config: bytes, layers: Sequence[Descriptor]) -> tuple[V1Entry, ...]:
    """Makes the chain of v1 images of an image, from the base to the top.

    Args:
        config: the configuration.
        layers: the manifest's, from the base to the top.

    Raises:
        ValueError: this is no image; the message says why.
        ImpossibleConversion: it has more layers than the clients of this form can use.
    """
    parsed = parse_image_config(config)
    require_layers_of_files(layers)
    if len(layers) != len(parsed.diff_ids):
        raise ValueError(
            f"the image is not whole: the manifest has {len(layers)} layers, its configuration {len(parsed.diff_ids)}"
        )
    if len(layers) > MAX_ENTRIES:
        raise ImpossibleConversion(
            f"this image has {len(layers)} layers, and Docker before 1.10 can use {MAX_ENTRIES};"
            " pull it with Docker 1.10 or later, or build it with fewer layers"
        )
    return tuple(_link(parsed, tuple(_steps(parsed, layers))))


def _steps(config: ImageConfig, layers: Sequence[Descriptor]) -> Iterator[_Step]:
    history = config.history
    filled = sum(not entry.is_empty for entry in history)
    if not history or filled != len(layers) or len(history) > MAX_ENTRIES:
        unknown = HistoryEntry(config.created)
        history = (unknown,) * len(layers) or (HistoryEntry(config.created, is_empty=True),)
    contents = iter(zip(layers, config.diff_ids, strict=True))
    for entry in history:
        if entry.is_empty:
            yield _Step(entry, None, EMPTY_DIFF_ID)
        else:
            layer, diff_id = next(contents)
            yield _Step(entry, layer, diff_id)


def _link(config: ImageConfig, steps: Sequence[_Step]) -> Iterator[V1Entry]:
    parent: ImageId | None = None
    for number, step in enumerate(steps, start=1):
        said = _top(config, step.history) if number == len(steps) else _below(config, step.history)
        if parent is not None:
            said["parent"] = dump(parent)
        written = {key: f"{dump(key)}:{value}" for key, value in said.items()}
        image_id = _image_id(written, step.diff_id)
        written["id"] = f'"id":"{image_id}"'
        text = _object(written)
        throwaway = text if step.layer is not None else _object({**written, "throwaway": '"throwaway":true'})
        yield V1Entry(image_id, parent, text, throwaway, step.layer, step.diff_id)
        parent = image_id


def _image_id(written: Mapping[str, str], diff_id: Digest) -> ImageId:
    hashed = _object({**written, "layer_id": f'"layer_id":"{diff_id}"'})
    return ImageId(sha256(hashed.encode()).hexdigest())


def _object(written: Mapping[str, str]) -> str:
    """Returns an object of members that are written, by their keys: Go writes them in the order of these."""
    return "{" + ",".join([written[key] for key in sorted(written)]) + "}"


def _below(config: ImageConfig, entry: HistoryEntry) -> dict[str, str]:
    said = {
        "comment": entry.comment,
        "author": entry.author,
        "architecture": config.platform.architecture,
        "os": config.platform.os,
    }
    return {
        "created": dump(entry.created or ZERO),
        "container_config": _made_by(entry),
        **{key: dump(text) for key, text in said.items() if text},
    }


def _top(config: ImageConfig, entry: HistoryEntry) -> dict[str, str]:
    members = {key: compact(raw) for key, raw in without(config.members, NOT_IN_V1).items()}
    members["created"] = dump(config.created or entry.created or ZERO)
    if not members.get("container_config", "").startswith("{"):
        members["container_config"] = _made_by(entry)
    if not config.platform.architecture:
        members["architecture"] = dump("amd64")
    if not config.platform.os:
        members["os"] = dump("linux")
    return members


def _made_by(entry: HistoryEntry) -> str:
    return dump({"Cmd": [entry.created_by]})


def without(members: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """Returns members without some of them."""
    left = dict(members)
    for key in keys:
        left.pop(key, None)
    return left
