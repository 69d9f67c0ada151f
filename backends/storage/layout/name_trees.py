"""The trees that have folders of repositories' names."""

from __future__ import annotations

from backends.model.names import RepositoryName
from backends.storage.layout.derived_content import DERIVED_REPOSITORIES
from backends.storage.layout.index import INDEX
from backends.storage.layout.primary import PRIMARY, TAG_RECORDS
from backends.storage.layout.v2 import REPOSITORIES


def folders_of_repository(name: RepositoryName) -> tuple[str, ...]:
    """The folders that have a repository's name and hold nothing but its own, and those of repositories below it."""
    return tuple(f"{tree}/{name}" for tree in _TREES_OF_REPOSITORIES)


_TREES_OF_REPOSITORIES = (REPOSITORIES, f"{PRIMARY}/schema1", TAG_RECORDS, DERIVED_REPOSITORIES, f"{INDEX}/referrers")
