"""Certificates: a private CA and a server certificate made when there are none, and what a certificate says.

Invariant: a folder holds either whole pairs or an error is raised; nothing of the user's is ever overwritten (a
server certificate is only issued anew where our own CA's key lies beside it). P-256 throughout: every client back to
Docker 1.0 speaks it (PERFORMANCE section 4, rule 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from portside.problems import CertificateProblem

__all__ = ["CertificateDescription", "CertificateFolder", "CertificateProblem"]


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """Where the files lie, and what was done.

    Attributes:
        certificate: `server.crt`, the server certificate followed by the CA's.
        key: `server.key`.
        ca: `ca.crt`, what clients must trust; None when the user's own certificate lies here without a CA.
        done: a sentence for the log when something was made or issued anew, else empty.
    """

    certificate: Path
    key: Path
    ca: Path | None
    done: str


@dataclass(frozen=True, slots=True)
class CertificateDescription:
    """What a certificate says of itself.

    Attributes:
        subject: RFC 4514 text, `CN=localhost`.
        names: subjectAltName, DNS names first, then addresses; empty when there is none.
        not_before: start of validity, UTC.
        not_after: end of validity, UTC.
        warnings: whole sentences: no subjectAltName, expired, not valid yet, expires soon.
    """

    subject: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    warnings: tuple[str, ...]


def own_names() -> tuple[str, ...]:
    """Return the names that every server certificate carries: localhost, this host's name, 127.0.0.1, ::1."""
    raise NotImplementedError


def ensure_certificates(folder: Path, *, names: Sequence[str] = ()) -> CertificateFolder:
    """Make what is missing in `folder`: CA and server certificate, for `own_names()` and `names`.

    Issues the server certificate anew when the wanted names changed or it expires within 30 days, as long as the
    CA's key is there. Two processes that start at once make one CA.

    Args:
        folder: made (0755) when it does not exist.
        names: further DNS names and IP addresses.

    Raises:
        CertificateProblem: half a pair, a pair that does not match, or a folder that cannot be written.
    """
    raise NotImplementedError


def check_pair(certificate: Path, key: Path) -> None:
    """Raise CertificateProblem unless both files are there, readable, unencrypted, and belong together."""
    raise NotImplementedError


def describe(certificate: Path) -> CertificateDescription:
    """Return what the first certificate of a PEM file says; raises CertificateProblem when there is none."""
    raise NotImplementedError


def trust_lines(ca: Path, hosts: Sequence[str], *, port: int) -> str:
    """Return the shell lines that make docker, podman and curl trust `ca` for each of `hosts` at `port`."""
    raise NotImplementedError
