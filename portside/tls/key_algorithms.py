"""Which kind of key a certificate is for, read without a library that would have to be imported for it. PURE.

OpenSSL keeps one certificate for each kind, so one of another kind stands beside the one before it, and not in its
place.
"""

from __future__ import annotations

import re
from base64 import b64decode

_FIRST = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END")
_VERSION = 0xA0
_BEFORE_THE_KEY = 5
"""Serial number, signature's algorithm, issuer, validity, subject (RFC 5280 section 4.1)."""


def key_algorithm(pem: bytes) -> bytes:
    """Returns the object identifier of the key of the first certificate in a PEM file, as DER has it.

    Raises:
        ValueError: there is none.
    """
    found = _FIRST.search(pem)
    if found is None:
        raise ValueError("no certificate")
    der = b64decode(found[1])
    try:
        at, _ = _inside(der, _inside(der, 0)[0])
        if der[at] == _VERSION:
            at = _inside(der, at)[1]
        for _ in range(_BEFORE_THE_KEY):
            at = _inside(der, at)[1]
        begin, end = _inside(der, _inside(der, _inside(der, at)[0])[0])
    except IndexError:
        raise ValueError("no certificate") from None
    return der[begin:end]


def _inside(der: bytes, at: int) -> tuple[int, int]:
    """Returns where the content of the element at a place begins and ends."""
    length = der[at + 1]
    begin = at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[begin : begin + size], "big")
        begin += size
    return begin, begin + length
