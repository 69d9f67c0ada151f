"""What the types of layers mean, and what each is called in schema 2 and in OCI (FORMATS sections 2.4 and 5.1). PURE.

A type that is not here is no tar: an attestation, a chart, an encrypted layer, a file system image such as EROFS. No
other form can hold it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backends.model import media_types
from backends.model.descriptors import Descriptor
from backends.model.layers import Compression


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What a layer's type says of it.

    Attributes:
        compression: how its bytes are compressed, by its pusher's word.
        is_foreign: it may not be distributed, and is often elsewhere (`urls`).
    """

    compression: Compression
    is_foreign: bool = False


_DOCKER = "application/vnd.docker.image.rootfs"
_OCI = "application/vnd.oci.image.layer"

_NAMES = {
    LayerKind(Compression.NONE): (f"{_DOCKER}.diff.tar", f"{_OCI}.v1.tar"),
    LayerKind(Compression.GZIP): (f"{_DOCKER}.diff.tar.gzip", f"{_OCI}.v1.tar+gzip"),
    LayerKind(Compression.ZSTD): (f"{_DOCKER}.diff.tar.zstd", f"{_OCI}.v1.tar+zstd"),
    LayerKind(Compression.NONE, is_foreign=True): (
        f"{_DOCKER}.foreign.diff.tar",
        f"{_OCI}.nondistributable.v1.tar",
    ),
    LayerKind(Compression.GZIP, is_foreign=True): (
        f"{_DOCKER}.foreign.diff.tar.gzip",
        f"{_OCI}.nondistributable.v1.tar+gzip",
    ),
    LayerKind(Compression.ZSTD, is_foreign=True): (
        f"{_DOCKER}.foreign.diff.tar.zstd",
        f"{_OCI}.nondistributable.v1.tar+zstd",
    ),
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names}


def layer_kind(media_type: str) -> LayerKind | None:
    """Returns what a layer's type says of it; None where it is no type of a layer of files."""
    return _KINDS.get(media_type)


def require_layers_of_files(layers: Iterable[Descriptor]) -> None:
    """Checks that all layers of a manifest are tars.

    Raises:
        ValueError: one is not, so this is no container image for other clients than its own; the message says which.
    """
    for number, layer in enumerate(layers, start=1):
        if layer.media_type not in _KINDS:
            kind = layer.media_type[:100]
            raise ValueError(f"this is not a container image that can be converted: layer {number} is of type {kind!r}")


def layer_type(kind: LayerKind, manifest_type: str) -> str:
    """Returns what a layer is called in a manifest of schema 2 or of OCI.

    Raises:
        ValueError: manifests have no type for it: bzip2 and xz, which not every client of theirs can read.
    """
    names = _NAMES.get(kind)
    if names is None:
        raise ValueError(f"manifests have no type for a layer compressed with {kind.compression.value}")
    docker, oci = names
    return docker if manifest_type == media_types.SCHEMA2 else oci
