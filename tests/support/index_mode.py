"""The v1 registry of this process beside a small index, on loopback sockets, and a client that shows its tokens."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from backends.auth.rules import Rules
from backends.auth.v1_index_settings import V1IndexSettings
from backends.registry.store import Store
from backends.storage.factory import open_memory
from backends.storage.storage import Storage
from backends.v1.registry import Registry
from backends.v1.settings import V1Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from portside.v1_index import IndexAccess
from tests.support.certificate import CertificateFiles
from tests.support.loopback import serve
from tests.support.serving_here import Answer, Client
from tests.support.small_index import Listed, SmallIndex, header, small_index
from tests.support.v1server import Pushed

MINE = "team/app"


@dataclass(frozen=True, slots=True)
class BesideIndex:
    """The registry and its index."""

    client: Client
    index: SmallIndex
    store: Store
    storage: Storage

    def may(self, access: str, repository: str = MINE) -> dict[str, str]:
        return header(self.index.give(repository, access))

    async def ask(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        return await self.client.ask(method, target, headers, body=body)

    async def put_image(self, image: Pushed, headers: dict[str, str]) -> list[tuple[int, bytes]]:
        """The three steps, up to the first that fails."""
        told = []
        checksum = {"X-Docker-Checksum-Payload": image.payload}
        for part, more, body in (("json", {}, image.json), ("layer", {}, image.layer), ("checksum", checksum, b"")):
            answer = await self.ask("PUT", f"/v1/images/{image.id}/{part}", {**headers, **more}, body)
            told.append((answer.status, answer.body))
            if answer.status != 200:
                break
        return told

    async def push(self, repository: str, *images: Pushed) -> None:
        """Pushes an image with all it rests on."""
        listed = self.index.repositories.setdefault(repository, Listed())
        listed.ids += [each.id for each in images]
        headers = self.may("write", repository)
        for image in images:
            assert await self.put_image(image, headers) == [(200, b"true")] * 3
        tag = json.dumps(images[-1].id).encode()
        answer = await self.ask("PUT", f"/v1/repositories/{repository}/tags/t", headers, tag)
        assert answer.status == 200, answer


@contextlib.asynccontextmanager
async def beside_index(
    index: SmallIndex,
    *,
    files: CertificateFiles | None = None,
    ca: Path | None = None,
    key: Path | None = None,
    rules: Callable[[], Rules] | None = None,
    storage: Storage | None = None,
) -> AsyncIterator[BesideIndex]:
    """Serves both until the end of the block.

    Args:
        index: the index.
        files: its certificate; None for plain HTTP.
        ca: whom the registry trusts.
        key: the file of a public key for signed requests.
        rules: those that hold, too.
        storage: where all is kept; None for a place of its own.
    """
    storage = storage or open_memory()
    store, nothing = Store(storage, own_images=True), Store(open_memory(), own_images=True)
    with small_index(index, files):
        settings = V1IndexSettings(index.url, ca, key)
        access = IndexAccess(settings, rules, None)
        registry = Registry(
            store,
            V1Settings(index=settings),
            gates=make_gates(GateSettings(delete_enabled=True)),
            access=access.gate(store),
            nothing=nothing,
        )
        async with serve(registry.handle) as port:
            yield BesideIndex(Client("127.0.0.1", port), index, store, storage)
        await access.close()
    await store.close()
