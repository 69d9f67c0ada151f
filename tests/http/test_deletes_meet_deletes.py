"""Requests at what somebody else deletes in this moment, above all deletions: done, or not found any more; never 5xx.

At each step of a request, before each thing that it does to storage, what it is at is taken away.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import count

import pytest
from typing_extensions import override

from backends.model.conversion.plans import Form
from backends.model.names import RepositoryName
from backends.model.targets import V2Target
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import FileInfo, PathNotFound, Reader, StorageDriver, Tee, Writer
from backends.storage.factory import open_memory
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.derivations import PUSHES, convert, push_v1
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.serving_here import OCTETS, Answer, digest_of, serving_here
from tests.support.stores import everything

NAME = RepositoryName("team/app")
OF_V2 = layout.folders_of_repository(NAME)
OF_V1 = (layout.v1_repository("team", "app"),)
TAKEN = {"all of it": (*OF_V2, *OF_V1), "what v2 has": OF_V2, "what v1 has": OF_V1}
OF_CONVERSION = "/v2/team/app/blobs/{of_v1_blob}"
DELETIONS = (
    "/v2/team/app/manifests/{pushed}",
    "/v2/team/app/manifests/{of_pushed}",
    "/v2/team/app/manifests/{of_v1}",
    "/v2/team/app/manifests/pushed",
    "/v2/team/app/manifests/both",
    "/v2/team/app/manifests/image",
    "/v2/team/app/blobs/{blob}",
    OF_CONVERSION,
    "/v2/team/app/blobs/uploads/{upload}",
    "/v2/team/app/_portside/repository",
    "/v1/repositories/team/app/tags/image",
    "/v1/repositories/team/app/tags/both",
    "/v1/repositories/team/app/tags/pushed",
    "/v1/repositories/team/app/",
)


class TakenAway(ForwardingDriver):
    """A driver under which folders are removed before one of the steps that are done with it.

    Args:
        driver: does the work.
    """

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self._left = -1
        self._folders: Sequence[str] = ()

    def take_away(self, *folders: str, after: int) -> None:
        """Has these removed after so many steps more."""
        self._left, self._folders = after, folders

    @property
    def is_done(self) -> bool:
        """Whether they have been removed."""
        return self._left < 0

    async def _step(self) -> None:
        self._left -= 1
        if self._left == -1:
            for folder in self._folders:
                with suppress(PathNotFound):
                    await self.driver.delete(folder)

    @override
    async def read(self, path: str) -> bytes:
        await self._step()
        return await super().read(path)

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await self._step()
        await super().write(path, content, durable=durable)

    @override
    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        await self._step()
        return await super().writer(path, append=append, durable=durable, tee=tee)

    @override
    async def open(self, path: str) -> Reader:
        await self._step()
        return await super().open(path)

    @override
    async def stat(self, path: str) -> FileInfo:
        await self._step()
        return await super().stat(path)

    @override
    async def list(self, path: str) -> Sequence[str]:
        await self._step()
        return await super().list(path)

    @override
    async def delete(self, path: str, *, durable: bool = True) -> None:
        await self._step()
        await super().delete(path, durable=durable)

    @override
    async def ensure_durable(self, *paths: str) -> None:
        await self._step()
        await super().ensure_durable(*paths)


async def fill(store: Store) -> dict[str, str]:
    """Pushes what is to be deleted by either protocol, and converts some of it; returns what names it."""
    await PUSHES["OCI"][0](store, NAME, "pushed")
    await PUSHES["OCI"][0](store, NAME, "both")
    await push_v1(store, NAME, "image")
    await push_v1(store, NAME, "both")
    pushed = await store.tags.target(NAME, "pushed")
    assert isinstance(pushed, V2Target)
    of_v1 = await convert(store, NAME, "image", Form.SCHEMA2)
    document = json.loads((await store.open(NAME).get_manifest(pushed.digest)).content)
    return {
        "pushed": str(pushed.digest),
        "of_pushed": str((await convert(store, NAME, "pushed", Form.SCHEMA1)).digest),
        "of_v1": str(of_v1.digest),
        "blob": document["layers"][0]["digest"],
        "of_v1_blob": json.loads(of_v1.content)["config"]["digest"],
        "upload": await store.uploads.start(NAME),
    }


Asked = AsyncIterator[tuple[int, Answer, Sequence[str]]]


async def ask_at_each_step(method: str, path: str, *taken: str, body: bytes | None = None) -> Asked:
    """Asks once for each step before which folders are taken away, then once undisturbed.

    Yields:
        the step (-1 for the last), the answer, and the files that are in these folders afterwards.
    """
    gates = make_gates(GateSettings(delete_enabled=True))
    filled = open_memory()
    asked = path.format(**await fill(Store(filled)))
    contents = {file: await filled.driver.read(file) for file in await everything(filled.driver)}
    for steps in count():
        storage, driver = wrapped(open_memory(), TakenAway)
        for file, content in contents.items():
            await driver.driver.write(file, content)
        driver.take_away(*taken, after=steps)
        store = Store(storage)
        v1, v2 = V1Registry(store, V1Settings(), gates=gates), V2Registry(store, V2Settings(), gates=gates)
        async with serving_here(v1.handle if path.startswith("/v1/") else v2.handle) as client:
            answer = await client.ask(method, asked, OCTETS, body=body)
        await store.close()
        left = [each for each in await everything(driver.driver) if each.startswith(taken)]
        yield steps if driver.is_done else -1, answer, left
        if not driver.is_done:
            assert steps, "it does nothing to storage"
            return


@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("path", DELETIONS)
async def test_a_deletion_of_what_is_being_deleted_finds_it_or_not(path: str, taken: str) -> None:
    refusal = 405 if path == OF_CONVERSION else None
    async for step, answer, left in ask_at_each_step("DELETE", path, *TAKEN[taken]):
        assert answer.status in {200, 202, 204, refusal} or (step >= 0 and answer.status == 404), (step, answer)
        assert left == [] or step < 0, step


@pytest.mark.parametrize("blob", ["{blob}", "{of_v1_blob}"])
async def test_a_blob_that_is_being_deleted_is_mounted_or_to_be_uploaded(blob: str) -> None:
    path = f"/v2/team/other/blobs/uploads/?mount={blob}&from={NAME}"
    async for step, answer, _ in ask_at_each_step("POST", path, *OF_V2):
        assert answer.status == 201 or (step >= 0 and answer.status == 202), (step, answer)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
async def test_an_upload_that_is_being_deleted_is_a_blob_or_to_be_begun_anew(method: str) -> None:
    """Who sends a blob in one request sends it again."""
    content = b"what is pushed"
    path = f"/v2/{NAME}/blobs/uploads/{'' if method == 'POST' else '{upload}'}?digest={digest_of(content)}"
    gone = 503 if method == "POST" else 404
    async for step, answer, _ in ask_at_each_step(method, path, *OF_V2, body=content):
        assert answer.status in {201, 202} or (step >= 0 and answer.status == gone), (step, answer)
