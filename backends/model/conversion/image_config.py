"""The configuration of an image: one blob for schema 2 and OCI, with its history and its layers (FORMATS section 3.1).

Some programs put anything in a config's place: python-dxf the layer itself, artifacts what they like. So whatever is
not a configuration is a ValueError that says so, never another exception. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.model.descriptors import Platform, parse_text, parse_texts
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.go_json import parse_object
from backends.model.strict_json import refuse_lookalikes, spellings
from backends.model.timestamps import normalise

MAX_CONFIG_BYTES = 4 * 1024 * 1024
"""No image's configuration has a hundredth of it; nobody needs to read more to know that this is none."""

MAX_NAME = 128
"""Characters of an architecture or an operating system."""

_FIELDS = spellings("rootfs", "history", "config", "container_config", "created", "author", "comment", "architecture",
                    "os", "variant", "os.version", "os.features", "id", "parent")  # fmt: skip
_ROOTFS = spellings("type", "diff_ids")
_HISTORY = spellings("created", "created_by", "author", "comment", "empty_layer")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A step that made the image.

    Attributes:
        created: when, as Go writes it; None where it is not said.
        created_by: what the step did.
        author: who did it.
        comment: a remark.
        is_empty: it made no layer.
    """

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """An image's configuration.

    Attributes:
        members: the text of each of its members.
        created: when the image was made, as Go writes it; None where it is not said.
        platform: what it runs on.
        history: its steps, from the base to the top; often shorter or longer than the list of layers.
        diff_ids: the digests of its layers' content, from the base to the top.
    """

    members: Mapping[str, str]
    created: str | None
    platform: Platform
    history: tuple[HistoryEntry, ...]
    diff_ids: tuple[Digest, ...]


def parse_image_config(content: bytes) -> ImageConfig:
    """Parses an image's configuration.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        return _parse(content)
    except ValueError as error:
        raise ValueError(f"this is not an image's configuration: {error}") from None


def _parse(content: bytes) -> ImageConfig:
    if len(content) > MAX_CONFIG_BYTES:
        raise ValueError(f"it has {len(content)} bytes, and {MAX_CONFIG_BYTES} are allowed")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from None
    values, members = parse_object(text)
    refuse_lookalikes(values, _FIELDS)
    for key in ("config", "container_config"):
        if not isinstance(values.get(key), Mapping | None):
            raise ValueError(f"{key} is not an object")
    return ImageConfig(
        members,
        normalise(values.get("created")),
        Platform(
            _parse_name(values.get("architecture"), "architecture"),
            _parse_name(values.get("os"), "os"),
            parse_text(values.get("os.version"), "os.version"),
            parse_texts(values.get("os.features"), "os.features"),
            parse_text(values.get("variant"), "variant"),
        ),
        _parse_history(values.get("history")),
        _parse_diff_ids(values.get("rootfs")),
    )


def _parse_name(value: Any, where: str) -> str:
    name = parse_text(value, where)
    if len(name) > MAX_NAME:  # a chain repeats it in each entry
        raise ValueError(f"{where} has {len(name)} characters, and {MAX_NAME} are allowed")
    return name


def _parse_diff_ids(rootfs: Any) -> tuple[Digest, ...]:
    if not isinstance(rootfs, Mapping):
        raise ValueError("it has no object `rootfs`")
    refuse_lookalikes(rootfs, _ROOTFS)
    if rootfs.get("type", "layers") != "layers":
        raise ValueError(f"its rootfs is of the type {str(rootfs['type'])[:40]!r}, not of layers")
    try:
        return tuple([parse_digest(text) for text in parse_texts(rootfs.get("diff_ids"), "rootfs.diff_ids")])
    except RegistryError as error:
        raise ValueError(f"rootfs.diff_ids: {error.detail}") from None


def _parse_history(history: Any) -> tuple[HistoryEntry, ...]:
    if history is None:
        return ()
    if not isinstance(history, list):
        raise ValueError("history is not a list")
    return tuple([_parse_entry(entry, f"history[{index}]") for index, entry in enumerate(history)])


def _parse_entry(entry: Any, where: str) -> HistoryEntry:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} is not an object")
    refuse_lookalikes(entry, _HISTORY)
    is_empty = entry.get("empty_layer")
    if not isinstance(is_empty, bool | None):
        raise ValueError(f"{where}.empty_layer is neither true nor false")
    return HistoryEntry(
        normalise(entry.get("created")),
        parse_text(entry.get("created_by"), f"{where}.created_by"),
        parse_text(entry.get("author"), f"{where}.author"),
        parse_text(entry.get("comment"), f"{where}.comment"),
        bool(is_empty),
    )
