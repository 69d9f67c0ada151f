"""The header by which the proxy tells a registry in another process which certificate a client has shown. PURE.

Certificates are verified where TLS ends. Whoever reaches a registry's own port or socket may send it such a header, a
trusted proxy of others among them, so it is sealed with the installation's secret (`http.secret`): for one registry,
one method, one target, for a minute. A client's own header of this name never passes the proxy.

    X-Portside-Client-Certificate: <payload>.<MAC>     both base64url; the payload is JSON, the MAC HMAC-SHA256
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from backends.model.base64url import decode, encode
from backends.model.strict_json import parse_json

HEADER = "X-Portside-Client-Certificate"
MAX_HEADER = 12 * 1024
"""Characters; a certificate with more names than fit in is not told."""
LEEWAY_SECONDS = 60.0
"""By which clocks may differ, and how long a header may be on its way."""

_TOLD = ("subject", "subjectAltName", "notAfter")

Certificate = Mapping[str, Any]
"""As `ssl.SSLSocket.getpeercert` returns one that was verified."""


class WrongSeal(Exception):  # noqa: N818 - a finding, not a fault
    """A header that our own proxy has not sent for this request; the message says why, for the log."""


def derive_key(secret: str) -> bytes:
    """Returns the key of the headers of an installation, of its secret."""
    return hmac.digest(secret.encode(), b"portside client certificate", "sha256")


def seal(certificate: Certificate, key: bytes, *, asked: str, now: float) -> str:
    """Returns the header's value.

    Args:
        certificate: the client's.
        key: of the installation.
        asked: which registry, by what method, for what target: `asked_for`.
        now: seconds since the epoch.

    Raises:
        ValueError: the certificate's names take more than `MAX_HEADER`.
    """
    says = {"t": int(now), **{name: certificate.get(name, ()) for name in _TOLD}}
    payload = encode(json.dumps(says, separators=(",", ":"), ensure_ascii=False).encode())
    value = f"{payload}.{encode(_mac(payload, key, asked))}"
    if len(value) > MAX_HEADER:
        raise ValueError(f"the names in a client's certificate take more than {MAX_HEADER} characters")
    return value


def unseal(value: str, key: bytes, *, asked: str, now: float) -> Certificate:
    """Returns the certificate of a header.

    Raises:
        WrongSeal: it was not sealed with this key for what is asked for, lately.
    """
    payload, _, mac = value.partition(".")
    expected = encode(_mac(payload, key, asked))
    if len(value) > MAX_HEADER or not hmac.compare_digest(mac.encode("utf-8", "surrogateescape"), expected.encode()):
        raise WrongSeal("it is not sealed with this installation's secret for this request (http.secret)")
    try:
        says = parse_json(decode(payload))
        subject, names, not_after, sealed = (says[key] for key in (*_TOLD, "t"))
    except (ValueError, LookupError, TypeError):
        raise WrongSeal("what is sealed cannot be read") from None
    if abs(now - sealed) > LEEWAY_SECONDS:
        raise WrongSeal(f"it was sealed {now - sealed:.0f} seconds ago: the clocks of both machines must agree")
    return {"subject": _tuples(subject), "subjectAltName": _tuples(names), "notAfter": not_after}


def asked_for(registry: str, method: str, target: str) -> str:
    """Returns what a header is good for.

    Args:
        registry: `v1` or `v2`: what one of them is told does not pass with the other.
        method: of the request.
        target: of the request line, as it is sent.
    """
    return f"{registry} {method} {target}"


def _mac(payload: str, key: bytes, asked: str) -> bytes:
    return hmac.digest(key, f"{asked}\n{payload}".encode("utf-8", "surrogateescape"), hashlib.sha256)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
