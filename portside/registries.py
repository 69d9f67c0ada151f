"""The registries of a process over their places for bytes, and what works on these in the background.

A process that only forwards imports none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backends.model.conversion.policy import ALL_CONVERSIONS
from backends.registry.events import NO_EVENTS
from backends.registry.indexing import Indexer
from backends.registry.layers_reader import LayersReader
from backends.registry.purging import Purger, Source
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import StorageError
from backends.storage.factory import open_storage
from backends.storage.settings import StorageSettings
from backends.storage.storage import Storage
from backends.web.gates import make_gates
from portside.folders import is_folder
from portside.observe.layer_metrics import LayerMetrics
from portside.observe.metrics import Metrics
from portside.observe.requests import Handler
from portside.problems import Problem
from portside.settings.settings import Settings
from proxy.routing import Backend

if TYPE_CHECKING:
    from backends.registry.facts import Facts
    from backends.v1.mirror.mirror import Mirror
    from backends.web.access import AccessGate
    from portside.access_control import Access
    from portside.notifying import Notifications
    from portside.v1_index import IndexAccess


def open_places(settings: Settings, metrics: Metrics | None) -> list[Storage]:
    """Opens the places for bytes, in the order of `Settings.roots`; measured where that is asked for.

    Raises:
        Problem: one cannot be opened.
    """
    return [_open(place, metrics if settings.times_storage else None) for place in settings.roots]


def make_store(
    settings: Settings,
    storages: Sequence[Storage],
    notifications: Notifications | None,
    facts: Facts | None,
    metrics: Metrics | None,
) -> Store:
    """Returns what the registries of this process keep, in its places for bytes, in the order of `Settings.roots`."""
    observer = LayerMetrics(metrics.registry) if metrics is not None else None
    return Store(
        storages[0],
        v1_storage=storages[-1],
        validation=settings.validation,
        signing_key=settings.signing_key,
        events=NO_EVENTS if notifications is None else notifications.events,
        facts=facts,
        conversion_policy=settings.conversions or ALL_CONVERSIONS,
        layer_settings=settings.layers,
        layer_observer=observer,
        writes=not settings.gates.read_only,
        own_images=settings.access is not None or settings.v1.index is not None or _has_own_images(settings),
    )


def _has_own_images(settings: Settings) -> bool:
    """Whether repositories have images of v1 for themselves, from a time when access was controlled."""
    place = settings.roots[-1]
    return place.driver == "filesystem" and is_folder(Path(f"{place.root}{layout.V1_COPIES}"))


def make_mirror(settings: Settings, store: Store) -> Mirror | None:
    """Returns what has images from the registry that v1 mirrors; None where it mirrors none.

    Raises:
        Problem: its CA or its password cannot be read.
    """
    if settings.mirroring is None or not settings.runs_v1:
        return None
    from backends.auth.followed_file import UnusableFile  # noqa: PLC0415 - few registries are mirrors
    from backends.v1.mirror.mirror import Mirror  # noqa: PLC0415

    try:
        return Mirror(settings.mirroring, store)
    except UnusableFile as error:
        raise Problem(str(error)) from None
    except OSError as error:  # ssl's own errors are among them
        raise Problem(
            f"gateway.v1.mirroring.ca: {settings.mirroring.ca} cannot be used ({error.strerror or error}); name a PEM"
            " file that holds the CA of the registry that is mirrored"
        ) from None


def make_registries(
    settings: Settings, store: Store, access: Access | None, index: IndexAccess | None, mirror: Mirror | None
) -> dict[Backend, Handler]:
    """Returns the registries of this process over their store.

    Args:
        settings: of the process.
        store: what they keep.
        access: who may do what; None where everybody may do everything, as far as no index says otherwise.
        index: what v1 asks instead; None where it is its own.
        mirror: has what v1 does not have from another registry; None where it mirrors none.
    """
    registries: dict[Backend, Handler] = {}
    gates = make_gates(settings.gates)
    nothing = make_nothing(settings) if access is not None or index is not None else None
    if settings.runs_v2:
        from backends.v2.registry import Registry as V2Registry  # noqa: PLC0415 - the other may be in another process

        registries[Backend.V2] = V2Registry(
            store,
            settings.v2,
            gates=gates,
            access=v2_gate(access) if access is not None else None,
            nothing=nothing,
        ).handle
    if settings.runs_v1:
        from backends.v1.registry import Registry as V1Registry  # noqa: PLC0415

        registries[Backend.V1] = V1Registry(
            store,
            settings.v1,
            gates=gates,
            access=_v1_gate(access, index, store),
            nothing=nothing,
            tokens=access.v1_tokens if access is not None and index is None else None,
            mirror=mirror,
        ).handle
    return registries


def v2_gate(access: Access) -> AccessGate:
    """Returns the gate of a v2 registry."""
    from backends.web.access import touches_no_image  # noqa: PLC0415 - only where there is access control

    return access.gate("v2", touches_no_image)


def _v1_gate(access: Access | None, index: IndexAccess | None, store: Store) -> AccessGate | None:
    if index is not None:
        return index.gate(store)
    if access is None:
        return None
    from backends.v1.sight import ImageRule  # noqa: PLC0415 - only where there is access control

    return access.gate("v1", ImageRule(store.v1_view))


def make_nothing(settings: Settings) -> Store:
    """Returns a store with nothing in it that answers as this process's own: for who may not know what there is."""
    from backends.storage.factory import open_memory  # noqa: PLC0415 - only where there is access control

    return Store(
        open_memory(),
        validation=settings.validation,
        events=NO_EVENTS,
        conversion_policy=settings.conversions or ALL_CONVERSIONS,
        writes=not settings.gates.read_only,
        own_images=True,
    )


def make_purgers(settings: Settings, storages: Sequence[Storage], metrics: Metrics | None) -> Sequence[Purger]:
    """Returns what purges abandoned uploads from each place."""
    if settings.gates.read_only or not settings.purging.enabled:
        return ()
    on_purged = metrics.count_purged if metrics is not None else None
    return [
        Purger(storage, partial(_purged_from, storages, number), settings.purging, on_purged=on_purged)
        for number, storage in enumerate(storages)
    ]


def _purged_from(storages: Sequence[Storage], number: int) -> Sequence[Source]:
    """Returns what is purged from a place; what conversions made is in v2's, which is the first."""
    # Only the process that purges needs these, and no sooner than a while after its start.
    from backends.registry.abandoned_uploads import AbandonedUploads  # noqa: PLC0415
    from backends.registry.derived.unused import UnusedDerivations  # noqa: PLC0415
    from backends.registry.layer_lists.old_lists import OldLists  # noqa: PLC0415
    from backends.registry.v1.abandoned_images import AbandonedImages  # noqa: PLC0415
    from backends.registry.v1_view.unused import UnusedV1Images  # noqa: PLC0415

    storage = storages[number]
    left = (AbandonedUploads(storage), AbandonedImages(storage), OldLists(storage))
    return left if number else (*left, UnusedDerivations(storage, storages[-1]), UnusedV1Images(storage))


def make_indexers(
    settings: Settings, storages: Sequence[Storage], metrics: Metrics | None, *, started: float
) -> Sequence[Indexer]:
    """Returns what indexes v2's manifests; nothing is written to a registry that is read-only."""
    if settings.gates.read_only or not settings.runs_v2:
        return ()
    on_manifest = metrics.count_indexed if metrics is not None else None
    return [Indexer(storages[0], settings.indexing, started=started, on_manifest=on_manifest)]


def make_layer_readers(settings: Settings, store: Store, *, started: float) -> Sequence[LayersReader]:
    """Returns what reads the layers of old images; nothing is written to a registry that is read-only."""
    if settings.gates.read_only or not settings.layers.background:
        return ()
    return [LayersReader(store, settings.indexing, started=started)]


def _open(settings: StorageSettings, metrics: Metrics | None) -> Storage:
    try:
        storage = open_storage(settings)
    except StorageError as error:
        raise Problem(str(error)) from None
    if metrics is None:
        return storage
    from portside.observe.storage_metrics import MeteredDriver  # noqa: PLC0415 - only where it is asked for

    return replace(storage, driver=MeteredDriver(storage.driver, settings.driver, metrics))
