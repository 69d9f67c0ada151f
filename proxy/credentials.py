"""What a registry elsewhere is shown in place of its clients' credentials, where these end at the proxy.

Then nothing of a client goes on but what a registry's clients need: a header that one reads as a name, a method or a
session would be one that nobody here has judged. Of what it answers, nothing goes back that is meant for the proxy.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from backends.auth.followed_file import FollowedFile
from proxy.headers import Header
from proxy.settings import UpstreamCredentials

LONGEST = 4096

PASSED = frozenset(
    {
        "accept",
        "accept-encoding",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "pragma",
        "range",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
"""What the registry sees of a client's headers, and of what the proxy says about it."""

KEPT = frozenset(
    {
        "authentication-info",
        "set-cookie",
        "set-cookie2",
        "www-authenticate",
        "x-docker-token",
    }
)
"""What the client does not see of the registry's: a cookie may be the session of the proxy's own user there."""


class OwnCredentials:
    """The proxy's own at one registry; the password's file is read again when it changes.

    Args:
        settings: user and file; both empty where the registry is shown nothing.
        key: what messages call them: `gateway.v2.credentials`.

    Raises:
        UnusableFile: there is no password.
    """

    def __init__(self, settings: UpstreamCredentials, *, key: str) -> None:
        self._user = settings.user
        self._key = key
        self._file = password_file(settings.password_file, key=key) if settings.password_file else None

    async def headers(self) -> list[Header]:
        """Returns what a request to the registry gets."""
        if self._file is None:
            return []
        shown = b64encode(self._user.encode() + b":" + await self._file.get()).decode()
        return [("Authorization", f"Basic {shown}")]

    def refused(self, challenges: Sequence[str], *, where: str) -> str:
        """Returns what is to be said of an answer 401.

        Args:
            challenges: its `WWW-Authenticate`.
            where: the registry.
        """
        schemes = {value.partition(" ")[0].lower() for value in challenges}
        if "bearer" in schemes and "basic" not in schemes:
            mend = (
                "it wants tokens of a token server (Bearer), and credentials end here only in front of registries that"
                f" take Basic; remove {self._key}, so that clients' own credentials and its challenges pass through"
            )
        elif self._file is None:
            mend = f"it wants credentials; name user and passwordfile below {self._key}"
        else:
            mend = f"it does not take the user and password of {self._key}; correct them"
        return f"{where} lets the proxy do nothing: {mend}"


def password_file(path: str, *, key: str) -> FollowedFile[bytes]:
    """Returns the password in a file: all of it but a line's end.

    Raises:
        UnusableFile: it cannot be read, or holds none.
    """
    return FollowedFile(Path(path), _password, what=f"{key}.passwordfile")


def _password(content: bytes) -> bytes:
    password = content.removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise ValueError("it is empty")
    if len(password) > LONGEST:
        raise ValueError(f"a password has at most {LONGEST} bytes")
    if any(byte < 32 or byte == 127 for byte in password):  # noqa: PLR2004 - ASCII's control characters
        raise ValueError("it has several lines, or control characters; it must hold the password alone")
    return password
