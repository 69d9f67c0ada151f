"""What a layer's bytes are: how they are compressed, and what they hold (FORMATS 1.6, 2.2, 2.3). PURE.

The media type that a manifest gives a layer is a claim, and v1 and schema 1 make none, so clients of every age look at
the first bytes, and so does this registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Self

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError

HEAD_BYTES = 10
"""So many bytes tell how a layer is compressed; fewer where it has no more."""

_SKIPPABLE_FRAMES = tuple(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))
_PADDED = "+padding"
_BZIP2_BLOCKS = (bytes.fromhex("314159265359"), bytes.fromhex("177245385090"))


class Compression(Enum):
    """How a layer is compressed; NONE is a tar as it is, and whatever else is none of these."""

    NONE = "none"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"


def compression_of(head: bytes) -> Compression:
    """Returns how bytes are compressed, by the first HEAD_BYTES of them."""
    if head.startswith(b"\x1f\x8b\x08"):
        return Compression.GZIP
    if head.startswith(b"\xfd7zXZ\0"):
        return Compression.XZ
    if head.startswith((b"\x28\xb5\x2f\xfd", *_SKIPPABLE_FRAMES)):  # pzstd begins with a skippable one
        return Compression.ZSTD
    # A tar begins with the name of its first file, and that may be BZh9: so the first block's mark is looked at too.
    if head.startswith(b"BZh") and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCKS:
        return Compression.BZIP2
    return Compression.NONE


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is true of a layer's bytes for ever: a `Fact` by the digest of the bytes as they are stored.

    Attributes:
        compression: of the bytes as they are stored.
        diff_id: the digest of the bytes without this compression.
        raw_size: how many these are.
        is_empty: whether none of these is other than zero: the layer changes nothing.
        is_padded: whether zeros follow the end of the compressed data, which Go's programs take for damage (FOUND 19).
    """

    KIND: ClassVar[str] = "layer"

    compression: Compression
    diff_id: Digest
    raw_size: int
    is_empty: bool
    is_padded: bool = False

    def encode(self) -> bytes:
        # The part whose length is known comes last, so what a power cut has cut short is not taken for whole.
        content = ("empty" if self.is_empty else "full") + (_PADDED if self.is_padded else "")
        return f"{self.compression.value} {self.raw_size} {content} {self.diff_id}".encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        compression, size, content, diff_id = encoded.decode("ascii").split(" ")
        is_padded = content.endswith(_PADDED)
        content = content.removesuffix(_PADDED)
        if not size.isdecimal() or len(size) > len(str(2**63)) or content not in {"empty", "full"}:
            raise ValueError(f"{encoded!r} says nothing of a layer")
        try:
            return cls(Compression(compression), parse_digest(diff_id), int(size), content == "empty", is_padded)
        except RegistryError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer as it goes out.

    Attributes:
        digest: of its bytes as they go out.
        size: how many these are.
        facts: about these bytes.
    """

    digest: Digest
    size: int
    facts: LayerFacts


EMPTY_LAYER = bytes.fromhex("1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000")
"""The gzip of 1024 zero bytes that Docker 1.3 to 1.9 send for a layer without files, and that every client can read."""

EMPTY_LAYER_DIGEST = Digest("sha256", "a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4")
EMPTY_DIFF_ID = Digest("sha256", "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
EMPTY_STORED_LAYER = StoredLayer(
    EMPTY_LAYER_DIGEST,
    len(EMPTY_LAYER),
    LayerFacts(Compression.GZIP, EMPTY_DIFF_ID, raw_size=1024, is_empty=True),
)
