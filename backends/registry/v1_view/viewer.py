"""Who looks at what v2 clients pushed by the v1 protocol, as far as it matters what they see, and when."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.conversion.plans import LINUX_AMD64
from backends.model.descriptors import Platform
from backends.registry.still_working import PATIENCE_SECONDS
from backends.registry.v1.sight import Sight


@dataclass(frozen=True, slots=True)
class Viewer:
    """A client of the v1 protocol.

    Attributes:
        platform: what it runs on, which decides what it gets of an index.
        sight: what it sees of images, whose ids name no repository; None where access is not controlled.
        patience: so many seconds it is kept waiting before it is told to ask again; None for as long as it takes.
    """

    platform: Platform = LINUX_AMD64
    patience: float | None = PATIENCE_SECONDS
    sight: Sight | None = None
