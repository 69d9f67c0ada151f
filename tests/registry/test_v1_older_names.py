"""Repositories and tags are read that docker-registry wrote before it escaped their names twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.model.errors import RegistryError
from backends.model.names import RepositoryName
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.registry.v1.older_names import OlderNames, Renamed
from backends.storage import layout
from backends.storage.factory import open_folder
from tests.support.actors import ACTOR
from tests.support.commands import portside
from tests.support.pushed_examples import push_example
from tests.support.trees import read_tree, write_tree
from tests.support.v1_volumes import write_images
from tests.support.v1server import make_pushed

IMAGE, OTHER = make_pushed("a"), make_pushed("b")


def old_repository(folder: str, *tags: str, image: str = IMAGE.id) -> dict[str, bytes | str]:
    """As docker-registry 0.8.0 leaves it: no name of a tag is escaped."""
    files: dict[str, bytes | str] = {f"repositories/{folder}/_index_images": json.dumps([{"id": image}])}
    for tag in tags:
        files[f"repositories/{folder}/tag_{tag}"] = image
        files[f"repositories/{folder}/tag{tag}_json"] = '{"last_update": 1400000000}'
    return files


async def tags_of(store: Store, name: str) -> dict[str, str]:
    return dict(await store.v1_repositories.tags(parse_v1_name(name)))


async def renamed(root: Path) -> tuple[Renamed, Store]:
    storage = open_folder(root)
    store = Store(storage)
    return await renamed_in(store), store


async def renamed_in(store: Store, *, dry_run: bool = False) -> Renamed:
    return await OlderNames(store.storage, store.v1_storage, say=lambda _: None, dry_run=dry_run).rename()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("team/b%2Fc", "team/b/c"), ("team/b%2Fc%2Fd", "team/b/c/d"), ("library/b+c", "b c"),
        ("team/a%7Eb", "team/a~b"), ("n s/app", "n s/app"), ("n~s/app", "n~s/app"), ("n s/r%2Bx", "n s/r+x"),
        ("team/%2A", "team/*"),
    ],
)  # fmt: skip
async def test_a_repository_that_was_escaped_once_is_read(tmp_path: Path, folder: str, name: str) -> None:
    write_images(tmp_path, [IMAGE])
    write_tree(tmp_path, old_repository(folder, "latest", "1.0+5", "a b", "~", "..", "%2B"))
    done, store = await renamed(tmp_path)
    assert done == Renamed(repositories=1)
    expected = dict.fromkeys(["latest", "1.0+5", "a b", "~", "..", "%2B"], IMAGE.id)
    assert await tags_of(store, name) == expected
    assert [each.text for each in await store.v1_repositories.names()] == [parse_v1_name(name).text]
    for tag in expected:
        assert await store.v1_repositories.description(parse_v1_name(name), tag) == {"last_update": 1400000000}
    assert json.loads(await store.v1_repositories.images(parse_v1_name(name))) == [{"id": IMAGE.id}]
    assert not (tmp_path / "repositories" / folder).exists()
    before = read_tree(tmp_path)
    assert await renamed_in(store) == Renamed()
    assert read_tree(tmp_path) == before
    await store.storage.close()


async def test_what_0_9_1_reads_otherwise_stays_what_it_is_to_it(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    files = {
        **old_repository("team/r%2Bx", "latest"),  # 0.8.0's `r+x`, and 0.9.1's `r x`
        **old_repository("n+s/app", "latest"),
        **old_repository("team/app", "1.0+5", "%25", "latest"),
        "repositories/team/app/json": "{}",
        "repositories/\u00e4/app/tag_1": IMAGE.id,
        "repositories/stray": "",
        "repositories/team/%00/tag_1": IMAGE.id,
    }
    write_tree(tmp_path, files)
    before = read_tree(tmp_path)
    done, store = await renamed(tmp_path)
    assert done == Renamed()
    assert read_tree(tmp_path) == before
    assert await tags_of(store, "team/r x") == {"latest": IMAGE.id}
    assert await tags_of(store, "team/app") == dict.fromkeys(["1.0 5", "%", "latest"], IMAGE.id)
    await store.storage.close()


async def test_a_tag_that_was_not_escaped_is_read_and_deleted(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    write_tree(tmp_path, old_repository("team/app", "latest", "1.0~rc1", "a,b", "a%2bb", ".."))
    done, store = await renamed(tmp_path)
    assert done == Renamed(tags=4)
    assert await tags_of(store, "team/app") == dict.fromkeys(["latest", "1.0~rc1", "a,b", "a%2bb", ".."], IMAGE.id)
    assert sorted(path.name for path in (tmp_path / "repositories/team/app").iterdir()) == sorted(
        ["_index_images"]
        + [f"tag_{each}" for each in ("latest", "1.0%7Erc1", "a%2Cb", "a%252bb", "%252E%252E")]
        + [f"tag{each}_json" for each in ("latest", "1.0%7Erc1", "a%2Cb", "a%252bb", "%252E%252E")]
    )
    await store.storage.close()


async def test_what_0_9_1_has_written_since_holds(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    write_images(tmp_path, [OTHER])
    write_tree(
        tmp_path,
        {
            **old_repository("team/b%2Fc", "latest", "old"),
            "repositories/team/b%252Fc/tag_latest": OTHER.id,
            "repositories/team/b%252Fc/_index_images": "[]",
            **old_repository("team/app", "a~b"),
            "repositories/team/app/tag_a%7Eb": OTHER.id,
        },
    )
    done, store = await renamed(tmp_path)
    assert done == Renamed(repositories=1, tags=1)
    assert await tags_of(store, "team/b/c") == {"latest": OTHER.id, "old": IMAGE.id}
    assert await tags_of(store, "team/app") == {"a~b": OTHER.id}
    await store.storage.close()


async def test_a_tag_that_v2_has_moved_on_stays_where_it_is(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    write_tree(tmp_path, old_repository("team/b%2Fc", "latest", "old"))
    storage = open_folder(tmp_path)
    store = Store(storage)
    name = RepositoryName("team/b/c")
    await push_example(store, name, "latest", "schema2-image")
    pushed = await store.tags.target(name, "latest")
    for _ in range(2):
        assert await renamed_in(store) == Renamed(left=1)
        assert await store.tags.target(name, "latest") == pushed
        assert (await tags_of(store, "team/b/c"))["old"] == IMAGE.id
        assert (tmp_path / "repositories/team/b%2Fc/tag_latest").read_text() == IMAGE.id
    await store.close()
    await storage.close()


@pytest.mark.parametrize("broken_off", range(1, 8))
async def test_broken_off_anywhere_the_next_one_ends_it(
    tmp_path: Path, broken_off: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, [IMAGE])
    write_tree(tmp_path, old_repository("team/b%2Fc", "latest", "a~b"))
    storage = open_folder(tmp_path)
    store = Store(storage)
    work, count = storage.driver.write, 0

    async def write(path: str, content: bytes, *, durable: bool = True) -> None:
        nonlocal count
        count += 1
        if count == broken_off:
            raise KeyboardInterrupt
        await work(path, content, durable=durable)

    monkeypatch.setattr(storage.driver, "write", write)
    try:
        await renamed_in(store)
    except KeyboardInterrupt:
        assert (tmp_path / "repositories/team/b%2Fc/tag_latest").exists()
    monkeypatch.undo()
    await renamed_in(store)
    assert await tags_of(store, "team/b/c") == {"latest": IMAGE.id, "a~b": IMAGE.id}
    assert not (tmp_path / "repositories/team/b%2Fc").exists()
    await storage.close()


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=20)


@given(printable, printable)
@example("team", "r%2Bx")
@example("n s", "b%2Fc")
@example("%2E%2E", "app")
def test_a_folder_is_of_one_repository_at_most(namespace: str, entry: str) -> None:
    now, older = layout.v1_name_of(namespace, entry), layout.v1_older_name_of(namespace, entry)
    assert now is None or older is None
    for name in filter(None, (now, older)):
        standard = layout.v1_repository(name.namespace, name.stored)
        assert (standard == f"{layout.V1_REPOSITORIES}/{namespace}/{entry}") == (name is now)


@given(printable)
def test_a_file_is_of_one_tag_at_most(text: str) -> None:
    entry = layout.V1_TAG + text
    now, older = layout.v1_tag_of(entry), layout.v1_older_tag_of(entry)
    assert now is None or older is None
    if now is None:
        assert older in {text, "..", "."}


async def test_a_tag_that_begins_with_an_underscore_keeps_who_set_it(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    write_tree(tmp_path, old_repository("team/app", "_a~b") | old_repository("team/b%2Fc", "_x"))
    done, store = await renamed(tmp_path)
    assert done == Renamed(repositories=1, tags=1)
    for name, tag in (("team/app", "_a~b"), ("team/b/c", "_x")):
        assert await tags_of(store, name) == {tag: IMAGE.id}
        assert await store.v1_repositories.description(parse_v1_name(name), tag) == {"last_update": 1400000000}
    assert await renamed_in(store) == Renamed()
    await store.storage.close()


async def test_what_a_client_has_deleted_does_not_come_back(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    too_long = "t" * 248 + "~~"
    write_tree(tmp_path, old_repository("team/b%2Fc", "old") | {f"repositories/team/b%2Fc/tag_{too_long}": IMAGE.id})
    done, store = await renamed(tmp_path)
    assert done == Renamed(left=1)
    await store.v1_repositories.delete_tag(parse_v1_name("team/b/c"), "old", actor=ACTOR)
    assert await renamed_in(store) == Renamed(left=1)
    with pytest.raises(RegistryError):
        await tags_of(store, "team/b/c")
    assert (tmp_path / f"repositories/team/b%2Fc/tag_{too_long}").exists()
    await store.storage.close()


async def test_only_what_docker_registry_wrote_goes(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    write_tree(
        tmp_path,
        {
            **old_repository("team/b%2Fc", "latest"),
            "repositories/team/b%2Fc/notes": "mine",
            "repositories/team/b%2Fc/json/file": "a folder where a file would be",
            "repositories/team/b%252Fc/json": "{}",
            "repositories/team/put+aside/notes": "mine",
        },
    )
    done, store = await renamed(tmp_path)
    assert done == Renamed(left=1)
    assert await tags_of(store, "team/b/c") == {"latest": IMAGE.id}
    for mine in ("team/b%2Fc/notes", "team/b%2Fc/json/file", "team/put+aside/notes"):
        assert (tmp_path / "repositories" / mine).exists()
    await store.storage.close()


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    write_images(tmp_path, [IMAGE])
    write_tree(tmp_path, old_repository("team/b%2Fc", "latest") | old_repository("team/app", "a~b"))
    storage = open_folder(tmp_path)
    store = Store(storage)
    before = read_tree(tmp_path / "repositories")
    assert await renamed_in(store, dry_run=True) == Renamed(repositories=1, tags=1)
    assert read_tree(tmp_path / "repositories") == before
    assert await renamed_in(store) == Renamed(repositories=1, tags=1)
    await storage.close()


def test_the_command_says_each_new_name(tmp_path: Path) -> None:
    write_images(tmp_path / "data", [IMAGE])
    write_tree(tmp_path / "data", old_repository("team/b%2Fc", "a~b"))
    tried = portside("v1", "rename", "--data", tmp_path / "data", "--dry-run", folder=tmp_path)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "/repositories/team/b%2Fc/tag_a~b becomes /repositories/team/b%252Fc/tag_a%7Eb\n" in tried.stdout
    assert "would be: 1 repository and 0 tags renamed; 0 stay" in tried.stdout
    assert (tmp_path / "data/repositories/team/b%2Fc/tag_a~b").exists()
    assert not (tmp_path / "data/docker").exists()
    done = portside("v1", "rename", "--data", tmp_path / "data", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.replace("/data: ", "/data: would be: ") == tried.stdout
    assert (tmp_path / "data/repositories/team/b%252Fc/tag_a%7Eb").read_text() == IMAGE.id
    refused = portside("v1", "rename", "--data", tmp_path / "none", folder=tmp_path)
    assert refused.returncode == 1
    assert "there is no folder" in refused.stderr
