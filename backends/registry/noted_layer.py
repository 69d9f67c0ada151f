"""What a process that receives a layer notes of it, in an object of JSON, for the one that commits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.model.layers import LayerFacts


def note_of(facts: LayerFacts | None) -> dict[str, str]:
    """Returns the part of the object that says what was found out; nothing for nothing."""
    return {} if facts is None else {"layer": facts.encode().decode()}


def noted_facts(note: Mapping[str, Any]) -> LayerFacts | None:
    """Returns what the object says of it; None for nothing.

    Raises:
        ValueError: what it says is no facts.
    """
    if "layer" not in note:
        return None
    from backends.model.layers import LayerFacts  # noqa: PLC0415 - most that is pushed is metered by nobody

    return LayerFacts.decode(str(note["layer"]).encode())
