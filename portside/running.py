"""From settings to a running process group: check, bind, say what is there, serve."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from portside.problems import Problem
from portside.server.listening import BoundListener, TcpAddress, bind
from portside.settings.loading import Role, Settings, load_settings, settings_path
from portside.tls.contexts import CertificateChain, ClientAuth

if TYPE_CHECKING:
    from portside.tls.certificates import CertificateFolder


def run(role: str, config: Path | None, flags: dict[str, Any]) -> int:
    """Serves until it is told to stop.

    Returns:
        the exit status.

    Raises:
        Problem: it cannot start; the sentence says why and what to do.
    """
    settings = load_settings(Role(role), config or settings_path(os.environ), os.environ, flags)
    _require_writable(settings)
    made = None
    if settings.certificates is not None:
        from portside.tls.certificates import ensure_certificates  # noqa: PLC0415 - slow to import

        made = ensure_certificates(settings.certificates, names=settings.names)
        settings = _with_chain(settings, made)
    bound = bind(settings.listeners)
    try:
        return _serve(settings, bound, made)
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


def _serve(settings: Settings, bound: tuple[BoundListener, ...], made: CertificateFolder | None) -> int:
    # What is imported before a check fails is imported for nothing; what is imported here, the workers share.
    with _no_default_cas():
        from portside.observe.metrics import MetricsFolder  # noqa: PLC0415
        from portside.observe.voice import Voice  # noqa: PLC0415
        from portside.server.workers import serve  # noqa: PLC0415
        from portside.wiring import build  # noqa: PLC0415

    gc.enable()  # off since the start: nothing that a module makes when it is imported is garbage
    release, instance, voice = version("portside"), str(uuid4()), Voice()
    folder = MetricsFolder() if settings.metrics_path else None
    try:
        return serve(
            bound,
            lambda: build(settings, version=release, instance=instance, voice=voice),
            workers=settings.workers or len(os.sched_getaffinity(0)),
            drain_seconds=settings.drain_seconds,
            on_ready=lambda: _say(settings, bound, made),
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


def _say(settings: Settings, bound: tuple[BoundListener, ...], made: CertificateFolder | None) -> None:
    """Tells once, in words, what runs where and how to use it."""
    lines: list[str] = []
    if made is not None and made.done:
        lines.append(made.done)
    if made is not None:
        lines += [f"warning: {warning}" for warning in made.warnings]
    lines += [f"note: {note}" for note in settings.notes]
    for found in bound:
        what = {"proxy": "all clients", "metrics": "metrics and health"}.get(found.listener.name, found.listener.name)
        lines.append(f"listening on {found.text}{', tls' if found.listener.tls else ''} ({what})")
    for place in settings.roots:
        inside = str(Path(place.root).absolute()) if place.driver == "filesystem" else "memory, gone at the end"
        only = " (v1)" if place == settings.v1_storage != settings.storage else ""
        lines.append(f"data in {inside}{only}")
    if settings.role is not Role.PROXY:
        who = "a client with a certificate of these CAs" if _all_guarded(bound) else "anyone who reaches this"
        lines.append(f"no access control is configured: {who} may push")
    lines += _certificate_lines(bound, made, ca_copy=settings.ca_copy)
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _all_guarded(bound: tuple[BoundListener, ...]) -> bool:
    """Whether every address that others can reach asks for a client's certificate."""
    reachable = [
        found.listener
        for found in bound
        if found.listener.name != "metrics"
        and isinstance(found.listener.address, TcpAddress)
        and found.listener.address.host not in {"127.0.0.1", "::1", "localhost"}
    ]
    return bool(reachable) and all(
        each.tls is not None and bool(each.tls.client_cas) and each.tls.client_auth is ClientAuth.REQUIRE
        for each in reachable
    )


def _certificate_lines(bound: tuple[BoundListener, ...], made: CertificateFolder | None, *, ca_copy: str) -> list[str]:
    lines: list[str] = []
    if all(found.listener.tls is None for found in bound):
        return lines
    from portside.tls.certificates import describe, trust_lines  # noqa: PLC0415 - slow to import

    for found in bound:
        tls = found.listener.tls
        if tls is None:
            continue
        shown = [describe(chain.certificate) for chain in tls.chains]
        for each in shown:
            lines += [f"warning: {warning}" for warning in each.warnings]
        if made is not None and made.ca is not None and isinstance(found.listener.address, TcpAddress):
            hosts = [name for name in shown[0].names if name not in {"127.0.0.1", "::1"}]
            lines.append("")
            if ca_copy:
                lines.append(f"copy the CA to where the clients are first: {ca_copy}")
            here = Path("ca.crt") if ca_copy else made.ca.absolute()
            lines.append(trust_lines(here, hosts or ["localhost"], port=found.port or 0))
    return lines
