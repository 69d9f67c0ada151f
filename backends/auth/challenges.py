"""How a challenge's parameters are written (RFC 9110 section 11.2), as distribution and Go write them. PURE."""

from __future__ import annotations

from collections.abc import Sequence


def quoted(text: str) -> str:
    """Returns a text as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bearer(realm: str, service: str, scopes: Sequence[str], error: str = "") -> str:
    """Returns the challenge for a token.

    Args:
        realm: where to get one.
        service: what for.
        scopes: what it must reach; none to log in.
        error: what was wrong with the one that was sent; "" for nothing.
    """
    text = f"Bearer realm={quoted(realm)},service={quoted(service)}"
    if scopes:
        text += f",scope={quoted(' '.join(scopes))}"
    return f"{text},error={quoted(error)}" if error else text
