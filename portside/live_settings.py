"""The settings that hold, in the parent: read at start, reloaded at SIGHUP, their certificates kept from expiring.

Invariant: what is reloaded takes effect whole or not at all; a mistake in it, or a file that cannot be used, leaves
everything as it was and one line in the log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portside.observe.logging import set_level
from portside.problems import Problem
from portside.server.listening import BoundListener
from portside.settings.apart import begin_reading
from portside.settings.places import NAMED
from portside.settings.settings import Role, Settings
from portside.tls.contexts import CertificateChain

if TYPE_CHECKING:
    from portside.server.proposals import Proposal
    from portside.tls.certificates import CertificateFolder
    from portside.tls.renewal import Renewal

_log = logging.getLogger("portside")


class LiveSettings:
    """What holds now; from the start they are being read.

    Args:
        role: which parts run.
        path: the settings file; None for what the environment names, if anything.
        flags: what the command line gave.

    Attributes:
        settings: what holds, from `read` on; from `find_certificates` on with the certificates that are there.
        made: the folder of certificates, when it is ours to fill.
        named: whether an argument or a variable named the file.
    """

    settings: Settings

    def __init__(self, role: Role, path: Path | None, flags: dict[str, Any]) -> None:
        self.named = path is not None or bool(os.environ.get(NAMED))
        self._begin = partial(begin_reading, role, path, flags)
        self._wait = self._begin()
        self.made: CertificateFolder | None = None
        self._renewal: Renewal | None = None

    def read(self) -> None:
        """Waits until they are read; raises Problem when they cannot be used."""
        self.settings = self._wait()

    def find_certificates(self) -> None:
        """Makes certificates if there are none; raises Problem when they cannot be made or used."""
        self.settings, self.made = _with_certificates(self.settings)

    def keep(self, bound: Sequence[BoundListener]) -> None:
        """Takes note of what listens: what was left out stays out."""
        self.settings = replace(self.settings, listeners=tuple(each.listener for each in bound))

    def tick(self) -> None:
        """Looks after the certificates; to be called about once a second."""
        if self._renewal is None:
            if all(each.tls is None for each in self.settings.listeners):
                return
            self._renewal = self._make_renewal()
        self._renewal.tick()

    def propose(self) -> Proposal | None:
        """Reloads everything.

        Returns:
            what is to change, or None when it cannot be used; the log says why.
        """
        from portside.server.proposals import Change, Proposal  # noqa: PLC0415 - not before it serves
        from portside.settings.changes import ServiceChange, compare  # noqa: PLC0415

        try:
            changes = compare(self.settings, self._begin()())
            settings, made = _with_certificates(changes.settings)
        except Problem as problem:
            sentence = "; ".join(line.strip() for line in str(problem).splitlines())
            _log.error("the settings stay as they are: %s", sentence)
            return None
        except Exception:  # noqa: BLE001 - the last net: a mistake of ours must not end what is served
            _log.exception("the settings stay as they are: reloading them failed")
            return None

        def accept() -> None:
            self.settings, self.made, self._renewal = settings, made, None
            set_level(settings.log.level)
            _log.info("settings and certificates were reloaded; changed: %s", ", ".join(changes.taken) or "no setting")
            if changes.restart:
                _log.warning("these changes need a restart: %s", ", ".join(changes.restart))

        services = ServiceChange(settings.log.level, settings.headers, tells_requests=settings.log.tells_requests)
        return Proposal(Change(settings.listeners, services), accept)

    def _make_renewal(self) -> Renewal:
        from portside.tls.renewal import Renewal  # noqa: PLC0415 - cryptography is slow to import

        served = dict.fromkeys(each.tls for each in self.settings.listeners if each.tls is not None)
        return Renewal(self.made, self.settings.names, tuple(served))


def _with_certificates(settings: Settings) -> tuple[Settings, CertificateFolder | None]:
    """Has the pair served that is found in the folder: it may be called `domain.crt`, as in Docker's tutorial."""
    if settings.certificates is None:
        return settings, None
    from portside.tls.certificates import ensure_certificates  # noqa: PLC0415 - slow to import

    made = ensure_certificates(settings.certificates, names=settings.names)
    chains = (CertificateChain(made.certificate, made.key),)
    listeners = tuple(
        each if each.tls is None else replace(each, tls=replace(each.tls, chains=chains)) for each in settings.listeners
    )
    return replace(settings, listeners=listeners), made
