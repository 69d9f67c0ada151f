"""From the parsed file to the parts' own settings: what each key means to the part that obeys it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backends.registry.index_settings import IndexSettings
from backends.registry.layers.settings import LayerSettings
from backends.registry.purge_settings import PurgeSettings
from backends.registry.still_working import PATIENCE_SECONDS
from backends.storage.addresses import Step
from backends.storage.room import RoomSettings
from backends.storage.settings import StorageSettings
from backends.v1.settings import V1Settings
from backends.v2.settings import V2Settings
from backends.web.settings import GateSettings
from portside.observe.health import HealthSettings
from portside.observe.logging import LogSettings
from portside.server.listening import Limits
from portside.settings.listeners import Ports
from portside.settings.schema.config import Config
from portside.settings.schema.gateway import Backend
from portside.settings.schema.section import values_of
from portside.settings.schema.storage import Filesystem
from portside.settings.settings import Role, Settings
from portside.settings.validation import Profile, make_validation, signing_key_file
from proxy.settings import ProxySettings, UpstreamCredentials, UpstreamSettings

if TYPE_CHECKING:
    from backends.auth.settings import AccessSettings
    from backends.auth.v1_index_settings import V1IndexSettings
    from backends.http.cors import Cors
    from backends.model.conversion.policy import ConversionPolicy
    from backends.notify.settings import NotifySettings
    from backends.registry.cache_settings import CacheSettings
    from backends.v1.mirror.settings import MirrorSettings
    from portside.observe.mail import MailSettings

DEFAULT_DRAIN = 8.0
DISTRIBUTION_S_ROOT = "/var/lib/registry"
SLASHES_OF_ORIGIN = 2
"""`https://name:port` has so many."""
DISTRIBUTION_TAGS_MAX = 1000
"""What distribution 3.1 gives at once where its file does not say."""


def make_settings(
    role: Role,
    config: Config,
    ports: Ports,
    *,
    profile: Profile,
    addresses: tuple[Step, ...] = (),
    mail: tuple[MailSettings, ...] = (),
) -> tuple[Settings, list[str]]:
    """Returns everything a process needs to know, and sentences about it.

    Args:
        role: which parts it runs.
        config: the file, the environment and the flags together.
        ports: what it listens on.
        profile: whose rules hold for pushed manifests.
        addresses: how addresses are made at which others serve blobs.
        mail: whom lines of the log are mailed to.
    """
    notes: list[str] = []
    gateway, http = config.gateway, config.http
    room = RoomSettings(gateway.lowroom.percent, gateway.lowroom.bytes, gateway.lowroom.files)
    root = _root(config)
    storage = StorageSettings("filesystem", root, room, addresses)
    if config.storage.inmemory is not None:
        storage = StorageSettings("inmemory")
    v1_storage = StorageSettings("filesystem", gateway.v1.storagepath, room) if gateway.v1.storagepath else storage
    drain = next((each for each in (gateway.draintimeout, http.draintimeout) if each is not None), DEFAULT_DRAIN)
    limits = Limits(gateway.sendtimeout, gateway.connectionsperaddress, gateway.keptanswers)
    workers = gateway.workers
    if role is not Role.PROXY and "inmemory" in {storage.driver, v1_storage.driver}:
        if workers > 1:
            notes.append("storage inmemory lives in one process, so there is one worker")
        workers = 1
    access = _access(role, config)
    if http.secret and access is None and not _certificate_secret(config):
        notes.append("http.secret is not needed: what is known about an upload is in storage, for every worker")
    if gateway.v1.debug and role in {Role.SERVE, Role.V1} and not gateway.v1.upstream:
        notes.append(
            "gateway.v1.debug is on: /v1/_ping tells whoever asks, strangers too, what machine this is and which"
            " versions of what run on it"
        )
    patience = PATIENCE_SECONDS if gateway.conversions is None else gateway.conversions.patience
    settings = Settings(
        role=role,
        log=replace(_log(config), mail=mail),
        storage=storage,
        v1_storage=v1_storage,
        gates=GateSettings(
            read_only=config.storage.maintenance.readonly.enabled,
            delete_enabled=config.storage.delete.enabled,
        ),
        v1=V1Settings(
            endpoints=gateway.v1.endpoints or _authority(http.host),
            host=http.host,
            body_idle_seconds=gateway.bodytimeout,
            patience_seconds=patience,
            accel_prefix=gateway.v1.xaccelredirect,
            redirects_layers=gateway.v1.storageredirect,
            uploads_at_once=gateway.uploadsatonce,
            files=gateway.v1.files,
            issue=gateway.v1.issue,
            debug=gateway.v1.debug,
            flavor=gateway.v1.flavor,
            search=gateway.v1.search,
            cors=_cors(config),
            index=_index(role, config),
        ),
        v2=V2Settings(
            prefix=http.prefix,
            # One with a path names where the API is, whatever the prefix, as in distribution.
            host=http.host + http.prefix if http.host.count("/") == SLASHES_OF_ORIGIN else http.host,
            relative_urls=http.relativeurls,
            catalog_max_entries=config.catalog.maxentries,
            catalog_refuses_more=profile is Profile.DISTRIBUTION,
            tags_max=_tags_max(config, profile),
            body_idle_seconds=gateway.bodytimeout,
            patience_seconds=patience,
            uploads_at_once=gateway.uploadsatonce,
            files=gateway.v2.files,
        ),
        headers={name: ", ".join(values) for name, values in http.headers.items() if values},
        proxy=ProxySettings(
            rule=gateway.rule,
            route_header=gateway.routeheader,
            prefix=http.prefix,
            v1=_upstream(gateway.v1, config),
            v2=_upstream(gateway.v2, config),
        ),
        validation=make_validation(config, profile),
        conversions=_conversions(config),
        layers=_layers(config),
        signing_key=signing_key_file(config),
        health=_health(config),
        cache=_cache(config),
        purging=_purging(config),
        indexing=IndexSettings(gateway.index.interval),
        notifications=_notifications(role, config, ports, notes),
        listeners=tuple(replace(each, limits=limits) for each in ports.listeners),
        metrics_path=ports.metrics_path,
        times_storage=bool(ports.metrics_path) and _asks_for_prometheus(config),
        access=access,
        mirroring=_mirroring(role, config),
        certificate_secret=_certificate_secret(config),
        certificates=ports.certificates,
        names=gateway.names,
        ca_copy=gateway.cacopy,
        workers=workers,
        drain_seconds=drain,
        notes=(),
        source=None,
        values=values_of(config),
    )
    return settings, notes


def _asks_for_prometheus(config: Config) -> bool:
    """Whether the file says so, as distribution's does where its figures of storage are wanted."""
    prometheus = config.http.debug.prometheus
    return prometheus.enabled and "enabled" in prometheus.model_fields_set


def _tags_max(config: Config, profile: Profile) -> int:
    if config.tags is not None and config.tags.maxtags:
        return config.tags.maxtags
    return V2Settings().tags_max if profile is Profile.OCI else DISTRIBUTION_TAGS_MAX


def _notifications(role: Role, config: Config, ports: Ports, notes: list[str]) -> NotifySettings | None:
    if config.notifications is None or not config.notifications.endpoints:
        return None
    if role is Role.PROXY:
        notes.append("notifications: the proxy sends none; the registries behind it do, by their own settings")
        return None
    from portside.settings.notifications import make_notifications  # noqa: PLC0415 - only where there are endpoints

    return make_notifications(config, ports, notes=notes)


def _access(role: Role, config: Config) -> AccessSettings | None:
    if config.auth is None and config.gateway.auth is None and not config.gateway.access:
        return None
    if role is Role.PROXY and not any(
        each.upstream and each.credentials is not None for each in (config.gateway.v1, config.gateway.v2)
    ):
        return None
    from portside.settings.access import make_access  # noqa: PLC0415 - few have access control

    return make_access(config)


def _mirroring(role: Role, config: Config) -> MirrorSettings | None:
    if config.gateway.v1.mirroring is None:
        return None
    from portside.settings.mirroring import make_mirroring  # noqa: PLC0415 - few registries are mirrors

    return make_mirroring(role, config)


def _certificate_secret(config: Config) -> str:
    if config.gateway.auth is None:
        return ""
    from portside.settings.access import certificate_secret  # noqa: PLC0415 - few have access control

    return certificate_secret(config)


def _conversions(config: Config) -> ConversionPolicy | None:
    asked = config.gateway.conversions
    if asked is None:
        return None
    from backends.model.conversion.policy import (  # noqa: PLC0415 - only where a file says something of it
        ALL_CONVERSIONS,
        ConversionPolicy,
        ConversionRule,
        parse_platform,
    )

    rules = tuple(ConversionRule(each.repositories, each.convert) for each in asked.rules)
    policy = ConversionPolicy(parse_platform(asked.platform), rules)
    return policy if policy != ALL_CONVERSIONS else None


def _authority(host: str) -> tuple[str, ...]:
    """Returns what `http.host` says that clients connect to."""
    authority = host.partition("://")[2].partition("/")[0]
    return (authority,) if authority else ()


def _index(role: Role, config: Config) -> V1IndexSettings | None:
    if config.gateway.v1.standalone:
        return None
    from portside.settings.v1_index import make_index  # noqa: PLC0415 - few have one

    return make_index(role, config)


def _cors(config: Config) -> Cors | None:
    asked = config.gateway.v1.cors
    if asked is None or not asked.origins:
        return None
    from backends.http.cors import Cors  # noqa: PLC0415 - seldom wanted

    return Cors(asked.origins, asked.methods, asked.headers, asked.exposeheaders, asked.credentials, asked.maxage)


def _layers(config: Config) -> LayerSettings:
    asked = config.gateway.conversions
    if asked is None:
        return LayerSettings()
    return LayerSettings(
        max_ratio=asked.maxratio,
        max_bytes=asked.maxbytes,
        max_window=asked.maxwindow,
        at_once=asked.atonce,
        background=asked.background,
    )


def _root(config: Config) -> str:
    """Returns the data folder; where distribution's own file names none, it is distribution's."""
    filesystem = config.storage.filesystem
    if filesystem is None:
        return Filesystem().rootdirectory
    if "version" in config.model_fields_set and "rootdirectory" not in filesystem.model_fields_set:
        return DISTRIBUTION_S_ROOT
    return filesystem.rootdirectory


def _health(config: Config) -> HealthSettings:
    health, usual = config.health, HealthSettings()
    checked = health.storagedriver
    # As in distribution, an interval of nothing is the usual one.
    interval = checked.interval or usual.interval_seconds
    if not (health.file or health.http or health.tcp):
        return HealthSettings(checked.enabled, interval, checked.threshold)
    from portside.settings.health_checks import make_checks  # noqa: PLC0415 - seldom wanted

    return HealthSettings(checked.enabled, interval, checked.threshold, make_checks(health))


def _cache(config: Config) -> CacheSettings | None:
    if config.storage.cache is None:
        return None
    from portside.settings.caching import make_cache  # noqa: PLC0415 - seldom wanted

    return make_cache(config)


def _log(config: Config) -> LogSettings:
    log = config.log
    return LogSettings(
        level=log.level if "level" in log.model_fields_set else config.loglevel or log.level,
        formatter=log.formatter,
        fields=dict(log.fields),
        access=not log.accesslog.disabled,
        access_at_any_level="disabled" in log.accesslog.model_fields_set,
        caller=log.reportcaller,
    )


def _purging(config: Config) -> PurgeSettings:
    asked = config.storage.maintenance.uploadpurging
    return PurgeSettings(asked.enabled, asked.age, asked.interval, asked.dryrun)


def _upstream(backend: Backend, config: Config) -> UpstreamSettings | None:
    if not backend.upstream:
        return None
    return UpstreamSettings(
        backend.upstream,
        backend.ca,
        connect_seconds=backend.connecttimeout,
        read_seconds=backend.readtimeout,
        body_idle_seconds=config.gateway.bodytimeout,
        host=config.http.host.removesuffix(config.http.prefix),  # what the registry answers has it already
        relative_urls=config.http.relativeurls,
        prefix=config.http.prefix,
        credentials=_credentials(backend),
        files=backend.files,
    )


def _credentials(backend: Backend) -> UpstreamCredentials | None:
    if backend.credentials is None:
        return None
    from portside.settings.upstream_credentials import make_credentials  # noqa: PLC0415 - few proxies have some

    return make_credentials(backend)
