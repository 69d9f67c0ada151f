"""An htpasswd file with one user more, less, or with another password; all other lines stay byte for byte. PURE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from backends.auth.credentials import MAX_USER
from backends.auth.htpasswd import (
    MAX_COST,
    MAX_PASSWORD,
    PasswordTable,
    describe_hash,
    parse_cost,
    trimmed,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of a file.

    Attributes:
        number: from 1.
        user: its name.
        hash: what the registry thinks of it, in words.
        counts: whether its user can log in by it.
    """

    number: int
    user: str
    hash: str
    counts: bool


def check_user(user: str) -> None:
    """Checks that a file can name somebody like this, and clients can send it.

    Raises:
        ValueError: a sentence about it.
    """
    if not user or user != user.strip():
        raise ValueError("a user's name has no spaces around it, and is not empty")
    if ":" in user:
        raise ValueError("a user's name has no colon: what follows one is the password")
    if user.startswith("#"):
        raise ValueError("a user's name does not begin with #: such lines are comments")
    if not user.isprintable() or len(user) > MAX_USER:
        raise ValueError(f"a user's name has at most {MAX_USER} characters, all of which can be printed")


def check_password(password: bytes) -> None:
    """Checks that a password can be set.

    Raises:
        ValueError: a sentence about it.
    """
    if not password:
        raise ValueError("the password is empty")
    if len(password) > MAX_PASSWORD:
        raise ValueError(f"the password has {len(password)} bytes, and bcrypt reads only {MAX_PASSWORD} of them")
    if b"\0" in password:
        raise ValueError("the password has a NUL in it, at which many programs end it")


def with_user(content: bytes, user: str, hashed: str) -> tuple[bytes, bool]:
    """Returns a file in which a user has this hash, and whether it was there before.

    Its last line changes, which is the one that counts; others of this user go, since some programs take the first.
    """
    lines = content.split(b"\n")
    numbers = list(_lines_of(lines, user))
    line = f"{user}:{hashed}".encode()
    if numbers:
        *others, last = numbers
        lines[last] = line + (b"\r" if lines[last].endswith(b"\r") else b"")
        for number in reversed(others):
            del lines[number]
        return b"\n".join(lines), True
    end = b"" if not content or content.endswith(b"\n") else b"\n"
    return content + end + line + b"\n", False


def without_user(content: bytes, user: str) -> bytes | None:
    """Returns a file without any line of a user; None where there is none."""
    lines = content.split(b"\n")
    numbers = list(_lines_of(lines, user))
    for number in reversed(numbers):
        del lines[number]
    return b"\n".join(lines) if numbers else None


def listed(content: bytes, table: PasswordTable) -> Iterator[Listed]:
    """Yields the lines of users, as they stand."""
    for number, raw in enumerate(content.split(b"\n"), start=1):
        user, colon, rest = trimmed(raw).partition(":")
        if not colon or user.startswith("#"):
            continue
        entry = table.entries.get(user)
        yield Listed(number, user, _described(rest), entry is not None and entry.line == number)


def _described(hashed: str) -> str:
    cost = parse_cost(hashed)
    if cost is None:
        return f"{describe_hash(hashed)}, and only bcrypt counts".removeprefix("is ")
    return f"bcrypt, cost {cost}" + (f", above {MAX_COST}" if cost > MAX_COST else "")


def _lines_of(lines: list[bytes], user: str) -> Iterator[int]:
    for number, raw in enumerate(lines):
        name, colon, _ = trimmed(raw).partition(":")
        if colon and name == user and not name.startswith("#"):
            yield number
