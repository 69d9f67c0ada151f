"""A manifest list made of an OCI index, and the other way round (FORMATS section 5.1). PURE.

Entries keep their order and their platforms; each names the manifest that was made of its own. Attestations and
artifacts are left out: they speak of the manifests that were.
"""

from __future__ import annotations

from collections.abc import Mapping

from backends.model import media_types
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.platforms import image_entries, needs_features, says_platform
from backends.model.descriptors import Descriptor, Platform, no_annotations
from backends.model.digest import Digest
from backends.model.go_json import dump, indent
from backends.model.manifests.indexes import Index


def rewrite_index(
    index: Index,
    media_type: str,
    children: Mapping[Digest, Descriptor],
    *,
    annotations: Mapping[str, str] = no_annotations(),
) -> bytes:
    """Writes an index again: as a manifest list or an OCI index, over manifests that were made of its own.

    Args:
        index: what is stored.
        media_type: the list's or the index's; it may be the index's own.
        children: by the digest of an entry, the manifest that stands for it; its platform counts where the entry says
            none. Entries without one are left out. An entry that need not be converted stands for itself.
        annotations: what an OCI index says besides of itself.

    Raises:
        ImpossibleConversion: no entry is left.
    """
    entries = [
        _replaced(entry, children[entry.digest]) for entry in image_entries(index.manifests) if entry.digest in children
    ]
    docker = media_type == media_types.MANIFEST_LIST
    if docker:
        # Clients of lists take the first entry of their architecture, whatever features it asks for.
        entries = [entry for entry in entries if entry.platform is not None and not needs_features(entry.platform)]
    if not entries:
        raise ImpossibleConversion(
            "there is no image in this list that this client can read; pull it with the tool that pushed it"
        )
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [_describe(entry, annotated=not docker) for entry in entries],
    }
    said = {**index.annotations, **annotations}
    if said and not docker:
        document["annotations"] = dict(sorted(said.items()))
    return indent(dump(document)).encode()


def _replaced(entry: Descriptor, child: Descriptor) -> Descriptor:
    return Descriptor(
        child.media_type,
        child.digest,
        child.size,
        platform=entry.platform if says_platform(entry) else child.platform,
        annotations=entry.annotations,
    )


def _describe(entry: Descriptor, *, annotated: bool) -> dict[str, object]:
    described: dict[str, object] = {
        "mediaType": entry.media_type,
        "size": entry.size,
        "digest": str(entry.digest),
    }
    if annotated and entry.annotations:
        described["annotations"] = dict(sorted(entry.annotations.items()))
    if entry.platform is not None:
        described["platform"] = _describe_platform(entry.platform)
    return described


def _describe_platform(platform: Platform) -> dict[str, object]:
    described: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        described["os.version"] = platform.os_version
    if platform.os_features:
        described["os.features"] = list(platform.os_features)
    if platform.variant:
        described["variant"] = platform.variant
    return described
