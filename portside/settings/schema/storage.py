"""`storage:`: one driver, and what is done with what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from backends.registry.purge_settings import PurgeSettings
from backends.storage.settings import StorageSettings
from portside.settings.schema.section import Section, lazy
from portside.settings.schema.values import Age
from portside.settings.yaml_values import is_empty, plain

if TYPE_CHECKING:
    from portside.settings.schema.storage_options import Cache, Redirect, Tag
else:
    Cache = lazy("storage_options", "Cache")
    Redirect = lazy("storage_options", "Redirect")
    Tag = lazy("storage_options", "Tag")

DRIVERS = frozenset({"filesystem", "inmemory"})


class Filesystem(Section):
    rootdirectory: str = StorageSettings().root
    maxthreads: int = 100


class Enabled(Section):
    enabled: bool = False


class ReadOnly(Enabled):
    @model_validator(mode="before")
    @classmethod
    def _by_itself(cls, value: Any) -> Any:
        """`readonly: true`, with which distribution does not start, can mean only one thing."""
        return {"enabled": value} if isinstance(plain(value), bool) else value


class UploadPurging(Section):
    enabled: bool = PurgeSettings().enabled
    age: Age = PurgeSettings().age_seconds
    interval: Age = PurgeSettings().interval_seconds
    dryrun: bool = PurgeSettings().dry_run


class Maintenance(Section):
    uploadpurging: UploadPurging = UploadPurging()
    readonly: ReadOnly = ReadOnly()


class Storage(Section):
    filesystem: Filesystem | None = None
    inmemory: Section | None = None
    delete: Enabled = Enabled()
    maintenance: Maintenance = Maintenance()
    cache: Cache | None = None
    redirect: Redirect | None = None
    tag: Tag | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """`storage: inmemory` names a driver; a driver without settings is one too."""
        if isinstance(value, str) and value:
            return {str(value): {}}
        if isinstance(value, dict):
            return {key: ({} if is_empty(part) and key in DRIVERS else part) for key, part in value.items()}
        return value
