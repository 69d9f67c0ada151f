"""What a conversion is to make: a form, for a platform, with layers that the client can read. PURE (FORMATS 5.3, 6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from hashlib import sha256

from backends.model import media_types
from backends.model.descriptors import Platform

LINUX_AMD64 = Platform("amd64", "linux")
"""The platform of clients that do not say theirs, as in distribution."""


class Form(Enum):
    """A form in which an image is stored or sent; the value is its media type."""

    V1 = media_types.V1_IMAGE
    SCHEMA1 = media_types.SCHEMA1_SIGNED
    SCHEMA2 = media_types.SCHEMA2
    OCI_MANIFEST = media_types.OCI_MANIFEST
    MANIFEST_LIST = media_types.MANIFEST_LIST
    OCI_INDEX = media_types.OCI_INDEX

    @property
    def media_type(self) -> str:
        return self.value

    @property
    def word(self) -> str:
        """What the form is called in rules: `v1`, `schema1`, `schema2`, `oci`, `list`, `index`."""
        return _WORDS[self]

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests of several platforms."""
        return self in {Form.MANIFEST_LIST, Form.OCI_INDEX}


_WORDS = {
    Form.V1: "v1",
    Form.SCHEMA1: "schema1",
    Form.SCHEMA2: "schema2",
    Form.OCI_MANIFEST: "oci",
    Form.MANIFEST_LIST: "list",
    Form.OCI_INDEX: "index",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made of a tag's target.

    Attributes:
        form: what the client reads; of an index, it may be a single image's form: then one platform is chosen.
        platform: the client's.
        gzip_only: whether layers that are compressed with zstd must become gzip; bzip2 and xz always do, but for v1
            and schema 1, and so does what is padded with zeros, but for v1.
    """

    form: Form
    platform: Platform = LINUX_AMD64
    gzip_only: bool = False

    def key(self, tag: str) -> str:
        """Returns a short text that is the same for equal plans, in lower-case letters, digits and `-`.

        Args:
            tag: what schema 1 has in its text; it does not count for other forms.
        """
        said = self.platform
        texts = (said.os, said.architecture, said.variant, said.os_version, *said.os_features)
        decides = [*texts, str(self.gzip_only), tag if self.form is Form.SCHEMA1 else ""]
        return f"{self.form.word}-{sha256(chr(0).join(decides).encode()).hexdigest()[:32]}"
