"""What an image's layer holds and changes: answers, what is kept of them, and who gets them (V1API section 3.4)."""

from __future__ import annotations

import asyncio
import json
import re
import tarfile
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from backends.model.names import ImageId, RepositoryName
from backends.registry.layer_lists import lists as lists_module
from backends.registry.layer_lists import making, sinks
from backends.registry.layer_lists.changes import Changes
from backends.registry.layer_lists.old_lists import OldLists
from backends.registry.layers.settings import LayerSettings
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import StorageReadOnly
from backends.storage.factory import open_folder
from backends.v1.settings import V1Settings
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.formats import digest_of
from tests.support.layers import Compression, pack
from tests.support.pushed_examples import ZSTD, Layer, gzip_layer, push_image
from tests.support.schema1_pushes import push_schema1
from tests.support.tars import changes_of, make_tar, member, row, tar_of
from tests.support.trees import read_tree
from tests.support.v1server import Answer, Pushed, RunningRegistry, make_pushed, running_v1

BASE = make_pushed("a", layer=pack(tar_of("etc/", "etc/hello", "./x"), Compression.GZIP))
MIDDLE = make_pushed("b", parent=BASE.id, layer=pack(tar_of("./.wh.x", "y", "./.wh..wh.plnk"), Compression.BZIP2))
TOP = make_pushed("c", parent=MIDDLE.id, layer=pack(tar_of("etc/hello", "./x", "new", content=b"two"), Compression.XZ))
CHAIN = (BASE, MIDDLE, TOP)
FILES = {
    BASE.id: [row("etc", letter="d", size=0, mode=0o755), row("etc/hello"), row("/x")],
    MIDDLE.id: [row("/x", deleted=True), row("y")],
    TOP.id: [row("etc/hello", size=3), row("/x", size=3), row("new", size=3)],
}
NOTHING: dict[str, dict[str, Any]] = {"deleted": {}, "changed": {}, "created": {}}


def part(image: Pushed | str, name: str) -> str:
    return f"/v1/images/{image if isinstance(image, str) else image.id}/{name}"


def kept_lists(tree: Mapping[str, object]) -> list[str]:
    """The files with lists in Portside's own folder."""
    return [path for path in tree if re.search(r"/layer-lists/../[0-9a-f]{64}$", path)]


@pytest.fixture
async def pushed(registry: RunningRegistry) -> RunningRegistry:
    await registry.push_images(CHAIN)
    return registry


@pytest.mark.parametrize("image", CHAIN, ids=lambda image: str(image.id[0]))
async def test_files_and_changes_are_the_original_s_and_may_be_kept_for_a_year(
    pushed: RunningRegistry, root: Path, image: Pushed
) -> None:
    chain = CHAIN[: CHAIN.index(image) + 1]
    expected = {"files": FILES[image.id], "diff": changes_of([FILES[each.id] for each in reversed(chain)])}
    for name, wanted in expected.items():
        for _ in range(2):  # made, then kept
            told = await pushed.ask("GET", part(image, name), "Range: bytes=0-3")
            assert (told.status, told.json) == (200, wanted)
            assert told.body == (root / "images" / image.id / f"_{name}").read_bytes()
            assert told.value("Content-Type") == "application/json"
            assert told.value("Cache-Control") == "public, max-age=31536000"
            assert told.value("Last-Modified") == "Thu, 01 Jan 1970 00:00:00 GMT"
            assert told.value("Pragma") is told.value("ETag") is told.value("Accept-Ranges") is None
            expires = parsedate_to_datetime(told.value("Expires") or "").timestamp()
            assert abs(expires - time.time() - 31_536_000) < 30
            head = await pushed.ask("HEAD", part(image, name))
            assert (head.status, head.body, head.value("Content-Length")) == (200, b"", str(len(told.body)))
    assert list(expected["diff"]) == ["deleted", "changed", "created"]


async def test_the_whole_chain_is_looked_at_not_the_next_image_alone(pushed: RunningRegistry) -> None:
    told = (await pushed.ask("GET", part(TOP, "diff"))).json
    assert sorted(told["changed"]) == ["etc/hello"]
    assert sorted(told["created"]) == ["/x", "new"]  # the image below has deleted it
    assert sorted((await pushed.ask("GET", part(MIDDLE, "diff"))).json["deleted"]) == ["/x"]


async def test_an_unchanged_copy_is_told_so_where_there_is_such_an_image(pushed: RunningRegistry) -> None:
    for name in ("files", "diff"):
        for value in ("Thu, 01 Jan 1970 00:00:00 GMT", "x"):
            told = await pushed.ask("GET", part(TOP, name), f"If-Modified-Since: {value}")
            assert (told.status, told.body) == (304, b"")
            told = await pushed.ask("GET", part("f" * 64, name), f"If-Modified-Since: {value}")
            assert told.told == (404, "Image not found")


@pytest.mark.parametrize("name", ["files", "diff"])
async def test_what_is_not_there_or_not_yet(registry: RunningRegistry, root: Path, name: str) -> None:
    assert (await registry.ask("GET", part("f" * 64, name))).told == (404, "Image not found")
    assert (await registry.ask("GET", part("f" * 63, name))).told == (404, "Invalid image ID")
    await registry.put_json(BASE)
    assert (await registry.ask("GET", part(BASE, name))).told == (400, "Image is being uploaded, retry later")
    await registry.push_images(CHAIN)
    (root / "images" / BASE.id / "layer").unlink()
    assert (await registry.ask("GET", part(BASE, name))).told == (404, "Image not found")
    assert (await registry.ask("GET", part(TOP, "diff"))).told == (404, "Image not found")
    assert (await registry.ask("GET", part(TOP, "files"))).status == 200
    for method in ("PUT", "POST", "DELETE"):
        told = await registry.ask(method, part(TOP, name), body=b"")
        assert (told.status, told.value("Allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("layer", "answer"),
    [
        (b"", (200, [])),
        (bytes(1024), (200, [])),
        (tar_of(), (200, [])),
        (b"not a tar", (400, None)),
        (b"no tar either " * 1000, (400, None)),
        (pack(tar_of("a"), Compression.GZIP)[:-12], (400, None)),
        (tar_of("a", content=b"x" * 2000)[:1500], (400, None)),
        (b"\x1f\x8b\x08" + bytes(40), (400, None)),
        *((pack(tar_of("a"), each), (200, [row("a")])) for each in Compression),
        (make_tar([member("./grüße")], form=tarfile.PAX_FORMAT), (200, [row("/grüße", size=0)])),
    ],
    ids=range(14),
)
async def test_any_layer_is_listed_or_said_to_be_none(
    registry: RunningRegistry, layer: bytes, answer: tuple[int, list[list[Any]] | None]
) -> None:
    image = make_pushed("a", layer=layer)
    await registry.push_images([image])
    status, files = answer
    for name in ("files", "diff"):
        for _ in range(2):
            told = await registry.ask("GET", part(image, name))
            assert told.status == status
            if files is None:
                assert told.told == (400, "Layer format not supported")
                assert told.value("Cache-Control") == "no-cache"
            else:
                assert told.json == (files if name == "files" else changes_of([files]))


# what is kept


async def test_what_the_original_has_kept_is_served(pushed: RunningRegistry, root: Path) -> None:
    files, diff = json.dumps([row("kept by another")]).encode(), json.dumps({**NOTHING, "created": {"k": row("")[1:]}})
    (root / "images" / TOP.id / "_files").write_bytes(files)
    (root / "images" / TOP.id / "_diff").write_text(diff)
    assert (await pushed.ask("GET", part(TOP, "files"))).body == files
    assert (await pushed.ask("GET", part(TOP, "diff"))).body == diff.encode()


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b'[["x"]]', bytes(100), b"[]]", b'{"deleted": {}}', b"\xff"])
@pytest.mark.parametrize("name", ["files", "diff"])
async def test_what_is_damaged_is_made_again(pushed: RunningRegistry, root: Path, name: str, content: bytes) -> None:
    good = (await pushed.ask("GET", part(TOP, name))).body
    kept = root / "images" / TOP.id / f"_{name}"
    kept.write_bytes(content)
    told = await pushed.ask("GET", part(TOP, name))
    assert (told.status, told.body, kept.read_bytes()) == (200, good, good)


@pytest.mark.parametrize("strange", ["a folder", "a link in a circle", "a link that leads out"])
@pytest.mark.parametrize("name", ["files", "diff"])
async def test_what_is_there_and_no_file_stops_no_list(
    pushed: RunningRegistry, root: Path, name: str, strange: str
) -> None:
    good = (await pushed.ask("GET", part(TOP, name))).body
    kept = root / "images" / TOP.id / f"_{name}"
    kept.unlink()
    match strange:
        case "a folder":
            kept.mkdir()
        case "a link in a circle":
            kept.symlink_to(kept.name)
        case _:
            kept.symlink_to("/etc/hostname")
    for _ in range(2):
        told = await pushed.ask("GET", part(TOP, name))
        assert (told.status, told.body) == (200, good)
    assert bool(kept_lists(read_tree(root))) == kept.is_dir(), "a link is replaced"


class _ForeignFolders(ForwardingDriver):
    """A driver whose volume has images of another owner's, in whose folders nothing can be written."""

    @override
    async def move(self, source: str, target: str) -> None:
        if target.endswith(("/_files", "/_diff")):
            raise StorageReadOnly(target)
        await super().move(source, target)


async def test_lists_of_another_owner_s_images_are_kept_in_portside_s_own_folder(root: Path) -> None:
    storage, _ = wrapped(open_folder(root), _ForeignFolders)
    async with running_v1(storage) as registry:
        await registry.push_images(CHAIN)
        for _ in range(2):
            assert (await registry.ask("GET", part(TOP, "files"))).json == FILES[TOP.id]
            assert (await registry.ask("GET", part(TOP, "diff"))).status == 200
    tree = read_tree(root)
    assert len(kept_lists(tree)) == 4  # of files three, of changes one
    assert not [path for path in tree if path.endswith(("_files", "_diff"))]
    await storage.close()


async def test_a_registry_that_writes_nothing_lists_what_is_not_too_much(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_folder(root)
    async with running_v1(storage) as registry:
        await registry.push_images(CHAIN)
    before = {path: kept for path, kept in read_tree(root).items() if "unsynced" not in str(path)}
    async with running_v1(storage, writes=False) as registry:
        for image in CHAIN:
            assert (await registry.ask("GET", part(image, "files"))).json == FILES[image.id]
        assert (await registry.ask("GET", part(BASE, "diff"))).status == 200
        lists = [len((await registry.ask("GET", part(image, "files"))).body) for image in CHAIN]
        monkeypatch.setattr(sinks, "MEMORY_BYTES", sum(lists) - 1)
        assert (await registry.ask("GET", part(TOP, "diff"))).status == 400
        monkeypatch.setattr(sinks, "MEMORY_BYTES", sum(lists))
        assert (await registry.ask("GET", part(MIDDLE, "diff"))).status == 200
        monkeypatch.setattr(sinks, "MEMORY_BYTES", 20)
        told = await registry.ask("GET", part(TOP, "diff"))
        assert told.status == 400
        assert "read-only" in told.json["error"]
    assert {path: kept for path, kept in read_tree(root).items() if "unsynced" not in str(path)} == before
    await storage.close()


async def test_an_image_that_gets_another_layer_gets_another_list(pushed: RunningRegistry, root: Path) -> None:
    """A relic that has lost its layer may be pushed again, with whatever its pusher has."""
    assert (await pushed.ask("GET", part(TOP, "files"))).json == FILES[TOP.id]
    assert (await pushed.ask("GET", part(TOP, "diff"))).status == 200
    (root / "images" / TOP.id / "layer").unlink()
    other = Pushed(TOP.id, TOP.json, tar_of("other"))
    told = [await pushed.put_layer(other), await pushed.put_checksum(other)]
    assert [each.status for each in told] == [200, 200]
    assert (await pushed.ask("GET", part(TOP, "files"))).json == [row("other")]


async def test_many_who_ask_at_once_have_it_made_once(pushed: RunningRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    original = making.ListMaker.__init__

    def begin(self: making.ListMaker, *more: Any) -> None:
        made.append(self)
        original(self, *more)

    monkeypatch.setattr(making.ListMaker, "__init__", begin)
    asked = [pushed.ask("GET", part(TOP, name)) for name in ("files", "diff") for _ in range(10)]
    answers = await asyncio.gather(*asked)
    assert {each.status for each in answers} == {200}
    assert len({each.body for each in answers}) == 2
    assert len(made) == 3  # one for each layer


async def test_a_list_of_any_length_goes_out_from_its_file(root: Path) -> None:
    names = [f"some/folder/with/a/long/name/file-{number}" for number in range(30_000)]
    image = make_pushed("a", layer=pack(tar_of(*names), Compression.GZIP))
    child = make_pushed("b", parent=image.id, layer=pack(tar_of(*names[::2], "new"), Compression.GZIP))
    storage = open_folder(root)
    async with running_v1(storage) as registry:
        await registry.push_images([image, child])
        told = await registry.ask("GET", part(child, "diff"))
        assert len(told.json["changed"]) == 15_000
        assert sorted(told.json["created"]) == ["new"]
        told = await registry.ask("GET", part(image, "files"))
        assert [each[0] for each in told.json] == names
        assert told.value("Content-Length") == str(len((root / "images" / image.id / "_files").read_bytes()))
    await storage.close()


@pytest.mark.parametrize(("bound", "value"), [("MAX_ROWS", 2), ("MAX_LIST_BYTES", 60)])
async def test_what_is_too_long_is_refused_in_one_sentence(
    pushed: RunningRegistry, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(making, bound, value)
    told = await pushed.ask("GET", part(TOP, "files"))
    assert told.status == 400
    assert "the files of this layer are not listed: it has more than" in told.json["error"]


@pytest.mark.parametrize(("at_once", "status"), [(3, 200), (2, 400)])
async def test_what_would_take_too_long_to_compare_is_refused_in_one_sentence(
    pushed: RunningRegistry, monkeypatch: pytest.MonkeyPatch, at_once: int, status: int
) -> None:
    lists = [len((await pushed.ask("GET", part(image, "files"))).body) for image in CHAIN]
    monkeypatch.setattr(Changes.__init__, "__kwdefaults__", {"at_once": at_once})
    monkeypatch.setattr(lists_module, "COMPARED_BYTES", sum(lists))
    assert (await pushed.ask("GET", part(TOP, "diff"))).status == status
    monkeypatch.setattr(lists_module, "COMPARED_BYTES", sum(lists) - 1)
    told = await pushed.ask("GET", part(TOP, "diff"))
    assert told.status == status  # what is kept is served
    if status != 200:
        assert "compare there" in told.json["error"]


async def test_a_layer_that_inflates_beyond_measure_is_refused(root: Path) -> None:
    image = make_pushed("a", layer=pack(tar_of("a", content=bytes(3_000_000)), Compression.GZIP))
    storage = open_folder(root)
    async with running_v1(storage, layer_settings=LayerSettings(max_bytes=1_000_000)) as registry:
        await registry.push_images([image])
        told = await registry.ask("GET", part(image, "files"))
        assert told.status == 400
        assert "gateway.conversions.maxbytes" in told.json["error"]
    await storage.close()


async def test_who_waits_for_long_is_asked_to_come_again(root: Path) -> None:
    storage = open_folder(root)
    async with running_v1(storage, V1Settings(patience_seconds=0.05)) as registry:
        await registry.push_images(CHAIN)
        file = await storage.driver.stat(layout.v1_image_layer(ImageId(TOP.id)))
        key = f"files\nimage {TOP.id}, {file.size} bytes of {file.modified}"
        lock = layout.layer_list_lock(layout.layer_list(sha256(key.encode()).hexdigest()))
        async with storage.locks.hold(lock):
            told = await registry.ask("GET", part(TOP, "files"))
            assert told.status == 307
            assert told.value("Location") == f"{part(TOP, 'files')}?portside-wait=1"
        for _ in range(100):
            told = await registry.ask("GET", part(TOP, "files?portside-wait=1"))
            if told.status == 200:
                break
        assert told.json == FILES[TOP.id]
    await storage.close()


# what v2 clients pushed

NAME = RepositoryName("team/app")


def _zstd_layer(content: bytes) -> Layer:
    return Layer(pack(content, Compression.ZSTD), digest_of(content), ZSTD)


async def test_images_of_manifests_are_listed_and_no_file_of_the_original_s_is_made(
    registry: RunningRegistry, store: Store, root: Path
) -> None:
    layers = [gzip_layer(tar_of("etc/", "etc/hello", "./x")), _zstd_layer(tar_of("./.wh.x", "etc/hello"))]
    await push_image(store, NAME, "1", layers)
    top = (await registry.ask("GET", f"/v1/repositories/{NAME}/tags/1")).json
    ids = (await registry.ask("GET", part(top, "ancestry"))).json
    told: Mapping[str, Answer] = {each: await registry.ask("GET", part(each, "files")) for each in ids}
    assert {each.status for each in told.values()} == {200}
    listed = [each.json for each in told.values() if each.json]
    assert listed == [
        [row("/x", deleted=True), row("etc/hello")],
        [row("etc", letter="d", size=0, mode=0o755), row("etc/hello"), row("/x")],
    ]
    diff = await registry.ask("GET", part(top, "diff"))
    assert diff.json == changes_of([each.json for each in told.values()])
    assert not (root / "images").exists()
    kept = kept_lists(read_tree(root))
    assert len(kept) == 3
    again = [await registry.ask("GET", part(each, "files")) for each in ids]
    assert [each.body for each in again] == [each.body for each in told.values()]
    old = OldLists(store.storage)
    found = [each async for each in old.find()]
    assert len(found) == len(kept)
    assert not await old.remove(found[0], before=time.time() - 3600)
    assert [await old.remove(each, before=time.time() + 3600) for each in found] == [True] * len(found)
    assert (await registry.ask("GET", part(ids[0], "files"))).body == again[0].body


async def test_images_of_schema_1_are_listed_too(registry: RunningRegistry, store: Store) -> None:
    chain = (
        make_pushed("1", layer=tar_of("a", "./b")),
        make_pushed("2", parent="1" * 64, layer=tar_of("a", "./.wh.b")),
    )
    await push_schema1(store, NAME, "1", chain)
    top = (await registry.ask("GET", f"/v1/repositories/{NAME}/tags/1")).json
    ids = (await registry.ask("GET", part(top, "ancestry"))).json
    files = [(await registry.ask("GET", part(each, "files"))).json for each in ids]
    assert files == [[row("a"), row("/b", deleted=True)], [row("a"), row("/b")]]
    assert (await registry.ask("GET", part(top, "diff"))).json == changes_of(files)
