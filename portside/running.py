"""From settings to a running process group: check, bind, say what is there, serve."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from portside import __version__
from portside.announcing import announce
from portside.deferred_modules import defer_modules, run_module
from portside.live_settings import LiveSettings
from portside.observe.logging import log_directly, log_what_python_prints
from portside.problems import Problem
from portside.server.listening import BoundListener, bind
from portside.settings.places import unread, unserved
from portside.settings.settings import Role, Settings

if TYPE_CHECKING:
    from portside.access_control import PreparedAccess
    from proxy.settings import ProxySettings

_log = logging.getLogger("portside")


def run(role: str, config: Path | None, flags: dict[str, Any]) -> int:
    """Serves until it is asked to stop.

    Returns:
        the exit status.

    Raises:
        Problem: it cannot start; the sentence says why and what to do.
    """
    _hold_signals()
    live = LiveSettings(Role(role), config, flags)
    _import_what_serves(Role(role))  # while another process reads the settings
    live.read()
    identity = Identity(__version__, str(uuid4()), time.time())
    mailing = log_directly(live.settings.log, version=identity.version, instance=identity.instance)
    log_what_python_prints()
    try:
        return _run(live, identity)
    except Problem as problem:
        if live.settings.log.formatter == "text":
            raise
        _log.error("%s", problem)
        return 1
    finally:
        for each in mailing:
            each.stop()


@dataclass(frozen=True, slots=True)
class Identity:
    """What stands on every line of the log: the program's version, and one id for all processes of one start.

    Attributes:
        started: seconds since 1970.
    """

    version: str
    instance: str
    started: float


def _hold_signals() -> None:
    """Has SIGHUP wait until it serves, and log rotation's signals never end it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _run(live: LiveSettings, identity: Identity) -> int:
    _require_writable(live.settings)
    live.find_certificates()
    prepared = None
    if live.settings.access is not None:
        with _no_default_cas():
            from portside.access_control import prepare_access  # noqa: PLC0415 - few have access control

            if live.settings.access.token is not None or live.settings.access.openid:
                run_module("aiohttp")
        prepared = prepare_access(live.settings)
    if live.settings.v1.index is not None:
        with _no_default_cas():
            from portside.v1_index import read_index_files  # noqa: PLC0415 - few have an index elsewhere

        read_index_files(live.settings.v1.index)
    bound = bind(live.settings.listeners)
    try:
        return _serve(live, bound, identity, prepared)
    finally:
        for each in bound:
            each.close()


def _import_what_serves(role: Role) -> None:
    """Imports all that a worker of a role needs to serve, before they are forked: so it is done once, and shared."""
    defer_modules()
    with _no_default_cas():
        import portside.observe.metrics  # noqa: PLC0415
        import portside.server.workers  # noqa: PLC0415
        import portside.server.working  # noqa: PLC0415
        import portside.wiring  # noqa: PLC0415

        if role is not Role.PROXY:
            import portside.registries  # noqa: PLC0415
        if role in {Role.SERVE, Role.V1}:
            import backends.v1.registry  # noqa: PLC0415
        if role in {Role.SERVE, Role.V2}:
            import backends.v2.registry  # noqa: F401, PLC0415
        if role in {Role.SERVE, Role.PROXY}:
            import proxy.proxy  # noqa: F401, PLC0415

    portside.server.working.loop_factory()


def _import_what_is_wanted(settings: Settings) -> None:
    """Imports what few settings ask for, before the fork too."""
    if settings.cache is not None and settings.cache.redis is not None and settings.runs_v2:
        from portside.caching import import_redis  # noqa: PLC0415 - it is slow, and an extra

        import_redis()
    with _no_default_cas():
        _import_what_forwards(settings.proxy)
        if settings.notifications is not None and settings.notifications.endpoints:
            import portside.notifying  # noqa: PLC0415 - few settings ask for it
            import portside.observe.notification_metrics  # noqa: PLC0415 - few settings ask for it
        if settings.health.configured:
            import portside.observe.configured_checks  # noqa: PLC0415 - few settings ask for it
            import portside.observe.stopping  # noqa: F401, PLC0415 - few settings ask for it

            run_module("aiohttp")
        if settings.mirroring is not None and settings.runs_v1:
            import backends.v1.mirror.handlers  # noqa: PLC0415 - few settings ask for it
            import backends.v1.mirror.mirror  # noqa: F401, PLC0415 - few settings ask for it


def _import_what_forwards(settings: ProxySettings) -> None:
    for upstream in (settings.v1, settings.v2):
        if upstream is None:
            continue
        import proxy.forwarding  # noqa: PLC0415 - few settings ask for it

        if upstream.files:
            import portside.shared_files  # noqa: PLC0415 - few settings ask for it
        if upstream.credentials is not None:
            import portside.checked_v1_upstream  # noqa: PLC0415 - few settings ask for it
            import portside.checked_v2_upstream  # noqa: PLC0415 - few settings ask for it
            import portside.registries  # noqa: F401, PLC0415 - few settings ask for it

            if upstream.credentials.realm:
                import proxy.upstream_tokens  # noqa: F401, PLC0415 - few settings ask for it


def _serve(
    live: LiveSettings, bound: tuple[BoundListener, ...], identity: Identity, prepared: PreparedAccess | None
) -> int:
    # `_import_what_serves` has them.
    from portside.observe.metrics import MetricsFolder  # noqa: PLC0415 - while the child reads the settings
    from portside.observe.voice import Voice  # noqa: PLC0415 - while the child reads the settings
    from portside.server.workers import serve  # noqa: PLC0415 - while the child reads the settings
    from portside.wiring import build  # noqa: PLC0415 - while the child reads the settings

    _import_what_is_wanted(live.settings)

    def tick() -> None:
        live.tick()
        if prepared is not None:
            prepared.tick()

    voice, asked = Voice(), live.settings
    live.keep(bound)
    folder = MetricsFolder() if asked.metrics_path else None
    try:
        return serve(
            bound,
            lambda: build(
                live.settings,
                version=identity.version,
                instance=identity.instance,
                started=identity.started,
                voice=voice,
                prepared=prepared,
            ),
            workers=asked.workers or len(os.sched_getaffinity(0)),
            drain_seconds=asked.drain_seconds,
            on_ready=lambda: announce(
                asked,
                bound,
                live.made,
                unread=(*unread(asked.source, os.environ, named=live.named), *_unserved(asked)),
            ),
            on_worker_end=folder.worker_ended if folder is not None else None,
            on_tick=tick,
            on_reload=live.propose,
        )
    finally:
        if folder is not None:
            folder.remove()


def _unserved(settings: Settings) -> Iterator[str]:
    """Looks for a volume where docker-registry's image had it, if nobody has named a folder."""
    if settings.runs_v1 and settings.values["storage"]["filesystem"] is None:
        yield from unserved(place.root for place in settings.roots if place.driver == "filesystem")


@contextlib.contextmanager
def _no_default_cas() -> Iterator[None]:
    """Spares a tenth of the cold start: aiohttp loads the system's CAs when it is imported.

    An https upstream is all that needs them, and has its own context (`proxy.forwarding`).
    """
    kept = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(dict.fromkeys(kept, os.devnull))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _require_writable(settings: Settings) -> None:
    """Tells at the start, not at the first push, that the data folder cannot be written.

    Raises:
        Problem: it cannot, and the settings do not say that nothing is to be.
    """
    if settings.gates.read_only:
        return
    for place in settings.roots:
        if place.driver != "filesystem":
            continue
        folder = Path(place.root)
        only_v1 = place == settings.v1_storage != settings.storage
        other = "gateway.v1.storagepath" if only_v1 else "--data or storage.filesystem.rootdirectory"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".portside-{secrets.token_hex(8)}.tmp"
            probe.touch()
            probe.unlink()
        except (FileExistsError, NotADirectoryError):
            raise Problem(
                f"the data folder {folder.absolute()} is a file, or below one: name another with {other}"
            ) from None
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT} and folder.is_dir():
                continue  # a full disk is served: pulls work, pushes get 507, and health reports it
            if error.errno == errno.EROFS:
                mend = "mount it for writing, "
            else:
                mend = f"give it to uid {os.getuid()}, " if isinstance(error, PermissionError) else ""
            raise Problem(
                f"the data folder {folder.absolute()} cannot be written ({error.strerror}):"
                f" {mend}name another with {other}, or set"
                " storage.maintenance.readonly.enabled: true to serve what is there"
            ) from None
