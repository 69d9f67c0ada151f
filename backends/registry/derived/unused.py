"""What conversions made and nothing needs any more: manifests, configurations and gzips whose sources are gone.

Who deletes a source removes the records of what was made of it; the contents stay then, since other repositories may
have them too. Which these are is listed by content (`layout.derived_users`); whether one of them still has it is asked
as for a client.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, suppress

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.registry.derived.records import Records
from backends.registry.derived.sources import Sources
from backends.registry.links import names_in
from backends.registry.no_room import exists
from backends.registry.purging import Abandoned
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

_log = logging.getLogger("portside.purging")


class UnusedDerivations:
    """A `Source` (`purging`) of what conversions made.

    Args:
        storage: v2's root, where it is kept.
        v1_storage: v1's, which may be the same.
    """

    kind = "conversion"

    def __init__(self, storage: Storage, v1_storage: Storage) -> None:
        self._driver = storage.driver
        self._v1_driver = v1_storage.driver
        self._locks = storage.locks
        self._records = Records(storage.driver, storage.locks, Sources(storage.driver, v1_storage.driver))

    async def find(self) -> AsyncGenerator[Abandoned, None]:
        if not await self._sees_v1():
            _log.warning("what was converted is not looked through: the folder of v1 images is not there")
            return
        async for digest in self._all(layout.DERIVED_USERS):
            if await self._made_of(digest) is None and not await self._is_used(digest):
                yield Abandoned(self.kind, (str(digest),), *await self._look(digest))
        async for layer in self._all(layout.DERIVED_GZIPS):
            gzip = await self._gzip_of(layer)
            if gzip is not None and not await self._is_needed(gzip, layer):
                yield Abandoned(self.kind, (str(gzip), str(layer)), *await self._look(gzip))

    async def remove(self, found: Abandoned, *, before: float) -> bool:
        digest, *layers = map(parse_digest, found.what)
        locks = [
            layout.derived_lock(digest),
            *map(layout.gzip_lock, sorted([digest, *layers], key=str) if layers else ()),
        ]
        try:
            async with AsyncExitStack() as held:
                # Who keeps it for a repository holds the first; who makes a gzip, the others.
                for lock in locks:
                    await held.enter_async_context(self._locks.hold(lock))
                if (await self._look(digest))[1] >= before:
                    return False
                if await self._is_needed(digest, layers[0]) if layers else await self._is_used(digest):
                    return False
                await run_to_completion(self._remove(digest, layers))
                return True
        except LockHeld:
            return False

    async def _remove(self, digest: Digest, layers: list[Digest]) -> None:
        # By what is left after a kill it is found again.
        for path in (layout.derived_blob(digest), layout.derived_users(digest), *map(layout.derived_gzip, layers)):
            with suppress(PathNotFound):
                await self._driver.delete(path)

    async def _is_used(self, digest: Digest) -> bool:
        """Whether a repository can serve it."""
        async for entry in yielding(await names_in(self._driver, layout.derived_users(digest))):
            name = layout.derived_user_of(entry)
            if name is None:
                continue
            if (
                await self._records.find(name, digest) is not None
                or await self._records.member(name, digest) is not None
            ):
                return True
        return False

    async def _is_needed(self, gzip: Digest, layer: Digest) -> bool:
        """Whether the gzip of a layer is: clients of the v1 protocol get it as long as the layer is here."""
        return await exists(self._driver, layout.blob_data(layer)) or await self._is_used(gzip)

    async def _made_of(self, digest: Digest) -> Digest | None:
        """Returns the layer that a gzip was made of; None where it is a manifest or a configuration."""
        folder = layout.derived_users(digest)
        for entry in await names_in(self._driver, folder):
            with suppress(PathNotFound, RegistryError):
                return parse_digest((await self._driver.read(f"{folder}/{entry}")).decode("ascii"))
        return None

    async def _gzip_of(self, layer: Digest) -> Digest | None:
        with suppress(PathNotFound, RegistryError, ValueError):
            return parse_digest((await self._driver.read(layout.derived_gzip(layer))).decode("ascii").partition(" ")[0])
        return None

    async def _look(self, digest: Digest) -> tuple[int, float]:
        """Returns size, and time of the last change; of what is gone, but for what lists it, that is long ago."""
        try:
            info = await self._driver.stat(layout.derived_blob(digest))
        except PathNotFound:
            return 0, 0.0
        return info.size, info.modified

    async def _sees_v1(self) -> bool:
        """Whether v1's images can be asked for, if there ever were any: a root may not be mounted."""
        if self._v1_driver is self._driver:
            return True
        return await exists(self._v1_driver, layout.V1_IMAGES)

    async def _all(self, folder: str) -> AsyncIterator[Digest]:
        for algorithm in await names_in(self._driver, folder):
            for prefix in await names_in(self._driver, f"{folder}/{algorithm}"):
                async for entry in yielding(await names_in(self._driver, f"{folder}/{algorithm}/{prefix}")):
                    with suppress(RegistryError):
                        yield parse_digest(f"{algorithm}:{entry}")
