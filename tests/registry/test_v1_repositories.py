"""Tags name images that are whole; lists of images grow; what an older program wrote is read as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from backends.model.errors import RegistryError
from backends.model.names import ImageId
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.registry.v1.repositories import Repositories
from backends.storage import layout
from backends.storage.driver import PathNotFound
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Died, Failing
from tests.support.v1pushes import images_over, push, put_json
from tests.support.v1server import Pushed, make_pushed

BASE = make_pushed("a", layer=b"base layer")
MIDDLE = make_pushed("b", parent=BASE.id, layer=b"middle layer")
TOP = make_pushed("c", parent=MIDDLE.id, layer=b"top layer")
NAME = parse_v1_name("team/ml")


@pytest.fixture
def storage(reopen: Callable[[], Storage]) -> Storage:
    """The storage as one process has it."""
    return reopen()


@pytest.fixture
def repositories(storage: Storage) -> Repositories:
    return repositories_over(storage)


def repositories_over(storage: Storage) -> Repositories:
    return Store(storage).v1_repositories


async def put_tag(repositories: Repositories, tag: str, image: str = TOP.id) -> None:
    await repositories.put_tag(NAME, tag, ImageId(image), actor=ACTOR, now=1)


async def files_of(storage: Storage) -> list[str]:
    try:
        return list(await storage.driver.list(layout.v1_repository(NAME.namespace, NAME.stored)))
    except PathNotFound:
        return []


async def test_a_tag_names_an_image(storage: Storage, repositories: Repositories) -> None:
    await push(images_over(storage), [BASE, MIDDLE, TOP])
    await put_tag(repositories, "1.0")
    await put_tag(repositories, "latest", MIDDLE.id)
    assert await repositories.tag(NAME, "1.0") == TOP.id
    assert await repositories.tags(NAME) == {"1.0": TOP.id, "latest": MIDDLE.id}
    assert await repositories.description(NAME, "1.0") == {
        "last_update": 1,
        "docker_version": "1.5.0",
        "docker_go_version": "go1.4.1",
        "os": "linux",
        "arch": "amd64",
    }
    assert await repositories.description(NAME, None) == {
        "last_update": 1,
        "docker_version": "1.5.0",
        "docker_go_version": "go1.4.1",
        "os": "linux",
        "arch": "amd64",
    }
    assert await files_of(storage) == ["json", "tag1.0_json", "tag_1.0", "tag_latest", "taglatest_json"]


@pytest.mark.parametrize(
    "lost", [layout.v1_image_json, layout.v1_image_layer, layout.v1_image_ancestry], ids=["json", "layer", "ancestry"]
)
@pytest.mark.parametrize("image", [BASE, MIDDLE, TOP], ids=["base", "middle", "top"])
async def test_a_tag_is_moved_only_to_a_chain_that_is_whole(
    storage: Storage, repositories: Repositories, lost: Callable[[ImageId], str], image: Pushed
) -> None:
    await push(images_over(storage), [BASE, MIDDLE, TOP])
    await storage.driver.delete(lost(ImageId(image.id)))
    if lost is layout.v1_image_ancestry and image is not TOP:
        await put_tag(repositories, "1.0")  # the top's own ancestry tells the whole chain
        return
    with pytest.raises(RegistryError, match="Image not found"):
        await put_tag(repositories, "1.0")
    assert await files_of(storage) == []


async def test_a_tag_is_not_moved_to_an_image_on_its_way(storage: Storage, repositories: Repositories) -> None:
    await put_json(images_over(storage), BASE)
    with pytest.raises(RegistryError, match="retry later"):
        await put_tag(repositories, "1.0", BASE.id)
    assert await files_of(storage) == []


async def test_a_process_that_dies_while_it_moves_a_tag_leaves_the_old_one_or_the_new(storage: Storage) -> None:
    await push(images_over(storage), [BASE, MIDDLE])
    seen = set()
    for steps in range(5):
        await put_tag(repositories_over(storage), "latest", BASE.id)
        with suppress(Died):
            failing = Failing(storage.driver, steps, dies=True)
            await put_tag(repositories_over(replace(storage, driver=failing)), "latest", MIDDLE.id)
        seen.add(await repositories_over(storage).tag(NAME, "latest"))
    assert seen == {BASE.id, MIDDLE.id}


async def test_a_tag_that_goes_takes_its_description_along(storage: Storage, repositories: Repositories) -> None:
    await push(images_over(storage), [BASE])
    await put_tag(repositories, "latest", BASE.id)
    await put_tag(repositories, "1.0", BASE.id)
    await repositories.delete_tag(NAME, "latest", actor=ACTOR)
    assert await files_of(storage) == ["tag1.0_json", "tag_1.0"]
    with pytest.raises(RegistryError, match="Tag not found: latest"):
        await repositories.delete_tag(NAME, "latest", actor=ACTOR)


async def test_a_tag_without_a_description_can_go_too(storage: Storage, repositories: Repositories) -> None:
    """Volumes of docker-registry 0.5 have no descriptions; 0.9.1 answers 404 there."""
    await storage.driver.write(layout.v1_tag(NAME.namespace, NAME.stored, "latest"), BASE.id.encode())
    await repositories.delete_tag(NAME, "latest", actor=ACTOR)
    assert await files_of(storage) == []


async def test_a_repository_goes_with_all_its_tags_and_its_images_stay(
    storage: Storage, repositories: Repositories
) -> None:
    images, deletions = images_over(storage), Store(storage).deletions
    await push(images, [BASE])
    await put_tag(repositories, "latest", BASE.id)
    await deletions.delete(NAME.canonical, actor=ACTOR)
    with pytest.raises(RegistryError, match="Repository not found"):
        await repositories.tags(NAME)
    with pytest.raises(RegistryError, match="there is no repository"):
        await deletions.delete(NAME.canonical, actor=ACTOR)
    assert (await images.get(ImageId(BASE.id))).content == BASE.json


async def test_what_docker_registry_let_lie_beside_tags_does_not_disturb(
    storage: Storage, repositories: Repositories
) -> None:
    folder = layout.v1_repository(NAME.namespace, NAME.stored)
    for entry, content in {
        "tag_good": BASE.id,
        "tag_newline": BASE.id + "\n",
        "tag_a+b": BASE.id,
        "tag_%252E%252E": BASE.id,
        "tag__x": BASE.id,
        "tag_x_json": '{"last_update": 1}',  # what tag _x is described with
        "tag_empty": "",
        "tag_long": "a" * 65,
        "tag_evil": "../../etc/passwd",
        "_images_list": "[]",
        "_private": "",
    }.items():
        await storage.driver.write(f"{folder}/{entry}", content.encode())
    assert await repositories.tags(NAME) == dict.fromkeys(["good", "newline", "a b", "..", "_x"], BASE.id)
    for tag in ("good", "newline", "a b", "..", "_x"):
        assert await repositories.tag(NAME, tag) == BASE.id
    for tag in ("empty", "long", "evil", "x_json"):
        with pytest.raises(RegistryError, match="Tag not found"):
            await repositories.tag(NAME, tag)


async def test_the_first_list_of_images_is_kept_to_the_byte_and_later_ones_are_merged(
    storage: Storage, repositories: Repositories
) -> None:
    path = layout.v1_index_images(NAME.namespace, NAME.stored)
    first = b'[ {"id": "x"} ]\n'
    await repositories.put_images(NAME, first, json.loads(first), actor=ACTOR)
    await repositories.put_images(NAME, b"[]", [], actor=ACTOR)
    assert await storage.driver.read(path) == first
    assert await repositories.images(NAME) == first
    await repositories.put_images(NAME, b"", [{"id": "y", "checksum": "1", "Tag": "b"}], actor=ACTOR)
    assert await storage.driver.read(path) == b'[{"checksum": "1", "id": "y"}, {"id": "x"}]'


async def test_a_list_of_images_that_is_damaged_is_begun_anew(storage: Storage, repositories: Repositories) -> None:
    path = layout.v1_index_images(NAME.namespace, NAME.stored)
    for damaged in (b"", b"{}", b'[5, {"no": "id"}]'):
        await storage.driver.write(path, damaged)
        await repositories.put_images(NAME, b"", [{"id": "y"}], actor=ACTOR)
        assert await storage.driver.read(path) == b'[{"id": "y"}]'


async def test_lists_that_are_put_at_once_by_several_processes_all_count(
    reopen: Callable[[], Storage],
) -> None:
    processes = [repositories_over(reopen()) for _ in range(4)]
    lists = [[{"id": f"{number}-{process}"} for number in range(2)] for process in range(4)]
    await processes[0].put_images(NAME, b"[]", [], actor=ACTOR)
    await asyncio.gather(
        *(process.put_images(NAME, b"", each, actor=ACTOR) for process, each in zip(processes, lists, strict=True))
    )
    found = {entry["id"] for entry in json.loads(await processes[0].images(NAME))}
    assert found == {entry["id"] for announced in lists for entry in announced}


async def test_the_mark_of_a_private_repository_is_an_empty_file(storage: Storage, repositories: Repositories) -> None:
    assert not await repositories.is_private(NAME)
    for _ in range(2):
        await repositories.set_private(NAME, private=True, actor=ACTOR)
    assert await repositories.is_private(NAME)
    assert await storage.driver.read(layout.v1_private(NAME.namespace, NAME.stored)) == b""
    for _ in range(2):
        await repositories.set_private(NAME, private=False, actor=ACTOR)
    assert not await repositories.is_private(NAME)


async def test_names_that_v2_cannot_have_are_listed(storage: Storage, repositories: Repositories) -> None:
    for text in ("team/ml", "busybox", "a/b/c", "n s/r+x", "Team/app_"):
        name = parse_v1_name(text)
        await storage.driver.write(layout.v1_index_images(name.namespace, name.stored), b"[]")
    assert [name.text for name in await repositories.names_of_v1_alone()] == ["Team/app_", "n s/r+x"]
