"""`policy:`."""

from __future__ import annotations

from portside.settings.schema.section import Section


class RepositoryPolicy(Section):
    classes: tuple[str, ...] = ()


class Policy(Section):
    repository: RepositoryPolicy = RepositoryPolicy()
