"""A full disk in the middle of a v1 push: 507, nothing of it is left, what was there is pulled, a small push fits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.mounts import fill_up, mounted_ext4, mounted_tmpfs
from tests.support.trees import read_files, read_tree
from tests.support.v1server import Pushed, RunningRegistry, make_pushed


@pytest.fixture(params=[mounted_tmpfs, mounted_ext4])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    mounted: Callable[[Path], AbstractContextManager[Path]] = request.param
    with mounted(tmp_path / "disk") as folder:
        yield folder


def left_of(root: Path, image_id: str) -> list[str]:
    return [path for path in read_tree(root) if image_id in path or ".tmp" in path]


async def test_a_layer_that_does_not_fit_leaves_nothing_and_a_small_push_fits(
    registry: RunningRegistry, root: Path
) -> None:
    small, large = make_pushed("a"), make_pushed("b", layer=os.urandom(9_000_000))
    await registry.push("team/app", "kept", [small])
    before = read_files(root)
    assert (await registry.put_json(large)).status == 200
    answer = await registry.put_layer(large)
    assert answer.status == 507
    assert "no room left" in answer.json["error"]
    assert "nothing of this upload was kept" in answer.json["error"]
    assert read_files(root) == before
    assert left_of(root, large.id) == []
    assert (await registry.ask("GET", f"/v1/images/{large.id}/json")).status == 404
    assert (await registry.ask("GET", f"/v1/images/{small.id}/layer")).body == small.layer
    later = make_pushed("c", parent=small.id, layer=os.urandom(1_000_000))
    await registry.push("team/app", "later", [later])
    assert (await registry.ask("GET", f"/v1/images/{later.id}/layer")).body == later.layer


async def push_until_full(registry: RunningRegistry, image: Pushed) -> str:
    """Returns the step that found no room, or nothing."""
    steps = {"json": registry.put_json, "layer": registry.put_layer, "checksum": registry.put_checksum}
    for step, put in steps.items():
        answer = await put(image)
        if answer.status != 200:
            assert answer.status == 507, answer
            return step
    return ""


async def test_every_step_of_a_push_that_finds_no_room_leaves_nothing_and_can_be_repeated(
    registry: RunningRegistry, root: Path
) -> None:
    """The disk has room for a little more in each turn, so another step is the first that finds none."""
    kept = make_pushed("a")
    await registry.push("team/app", "kept", [kept])
    hit = set()
    for room in range(80):
        image = make_pushed(f"{room:064x}", parent=kept.id, layer=os.urandom(30_000))
        before = read_files(root)
        filler = fill_up(root)
        with filler.open("r+b") as file:
            file.truncate(filler.stat().st_size - room * 4096)
        failed = await push_until_full(registry, image)
        filler.unlink()
        if not failed:
            break
        hit.add(failed)
        assert read_files(root) == before
        assert left_of(root, image.id) == []
        await registry.push_images([image])
    else:
        raise AssertionError("the push never fits")
    assert {"json", "layer", "checksum"} <= hit, hit
    for image_id in (kept.id, image.id):
        assert (await registry.ask("GET", f"/v1/images/{image_id}/layer")).status == 200
