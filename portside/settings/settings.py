"""What a process knows about itself: the parts' own frozen settings, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.registry.index_settings import IndexSettings
from backends.registry.layers.settings import LayerSettings
from backends.registry.purge_settings import PurgeSettings
from backends.registry.validation import Validation
from backends.storage.settings import StorageSettings
from backends.v1.settings import V1Settings
from backends.v2.settings import V2Settings
from backends.web.settings import GateSettings
from portside.observe.health import HealthSettings
from portside.observe.logging import LogSettings
from portside.server.listening import Listener
from proxy.settings import ProxySettings

if TYPE_CHECKING:
    from backends.auth.settings import AccessSettings
    from backends.model.conversion.policy import ConversionPolicy
    from backends.notify.settings import NotifySettings
    from backends.registry.cache_settings import CacheSettings
    from backends.v1.mirror.settings import MirrorSettings


class Role(Enum):
    """Which parts a process runs."""

    SERVE = "serve"
    PROXY = "proxy"
    V1 = "v1"
    V2 = "v2"


class SectionValues(dict[str, Any]):
    """What is set in a section, by key, or left as it was; the sections in it are of this type too."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process needs to know.

    Attributes:
        role: which parts it runs.
        headers: on every answer (`http.headers`).
        access: who may do what; None where everybody may do everything.
        mirroring: the registry that v1 mirrors; None where it mirrors none.
        certificate_secret: what a proxy tells registries in other processes of client certificates with; "" where it
            tells nothing.
        cache: what is cached where; None where the settings ask for nothing.
        conversions: of which repositories images are converted; None where the settings say nothing of it.
        layers: what reading a layer for that may cost.
        signing_key: a key that signs schema 1 documents; None for the registry's own.
        listeners: what it listens on.
        metrics_path: where the metrics are on the listener `metrics`; "" when nothing is counted.
        times_storage: whether they include how long storage takes, which costs each request a little.
        certificates: the folder where certificates are made if there are none; None when the user named their own.
        names: further names for a certificate that is made.
        ca_copy: the command that copies the CA to where clients are; "" where it lies there already.
        workers: how many processes; 0 for one per core.
        notifications: who is told of what happens; None when no endpoint is configured.
        notes: sentences to say at start.
        source: the file that was read; None for none.
        values: file, environment and flags together: what differs at a reload is named by its key.
    """

    role: Role
    log: LogSettings
    storage: StorageSettings
    v1_storage: StorageSettings
    gates: GateSettings
    v1: V1Settings
    v2: V2Settings
    headers: Mapping[str, str]
    proxy: ProxySettings
    validation: Validation
    conversions: ConversionPolicy | None
    layers: LayerSettings
    signing_key: Path | None
    health: HealthSettings
    cache: CacheSettings | None
    purging: PurgeSettings
    indexing: IndexSettings
    notifications: NotifySettings | None
    access: AccessSettings | None
    mirroring: MirrorSettings | None
    certificate_secret: str = field(repr=False)
    listeners: tuple[Listener, ...]
    metrics_path: str
    times_storage: bool
    certificates: Path | None
    names: tuple[str, ...]
    ca_copy: str
    workers: int
    drain_seconds: float
    notes: tuple[str, ...]
    source: Path | None = field(compare=False)
    values: SectionValues = field(repr=False, compare=False)

    @property
    def runs_v1(self) -> bool:
        """Whether the v1 registry is in this process."""
        return self.role is Role.V1 or (self.role is Role.SERVE and self.proxy.v1 is None)

    @property
    def runs_v2(self) -> bool:
        """Whether the v2 registry is in this process."""
        return self.role is Role.V2 or (self.role is Role.SERVE and self.proxy.v2 is None)

    @property
    def roots(self) -> tuple[StorageSettings, ...]:
        """Where this process keeps data: v2's place, then v1's, of one registry too, for a tag is one tag of both."""
        if not self.runs_v1 and not self.runs_v2:
            return ()
        return tuple(dict.fromkeys((self.storage, self.v1_storage)))
