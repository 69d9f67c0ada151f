"""What is said once, at start, by the parent: what listens where, where the data is, and how clients trust the CA.

Invariant: every line is an event of the program's log, at its level and in its form, but for the shell commands that
make clients trust the CA: these are text, on stderr, and only where the addresses in them can be reached. Inside a
container nobody knows how its ports are published.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from portside.server.listening import BoundListener, Listener, TcpAddress, show_address
from portside.settings.settings import Role, Settings
from portside.tls.contexts import ClientAuth, TlsProfile

if TYPE_CHECKING:
    from backends.auth.settings import AccessSettings
    from backends.auth.v1_index_settings import V1IndexSettings
    from backends.notify.settings import NotifySettings
    from portside.tls.certificates import CertificateFolder

_log = logging.getLogger("portside")
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def announce(
    settings: Settings, bound: Sequence[BoundListener], made: CertificateFolder | None, *, unread: Iterable[str] = ()
) -> None:
    """Logs what runs where and how to use it.

    Args:
        settings: what was asked for.
        bound: what listens.
        made: the folder of certificates, when it is ours to fill.
        unread: a sentence for each settings file that was not read, and each volume that is not served.
    """
    if settings.source is not None:
        _log.info("settings from %s", settings.source.absolute())
    for said in unread:
        _log.warning("%s", said)
    if made is not None and made.done:
        _log.info("%s", made.done)
    for warning in (*settings.notes, *_left_out(settings.listeners, bound), *(made.warnings if made else ())):
        _log.warning("%s", warning)
    if settings.notifications is not None:
        _tell_of_endpoints(settings, settings.notifications)
    if settings.runs_v2 and settings.cache is not None:
        _log.info("%s", settings.cache.announcement)
    for found in bound:
        # distribution's words, which the 2015 guide shows.
        where = "debug server listening %s%s" if found.listener.name == "metrics" else "listening on %s%s"
        tls = ", tls" if found.listener.tls is not None else ""
        if found.listener.tls is not None and found.listener.tls.profile is TlsProfile.LEGACY:
            tls = ", tls (legacy profile)"
        _log.info(where, found.text, tls, extra={"listener": found.listener.name})
    for check in _checks(settings):
        _log.info("%s", check)
    for place in settings.roots:
        inside = str(Path(place.root).absolute()) if place.driver == "filesystem" else "memory, gone at the end"
        only = " (v1)" if place == settings.v1_storage != settings.storage else ""
        _log.info("data in %s%s", inside, only)
        if place.driver == "filesystem" and _holds_something_else(Path(place.root)):
            _log.warning(
                "%s holds files, but no images: if an old registry's are meant, name the folder that has docker/"
                " or images/ in it",
                inside,
            )
    if settings.v1.index is not None:
        _tell_of_the_index(settings.v1.index)
    if settings.access is not None:
        # A rule for users, and nobody who could be one: a scheme was forgotten more often than not.
        level = logging.INFO if settings.access.schemes else logging.WARNING
        _log.log(level, "%s", _access_control(settings.access))
    elif settings.role is not Role.PROXY and settings.v1.index is None:
        who = "a client with a certificate of these CAs" if _all_guarded(bound) else "anyone who reaches this"
        _log.warning("no access control is configured: %s may push", who)
    if any(found.listener.tls is not None for found in bound):
        _tell_of_certificates(settings, bound, made)


def _tell_of_the_index(index: V1IndexSettings) -> None:
    """Says who is asked about v1."""
    signed = "" if index.privileged_key is None else f"; what is signed for {index.privileged_key} needs no token"
    _log.info("access control of v1: tokens of the index %s%s", index.url, signed)


def _access_control(access: AccessSettings) -> str:
    """Returns who is asked for what."""
    none = "nobody can log in, so that only what rules let anyone do is possible (auth or gateway.auth would say how)"
    schemes = ", ".join(access.schemes) or none
    if access.rules is None:
        return f"access control: {schemes}; everybody who has logged in may pull, push and delete"
    return f"access control: {schemes}; rules in {access.rules.absolute()}"


def _holds_something_else(root: Path) -> bool:
    """Whether a folder is neither new nor a volume, such as one above an old registry's, or inside of it."""
    from backends.storage import layout  # noqa: PLC0415 - the proxy alone has no folders

    if any((root / folder.lstrip("/")).is_dir() for folder in (layout.V2, layout.V1_IMAGES)):
        return False
    try:
        with os.scandir(root) as found:
            names = (each.name for each in found)
            return any(name not in {"docker", "lost+found"} and not name.startswith(".") for name in names)
    except OSError:  # it is not there yet, or what is wrong with it is said by whoever needs it
        return False


def _tell_of_endpoints(settings: Settings, notifications: NotifySettings) -> None:
    """Says, in distribution's words, who is told of what happens; of headers, which may be secrets, only the names."""
    for name in notifications.disabled:
        _log.info("endpoint %s disabled, skipping", name)
    for each in notifications.endpoints:
        _log.info(
            "configuring endpoint %s (%s), timeout=%gs, headers=[%s]",
            each.name,
            each.shown_url,
            each.timeout_seconds,
            ", ".join(sorted(each.headers)),
        )
    place = settings.roots[0] if notifications.endpoints and settings.roots else None
    if place is None or place.driver != "filesystem" or settings.gates.read_only:
        return
    from backends.storage.mounts import network_file_system  # noqa: PLC0415 - only where there are endpoints

    if kind := network_file_system(place.root):
        _log.warning(
            "the data folder is on a network file system (%s), on which the log of events is not safe: events may be"
            " lost, or sent by several processes; put it on a local disk",
            kind,
        )


def _checks(settings: Settings) -> Iterator[str]:
    """Yields what distribution says of each check of health."""
    if settings.health.configured:
        from portside.observe.configured_checks import announcement  # noqa: PLC0415 - seldom wanted

        yield from map(announcement, settings.health.configured)


def _left_out(wanted: Sequence[Listener], bound: Sequence[BoundListener]) -> list[str]:
    there = [found.listener for found in bound]
    return [
        f"{show_address(each.address)} ({each.name}) is in use by another program, so Portside does not listen there:"
        f" choose another address with gateway.{each.name}.addr, or turn it off with gateway.{each.name}.addr: ''"
        for each in wanted
        if each not in there
    ]


def _all_guarded(bound: Sequence[BoundListener]) -> bool:
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


def _tell_of_certificates(settings: Settings, bound: Sequence[BoundListener], made: CertificateFolder | None) -> None:
    from portside.tls.describing import describe  # noqa: PLC0415 - slow to import
    from portside.tls.renewal import warnings_about  # noqa: PLC0415

    told: set[tuple[str, tuple[Path, ...]]] = set()
    for found in bound:
        tls = found.listener.tls
        if tls is None or (found.listener.name, tls.files) in told:
            continue
        told.add((found.listener.name, tls.files))
        for warning in warnings_about(tls):
            _log.warning("%s", warning)
        if made is None or made.ca is None or not isinstance(found.listener.address, TcpAddress):
            continue
        if settings.ca_copy or _in_container():
            copy = settings.ca_copy or f"docker cp CONTAINER:{made.ca.absolute()} ca.crt"
            _log.info("clients must trust the CA %s: copy it to them with: %s", made.ca, copy)
        elif settings.log.formatter != "text":
            _log.info("clients must trust the CA %s: `portside certs` shows how", made.ca.absolute())
        else:
            from portside.tls.certificates import trust_lines  # noqa: PLC0415 - only where certificates are made

            hosts = [name for name in describe(made.certificate).names if name not in {"127.0.0.1", "::1"}] or [
                "localhost"
            ]
            sys.stderr.write(
                f"\n{trust_lines(made.ca.absolute(), hosts, port=found.port or 0, prefix=settings.v2.prefix)}\n"
            )
            sys.stderr.flush()


def _in_container() -> bool:
    """Whether this is what a container runs: its first process, or the child of a small init there."""
    return os.getpid() == 1 or (os.getppid() == 1 and any(map(os.path.exists, _CONTAINER_MARKS)))
