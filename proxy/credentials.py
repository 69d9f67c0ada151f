"""What a registry elsewhere is shown in place of its clients' credentials, where these end at the proxy.

Then nothing of a client goes on but what a registry's clients need: a header that one reads as a name, a method or a
session would be one that nobody here has judged. Of what it answers, nothing goes back that is meant for the proxy.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backends.auth.followed_file import FollowedFile
from proxy.headers import Header
from proxy.settings import UpstreamCredentials

if TYPE_CHECKING:
    from proxy.upstream_tokens import UpstreamTokens

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

PASSED_TO_V1 = PASSED | {
    "x-docker-checksum",
    "x-docker-checksum-payload",
    "x-docker-endpoints",
    "x-docker-token",  # which only says that one is wanted
}
"""The same of a v1 registry; never a signature of docker-registry's, which stands for a right there."""

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
        ca: a PEM file of the CA that the registry's certificate is checked against; "" for the system's.

    Raises:
        UnusableFile: there is no password.
    """

    def __init__(self, settings: UpstreamCredentials, *, key: str, ca: str = "") -> None:
        self._user = settings.user
        self._key = key
        self._file = password_file(settings.password_file, key=key) if settings.password_file else None
        self._tokens: UpstreamTokens | None = None
        if settings.realm:
            from proxy.upstream_tokens import UpstreamTokens  # noqa: PLC0415 - few registries have a token server

            self._tokens = UpstreamTokens(settings.realm, settings.service, ca=ca, key=key)

    async def headers(self, scopes: Sequence[str]) -> list[Header]:
        """Returns what a request to the registry gets.

        Args:
            scopes: what it needs there, as token servers read it.

        Raises:
            RegistryError: UNAVAILABLE: there is no token for it.
        """
        if self._file is None:
            return []
        if self._tokens is not None:
            token = await self._tokens.get(scopes, self._user, await self._file.get())
            return [("Authorization", f"Bearer {token}")]
        shown = b64encode(self._user.encode() + b":" + await self._file.get()).decode()
        return [("Authorization", f"Basic {shown}")]

    def may_ask_again(self, scopes: Sequence[str]) -> bool:
        """Whether what was refused may be taken when it is asked again: a token may have ended before its time."""
        if self._tokens is None:
            return False
        self._tokens.forget(scopes)
        return True

    async def close(self) -> None:
        """Closes the connections to the token server."""
        if self._tokens is not None:
            await self._tokens.close()

    def refused(self, challenges: Sequence[str], *, where: str) -> str:
        """Returns what is to be said of an answer 401.

        Args:
            challenges: its `WWW-Authenticate`.
            where: the registry.
        """
        schemes = {value.partition(" ")[0].lower() for value in challenges}
        if self._tokens is not None:
            mend = (
                "it does not take the tokens of its token server; compare realm and service with its WWW-Authenticate,"
                f" and give the user of {self._key} the rights that the proxy is to have there"
            )
        elif "bearer" in schemes and "basic" not in schemes:
            mend = (
                "it wants tokens of a token server (Bearer); if you trust that with the password, name it with"
                f" {self._key}.realm and .service as its WWW-Authenticate has them"
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
