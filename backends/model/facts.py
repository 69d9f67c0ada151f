"""What is true of stored content for ever, by its digest, and the form in which others may keep it. PURE.

A digest names one content, so what was found out about it never changes. Whether a repository has that content does
change, and is never a fact.

Others (Redis) can be read and written by whoever reaches them. So a fact goes there with a seal that only this
registry can make, and what comes back counts only with it: a wrong value is as good as none.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeVar

from backends.model import media_types
from backends.model.digest import Digest

SEAL_BYTES = 32
MAX_SEALED = 512
"""Bytes of a fact with its seal, at most."""


class Fact(Protocol):
    """Something that is true of a content.

    Attributes:
        KIND: what kind of fact it is, in a word; two facts of one digest and kind are equal.
    """

    KIND: ClassVar[str]

    def encode(self) -> bytes:
        """Returns it as bytes, fewer than MAX_SEALED."""
        ...

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Returns what was encoded; raises ValueError where it is not a fact of this kind."""
        ...


F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What a manifest is, which a volume records nowhere: who wants to know must read and parse it.

    Attributes:
        media_type: its type.
        size: of its content, in bytes; of schema 1 of what is signed.
    """

    KIND: ClassVar[str] = "manifest"

    media_type: str
    size: int

    def encode(self) -> bytes:
        return f"{self.media_type} {self.size}".encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        media_type, _, size = encoded.decode("ascii").partition(" ")
        if media_type not in media_types.MANIFESTS:
            raise ValueError(f"{media_type!r} is not a type of manifest")
        return cls(media_type, _natural(size))


def _natural(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(2**63)):
        raise ValueError(f"{text!r} is not a size in bytes")
    return int(text)


def seal(key: bytes, digest: Digest, fact: Fact) -> bytes:
    """Returns a fact as others may keep it."""
    encoded = fact.encode()
    return _seal_of(key, digest, fact.KIND, encoded) + encoded


def unseal(key: bytes, digest: Digest, kind: type[F], sealed: bytes) -> F | None:
    """Returns what was sealed with this key, as a fact of this kind about this digest; None where it was not."""
    if not SEAL_BYTES < len(sealed) <= MAX_SEALED:
        return None
    encoded = sealed[SEAL_BYTES:]
    if not hmac.compare_digest(sealed[:SEAL_BYTES], _seal_of(key, digest, kind.KIND, encoded)):
        return None
    try:
        return kind.decode(encoded)
    except ValueError:  # sealed by another version of this program
        return None


def _seal_of(key: bytes, digest: Digest, kind: str, encoded: bytes) -> bytes:
    return hmac.digest(key, f"{kind} {digest} ".encode() + encoded, hashlib.sha256)
