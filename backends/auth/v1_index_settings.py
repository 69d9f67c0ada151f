"""What can be set about an index elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class V1IndexSettings:
    """An index of v1 that says who may do what in which repository.

    Attributes:
        url: its address, without a slash at its end.
        ca: a PEM file that its certificate is checked against; None for the system's.
        privileged_key: the file of a public key: what is signed by its owner needs no token; None for none.
    """

    url: str
    ca: Path | None = None
    privileged_key: Path | None = None
