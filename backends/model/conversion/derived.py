"""A manifest that a conversion made, and the record that is kept of it. PURE (FORMATS 0, rule 3; 7.1)."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.digest import Digest
from backends.model.targets import Target


@dataclass(frozen=True, slots=True)
class DerivedManifest:
    """A manifest that was made of another one, as it goes out; it is stored, so its digest can be asked for.

    Attributes:
        media_type: its type.
        digest: what names it; of schema 1, that of the payload.
        content: the document; of schema 1, with signatures.
        source: what it was made of: what the tag names.
        source_type: the media type of `source`.
        rule: the steps that made it, in ASCII: `linux/amd64 oci-to-schema2 zstd-to-gzip`.
    """

    media_type: str
    digest: Digest
    content: bytes
    source: Target
    source_type: str
    rule: str
