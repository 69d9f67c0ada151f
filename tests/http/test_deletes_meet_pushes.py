"""Deletions that meet pushes of the same things: each is done before or after the other; none is answered by 5xx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.storage.factory import open_folder, open_memory
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.serving_here import OCI_MANIFEST, OCTETS, Client, digest_of, make_manifest, serving_here
from tests.support.v1server import make_pushed

TURNS = 12
NAME = "team/app"
LAYER, CONFIG = b"layer" * 1000, b"{}"
MANIFEST = make_manifest(CONFIG, LAYER)
IMAGE = make_pushed("a", layer=LAYER)


@pytest.fixture(params=["filesystem", "inmemory"])
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[tuple[Client, Client]]]:
    """v1 and v2 of each of two workers over one store (memory has one)."""
    gates = make_gates(GateSettings(delete_enabled=True))
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2 if request.param == "filesystem" else 1):
            storage = open_folder(tmp_path) if request.param == "filesystem" else open_memory()
            stack.push_async_callback(storage.close)
            store = Store(storage)
            v1 = V1Registry(store, V1Settings(), gates=gates).handle
            v2 = V2Registry(store, V2Settings(), gates=gates).handle
            found.append(
                (await stack.enter_async_context(serving_here(v1)), await stack.enter_async_context(serving_here(v2)))
            )
        yield found


class Crowd:
    """Clients that ask without a care for one another, and note what they are answered."""

    def __init__(self) -> None:
        self.statuses: dict[tuple[str, int], int] = {}

    async def ask(self, client: Client, what: str, method: str, path: str, **how: object) -> int:
        answer = await client.ask(method, path, **how)  # type: ignore[arg-type] # passed on
        self.statuses[what, answer.status] = self.statuses.get((what, answer.status), 0) + 1
        assert answer.status < 500, (what, method, path, answer.status, answer.body)
        return answer.status

    async def push_v2(self, client: Client) -> None:
        for _ in range(TURNS):
            for blob in (LAYER, CONFIG):
                begun = await client.ask("POST", f"/v2/{NAME}/blobs/uploads/")
                assert begun.status == 202, begun
                put = f"{begun.path}?digest={digest_of(blob)}"
                assert await self.ask(client, "put blob", "PUT", put, headers=OCTETS, body=blob) in {
                    201,
                    404,
                }  # it may go with the repository
            for tag in ("one", "two"):
                headers = {"Content-Type": OCI_MANIFEST}
                path = f"/v2/{NAME}/manifests/{tag}"
                await self.ask(client, "put manifest", "PUT", path, headers=headers, body=MANIFEST)
            mount = f"/v2/{NAME}/other/blobs/uploads/?mount={digest_of(LAYER)}&from={NAME}"
            await self.ask(client, "mount", "POST", mount)

    async def delete_v2(self, client: Client) -> None:
        for _ in range(TURNS):
            for path in (
                "manifests/one",
                f"manifests/{digest_of(MANIFEST)}",
                f"blobs/{digest_of(LAYER)}",
                f"other/blobs/{digest_of(LAYER)}",
            ):
                await self.ask(client, "delete", "DELETE", f"/v2/{NAME}/{path}")

    async def read_v2(self, client: Client) -> None:
        for _ in range(TURNS):
            for path in (f"{NAME}/manifests/one", f"{NAME}/tags/list", "_catalog", f"{NAME}/blobs/{digest_of(LAYER)}"):
                await self.ask(client, "read", "GET", f"/v2/{path}")

    async def push_v1(self, client: Client) -> None:
        for _ in range(TURNS):
            await self.ask(client, "v1 images", "PUT", f"/v1/repositories/{NAME}/", body=b"[]")
            await self.ask(client, "v1 json", "PUT", f"/v1/images/{IMAGE.id}/json", body=IMAGE.json)
            await self.ask(client, "v1 layer", "PUT", f"/v1/images/{IMAGE.id}/layer", body=IMAGE.layer)
            headers = {"X-Docker-Checksum-Payload": IMAGE.payload}
            await self.ask(client, "v1 checksum", "PUT", f"/v1/images/{IMAGE.id}/checksum", headers=headers)
            top = json.dumps(IMAGE.id).encode()
            for tag in ("latest", "two"):
                await self.ask(client, "v1 tag", "PUT", f"/v1/repositories/{NAME}/tags/{tag}", body=top)
            access = b'{"access": "private"}'
            await self.ask(client, "v1 properties", "PUT", f"/v1/repositories/{NAME}/properties", body=access)

    async def delete_v1(self, client: Client) -> None:
        for turn in range(TURNS):
            for path in ("tags/latest", "tags/two", *(("tags", "") if turn % 4 == 0 else ())):
                await self.ask(client, "v1 delete", "DELETE", f"/v1/repositories/{NAME}/{path}")

    async def read_v1(self, client: Client) -> None:
        for _ in range(TURNS):
            for path in (f"repositories/{NAME}/tags", f"repositories/{NAME}/images", "search?q=app"):
                await self.ask(client, "v1 read", "GET", f"/v1/{path}")


async def test_deletions_and_pushes_of_the_same_things_never_fail_by_one_another(
    workers: list[tuple[Client, Client]],
) -> None:
    crowd = Crowd()
    work = []
    for number in range(4):
        v1, v2 = workers[number % len(workers)]
        work += [crowd.push_v2(v2), crowd.delete_v2(v2), crowd.push_v1(v1), crowd.delete_v1(v1)]
    v1, v2 = workers[0]
    async with asyncio.timeout(100):
        await asyncio.gather(*work, crowd.read_v2(v2), crowd.read_v1(v1))
    for what in ("put blob", "put manifest", "delete", "v1 checksum", "v1 tag", "v1 delete"):
        assert any(status < 300 for (kind, status) in crowd.statuses if kind == what), crowd.statuses
    # And when the crowd has gone, all of it can be pushed and pulled.
    assert await v2.push_image(NAME, "last")
    assert (await v2.ask("GET", f"/v2/{NAME}/manifests/last")).status == 200
    assert "last" in (await v2.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"]
