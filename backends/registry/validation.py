"""What is required of a pushed manifest beyond being one: two profiles, and the keys between them.

`oci` takes what the OCI distribution specification lets a registry take: sparse manifests, whose layers or entries are
not here, and layers with addresses elsewhere, which are never fetched. `distribution` requires what distribution does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from backends.model.descriptors import Descriptor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Manifest, OciManifest, Schema2


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
    """

    layers: bool = True
    children: bool = True
    platforms: frozenset[tuple[str, str]] = frozenset()
    urls: UrlRule = AnyUrl()

    def requires(self, entry: Descriptor) -> bool:
        """Whether what an entry of an index names must be here."""
        if not self.platforms:
            return self.children
        platform = entry.platform
        return self.children and platform is not None and (platform.architecture, platform.os) in self.platforms


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
