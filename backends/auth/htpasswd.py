"""An htpasswd file, read as distribution reads it: bcrypt counts, and nothing else. PURE.

A line is a user, a colon and a hash. Spaces around it, empty lines, lines that begin with `#`, and what follows a hash,
do not matter; the last line of a user counts. A line without a colon spoils the whole file.

Invariant: no hash is ever part of a sentence or of a `repr`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_COST = 14
"""One check at this cost takes a second; each step more doubles that, and anyone may ask for checks."""
DEFAULT_COST = 10
"""distribution's, where it makes a file itself: one check takes 60 ms."""
MAX_PASSWORD = 72
"""So many bytes of a password does bcrypt read."""
HASH = 60
"""The length of a hash; what follows is ignored, as by Go, so that a line may have a comment behind another colon."""
SALT = 29
"""A hash begins with so many bytes of version, cost and salt."""

_LONGEST_LINE = 64 * 1024 - 1  # the buffer of Go's bufio.Scanner
# What Go's strings.TrimSpace takes away; Python's strip() takes more.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_BCRYPT = re.compile(rb"\$2[aby]\$([0-3][0-9])\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 32)
# Nobody's: the form of a hash is all that it has.
_DUMMY = b"$2b$%02d$......................" + b"." * 31
_OTHERS = (
    ("$apr1$", "is of Apache's MD5"),
    ("{SHA}", "is a SHA-1"),
    ("$1$", "is an MD5 of crypt(3)"),
    ("$5$", "is a SHA-256 of crypt(3)"),
    ("$6$", "is a SHA-512 of crypt(3)"),
    ("$y$", "is of yescrypt"),
    ("$argon2", "is of Argon2"),
    ("$2", "is not a whole bcrypt hash"),
)


class HtpasswdError(ValueError):
    """A file of which no line can be trusted.

    Attributes:
        line: the first that is wrong, from 1.
        sentence: what is wrong with it; it quotes nothing of the file.
    """

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line} {sentence}")
        self.line = line
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class HtpasswdSettings:
    """The scheme's settings (`auth.htpasswd`).

    Attributes:
        realm: what clients are told to ask their user for.
        path: the file.
    """

    realm: str
    path: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A user that can log in.

    Attributes:
        hash: 60 bytes of bcrypt.
        cost: the base-2 logarithm of the number of its rounds.
        line: where it stands, from 1.
    """

    user: str
    hash: bytes = field(repr=False)
    cost: int
    line: int


@dataclass(frozen=True, slots=True)
class Remark:
    """A line that has no effect: a sentence about it, which begins with its number."""

    line: int
    sentence: str


@dataclass(frozen=True, slots=True)
class PasswordTable:
    """What a file says.

    Attributes:
        entries: by user.
        remarks: what is to be said of it, in the order of lines.
        dummy: a hash that no password has, as expensive as the most expensive of the file, for users that it does not
            name: who tries does not learn by the time that it takes which users there are.
    """

    entries: Mapping[str, Entry] = field(repr=False)
    remarks: tuple[Remark, ...]
    dummy: bytes = field(repr=False)

    def hash_of(self, user: str) -> bytes:
        """Returns what a password is compared with; of an unknown user, what no password fits."""
        entry = self.entries.get(user)
        return self.dummy if entry is None else entry.hash


def parse_htpasswd(content: bytes) -> PasswordTable:
    """Reads a file.

    Raises:
        HtpasswdError: a line has no colon, or is longer than 64 KiB.
    """
    entries: dict[str, Entry] = {}
    remarks: list[Remark] = []
    before: dict[str, int] = {}
    for number, raw in enumerate(content.split(b"\n"), start=1):
        if len(raw) > _LONGEST_LINE:
            raise HtpasswdError(number, "is longer than 64 KiB")
        line = trimmed(raw)
        if not line or line.startswith("#"):
            continue
        user, colon, rest = line.partition(":")
        if not colon:
            raise HtpasswdError(number, "has no colon between a user and a hash")
        shown = _shown(user)
        if user in before:
            remarks.append(
                Remark(before[user], f"line {before[user]} has no effect: {shown} is in line {number} again")
            )
            entries.pop(user, None)
        before[user] = number
        entry = _parse_entry(user, rest, number)
        if isinstance(entry, Entry):
            entries[user] = entry
        else:
            remarks.append(Remark(number, f"line {number} ({shown}) has no effect: {entry}"))
    highest = max((entry.cost for entry in entries.values()), default=DEFAULT_COST)
    return PasswordTable(entries, tuple(sorted(remarks, key=lambda each: each.line)), _DUMMY % highest)


def trimmed(raw: bytes) -> str:
    """Returns a line without the spaces around it; bytes that are no UTF-8 are in it as surrogates."""
    return raw.decode("utf-8", "surrogateescape").strip(_SPACES)


def password_bytes(password: str) -> bytes:
    """Returns what bcrypt reads of a password; bytes that are no UTF-8 are in it as surrogates."""
    return password.encode("utf-8", "surrogateescape")[:MAX_PASSWORD]


def parse_cost(hashed: str) -> int | None:
    """Returns the cost of a bcrypt hash; None for what does not begin with one."""
    match = _BCRYPT.match(hashed.encode("utf-8", "surrogateescape"))
    return int(match[1]) if match is not None and int(match[1]) in _COSTS else None


def describe_hash(hashed: str) -> str:
    """Returns what is wrong with a hash that is not bcrypt's, as the end of a sentence that begins with it."""
    return next((text for start, text in _OTHERS if hashed.startswith(start)), "is of another kind")


def basic_challenge(realm: str) -> str:
    """Returns the value of `WWW-Authenticate` that distribution sends."""
    return f"Basic realm={go_quoted(realm)}"


def go_quoted(text: str) -> str:
    """Returns text as Go's `%q` writes it; what cannot be printed is written out, so it fits into a header."""
    return f'"{"".join(map(_go_escaped, text))}"'


_GO_ESCAPES = {
    "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\", '"': r"\"",
}  # fmt: skip


def _go_escaped(character: str) -> str:
    if character in _GO_ESCAPES:
        return _GO_ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:  # noqa: PLR2004 - ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the basic plane


def _parse_entry(user: str, rest: str, number: int) -> Entry | str:
    """Returns an entry, or why there is none."""
    if not user:
        return "it names no user"
    cost = parse_cost(rest)
    if cost is None:
        return f"its hash {describe_hash(rest)}, and only bcrypt counts; `portside htpasswd` makes one"
    if cost > MAX_COST:
        return f"its cost is {cost}, at which one check takes longer than a second; {MAX_COST} is the most"
    return Entry(user, rest[:HASH].encode(), cost, number)


def _shown(user: str) -> str:
    text = "".join(each if each.isprintable() else "?" for each in user[:80])
    return text or "without a user"
