"""Hashes for an htpasswd file, as Apache's htpasswd -B writes them: all programs that read bcrypt read these."""

from __future__ import annotations


def make_hash(password: bytes, cost: int) -> str:
    """Returns a bcrypt hash; it takes from milliseconds to a second.

    Args:
        password: at most 72 bytes.
        cost: 4 to 14.
    """
    import bcrypt  # noqa: PLC0415 - only where a password is set

    return "$2y$" + bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode().removeprefix("$2b$")
