"""TLS: settings, the context built of them, and its renewal when a file changes.

Invariant: a running server always has a working context; new files replace it only after they were loaded whole.
Docker 1.0.1 to 1.13 speak at most TLS 1.2 (WIRE section 7); HTTP/2 is never offered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class TlsVersion(Enum):
    """The oldest version that is spoken, by distribution's names (`http.tls.minimumtls`)."""

    TLS_1_0 = "tls1.0"
    TLS_1_1 = "tls1.1"
    TLS_1_2 = "tls1.2"
    TLS_1_3 = "tls1.3"


class ClientAuth(Enum):
    """What is asked of a client when there are client CAs, by distribution's names (`http.tls.clientauth`)."""

    REQUIRE = "require-and-verify-client-cert"
    OPTIONAL = "verify-client-cert-if-given"


@dataclass(frozen=True, slots=True)
class CertificateChain:
    """A PEM file with the certificate (then its intermediates), and the PEM file with its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How one listener speaks TLS.

    Attributes:
        chains: one or more, at most one for each kind of key (ECDSA and RSA may stand side by side).
        minimum: the oldest version that is accepted.
        ciphers: names for TLS 1.2 and older, Go's (`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`) or OpenSSL's; empty
            means a good default. TLS 1.3 suites are accepted and have no effect, as in distribution.
        client_cas: PEM files; when there are any, clients are asked for a certificate.
        client_auth: whether a client without a certificate is refused.
        reload_seconds: how often the files are looked at.
    """

    chains: tuple[CertificateChain, ...]
    minimum: TlsVersion = TlsVersion.TLS_1_2
    ciphers: tuple[str, ...] = ()
    client_cas: tuple[Path, ...] = ()
    client_auth: ClientAuth = ClientAuth.REQUIRE
    reload_seconds: float = 5.0
