"""What is required of a pushed manifest beyond being one: two profiles, and the keys between them.

`oci` takes what the OCI distribution specification lets a registry take: sparse manifests, whose layers or entries are
not here, and layers with addresses elsewhere, which are never fetched. `distribution` requires what distribution does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from backends.model import media_types
from backends.model.descriptors import Descriptor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Index, Manifest, OciManifest, Schema1, Schema2

CLASSES: Mapping[type, Mapping[str, str]] = {
    Schema2: {
        media_types.DOCKER_CONFIG: "image",
        "application/vnd.docker.plugin.v1+json": "plugin",
    },
    OciManifest: {media_types.OCI_CONFIG: "image"},
}
"""What distribution takes an image manifest for, by the type of its config; it denies others. Schema 1 is an image."""


class UrlRule(Protocol):
    """Which addresses the layers of a manifest may name."""

    def permits(self, url: str) -> bool:
        """Whether this one is allowed; it is never fetched."""
        ...


@dataclass(frozen=True, slots=True)
class AnyUrl:
    """Any text."""

    def permits(self, url: str) -> bool:  # noqa: ARG002 - none is refused
        """Returns True."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What is required; by default that all is here, from wherever else it may be had.

    Attributes:
        layers: the config and the layers of an image must be here.
        children: what an index names must be here.
        platforms: (architecture, os): of an index only what is for one of these; () for all.
        urls: where else layers may be.
        schema1: whether manifests of schema 1 may be pushed (`compatibility.schema1.enabled`); stored ones are served.
        classes: which kinds of images may be pushed, `image` and `plugin` (`policy.repository.classes`); () for all.
    """

    layers: bool = True
    children: bool = True
    platforms: frozenset[tuple[str, str]] = frozenset()
    urls: UrlRule = AnyUrl()
    schema1: bool = True
    classes: frozenset[str] = frozenset()

    def requires(self, entry: Descriptor) -> bool:
        """Whether what an entry of an index names must be here."""
        if not self.platforms:
            return self.children
        platform = entry.platform
        return self.children and platform is not None and (platform.architecture, platform.os) in self.platforms


def require_permitted_kind(manifest: Manifest, validation: Validation) -> None:
    """Requires that manifests of this kind may be pushed.

    Raises:
        RegistryError: MANIFEST_INVALID for schema 1, where it is switched off: distribution's own answer to a push is a
            500, and this one to a pull; DENIED for a class that is not allowed, in distribution's words.
    """
    if isinstance(manifest, Schema1) and not validation.schema1:
        raise RegistryError(
            ErrorCode.MANIFEST_INVALID,
            "this registry takes no manifests of schema 1 (compatibility.schema1.enabled is false);"
            " push with Docker 1.10 or later",
            message="manifest schema v1 unsupported",
        )
    allowed = validation.classes
    if not allowed or isinstance(manifest, Index):
        return
    media_type = "" if isinstance(manifest, Schema1) else manifest.config.media_type
    found = "image" if isinstance(manifest, Schema1) else CLASSES[type(manifest)].get(media_type, "")
    if found in allowed:
        return
    shown = media_type[:200]
    raise RegistryError(
        ErrorCode.DENIED,
        f"policy.repository.classes allows {', '.join(sorted(allowed))}; this config is of type {shown!r}",
        message=f"registry does not allow {found} manifest" if found else f"unknown manifest class for {shown}",
    )


def require_permitted_urls(manifest: Manifest, rule: UrlRule) -> None:
    """Requires that layers name only addresses that are allowed.

    Raises:
        RegistryError: MANIFEST_INVALID, naming the first that is not.
    """
    match manifest:
        case Schema2() | OciManifest():
            named = [(layer, url) for layer in manifest.layers for url in layer.urls]
        case _:
            return
    for layer, url in named:
        if not rule.permits(url):
            raise RegistryError(
                ErrorCode.MANIFEST_INVALID,
                f"layer {layer.digest} names {url[:200]!r}, which this registry does not allow; push the layer itself"
                " without urls, or let the operator allow it in validation.manifests.urls",
            )
