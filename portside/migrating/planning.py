"""What a migration would make, tag by tag, and what stands in its way; nothing is written for that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from backends.model.conversion.policy import ALL_CONVERSIONS, ConversionPolicy, Permission
from backends.model.conversion.upward import MAX_IMAGES
from backends.model.errors import RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, id_at, target_at
from backends.model.names import ImageId
from backends.model.targets import V1Target, V2Target
from backends.model.v1names import V1Name
from backends.registry.no_room import exists
from backends.registry.store import Store
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import MeasuresRoom, capability
from backends.storage.driver import PathNotFound
from portside.migrating.names import NameMap, Place


class State(Enum):
    """What becomes of a tag; the value is what it is called."""

    TO_DO = "to migrate"
    DONE = "migrated"
    SKIPPED = "skipped"
    IMPOSSIBLE = "not possible"


@dataclass(frozen=True, slots=True)
class V1Tag:
    """A tag in v1's own files.

    Attributes:
        name: the repository.
        text: the tag.
        image: where the image is that it names there.
    """

    name: V1Name
    text: str
    image: ImagePlace

    @property
    def image_id(self) -> ImageId:
        """The image's id, as it stands in v1's file."""
        return id_at(self.image)


@dataclass(frozen=True, slots=True)
class TagPlan:
    """What becomes of a tag.

    Attributes:
        tag: the tag in v1.
        place: where it is to be in v2; None where that is what stands in the way.
        state: what becomes of it.
        why: a sentence where it is not migrated.
        images: its image and the ancestors of that, from the base up; only where it is migrated or is to be.
    """

    tag: V1Tag
    place: Place | None
    state: State
    why: str = ""
    images: tuple[ImagePlace, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What a migration would make.

    Attributes:
        tags: every tag of v1, by repository.
        layer_sizes: of each image that is named here, in bytes.
        unused: names in the operator's map that v1 does not have.
        free: where layers must be copied, since v2 has a root of its own: how many bytes are free there; else None.
    """

    tags: Sequence[TagPlan]
    layer_sizes: Mapping[ImagePlace, int]
    unused: Sequence[str]
    free: int | None

    def of(self, state: State) -> Sequence[TagPlan]:
        return [each for each in self.tags if each.state is state]

    def size(self, plan: TagPlan) -> int:
        """Returns how many bytes a tag's layers have."""
        return sum(self.layer_sizes[image_id] for image_id in plan.images)

    def layers(self, state: State) -> Mapping[ImagePlace, int]:
        """Returns the layers of all tags of which the same becomes, each once, with their sizes in bytes."""
        return {image_id: self.layer_sizes[image_id] for plan in self.of(state) for image_id in plan.images}


@dataclass(slots=True)
class _Seen:
    """What was found so far.

    Attributes:
        chains: by image, the images from the base up; or a sentence why there is none.
        layer_sizes: as in `MigrationPlan`.
        places: who is to be where.
    """

    chains: dict[ImagePlace, tuple[ImagePlace, ...] | str] = field(default_factory=dict)
    layer_sizes: dict[ImagePlace, int] = field(default_factory=dict)
    places: dict[Place, V1Tag] = field(default_factory=dict)


async def plan_migration(store: Store, names: NameMap, policy: ConversionPolicy = ALL_CONVERSIONS) -> MigrationPlan:
    """Looks at every tag of v1.

    Args:
        store: the volume.
        names: the operator's map.
        policy: where conversions are forbidden, nothing is migrated.
    """
    seen = _Seen()
    plans = [await _plan(store, names, policy, tag, seen) async for tag in v1_tags(store)]
    unused = names.unused((plan.tag.name, plan.tag.text) for plan in plans)
    return MigrationPlan(plans, seen.layer_sizes, unused, None if store.shares_root else await _free(store))


async def _free(store: Store) -> int:
    """Returns how many bytes are free where v2's blobs are."""
    measures = capability(store.storage.driver, MeasuresRoom)
    assert measures is not None, "a volume is a file system"
    return min(room.free_bytes for room in await measures.measure_room())


async def v1_tags(store: Store) -> AsyncIterator[V1Tag]:
    """Yields every tag in v1's files, whether it still holds or v2 clients have moved it on; sorted by repository."""
    for name in await store.v1_repositories.names():
        async for tag, image_id in yielding(sorted((await store.tags.files_of_v1(name)).items())):
            yield V1Tag(name, tag, await store.v1_copies.resolve(name, image_id))


async def look_again(store: Store, plan: TagPlan) -> State:
    """Returns what becomes of a tag that was to be migrated, as things are now."""
    assert plan.place is not None
    if (await store.tags.files_of_v1(plan.tag.name)).get(plan.tag.text) != plan.tag.image_id:
        return State.SKIPPED
    return await _state(store, plan.tag, plan.place)


async def _plan(store: Store, names: NameMap, policy: ConversionPolicy, tag: V1Tag, seen: _Seen) -> TagPlan:
    try:
        place = names.place(tag.name, tag.text)
    except ValueError as error:
        return TagPlan(tag, None, State.IMPOSSIBLE, str(error))
    other = seen.places.setdefault(place, tag)
    if other is not tag:
        why = f"{other.name}:{other.text} becomes {place} too; give one of them another name with --map"
        return TagPlan(tag, None, State.IMPOSSIBLE, why)
    if policy.permission(place.name) is Permission.FORBID:
        return TagPlan(tag, place, State.SKIPPED, f"the settings forbid conversions in {place.name}")
    state = await _state(store, tag, place)
    match state:
        case State.SKIPPED:
            why = f"{place} was moved on or deleted by v2 clients since" if _is_own(tag, place) else _taken(tag, place)
            return TagPlan(tag, place, state, why)
        case _ if isinstance(tag.image, ImageCopy) and place.name != tag.name.v2:
            why = f"the image is {tag.name}'s own, for its id is that of another image; push it as {place} to rename it"
            return TagPlan(tag, place, State.IMPOSSIBLE, why)
        case _:
            chain = await _chain(store, tag.image, seen)
            if not isinstance(chain, str):
                return TagPlan(tag, place, state, images=chain)
            return TagPlan(tag, place, State.IMPOSSIBLE, chain)


async def _state(store: Store, tag: V1Tag, place: Place) -> State:
    """Returns what becomes of a tag by what v2 has in its place.

    v2's tag holds where it was set after v1's, as everywhere (`Tags.target`); under another name, where it is none that
    a migration has set before.
    """
    try:
        target = await store.tags.target(place.name, place.tag)
    except PathNotFound:  # of its own, v1's file does not hold: the tag was deleted
        return State.SKIPPED if _is_own(tag, place) else State.TO_DO
    match target:
        case V1Target():
            return State.TO_DO if _is_own(tag, place) and target == target_at(tag.image) else State.SKIPPED
        case V2Target(digest):
            sources = await store.conversions.sources(place.name, digest)
            if target_at(tag.image) in sources:
                # Who was killed may not have come to the second file of a new tag.
                index = layout.tag_index_link(place.name, place.tag, digest)
                return State.DONE if await exists(store.storage.driver, index) else State.TO_DO
            was_migrated = any(isinstance(source, V1Target) for source in sources)
            return State.TO_DO if was_migrated and not _is_own(tag, place) else State.SKIPPED


def _is_own(tag: V1Tag, place: Place) -> bool:
    """Whether a tag keeps its name."""
    return place.name == tag.name.v2 and place.tag == tag.text


def _taken(tag: V1Tag, place: Place) -> str:
    return f"{place} names another image; give {tag.name}:{tag.text} another name with --map"


async def _chain(store: Store, image: ImagePlace, seen: _Seen) -> tuple[ImagePlace, ...] | str:
    known = seen.chains.get(image)
    if known is None:
        known = seen.chains[image] = await _read_chain(store, image, seen)
    return known


async def _read_chain(store: Store, image: ImagePlace, seen: _Seen) -> tuple[ImagePlace, ...] | str:
    """Returns an image and its ancestors, from the base up, all of which have layers; or why there are none."""
    image_id = id_at(image)
    try:
        ancestry = await store.v1_images.places(image)
    except RegistryError:
        return f"image {image_id[:12]} is not whole: a push was cut off, or it was deleted"
    if len(ancestry) > MAX_IMAGES:
        return f"image {image_id[:12]} is a chain of {len(ancestry)} images, and no client can use more than 125"
    async for each in yielding(ancestry):
        if each in seen.layer_sizes:
            continue
        try:
            size = (await store.v1_images.get(each)).layer_size
        except RegistryError:
            return f"image {id_at(each)[:12]}, on which {image_id[:12]} is built, is not stored here"
        if size is None:
            return f"image {id_at(each)[:12]} has lost its layer; push it again with a client of its time"
        seen.layer_sizes[each] = size
    return tuple(reversed(ancestry))
