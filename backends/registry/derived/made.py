"""What a conversion has made, before it is kept (`records`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.model.conversion.derived import Record
from backends.model.digest import Digest
from backends.model.names import ImageId


@dataclass(frozen=True, slots=True)
class DerivedBlob:
    """A blob that a derived manifest names and that its repository does not have otherwise.

    Attributes:
        digest: what names it.
        size: in bytes.
        content: what is to be stored; None where it is already, in the derived store or as a v1 image's layer.
        image_id: the v1 image whose layer it is.
        made_of: the layer that it is a gzip of.
    """

    digest: Digest
    size: int
    content: bytes | None = None
    image_id: ImageId | None = None
    made_of: Digest | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A manifest that a conversion has made.

    Attributes:
        digest: what names it; of schema 1, that of the payload.
        content: of schema 1, the payload.
        record: what is kept of it.
        blobs: those that its repository gets with it.
    """

    digest: Digest
    content: bytes
    record: Record
    blobs: Sequence[DerivedBlob] = ()
