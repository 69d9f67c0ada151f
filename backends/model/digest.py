"""Digests: `algorithm:hex`, parsed once at the edge (OCI image specification, "Digests")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

from backends.model.cache import Cache
from backends.model.errors import ErrorCode, RegistryError

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]{64,128})", re.ASCII)


class Hash(Protocol):
    """What this project needs of a `hashlib` object."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Hash: ...


@dataclass(frozen=True, slots=True)
class Digest:
    """A content address: a known algorithm and lower-case hex of exactly its length."""

    algorithm: str
    hex: str

    @override
    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @staticmethod
    def of(content: bytes, algorithm: str = "sha256") -> Digest:
        """Returns the digest of bytes that are in memory already (a manifest, a config)."""
        return Digest(algorithm, hashlib.new(algorithm, content).hexdigest())


def is_digest(text: str) -> bool:
    """Whether a manifest reference is a digest rather than a tag: only digests have a colon."""
    return ":" in text


def parse_digest(text: str) -> Digest:
    """Parses `sha256:<64 hex>` or `sha512:<128 hex>`.

    Raises:
        RegistryError: DIGEST_INVALID, saying which forms are understood.
    """
    return _digests[text]


def _parse(text: str) -> Digest:
    match = _DIGEST.fullmatch(text)
    if match is None or len(match[2]) != HEX_LENGTHS[match[1]]:
        what = f"{text[:100]!r} is not a valid digest"
        raise RegistryError(
            ErrorCode.DIGEST_INVALID,
            f"{what}; write sha256: and 64, or sha512: and 128 lower-case hex digits",
            message=what,
        )
    return Digest(match[1], match[2])


_digests = Cache(_parse, bound=8192)


def new_hash(algorithm: str = "sha256") -> Hash:
    """Returns a running hash of a known algorithm."""
    return hashlib.new(algorithm)
