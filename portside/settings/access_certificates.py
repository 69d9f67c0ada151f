"""`certificates:` of `gateway.auth`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.auth.certificates import CertificateSettings
from portside.server.listening import Listener
from portside.settings.remarks import Remark, refused
from portside.settings.schema.identities import Certificates
from portside.settings.settings import Role
from portside.tls.contexts import ClientAuth

PATH = "gateway.auth.certificates"

_VERIFIED = frozenset({ClientAuth.REQUIRE, ClientAuth.OPTIONAL})


def certificate_mistakes(
    section: Certificates, listeners: Sequence[Listener], *, role: Role, secret: str, elsewhere: bool
) -> Iterator[Remark]:
    """Yields a remark where no certificate could ever be verified, or be told to who needs it.

    Args:
        section: of the settings.
        listeners: of this process.
        role: of this process.
        secret: `http.secret`.
        elsewhere: whether a registry is in another process.
    """
    if section.groups is not None and ":" not in section.prefix:
        why = "it must have a colon where there are groups, such as 'tls:': rules name groups of their own without"
        yield refused(f"{PATH}.prefix", why)
    verifies = any(
        each.tls is not None and each.tls.client_cas and each.tls.client_auth in _VERIFIED for each in listeners
    )
    if role in {Role.SERVE, Role.PROXY} and not verifies:
        why = (
            "it needs gateway.tls.clientcas, or http.tls.clientcas, and a clientauth that verifies"
            " (require-and-verify-client-cert or verify-client-cert-if-given): without, no certificate is ever verified"
        )
        yield refused(PATH, why)
    if role in {Role.V1, Role.V2} and not verifies and not secret:
        why = (
            "it needs http.secret, the same as the proxy's, to believe what that says of its client's certificate;"
            " or http.tls.clientcas, to verify certificates itself"
        )
        yield refused(PATH, why)
    if elsewhere and not secret:
        why = (
            "it needs http.secret, the same as that of the registries in other processes: without, they could not know"
            " that it is the proxy that tells them of a certificate"
        )
        yield refused(PATH, why)


def make_certificates(section: Certificates) -> CertificateSettings:
    """Returns the scheme's settings."""
    return CertificateSettings(section.user, section.groups, section.prefix)
