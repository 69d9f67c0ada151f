"""Mistakes and notes of sections that few files have: what reads them is imported only where they are."""

from __future__ import annotations

from collections.abc import Sequence

from backends.storage.addresses import Step
from portside.server.listening import Listener
from portside.settings.remarks import Remark, ignored
from portside.settings.schema.config import Config
from portside.settings.settings import Role


def rare_mistakes(config: Config) -> list[str]:
    """Returns a sentence for each setting that cannot be obeyed."""
    found = []
    if config.storage.cache is not None or config.redis is not None:
        from portside.settings.caching import cache_mistakes  # noqa: PLC0415 - as above

        found += cache_mistakes(config)
    if config.health.file or config.health.http or config.health.tcp:
        from portside.settings.health_checks import check_mistakes  # noqa: PLC0415 - as above

        found += check_mistakes(config.health)
    return found


def rare_notes(config: Config) -> list[str]:
    """Returns a sentence for each setting that has no effect."""
    if config.storage.cache is None and config.redis is None:
        return []
    from portside.settings.caching import cache_notes  # noqa: PLC0415 - as above

    return cache_notes(config)


def files_remarks(config: Config, role: Role) -> list[Remark]:
    """Returns what is to be said of files that nobody can be handed."""
    found = []
    for name, backend in (("v1", config.gateway.v1), ("v2", config.gateway.v2)):
        if backend.files and role in {Role.SERVE, Role.PROXY} and not backend.upstream:
            why = f"has no effect: there is no gateway.{name}.upstream that could hand files over"
            found.append(ignored(f"gateway.{name}.files", why))
    return found


def v1_remarks(config: Config, role: Role, steps: Sequence[Step]) -> list[Remark]:
    """Returns what is to be said of where layers of v1 come from: a registry that is mirrored, nginx, others."""
    asked = config.gateway.v1
    if asked.mirroring is None and not asked.xaccelredirect and not asked.storageredirect:
        return []
    from portside.settings.mirroring import v1_remarks as remarks  # noqa: PLC0415 - as above

    return list(remarks(config, role, steps))


def access_remarks(config: Config, role: Role, listeners: Sequence[Listener]) -> list[Remark]:
    """Returns what is to be said of access control."""
    gateway = config.gateway
    of_index = []
    if not gateway.v1.standalone or gateway.v1.index or gateway.v1.privilegedkey or gateway.v1.indexca:
        from portside.settings.v1_index import index_remarks  # noqa: PLC0415 - few have one

        of_index = index_remarks(config, role)
    sections = (config.auth, gateway.auth, gateway.v1.credentials, gateway.v2.credentials)
    if not gateway.access and all(section is None for section in sections):
        return of_index
    from portside.settings.access import access_remarks as remarks  # noqa: PLC0415 - as above

    return [*of_index, *remarks(config, role, listeners)]
