"""Hypothesis strategies for images as programs write them: configurations, histories, layers.

Documents are written with the standard library, not with Portside's code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from backends.model.descriptors import Descriptor
from backends.model.layers import StoredLayer
from tests.support.formats import stored_layer
from tests.support.schema1 import go_json

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
words = st.text('abc/<&>é\u2028"\\\t ', max_size=8)
times = st.builds(
    lambda year, fraction, zone: f"{year:04d}-02-28T23:59:58{fraction}{zone}",
    st.integers(1, 9999),
    st.one_of(st.just(""), st.from_regex(r"\.[0-9]{0,8}[1-9]", fullmatch=True)),
    st.sampled_from(["Z", "-07:00", "+05:30"]),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
contents = st.binary(max_size=6).map(lambda end: b"a tar " + end)
"""Layers' bytes: neither compressed nor empty."""


@dataclass(frozen=True)
class Image:
    """An image of schema 2.

    Attributes:
        config: its configuration, as Docker writes it.
        layers: from the base to the top.
    """

    config: dict[str, Any]
    layers: list[StoredLayer]

    @property
    def content(self) -> bytes:
        return go_json(self.config).encode()

    def descriptors(self, media_type: str) -> list[Descriptor]:
        return [Descriptor(media_type, layer.digest, layer.size) for layer in self.layers]


@st.composite
def steps(draw: st.DrawFn, *, max_size: int = 6) -> list[dict[str, Any]]:
    """A history with one layer at least, each step as Go writes it: what is empty is left out."""
    drawn = []
    for _ in range(draw(st.integers(1, max_size))):
        step: dict[str, Any] = {"created": draw(times)}
        for key in ("author", "created_by", "comment"):
            if text := draw(words):
                step[key] = text
        if draw(st.booleans()):
            step["empty_layer"] = True
        drawn.append(step)
    drawn[draw(st.integers(0, len(drawn) - 1))].pop("empty_layer", None)
    return drawn


@st.composite
def docker_images(draw: st.DrawFn) -> Image:
    """An image as Docker builds it: its configuration says of the last step what the history says of it."""
    history = draw(steps())
    layers = [stored_layer(draw(contents)) for step in history if "empty_layer" not in step]
    last = history[-1]
    config: dict[str, Any] = {
        **draw(st.dictionaries(st.sampled_from(["variant", "docker_version", "container", "x.example", "é<"]), words)),
        **{key: last[key] for key in ("author", "comment") if key in last},
        "architecture": draw(st.sampled_from(["amd64", "arm64", "arm", "386", "mips<64>"])),
        "os": draw(st.sampled_from(["linux", "windows"])),
        "config": draw(st.dictionaries(words, values, max_size=4)),
        "container_config": {"Hostname": "", "Cmd": [last["created_by"]] if "created_by" in last else None},
        "created": last["created"],
        "history": history,
        "rootfs": {"type": "layers", "diff_ids": [str(layer.facts.diff_id) for layer in layers]},
    }
    return Image(dict(sorted(config.items())), layers)


@st.composite
def v1_chains(draw: st.DrawFn) -> tuple[list[str], list[StoredLayer]]:
    """v1 images as Docker before 1.10 pushes them, with their layers, from the base to the top."""
    written: list[str] = []
    layers: list[StoredLayer] = []
    parent: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 6))):
        image_id = f"{number:02x}" + draw(st.text("0123456789abcdef", min_size=62, max_size=62))
        image: dict[str, Any] = {
            "id": image_id,
            **parent,
            "created": draw(times),
            "container_config": {"Cmd": draw(st.none() | st.lists(words, max_size=3))},
            **{key: text for key in ("author", "comment") if (text := draw(words))},
            "config": draw(st.none() | st.dictionaries(words, values, max_size=3)),
            "architecture": "amd64",
            "os": "linux",
            "Size": draw(st.integers(0, 10)),
        }
        written.append(go_json(image) + draw(st.sampled_from(["", "\n"])))
        layers.append(stored_layer(draw(st.sampled_from([b"", b"\0" * 1024]) | contents)))
        parent = {"parent": image_id}
    return written, layers
