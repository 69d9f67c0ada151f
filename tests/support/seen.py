"""What a client sees of an image once it has pulled it: to compare what was pushed with what arrived, in any form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.images import Image, Pulled
from tests.support.layers import Tree, tree_of, unpack


@dataclass(frozen=True, slots=True)
class Seen:
    """An image as it runs: its files, how it is run, and how it was built.

    Attributes:
        run: Command and environment.
        steps: What `docker history` shows, base first.
    """

    tree: Tree
    platform: str
    run: Mapping[str, Any]
    steps: tuple[str, ...]


def seen_of(image: Image, *, platform: str = "linux/amd64", with_steps: bool = True) -> Seen:
    """How an image is to arrive.

    Args:
        with_steps: Its history was pushed; otherwise each layer is a step that says nothing.
    """
    top = image.layers[-1].command
    count = len(image.stored_layers)
    steps = [f"/bin/sh -c {layer.command}" for layer in image.layers] if with_steps else [""] * count
    run = {"Cmd": ["/bin/sh", "-c", top], "Env": ["A=1 <x>"]}
    return Seen(tree_of(layer.tar for layer in image.layers), platform, run, tuple(steps))


def seen_in(pulled: Pulled) -> Seen:
    """How it arrived: as one configuration, or as a chain of v1 images."""
    documents = [json.loads(text) for text in pulled.metadata]
    top = documents[-1]
    steps = _steps_of_config(top) if "rootfs" in top else _steps_of_chain(documents)
    run = {name: (top.get("config") or {}).get(name) for name in ("Cmd", "Env")}
    platform = f"{top.get('os')}/{top.get('architecture')}"
    return Seen(tree_of(unpack(layer) for layer in pulled.layers), platform, run, steps)


def _steps_of_config(config: Mapping[str, Any]) -> tuple[str, ...]:
    history = config.get("history") or [{} for _ in config["rootfs"]["diff_ids"]]
    return tuple(entry.get("created_by", "") for entry in history)


def _steps_of_chain(chain: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(" ".join((entry.get("container_config") or {}).get("Cmd") or []) for entry in chain)
