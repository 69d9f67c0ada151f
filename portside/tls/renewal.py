"""Keeps certificates from expiring while the program runs: the parent's work, under the folder's lock.

Workers see the new files by themselves (`contexts.ReloadingContext`). What cannot be renewed is warned of, once a
day, from 30 days before its end.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from portside.problems import Problem
from portside.tls.contexts import TlsSettings
from portside.tls.describing import RENEW_DAYS, describe, subject_of

if TYPE_CHECKING:
    from portside.tls.certificates import CertificateFolder

LOOK_SECONDS = 3600.0
REPEAT_SECONDS = 86400.0

_log = logging.getLogger("portside.tls")


def warnings_about(tls: TlsSettings) -> list[str]:
    """Returns whole sentences about what a listener serves, and about the CAs that its clients are to have."""
    warnings: list[str] = []
    for chain in tls.chains:
        try:
            warnings += describe(chain.certificate).warnings
        except Problem as problem:  # OpenSSL takes it all the same
            warnings.append(str(problem))
    for path in tls.client_cas:
        warnings += _client_ca_warnings(path)
    return warnings


def _client_ca_warnings(path: Path) -> list[str]:
    try:
        bundle = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        return [f"the client CAs in {path} cannot be read any more: {error}"]
    now = datetime.now(UTC)
    warnings = []
    for ca in bundle:
        end = ca.not_valid_after_utc
        if end - now < timedelta(days=RENEW_DAYS):
            verb = "expired" if end < now else "expires"
            warnings.append(
                f"the client CA {subject_of(ca)} in {path} {verb} on {end:%Y-%m-%d}: clients with its"
                " certificates are refused from then on; put a new one there"
            )
    return warnings


class Renewal:
    """Looks after the certificates that are served.

    Args:
        found: the folder where they are made; None when the user named their own.
        names: further names in a certificate that is made.
        served: TLS settings of every listener.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        found: CertificateFolder | None,
        names: Sequence[str],
        served: Sequence[TlsSettings],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._found = found
        self._names = names
        self._served = served
        self._said = {found.done: self._clock()} if found is not None else {}
        # What was due while this started is looked at now, what could not be done is looked at again in an hour.
        self._next = min(self._due(), clock() + LOOK_SECONDS)

    def tick(self) -> None:
        """Looks when it is time to; costs nothing otherwise."""
        if self._clock() < self._next:
            return
        try:
            self._look()
        except Problem as problem:
            self._say(logging.ERROR, str(problem))
        except Exception:  # noqa: BLE001 - the last net: what fails here must not end what is served
            _log.exception("looking after certificates failed")
        self._next = self._when()

    def _look(self) -> None:
        warnings: list[str] = []
        if self._found is not None:
            from portside.tls.certificates import ensure_certificates  # noqa: PLC0415 - the user's own are only read

            self._found = ensure_certificates(self._found.certificate.parent, names=self._names)
            if self._found.done:
                self._say(logging.INFO, self._found.done)
            warnings += self._found.warnings
        warnings += [warning for tls in self._served for warning in warnings_about(tls)]
        for warning in dict.fromkeys(warnings):
            self._say(logging.WARNING, warning)

    def _when(self) -> float:
        now = self._clock()
        return min(due, now + LOOK_SECONDS) if (due := self._due()) > now else now + LOOK_SECONDS

    def _due(self) -> float:
        due = self._found.due if self._found is not None else None
        return due.timestamp() if due is not None else math.inf

    def _say(self, level: int, sentence: str) -> None:
        if self._clock() - self._said.get(sentence, 0.0) >= REPEAT_SECONDS:
            self._said[sentence] = self._clock()
            _log.log(level, "%s", sentence)
