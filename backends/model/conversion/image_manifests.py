"""Manifests of schema 2 and OCI, written new or one made of the other (FORMATS sections 2.5 and 5.1). PURE.

Both name the same configuration and the same layers, so only the manifest's own digest changes. Schema 2 is laid out as
Docker does, OCI without blanks, and its keys in the order of OCI's specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from backends.model import media_types
from backends.model.conversion.layer_types import LayerKind, layer_kind, layer_type, require_layers_of_files
from backends.model.descriptors import Descriptor, no_annotations
from backends.model.digest import Digest
from backends.model.go_json import dump, indent
from backends.model.layers import StoredLayer
from backends.model.manifests.images import OciManifest, Schema2

NO_REPLACEMENTS: Mapping[Digest, StoredLayer] = MappingProxyType({})
_CONFIG_TYPES = {
    media_types.SCHEMA2: media_types.DOCKER_CONFIG,
    media_types.OCI_MANIFEST: media_types.OCI_CONFIG,
}


def write_image_manifest(
    media_type: str,
    config: bytes,
    layers: Sequence[StoredLayer],
    *,
    annotations: Mapping[str, str] = no_annotations(),
) -> bytes:
    """Writes the manifest of an image that was made of v1 images.

    Args:
        media_type: schema 2's or the OCI manifest's.
        config: the configuration.
        layers: from the base to the top.
        annotations: what an OCI manifest says of itself; schema 2 has no room for it.

    Raises:
        ValueError: a layer is in bzip2 or xz, which manifests have no types for.
    """
    return _write(
        media_type,
        Descriptor(_CONFIG_TYPES[media_type], Digest.of(config), len(config)),
        [_described(media_type, layer) for layer in layers],
        annotations,
    )


def require_image(manifest: Schema2 | OciManifest) -> None:
    """Checks by its types that a manifest is a container image's.

    Raises:
        ValueError: it is an artifact, an attestation, a plugin; the message says so. One that passes may be none
            either: its configuration says.
    """
    config_type = manifest.config.media_type
    if config_type not in media_types.IMAGE_CONFIGS and not _may_be_an_image(manifest):
        kind = manifest.artifact_type if isinstance(manifest, OciManifest) and manifest.artifact_type else config_type
        raise ValueError(f"this is not a container image, but an artifact of type {kind[:100]!r}")
    require_layers_of_files(manifest.layers)


def _may_be_an_image(manifest: Schema2 | OciManifest) -> bool:
    """Whether the type of a configuration says nothing, and layers are those of images: the content is to say it."""
    return (
        isinstance(manifest, Schema2)
        and manifest.config.media_type in media_types.UNTYPED_CONFIGS
        and all(layer_kind(layer.media_type) is not None for layer in manifest.layers)
    )


def rewrite_image_manifest(
    manifest: Schema2 | OciManifest,
    media_type: str,
    *,
    replacements: Mapping[Digest, StoredLayer] = NO_REPLACEMENTS,
    annotations: Mapping[str, str] = no_annotations(),
) -> bytes:
    """Writes a manifest again: as schema 2 or OCI, and with other bytes of some layers.

    What schema 2 has no room for is left out (annotations). So are a subject, since the manifest would become a second
    referrer, and copies of content within the manifest.

    Args:
        manifest: an image's.
        media_type: schema 2's or the OCI manifest's; it may be the manifest's own.
        replacements: by the digest of a layer, the same content in other bytes.
        annotations: what an OCI manifest says besides of itself.

    Raises:
        ValueError: it is not an image's.
    """
    require_image(manifest)
    said = {**manifest.annotations, **annotations} if isinstance(manifest, OciManifest) else annotations
    layers = [_rewritten(media_type, layer, replacements.get(layer.digest)) for layer in manifest.layers]
    config = Descriptor(_CONFIG_TYPES[media_type], manifest.config.digest, manifest.config.size)
    return _write(media_type, config, layers, said)


def _described(media_type: str, layer: StoredLayer) -> Descriptor:
    return Descriptor(layer_type(LayerKind(layer.facts.compression), media_type), layer.digest, layer.size)


def _rewritten(media_type: str, layer: Descriptor, replacement: StoredLayer | None) -> Descriptor:
    if replacement is not None:
        return _described(media_type, replacement)
    kind = layer_kind(layer.media_type)
    assert kind is not None  # require_image has looked
    return Descriptor(
        layer_type(kind, media_type), layer.digest, layer.size, urls=layer.urls, annotations=layer.annotations
    )


def _write(media_type: str, config: Descriptor, layers: Iterable[Descriptor], annotations: Mapping[str, str]) -> bytes:
    describe = _describe_docker if media_type == media_types.SCHEMA2 else _describe_oci
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": describe(config),
        "layers": [describe(layer) for layer in layers],
    }
    if media_type == media_types.SCHEMA2:
        return indent(dump(document)).encode()
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return dump(document).encode()


def _describe_docker(descriptor: Descriptor) -> dict[str, object]:
    described: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "size": descriptor.size,
        "digest": str(descriptor.digest),
    }
    if descriptor.urls:
        described["urls"] = list(descriptor.urls)
    return described


def _describe_oci(descriptor: Descriptor) -> dict[str, object]:
    described: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.urls:
        described["urls"] = list(descriptor.urls)
    if descriptor.annotations:
        described["annotations"] = dict(sorted(descriptor.annotations.items()))
    return described
