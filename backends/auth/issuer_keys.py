"""What has the keys of an issuer of tokens, and the one kind that is a file."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from backends.auth.followed_file import FollowedFile
from backends.auth.keys import KeySet, parse_jwks


class IssuerKeys(Protocol):
    """An issuer's keys."""

    @property
    def current(self) -> KeySet | None:
        """What `held` returns, where that can be told at once; else None."""
        ...

    async def held(self) -> KeySet | None:
        """Returns the keys that hold now, without a wait; None before there are any.

        The same object is returned as long as they are the same.
        """
        ...

    async def find(self, key_id: str) -> KeySet:
        """Returns the keys, with the one of this name if it can be had at all.

        Raises:
            Busy: nobody can tell now.
        """
        ...


class FileKeys:
    """The keys of a file with a JSON Web Key Set. It is read when this is made, and followed from then on.

    Args:
        path: the file.
        what: it is called this in messages.

    Raises:
        UnusableFile: there is no key in it that could verify a token.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        self._file: FollowedFile[KeySet] = FollowedFile(path, parse_jwks, what=what)

    @property
    def current(self) -> KeySet | None:
        """What `held` returns, while nobody has to look first whether the file has changed."""
        return self._file.value if self._file.is_current() else None

    async def held(self) -> KeySet:
        """Returns the keys of the file as it was within the last second."""
        return await self._file.get()

    async def find(self, key_id: str) -> KeySet:  # noqa: ARG002 - a file has what it has
        """Returns the same."""
        return await self._file.get()
