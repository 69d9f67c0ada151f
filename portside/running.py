"""From settings to a running process group: check, bind, say what is there, serve."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from portside.announcing import announce
from portside.observe.logging import log_directly, log_what_python_prints
from portside.problems import Problem
from portside.server.listening import BoundListener, bind
from portside.settings.loading import Role, Settings, load_settings, settings_path
from portside.tls.contexts import CertificateChain

if TYPE_CHECKING:
    from portside.tls.certificates import CertificateFolder

_log = logging.getLogger("portside")


def run(role: str, config: Path | None, flags: dict[str, Any]) -> int:
    """Serves until it is told to stop.

    Returns:
        the exit status.

    Raises:
        Problem: it cannot start; the sentence says why and what to do.
    """
    settings = load_settings(Role(role), config or settings_path(os.environ), os.environ, flags)
    release, instance = version("portside"), str(uuid4())
    log_directly(settings.log, version=release, instance=instance)
    log_what_python_prints()
    try:
        return _run(settings, release=release, instance=instance)
    except Problem as problem:
        if settings.log.formatter == "text":
            raise
        _log.error("%s", problem)
        return 1


def _run(settings: Settings, *, release: str, instance: str) -> int:
    _require_writable(settings)
    made = None
    if settings.certificates is not None:
        from portside.tls.certificates import ensure_certificates  # noqa: PLC0415 - slow to import

        made = ensure_certificates(settings.certificates, names=settings.names)
        settings = _with_chain(settings, made)
    bound = bind(settings.listeners)
    try:
        return _serve(settings, bound, made, release=release, instance=instance)
    finally:
        for each in bound:
            each.close()


def _with_chain(settings: Settings, made: CertificateFolder) -> Settings:
    """Has the pair served that was found in the folder: it may be called `domain.crt`, as in Docker's tutorial."""
    chains = (CertificateChain(made.certificate, made.key),)
    return replace(
        settings,
        listeners=tuple(
            each if each.tls is None else replace(each, tls=replace(each.tls, chains=chains))
            for each in settings.listeners
        ),
    )


def _serve(
    settings: Settings, bound: tuple[BoundListener, ...], made: CertificateFolder | None, *, release: str, instance: str
) -> int:
    # What is imported before a check fails is imported for nothing; what is imported here, the workers share.
    with _no_default_cas():
        from portside.observe.metrics import MetricsFolder  # noqa: PLC0415
        from portside.observe.voice import Voice  # noqa: PLC0415
        from portside.server.workers import serve  # noqa: PLC0415
        from portside.wiring import build  # noqa: PLC0415

    gc.enable()  # off since the start: nothing that a module makes when it is imported is garbage
    voice = Voice()
    folder = MetricsFolder() if settings.metrics_path else None
    try:
        return serve(
            bound,
            lambda: build(settings, version=release, instance=instance, voice=voice),
            workers=settings.workers or len(os.sched_getaffinity(0)),
            drain_seconds=settings.drain_seconds,
            on_ready=lambda: announce(settings, bound, made),
            on_worker_end=folder.worker_ended if folder is not None else None,
        )
    finally:
        if folder is not None:
            folder.remove()


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
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".portside-{secrets.token_hex(8)}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise Problem(
                f"the data folder {folder.absolute()} cannot be written ({error.strerror}):"
                f" give it to uid {os.getuid()}, name another with --data or storage.filesystem.rootdirectory, or set"
                " storage.maintenance.readonly.enabled: true to serve what is there"
            ) from None
