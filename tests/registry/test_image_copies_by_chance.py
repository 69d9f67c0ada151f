"""Two teams push chains with the same ids, in any order of requests: no answer to one depends on what the other does.

Each script is run with the other team's requests between its own, and without them; all answers are the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.plans import Form
from backends.model.errors import RegistryError
from backends.model.names import ImageId, is_image_id
from backends.registry.store import Store
from backends.storage.driver import PathNotFound
from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.layers import unpack
from tests.support.tenants import Tenant, image_of
from tests.support.v1server import Pushed

IDS = "1234"
FORMS = [Form.SCHEMA2, Form.OCI_MANIFEST, Form.SCHEMA1]
TEAMS = {"a": "a-team/app", "b": "b-team/app"}


@dataclass(frozen=True, slots=True)
class Step:
    """A request of a team.

    Attributes:
        what: which.
        letter: of the image's id.
        parent: of its parent's; "" for none.
        take: of several images that a team may have with one id.
    """

    what: str
    letter: str
    parent: str = ""
    take: int = 0

    def image(self, team: str) -> Pushed:
        parent = image_of(self.parent, "") if self.parent else None
        return image_of(self.letter, f"{team}'s {self.letter} on {self.parent}, take {self.take}", parent=parent)


WHATS = ["push", "push", "push", "put_json", "put_layer", "put_checksum", "put_tag", "delete"]
READS = ["get_json", "get_ancestry", "get_layer", "get_tags", *(form.name for form in FORMS)]
steps = st.builds(
    Step,
    what=st.sampled_from([*WHATS, *READS]),
    letter=st.sampled_from(IDS),
    parent=st.sampled_from(["", "", *IDS]),
    take=st.integers(0, 1),
)
scripts = st.lists(steps, max_size=12)
interleavings = st.lists(st.booleans(), max_size=24)


async def answer(tenant: Tenant, team: str, step: Step) -> object:
    """What a team is told, with all that it could compare."""
    image = step.image(team)
    try:
        match step.what:
            case "push":
                await tenant.push(image, tag="t")
            case "put_tag":
                await tenant.put_tag("t", image)
            case "delete":
                await tenant.store.deletions.delete(tenant.name, actor=ACTOR)
            case "get_tags":
                return await tenant.get_tags()
            case what if what in Form.__members__:
                return await tenant.pull_as(Form[what], "t")
            case what:
                return await getattr(tenant, what)(image)
    except RegistryError as error:
        return error.code, error.detail
    except (ImpossibleConversion, PathNotFound) as error:
        return type(error), str(error)
    return None


async def everything_read(tenant: Tenant, team: str) -> list[object]:
    """All that a team can read at the end, in every form."""
    reads = [Step(what, letter) for what in READS for letter in IDS]
    return [await answer(tenant, team, step) for step in reads]


async def run(storages: Sequence[Storage], plan: Sequence[tuple[str, Step]], team: str) -> list[object]:
    """Runs a plan, each team at a process of its own; what one of them was told."""
    stores = {each: Store(storage, own_images=True) for each, storage in zip(TEAMS, storages, strict=True)}
    tenants = {each: Tenant(stores[each], name) for each, name in TEAMS.items()}
    told = [(each, await answer(tenants[each], each, step)) for each, step in plan]
    found = [said for each, said in told if each == team] + await everything_read(tenants[team], team)
    for each, tenant in tenants.items():
        await require_own_bytes(tenant, each)
    for store in stores.values():
        await store.close()
    return found


async def require_own_bytes(tenant: Tenant, team: str) -> None:
    """Whatever a team can read is what it has pushed."""
    mark = f"{team}'s ".encode()
    for letter in IDS:
        image = Pushed(letter * 64, b"", b"")
        assert is_image_id(image.id)
        try:
            content, layer = (await tenant.get_json(image))[0], await tenant.get_layer(image)
        except RegistryError:
            continue
        assert mark in content
        assert unpack(layer).startswith(mark)
    for form in FORMS:
        try:
            layers = (await tenant.pull_as(form, "t"))[1]
        except (RegistryError, ImpossibleConversion, PathNotFound):
            continue
        assert all(layer.startswith(mark) for layer in layers)


def merged(ours: Sequence[Step], theirs: Sequence[Step], order: Sequence[bool]) -> list[tuple[str, Step]]:
    left, right = list(ours), list(theirs)
    plan: list[tuple[str, Step]] = []
    for is_ours in order:
        queue, team = (left, "a") if is_ours else (right, "b")
        if queue:
            plan.append((team, queue.pop(0)))
    return [*plan, *(("a", step) for step in left), *(("b", step) for step in right)]


async def compare(open_two: Callable[[], Sequence[Storage]], plan: Sequence[tuple[str, Step]]) -> None:
    for team in TEAMS:
        alone = [(each, step) for each, step in plan if each == team]
        storages = open_two()
        told = await run(storages, plan, team)
        for storage in set(storages):
            await storage.close()
        storages = open_two()
        assert told == await run(storages, alone, team)
        for storage in set(storages):
            await storage.close()


def _memory() -> Sequence[Storage]:
    return [open_memory()] * 2


@given(ours=scripts, theirs=scripts, order=interleavings)
@settings(max_examples=60, deadline=None)
def test_no_answer_to_one_depends_on_the_other(
    ours: Sequence[Step], theirs: Sequence[Step], order: Sequence[bool]
) -> None:
    asyncio.run(compare(_memory, merged(ours, theirs, order)))


@pytest.mark.parametrize("first", [True, False])
def test_no_answer_depends_on_who_was_first_with_a_shared_base_in_two_processes(first: bool) -> None:  # noqa: FBT001 - a table
    chain = [Step("push", "1"), Step("push", "2", "1"), Step("push", "3", "2"), Step("get_json", "2")]
    with TemporaryDirectory() as folder:
        count = iter(range(100))

        def open_two() -> Sequence[Storage]:
            root = Path(folder) / str(next(count))
            return [open_folder(root), open_folder(root)]

        for order in ([first] * 4, [first, not first] * 4):
            asyncio.run(compare(open_two, merged(chain, chain, order)))


def test_the_scripts_reach_copies_and_shared_images() -> None:
    """Else the properties say nothing."""

    async def places() -> set[bool]:
        storage = open_memory()
        store = Store(storage, own_images=True)
        tenants = [Tenant(store, name) for name in TEAMS.values()]
        for team, tenant in zip(TEAMS, tenants, strict=True):
            await answer(tenant, team, Step("push", "1"))
        found = [await store.v1_images.own(ImageId("1" * 64), tenant) for tenant in tenants]
        await store.close()
        await storage.close()
        return {own is None for own in found}

    assert asyncio.run(places()) == {True, False}
