"""One v1 volume, written by docker-registry 0.9.1 itself and by Portside: in turns, and by both at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from backends.storage.factory import open_folder
from portside.v1_check import structure
from portside.v1_check.command import Request, check
from portside.v1_check.reading import Pace
from portside.v1_renaming import rename_older
from tests.support.docker_registry_0_9_1 import OriginalRegistry, docker_registry_0_9_1
from tests.support.layers import Compression, pack
from tests.support.v1server import Answer, Pushed, RunningRegistry, make_pushed, running_v1

STEP_S = 240
NAMES = ["team/app", "library/base", "a..b/app_", "team/x/y", "Upper/-case"]
"""What both take; the last ones are of v1 alone."""


@pytest.fixture
def variables() -> Mapping[str, str]:
    """Of docker-registry's environment: its search is off, whose database is its own and goes stale (below)."""
    return {"SEARCH_BACKEND": ""}


@pytest.fixture
def original(tmp_path: Path, variables: Mapping[str, str]) -> Iterator[OriginalRegistry]:
    with docker_registry_0_9_1(tmp_path / "original", root=tmp_path / "volume", variables=variables) as registry:
        yield registry


@pytest.fixture
async def portside(tmp_path: Path, original: OriginalRegistry) -> AsyncIterator[RunningRegistry]:
    storage = open_folder(original.root)
    async with running_v1(storage) as registry:
        yield registry
    await storage.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "SETTLING_SECONDS", (0.3, 0.3, 0.3))


def _chain(*letters: str, on: Pushed | None = None) -> list[Pushed]:
    chain = [] if on is None else [on]
    for letter in letters:
        parent = chain[-1].id if chain else None
        chain.append(
            make_pushed(letter, parent=parent, layer=pack(letter.encode() * 3000 + bytes(1024), Compression.GZIP))
        )
    return chain


async def _findings(root: Path) -> set[tuple[str, str, str]]:
    """What a check finds, without what is only of interest to 0.9.1's own clients."""
    lines: list[str] = []
    request = Request(None, {}, {"data": str(root)}, (), quick=False, as_json=True)
    await asyncio.to_thread(check, request, Pace(None), say=lines.append, is_terminal=False)
    found = [json.loads(line) for line in lines[:-1]]
    return {(each["level"], each["kind"], each["where"]) for each in found}


async def _seen(registry: RunningRegistry, names: Sequence[str], images: Sequence[Pushed]) -> Mapping[str, object]:
    """Everything that clients can read of repositories and images."""
    seen: dict[str, object] = {}

    async def look(target: str) -> Answer:
        answer = await registry.ask("GET", target)
        if "/layer" in target or "/json" in target:
            seen[target] = answer.status, answer.body
        else:
            seen[target] = answer.status, json.loads(answer.body or b"null")
        return answer

    for name in names:
        tags = await look(f"/v1/repositories/{name}/tags")
        listed = await look(f"/v1/repositories/{name}/images")
        if isinstance(listed.json, list):
            seen[f"/v1/repositories/{name}/images"] = 200, sorted(each["id"] for each in listed.json)
        if tags.status == 200:
            for tag in tags.json:
                await look(f"/v1/repositories/{name}/tags/{tag}")
                await look(f"/v1/repositories/{name}/tags/{tag}/json")
    for image in images:
        for part in ("json", "ancestry", "layer"):
            await look(f"/v1/images/{image.id}/{part}")
    return seen


async def _same(first: RunningRegistry, second: RunningRegistry, images: Sequence[Pushed]) -> None:
    """Both serve the same, and what was pushed."""
    seen = await _seen(first, NAMES, images)
    assert await _seen(second, NAMES, images) == seen
    for image in images:
        assert seen[f"/v1/images/{image.id}/layer"] == (200, image.layer)
        assert seen[f"/v1/images/{image.id}/json"] == (200, image.json)


async def _push(registry: RunningRegistry, name: str, tag: str, images: Sequence[Pushed], *, new: int) -> None:
    """Pushes a repository as Docker does, of whose images the last ones are new."""
    announced = json.dumps([{"id": image.id} for image in images]).encode()
    assert (await registry.ask("PUT", f"/v1/repositories/{name}/", body=announced)).status == 200
    for image in images[: len(images) - new]:
        assert (await registry.ask("GET", f"/v1/images/{image.id}/json")).status == 200
        assert (await registry.put_json(image)).told == (409, "Image already exists")
    await registry.push_images(images[len(images) - new :])
    await _tag(registry, name, tag, images[-1])
    assert (await registry.ask("PUT", f"/v1/repositories/{name}/images", body=announced)).status == 204


async def _tag(registry: RunningRegistry, name: str, tag: str, image: Pushed) -> None:
    body = json.dumps(image.id).encode()
    answer = await registry.ask("PUT", f"/v1/repositories/{name}/tags/{tag}", body=body)
    assert (answer.status, answer.body) == (200, b"true")


async def _delete(registry: RunningRegistry, target: str) -> None:
    answer = await registry.ask("DELETE", f"/v1/repositories/{target}")
    assert (answer.status, answer.body) == (200, b"true")


@pytest.mark.timeout(STEP_S)
@pytest.mark.parametrize("first", ["the original", "portside"])
async def test_they_take_turns_with_pushes_moved_tags_and_deletions(
    original: OriginalRegistry, portside: RunningRegistry, first: str
) -> None:
    theirs = RunningRegistry(original.port)
    turns = [theirs, portside]
    if first == "portside":
        turns.reverse()
    pushed: list[Pushed] = []
    for number, (registry, letters) in enumerate(zip(turns * 2, ["01", "23", "45", "67"], strict=True)):
        chain = _chain(*letters, on=pushed[-1] if pushed else None)
        for each, name in enumerate(NAMES):
            await _push(registry, name, f"v{number}", chain, new=0 if each else 2)
            await _tag(registry, name, "latest", chain[-1])
        pushed += chain[-2:]
        await _same(theirs, portside, pushed)
        if number:
            await _delete(registry, f"{NAMES[0]}/tags/v{number - 1}")  # the other's
            await _delete(registry, f"{NAMES[1]}/tags/latest")
            await _delete(registry, f"{NAMES[number]}/")  # what both have written
        await _same(theirs, portside, pushed)
        assert await _findings(original.root) == set()
    assert (await turns[0].ask("GET", f"/v1/repositories/{NAMES[3]}/tags")).status == 404


@pytest.mark.timeout(STEP_S)
async def test_what_one_has_begun_the_other_finishes(original: OriginalRegistry, portside: RunningRegistry) -> None:
    theirs = RunningRegistry(original.port)
    base, top = _chain("0", "1")
    assert (await theirs.put_json(base)).status == 200
    assert (await theirs.put_layer(base)).status == 200
    assert {(kind, where) for _, kind, where in await _findings(original.root)} == {
        ("half-pushed", f"images/{base.id}")
    }
    assert (await portside.ask("GET", f"/v1/images/{base.id}/json")).told == (
        400,
        "Image is being uploaded, retry later",
    )
    await portside.push("team/app", "1", [base, top])
    await _same(theirs, portside, [base, top])

    (other,) = _chain("a")
    assert (await portside.put_json(other)).status == 200
    assert (await portside.put_layer(other)).status == 200
    assert {kind for _, kind, _ in await _findings(original.root)} == {"staged"}
    assert (await theirs.ask("GET", f"/v1/images/{other.id}/json")).status == 404
    await theirs.push("team/other", "1", [other])
    await _same(theirs, portside, [base, top, other])
    late = await portside.put_checksum(other)
    assert late.status == 200  # it has become what this client pushed
    await _same(theirs, portside, [base, top, other])
    assert await _findings(original.root) == set()


@pytest.mark.timeout(STEP_S)
async def test_what_docker_registry_leaves_of_what_it_takes_is_told(original: OriginalRegistry) -> None:
    theirs = RunningRegistry(original.port)
    app = "repositories/team/app"
    base, top = _chain("0", "1")
    await theirs.push("team/app", "latest", [base, top])
    assert await _findings(original.root) == set()

    # tags that it takes and cannot list
    await _tag(theirs, "team/app", "_x", top)
    await _tag(theirs, "team/app", "a%20b", top)
    # an image that is pushed anew as its own parent, and one that no push has ended, with a tag
    own = make_pushed("a")
    assert (await theirs.put_json(own)).status == 200
    again = Pushed(own.id, json.dumps({"id": own.id, "parent": own.id}).encode(), own.layer)
    await theirs.push_images([again])
    begun = make_pushed("b")
    assert (await theirs.put_json(begun)).status == 200
    await _tag(theirs, "team/app", "begun", begun)
    # a layer that breaks off in the middle, and an id that nobody pushes
    cut = make_pushed("c", layer=b"layer" * 1000)
    assert (await theirs.put_json(cut)).status == 200
    async with theirs.connection() as peer:
        head = f"PUT /v1/images/{cut.id}/layer HTTP/1.1\r\nHost: {theirs.authority}\r\nContent-Length: 5000\r\n\r\n"
        await peer.send(head.encode() + cut.layer[:100])
    body = json.dumps([{"id": "d" * 64}]).encode()
    assert (await theirs.ask("PUT", "/v1/repositories/team/other/", body=body)).status == 200
    assert (
        await theirs.ask("PUT", "/v1/repositories/team/other/properties", body=b'{"access": "private"}')
    ).status == 200

    assert await _findings(original.root) == {
        ("note", "tag-phantom", f"{app}/tag_x_json"),
        ("note", "tag-ambiguous", f"{app}/tag_a+b"),
        ("note", "ancestry-repeats", f"images/{own.id}/ancestry"),
        ("wrong", "parent-cycle", f"images/{own.id}"),
        ("note", "half-pushed", f"images/{begun.id}"),
        ("wrong", "tag-dangling", f"{app}/tag_begun"),
        ("note", "half-pushed", f"images/{cut.id}"),
        ("note", "index-names-absent", "repositories/team/other/_index_images"),
        ("note", "private", "repositories/team/other/_private"),
    }


# both at once: what docs/v1-registry.md calls safe


@pytest.mark.timeout(STEP_S)
async def test_different_images_are_pushed_to_both_at_once(
    original: OriginalRegistry, portside: RunningRegistry
) -> None:
    theirs = RunningRegistry(original.port)
    (base,) = _chain("0")
    await theirs.push("library/base", "1", [base])
    chains = {
        letter: _chain(letter, letter.upper().translate(str.maketrans("ABCDEF", "123456")), on=base)
        for letter in "abcdef"
    }

    async def push(registry: RunningRegistry, letter: str) -> None:
        await _push(registry, f"team/{letter * 4}", "1", chains[letter], new=2)
        await _tag(registry, "team/shared", letter, chains[letter][-1])

    async with asyncio.TaskGroup() as clients:
        for number, letter in enumerate(chains):
            clients.create_task(push((theirs, portside)[number % 2], letter))
    names = ["team/shared", *(f"team/{letter * 4}" for letter in chains)]
    images = [image for chain in chains.values() for image in chain]
    seen = await _seen(theirs, names, images)
    ours = await _seen(portside, names, images)
    lists = {f"/v1/repositories/{name}/images" for name in names}
    assert {key: seen[key] for key in seen.keys() - lists} == {key: ours[key] for key in ours.keys() - lists}
    assert {f"/v1/repositories/team/shared/tags/{letter}" for letter in chains} <= ours.keys()
    assert not {each for each in await _findings(original.root) if each[0] == "wrong"}


@pytest.mark.timeout(STEP_S)
async def test_tags_are_moved_and_deleted_by_both_at_once(
    original: OriginalRegistry, portside: RunningRegistry
) -> None:
    theirs = RunningRegistry(original.port)
    chain = _chain("0", "1", "2")
    await portside.push("team/app", "latest", chain)

    async def move(registry: RunningRegistry, image: Pushed) -> None:
        for number in range(15):
            await _tag(registry, "team/app", "latest", image)
            answer = await registry.ask("GET", "/v1/repositories/team/app/tags/latest")
            assert answer.status == 200 or answer.told == (404, "Tag not found"), answer.body
            await registry.ask("DELETE", f"/v1/repositories/team/app/tags/{'latest' if number % 5 == 4 else 'none'}")

    async with asyncio.TaskGroup() as clients:
        for number in range(4):
            clients.create_task(move((theirs, portside)[number % 2], chain[number % 3]))
    await _tag(portside, "team/app", "latest", chain[2])
    assert (await theirs.ask("GET", "/v1/repositories/team/app/tags/latest")).json == chain[2].id
    await _tag(theirs, "team/app", "latest", chain[1])
    assert (await portside.ask("GET", "/v1/repositories/team/app/tags/latest")).json == chain[1].id
    await _same(theirs, portside, chain)
    assert await _findings(original.root) == set()
    await _delete(theirs, "team/app/")
    assert (await portside.ask("GET", "/v1/repositories/team/app/tags")).told == (404, "Repository not found")


@pytest.mark.timeout(STEP_S)
async def test_a_list_of_images_that_docker_registry_has_broken_is_mended_by_a_push_to_portside(
    original: OriginalRegistry, portside: RunningRegistry
) -> None:
    theirs = RunningRegistry(original.port)
    chain = _chain("0", "1")
    await theirs.push("team/app", "1", chain)
    listed = original.root / "repositories/team/app/_index_images"
    first = json.loads(listed.read_text())
    listed.write_text(json.dumps(first) + '0000"}]')  # as two of its workers leave it that write at once
    target = "/v1/repositories/team/app/images"
    assert b'0000"}]' in (await theirs.ask("GET", target)).body
    announced = json.dumps([{"id": chain[1].id}]).encode()
    assert (await theirs.ask("PUT", target, body=announced)).status == 500
    assert {kind for _, kind, _ in await _findings(original.root)} == {"index-invalid"}

    assert (await portside.ask("GET", target)).json == first
    assert (await portside.ask("PUT", target, body=announced)).status == 204
    for registry in (theirs, portside):
        answer = await registry.ask("GET", target)
        assert sorted(each["id"] for each in answer.json) == sorted(each.id for each in chain)
    assert (await theirs.ask("PUT", target, body=announced)).status == 204
    assert await _findings(original.root) == set()


# the search database


@pytest.mark.timeout(STEP_S)
@pytest.mark.parametrize("variables", [{}], ids=["with search"])
async def test_the_search_database_goes_stale_and_is_built_anew_once_it_is_deleted(
    original: OriginalRegistry, portside: RunningRegistry
) -> None:
    theirs = RunningRegistry(original.port)
    await theirs.push("team/theirs", "1", _chain("0"))
    await portside.push("team/ours", "1", _chain("1"))
    await _delete(portside, "team/theirs/")

    async def found() -> set[str]:
        answer = await theirs.ask("GET", "/v1/search?q=")
        return {each["name"] for each in answer.json["results"]}

    assert await found() == {"team/theirs"}
    # What Portside has deleted is still in there, and docker-registry creates nothing twice.
    assert (await theirs.ask("PUT", "/v1/repositories/team/theirs/", body=b"[]")).status == 500
    original.end()
    (original.folder / "search.db").unlink()
    original.start()
    assert await found() == {"team/ours"}
    assert (await theirs.ask("PUT", "/v1/repositories/team/theirs/", body=b"[]")).status == 200


# whose files they are


@pytest.mark.timeout(STEP_S)
async def test_names_of_before_0_8_1_are_renamed_while_both_serve(
    original: OriginalRegistry, portside: RunningRegistry
) -> None:
    theirs = RunningRegistry(original.port)
    (image,) = _chain("0")
    await _push(theirs, "team/app", "latest", [image], new=1)
    old = original.root / "repositories/team/b%2Fc"
    old.mkdir()
    for file in (old / "tag_latest", old.parent / "app/tag_a~b"):
        file.write_text(image.id)
        (file.parent / f"{file.name.replace('_', '', 1)}_json").write_text('{"last_update": 1400000000}')
    for registry in (theirs, portside):
        assert (await registry.ask("GET", "/v1/repositories/team/b/c/tags/latest")).status == 404
    lines: list[str] = []
    flags = {"data": str(original.root)}
    done = await asyncio.to_thread(rename_older, None, {}, flags, say=lines.append, dry_run=False)
    assert "1 repository and 1 tag renamed; 0 stay" in done, lines
    for registry in (theirs, portside):
        assert (await registry.ask("GET", "/v1/repositories/team/b/c/tags")).json == {"latest": image.id}
        assert (await registry.ask("GET", "/v1/repositories/team/app/tags/a~b")).json == image.id
    await _tag(theirs, "team/b/c", "latest", image)
    await _delete(portside, "team/b/c/tags/latest")


@pytest.mark.timeout(STEP_S)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to others")
async def test_a_volume_of_another_user_is_read_and_written_by_both(
    original: OriginalRegistry, portside: RunningRegistry
) -> None:
    theirs = RunningRegistry(original.port)
    chain = _chain("0", "1")
    await theirs.push("team/app", "1", chain)
    for path in (original.root, *original.root.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            os.chown(path, 1234, 1234)
    await _push(portside, "team/app", "2", chain, new=0)
    await _tag(theirs, "team/app", "3", chain[0])
    await _same(theirs, portside, chain)
    modes = {path.stat().st_mode & 0o777 for path in (original.root / "repositories").rglob("*") if path.is_file()}
    assert modes == {0o644}
