"""Media types of manifests and of what they name, by short names."""

from __future__ import annotations

from typing import Final

_DOCKER: Final = "application/vnd.docker"
_OCI: Final = "application/vnd.oci.image"

SIGNED_SCHEMA1: Final = f"{_DOCKER}.distribution.manifest.v1+prettyjws"
SCHEMA2: Final = f"{_DOCKER}.distribution.manifest.v2+json"
LIST: Final = f"{_DOCKER}.distribution.manifest.list.v2+json"
MANIFEST: Final = f"{_OCI}.manifest.v1+json"
INDEX: Final = f"{_OCI}.index.v1+json"

DOCKER_CONFIG: Final = f"{_DOCKER}.container.image.v1+json"
DOCKER_GZIP: Final = f"{_DOCKER}.image.rootfs.diff.tar.gzip"
DOCKER_TAR: Final = f"{_DOCKER}.image.rootfs.diff.tar"
DOCKER_FOREIGN: Final = f"{_DOCKER}.image.rootfs.foreign.diff.tar.gzip"
OCI_CONFIG: Final = f"{_OCI}.config.v1+json"
OCI_GZIP: Final = f"{_OCI}.layer.v1.tar+gzip"
OCI_ZSTD: Final = f"{_OCI}.layer.v1.tar+zstd"
OCI_TAR: Final = f"{_OCI}.layer.v1.tar"

SHORT: Final = {
    SIGNED_SCHEMA1: "schema 1",
    SCHEMA2: "schema 2",
    LIST: "list",
    MANIFEST: "OCI",
    INDEX: "index",
}
"""What tables call them."""
