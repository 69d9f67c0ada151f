"""A migration as it runs: layers are measured, manifests made, then their tags set, one after the other.

Each step is the registry's own: it may run beside servers, be killed at any time, and be run again; what is finished
is not done twice. A tag becomes visible last. Nothing of v1 is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from backends.model.actor import Actor
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.plans import Form, Plan
from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.image_places import ImagePlace, target_at
from backends.model.manifests import parse_stored_manifest
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.manifests import parse_off_loop
from backends.registry.store import Store
from backends.storage.driver import PathNotFound
from portside.migrating.planning import MigrationPlan, State, TagPlan, look_again

TO_SCHEMA2 = Plan(Form.SCHEMA2, gzip_only=True)
"""What every registry of v2 serves, and every client of it reads."""


class Watcher(Protocol):
    """Is told how far a migration is."""

    def begun(self, plan: TagPlan) -> None:
        """A tag is at work."""
        ...

    def passed(self, size: int) -> None:
        """So many bytes of layers are done with."""
        ...

    def finished(self, outcome: Outcome) -> None:
        """A tag is done with."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a tag that was to be migrated.

    Attributes:
        plan: what was planned.
        digest: of the manifest that it names now in v2; None where it was not migrated.
        state: DONE, SKIPPED or IMPOSSIBLE.
        why: a sentence where it was not migrated.
    """

    plan: TagPlan
    digest: Digest | None
    state: State
    why: str = ""


async def migrate(store: Store, plan: MigrationPlan, *, actor: Actor, watcher: Watcher) -> Sequence[Outcome]:
    """Migrates what a plan says is to be migrated.

    Returns:
        what became of it; what one image stands in the way of does not keep others from being migrated.

    Raises:
        StorageError: there is no room, or the disk fails: what is finished stays.
    """
    passed: set[ImagePlace] = set()
    outcomes: list[Outcome] = []
    for each in plan.of(State.TO_DO):
        watcher.begun(each)
        try:
            await _measure(store, each, plan, passed, watcher)
            outcome = await _migrate(store, each, actor=actor)
        except ImpossibleConversion as error:
            outcome = Outcome(each, None, State.IMPOSSIBLE, str(error))
        except RegistryError as error:
            outcome = Outcome(each, None, State.IMPOSSIBLE, error.detail)
        outcomes.append(outcome)
        watcher.finished(outcome)
    return outcomes


async def _measure(store: Store, each: TagPlan, plan: MigrationPlan, passed: set[ImagePlace], watcher: Watcher) -> None:
    """Finds out what the layers of a tag are; that is what takes long, and is kept for each of them."""

    async def measure(image: ImagePlace) -> None:
        with suppress(UnreadableLayer, PathNotFound):  # the conversion says of which image, and what to do
            await store.layers.measure_v1(image)
        passed.add(image)
        watcher.passed(plan.layer_sizes[image])

    # So many at once as `layers` reads; what the disk does to one of them ends the others' wait, not their work.
    await asyncio.gather(*[measure(image) for image in each.images if image not in passed])


async def _migrate(store: Store, each: TagPlan, *, actor: Actor) -> Outcome:
    assert each.place is not None
    name, tag = each.place.name, each.place.tag
    made = await store.conversions.convert(
        name, target_at(each.tag.image), TO_SCHEMA2, tag=tag, patience=None, is_new=True
    )
    # Of the repository's own it is stored before a tag names it: pushed back as it is, it would restore the v1 image.
    await store.conversions.adopt(name, [made.digest])
    state = await look_again(store, each)
    if state is not State.TO_DO:
        why = "the tag was moved while this ran; run it again" if state is State.SKIPPED else ""
        return Outcome(each, made.digest if state is State.DONE else None, state, why)
    manifest = await parse_off_loop(made.content, parse_stored_manifest)
    await store.open(name).put_manifest(manifest, made.digest, tag, actor=actor)
    return Outcome(each, made.digest, State.DONE)
