"""Which repository a name stands for: one repository has one name, by which access to it is decided.

v1's `x` and `library/x` are v2's `x`, and so is v2's `library/x`, unless a volume has a repository of that name: then
it is one of its own for v2, and v1 reads it where it finds nothing else under that name. What v1 pushes goes to `x`.

A name is resolved once, before anything is done by it (`backends/web/dispatch.py`), and after it was decided who may:
both names are judged as one, and who may not must not learn which there is. Only names below `library/` cost a look.
"""

from __future__ import annotations

from dataclasses import replace

from backends.model.names import RepositoryName, canonical_name
from backends.model.v1names import V1Name
from backends.registry.no_room import exists
from backends.storage import layout
from backends.storage.driver import InvalidPath, StorageDriver


class Names:
    """The names of repositories in one store.

    Args:
        driver: v2's root.
        v1_driver: v1's, which may be the same.
    """

    def __init__(self, driver: StorageDriver, v1_driver: StorageDriver) -> None:
        self._driver = driver
        self._v1_driver = v1_driver

    async def resolve(self, name: RepositoryName) -> RepositoryName:
        """Returns the repository of v2 that a name stands for."""
        canonical = RepositoryName(canonical_name(name))
        return name if canonical == name or await self._is_repository(name) else canonical

    async def resolve_v1(self, name: V1Name) -> V1Name:
        """Returns what v1 reads by a name: v2's own `library/x` where there is no `x` of either generation."""
        if not is_alias(name) or await self._is_in_v1(name):
            return name
        own, canonical = RepositoryName(name.text), RepositoryName(canonical_name(name.text))
        if not await self._is_repository(own) or await self._is_repository(canonical):
            return name
        return replace(name, falls_back=True)

    async def _is_repository(self, name: RepositoryName) -> bool:
        """Whether v2's tree has a repository, and not only others below its name."""
        return await exists(self._driver, layout.manifests(name)) or await exists(self._driver, layout.layers(name))

    async def _is_in_v1(self, name: V1Name) -> bool:
        try:
            return await exists(self._v1_driver, layout.v1_repository(name.namespace, name.stored))
        except InvalidPath:
            return False


def is_alias(name: RepositoryName | V1Name) -> bool:
    """Whether a name may stand for a repository that has another one."""
    text = name.text if isinstance(name, V1Name) else name
    if canonical_name(text) == text:
        return False
    return not isinstance(name, V1Name) or name.v2 is not None
