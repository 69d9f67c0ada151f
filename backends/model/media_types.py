"""Media types of manifests, exactly as they stand in `Content-Type` and `mediaType`."""

from __future__ import annotations

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

IMAGES = frozenset({SCHEMA2, OCI_MANIFEST})
INDEXES = frozenset({MANIFEST_LIST, OCI_INDEX})
SCHEMA1_TYPES = frozenset({SCHEMA1, SCHEMA1_SIGNED})
MANIFESTS = IMAGES | INDEXES | SCHEMA1_TYPES

SCHEMA1_LAYER = "application/vnd.docker.container.image.rootfs.diff+x-gtar"
"""What distribution calls a layer that schema 1 names, which says no type itself."""

V1_IMAGE = "application/vnd.docker.image.v1+json"
"""What we call an image of the v1 protocol, which has no types."""

OCTET_STREAM = "application/octet-stream"
JSON = "application/json"

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_CONFIGS = frozenset({DOCKER_CONFIG, OCI_CONFIG})
"""Of the configurations of images; what has a config of another type is an artifact."""
UNTYPED_CONFIGS = frozenset({OCTET_STREAM, JSON, "text/html"})
"""Types of configurations in schema 2 that say nothing. Docker 1.10.0 to 1.11.0 wrote the `Content-Type` by which the
registry had answered for the blob (distribution issue 1621): octet-stream, mostly."""
