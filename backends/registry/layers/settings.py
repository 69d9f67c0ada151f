"""What reading layers may cost; apart from what reads them, for commands that only read settings."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """Settings of what is found out about layers (`gateway.conversions`).

    Attributes:
        max_ratio: a layer inflates to at most so many times its size, but always to a GiB. gzip cannot pass 1032.
        max_bytes: and to at most so many bytes.
        max_window: so much of what it has inflated may a zstd or xz layer ask to keep in memory, in bytes.
        at_once: so many layers does a process read at once, the pass over old volumes not counted.
        background: whether the layers of an old volume are read in the background.
    """

    max_ratio: int = 1100
    max_bytes: int = 100 * GIB
    max_window: int = GIB // 4
    at_once: int = 2
    background: bool = True
