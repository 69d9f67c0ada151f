"""What all repositories of a store have in common."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.conversion.policy import ConversionPolicy
from backends.registry.blobs import Blobs
from backends.registry.changed_repositories import ChangedRepositories
from backends.registry.derived.conversions import Conversions
from backends.registry.events import Events
from backends.registry.manifests import Manifests
from backends.registry.referrers import Referrers
from backends.registry.signing import Signer
from backends.registry.tags.service import Tags
from backends.registry.validation import Validation
from backends.storage.driver import StorageDriver
from backends.storage.locks import Locks


@dataclass(frozen=True, slots=True)
class Shared:
    """The services that repositories work with."""

    driver: StorageDriver
    locks: Locks
    blobs: Blobs
    tags: Tags
    manifests: Manifests
    referrers: Referrers
    signer: Signer
    validation: Validation
    events: Events
    conversion_policy: ConversionPolicy
    conversions: Conversions
    changes: ChangedRepositories
