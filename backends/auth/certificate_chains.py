"""Certificates that a token brings along (`x5c`), verified against those that are configured.

The policy is written out here, since certificates for tokens are not such as browsers take: the signer's may have any
name and any extended key usage, or none, and may be one of the configured ones itself. All else is as RFC 5280 has it:
each must be valid now and signed by the next; each that signs another must be a CA's, within its path length, and for
signing certificates if it says what it is for; extensions that must be understood and are not end it.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import verification

from backends.auth.keys import Key, make_key
from backends.auth.signed_token import WrongToken

MAX_CHAIN = 8
"""Certificates in a token."""

_MAX_DEPTH = 8


def find_key(chain: Sequence[str], roots: Sequence[x509.Certificate], now: float) -> Key:
    """Returns the key of a chain's first certificate.

    Args:
        chain: certificates in DER and base 64, the signer's first; of others of one subject, the first counts, so that
            there is one way to go on from each, and a stranger's chain is soon at its end.
        roots: where it must end.
        now: seconds since the epoch.

    Raises:
        WrongToken: it is not a chain to one of the roots.
    """
    if len(chain) > MAX_CHAIN:
        raise WrongToken(f"its chain has more than {MAX_CHAIN} certificates")
    try:
        leaf, *others = [x509.load_der_x509_certificate(base64.b64decode(text, validate=True)) for text in chain]
        verifier = (
            verification.PolicyBuilder()
            .store(verification.Store(list(roots)))
            .time(dt.datetime.fromtimestamp(now, dt.UTC))
            .max_chain_depth(_MAX_DEPTH)
            .extension_policies(ca_policy=_CA_POLICY, ee_policy=verification.ExtensionPolicy.permit_all())
            .build_client_verifier()
        )
        by_subject = {each.subject.public_bytes(): each for each in reversed(others)}
        verifier.verify(leaf, list(by_subject.values()))
        return make_key(leaf.public_key())
    except (ValueError, UnsupportedAlgorithm, verification.VerificationError) as error:
        raise WrongToken(f"its chain of certificates is not good ({str(error)[:300]})") from None


def _require_ca(
    policy: verification.Policy,  # noqa: ARG001 - as cryptography calls it
    certificate: x509.Certificate,  # noqa: ARG001
    constraints: x509.BasicConstraints,
) -> None:
    if not constraints.ca:
        raise ValueError("a certificate that signs another is not a CA's")


def _require_signing(
    policy: verification.Policy,  # noqa: ARG001 - as cryptography calls it
    certificate: x509.Certificate,  # noqa: ARG001
    usage: x509.KeyUsage | None,
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a certificate that signs another is not for that")


_CA_POLICY = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, _require_ca)
    .may_be_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _require_signing)
)
