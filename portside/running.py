"""From settings to a running process group: check, bind, say what is there, serve."""

from __future__ import annotations

import os
import secrets
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from portside.certificates import CertificateFolder, describe, ensure_certificates, trust_lines
from portside.listening import BoundListener, TcpAddress, bind
from portside.metrics import MetricsFolder
from portside.problems import Problem
from portside.settings import Role, Settings, load_settings


def run(role: str, config: Path | None, flags: dict[str, Any]) -> int:
    """Serves until it is told to stop.

    Returns:
        the exit status.

    Raises:
        Problem: it cannot start; the sentence says why and what to do.
    """
    path = config or _from_environment()
    settings = load_settings(Role(role), path, os.environ, flags)
    made = None
    if settings.certificates is not None:
        made = ensure_certificates(settings.certificates, names=settings.names)
    if settings.role is not Role.PROXY:
        _require_writable(settings)
    bound = bind(settings.listeners)
    folder = MetricsFolder()
    try:
        return _serve(settings, bound, made, folder)
    finally:
        folder.remove()


def _serve(
    settings: Settings, bound: tuple[BoundListener, ...], made: CertificateFolder | None, folder: MetricsFolder
) -> int:
    from portside.wiring import build  # noqa: PLC0415
    from portside.workers import serve  # noqa: PLC0415 - what is imported before a check fails is imported for nothing

    release = version("portside")
    return serve(
        bound,
        lambda: build(settings, version=release),
        workers=settings.workers or os.cpu_count() or 1,
        drain_seconds=settings.drain_seconds,
        on_ready=lambda: _say(settings, bound, made),
        on_worker_end=folder.worker_ended,
    )


def _from_environment() -> Path | None:
    path = os.environ.get("REGISTRY_CONFIGURATION_PATH")
    return Path(path) if path else None


def _require_writable(settings: Settings) -> None:
    for root in {settings.storage.root, settings.v1_storage.root}:
        if settings.storage.driver != "filesystem":
            continue
        folder = Path(root)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".portside-{secrets.token_hex(8)}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise Problem(
                f"the data folder {folder.absolute()} cannot be written ({error.strerror}):"
                f" give it to uid {os.getuid()}, or name another with --data or storage.filesystem.rootdirectory"
            ) from None


def _say(settings: Settings, bound: tuple[BoundListener, ...], made: CertificateFolder | None) -> None:
    """Tells once, in words, what runs where and how to use it."""
    lines: list[str] = []
    if made is not None and made.done:
        lines.append(made.done)
    lines += [f"note: {note}" for note in settings.notes]
    for found in bound:
        what = {"proxy": "all clients", "metrics": "metrics and health"}.get(found.listener.name, found.listener.name)
        lines.append(f"listening on {found.text}{', tls' if found.listener.tls else ''} ({what})")
    if settings.role is not Role.PROXY:
        root = (
            "memory, gone at the end"
            if settings.storage.driver == "inmemory"
            else str(Path(settings.storage.root).absolute())
        )
        lines.append(f"data in {root}")
        lines.append("no access control is configured: anyone who reaches this may push")
    lines += _certificate_lines(bound, made)
    if settings.ca_copy:
        lines.append(f"copy the CA to where the clients are first: {settings.ca_copy}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _certificate_lines(bound: tuple[BoundListener, ...], made: CertificateFolder | None) -> list[str]:
    lines: list[str] = []
    for found in bound:
        tls = found.listener.tls
        if tls is None:
            continue
        shown = [describe(chain.certificate) for chain in tls.chains]
        for each in shown:
            lines += [f"warning: {warning}" for warning in each.warnings]
        if made is not None and made.ca is not None and isinstance(found.listener.address, TcpAddress):
            hosts = [name for name in shown[0].names if name not in {"127.0.0.1", "::1"}]
            lines += ["", trust_lines(made.ca, hosts or ["localhost"], port=found.port or 0)]
    return lines
