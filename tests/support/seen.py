"""What a client sees of an image once it has pulled it: to compare what was pushed with what arrived, in any form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.images import Image, Pulled
from tests.support.layers import Tree, is_empty, tree_of, unpack

Step = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class Seen:
    """An image as it runs: its files, how it is run, and how it was built.

    Attributes:
        run: Command and environment.
        steps: What `docker history` shows, base first: each step's text, and whether it changed a file.
    """

    tree: Tree
    platform: str
    run: Mapping[str, Any]
    steps: tuple[Step, ...]


def seen_of(image: Image, *, platform: str = "linux/amd64", with_steps: bool = True) -> Seen:
    """How an image is to arrive.

    Args:
        with_steps: Its history was pushed; otherwise each layer is a step that says nothing.
    """
    top = image.layers[-1].command
    run = {"Cmd": ["/bin/sh", "-c", top], "Env": ["A=1 <x>"]}
    if with_steps:
        steps = [(f"/bin/sh -c {layer.command}", not layer.is_empty) for layer in image.layers]
    else:
        steps = [("", True) for _ in image.stored_layers]
    return Seen(tree_of(layer.tar for layer in image.layers), platform, run, tuple(steps))


def seen_in(pulled: Pulled) -> Seen:
    """How it arrived: as one configuration, or as a chain of v1 images."""
    documents = [json.loads(text) for text in pulled.metadata]
    tars = [unpack(layer) for layer in pulled.layers]
    top = documents[-1]
    steps = _steps_of_config(top) if "rootfs" in top else _steps_of_chain(documents, tars)
    run = {name: (top.get("config") or {}).get(name) for name in ("Cmd", "Env")}
    return Seen(tree_of(tars), f"{top.get('os')}/{top.get('architecture')}", run, steps)


def _steps_of_config(config: Mapping[str, Any]) -> tuple[Step, ...]:
    diff_ids = config["rootfs"]["diff_ids"]
    history = config.get("history") or [{} for _ in diff_ids]
    steps = tuple((entry.get("created_by", ""), not entry.get("empty_layer", False)) for entry in history)
    changed = sum(step[1] for step in steps)
    assert changed == len(diff_ids), f"`docker history` refuses {changed} steps for {len(diff_ids)} layers"
    return steps


def _steps_of_chain(chain: Sequence[Mapping[str, Any]], tars: Sequence[bytes]) -> tuple[Step, ...]:
    texts = [" ".join((entry.get("container_config") or {}).get("Cmd") or []) for entry in chain]
    return tuple((text, not is_empty(tar)) for text, tar in zip(texts, tars, strict=True))
