"""Being alone at something: who waits too long is answered, who has gone does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from backends.model.errors import RegistryError
from backends.model.names import ImageId
from backends.model.v1names import parse_v1_name
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.signing import Signer
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.v1pushes import images_over, put_checksum, put_json, put_layer
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]


async def test_whoever_waits_too_long_is_told_to_come_again(reopen: Reopen) -> None:
    async with exclusive_lock(reopen().locks, "a"):
        with pytest.raises(RegistryError, match="again later") as raised:
            async with exclusive_lock(reopen().locks, "a", patience=0.05):
                pytest.fail("two are alone")
        assert raised.value.status == 503


async def test_a_lock_within_a_lock_is_another_matter(reopen: Reopen) -> None:
    """That the inner one is held says nothing of the outer one: it is not answered as if it did."""
    locks = reopen().locks
    async with locks.hold("inner"):
        with pytest.raises(LockHeld):
            async with exclusive_lock(reopen().locks, "outer"), reopen().locks.hold("inner"):
                pytest.fail("two are alone")


IMAGE = make_pushed("a")
NAME = parse_v1_name("ns/r")


async def checksum(storage: Storage) -> None:
    await put_checksum(images_over(storage), IMAGE)


async def announce(storage: Storage) -> None:
    await Store(storage).v1_repositories.put_images(NAME, b"[]", [], actor=ACTOR)


async def sign(storage: Storage) -> None:
    await Signer(storage).sign(b"{}")


@pytest.mark.parametrize(
    ("lock", "work"),
    [
        (layout.v1_image_lock(ImageId(IMAGE.id)), checksum),
        (layout.v1_images_lock(NAME.namespace, NAME.stored), announce),
        (layout.SCHEMA1_KEY_LOCK, sign),
    ],
    ids=["checksum", "images", "key"],
)
async def test_a_request_that_waits_for_a_lock_ends_when_its_client_has_gone(
    reopen: Reopen, lock: str, work: Callable[[Storage], Coroutine[Any, Any, None]]
) -> None:
    images = images_over(reopen())
    await put_json(images, IMAGE)
    await put_layer(images, IMAGE)
    async with reopen().locks.hold(lock):
        task = asyncio.create_task(work(reopen()))
        await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait([task])
        assert task.cancelled()
