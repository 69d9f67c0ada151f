"""Names of v1's repositories and tags, and their parts as docker-registry 0.9.1 escapes them. PURE (V1API 0 and 11).

It checked no name at all, so a repository or a tag may be any printable ASCII that becomes the name of a file. What
v2's grammar cannot hold is v1's alone. A path is safe by the escaping, not by a grammar: an escaped part has no slash
and is never `.` or `..`; two names have two paths, since the escaping can be undone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote_plus, unquote_plus

from typing_extensions import override

from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import LIBRARY, RepositoryName, canonical_name, parse_repository_name

MAX_V1_NAME = 511
"""Namespace and repository are one name each on disk, of 255 bytes at most, with a slash between them."""

MAX_FILE_NAME = 255
"""So many bytes a name on disk has at most."""

_UNESCAPED = re.compile(r"[A-Za-z0-9_.-]*")
"""What stays as it is: almost all names, in a tenth of the time."""

_DOTS = {"..": "%2E%2E", ".": "%2E"}
_UNDOTTED = {escaped: dots for dots, escaped in _DOTS.items()}
"""docker-registry keeps the name `%2E%2E` where it keeps `..`: so it is another way to write the same name."""


@dataclass(frozen=True, slots=True)
class V1Name:
    """A v1 repository: namespace and the rest, which may hold slashes.

    Attributes:
        falls_back: this is `library/x`, of which v1 knows nothing, and neither does v2 of `x`; v2's own `library/x` is
            read in its place.
    """

    namespace: str
    repository: str
    falls_back: bool = False

    @property
    def text(self) -> str:
        return f"{self.namespace}/{self.repository}"

    @property
    def v2(self) -> RepositoryName | None:
        """What v2 calls the same repository; None when v2's grammar cannot hold its name."""
        if self.falls_back:
            return RepositoryName(self.text)
        try:
            return parse_repository_name(canonical_name(self.text))
        except RegistryError:
            return None

    @property
    def canonical(self) -> str:
        """The one name of this repository, by which access is decided: v2's, or what it would be if v2 allowed it."""
        return self.v2 or canonical_name(self.text)

    @override
    def __str__(self) -> str:
        return self.text

    @property
    def stored(self) -> str:
        """The repository as docker-registry keeps it: escaped once before it becomes a path."""
        return quote_v1(self.repository)


def parse_v1_name(text: str) -> V1Name:
    """Splits a path at its first slash; one component is of the namespace `library`.

    Raises:
        RegistryError: NAME_INVALID: no namespace, control characters, or other than ASCII; longer than any that could
            be stored.
    """
    text = text.rstrip("/")
    if len(text) > MAX_V1_NAME:
        detail = f"the repository name has {len(text)} characters; {MAX_V1_NAME} are allowed"
        raise RegistryError(ErrorCode.NAME_INVALID, detail)
    if not text or text.startswith("/") or not is_plain(text):
        what = f"{text[:80]!r} is not a valid repository name"
        detail = f"{what}; use printable ASCII, such as letters, digits, . _ and -, and no slash at its beginning"
        raise RegistryError(ErrorCode.NAME_INVALID, detail, status=400)
    namespace, slash, repository = text.partition("/")
    return V1Name(_UNDOTTED.get(namespace, namespace), repository) if slash else V1Name(LIBRARY, namespace)


def v1_name(name: RepositoryName) -> V1Name | None:
    """Returns what v1 calls the same repository; None when v1 has no name for it.

    v1's `library/x` is v2's `x`, so a v2 `library/x` of its own has none; and what stands after the first slash is one
    name of a file in v1, in which each further slash takes five characters.
    """
    if canonical_name(name) != name:
        return None
    namespace, slash, rest = name.partition("/")
    found = V1Name(namespace, rest) if slash else V1Name(LIBRARY, name)
    return found if len(escape_v1(found.stored)) <= MAX_FILE_NAME else None


def require_new_name(name: V1Name) -> None:
    """Checks that a name that is to be created has room on disk.

    Raises:
        RegistryError: NAME_INVALID.
    """
    for component in (name.namespace, name.stored):
        _require_short(escape_v1(component), ErrorCode.NAME_INVALID)


def parse_v1_tag(text: str) -> str:
    """Parses a tag, which may be any segment of a path.

    Raises:
        RegistryError: TAG_INVALID: control characters, other than ASCII, or a slash.
    """
    if not text or not is_plain(text) or "/" in text:
        what = f"{text[:80]!r} is not a valid tag"
        detail = f"{what}; use printable ASCII without a slash, such as letters, digits, . _ and -"
        raise RegistryError(ErrorCode.TAG_INVALID, detail, status=400)
    return _UNDOTTED.get(text, text)


def require_new_tag(tag: str) -> None:
    """Checks that a tag that is to be written has room on disk, and so has the file that says who wrote it.

    Raises:
        RegistryError: TAG_INVALID.
    """
    _require_short(f"tag{escape_v1(tag)}_json", ErrorCode.TAG_INVALID)


def is_plain(text: str) -> bool:
    """Whether a text is printable ASCII."""
    return text.isascii() and text.isprintable()


def quote_v1(text: str) -> str:
    """Escapes as Python 2's `quote_plus`, which docker-registry uses: `~` too."""
    return text if _UNESCAPED.fullmatch(text) else quote_plus(text).replace("~", "%7E")


def escape_v1(component: str) -> str:
    """Escapes one part of a path as docker-registry's driver does."""
    return quote_v1(_DOTS.get(component, component))


def unescape_v1(entry: str) -> str | None:
    """Undoes `escape_v1`; None for the name of a file that it never makes."""
    component = unquote_plus(entry)
    component = _UNDOTTED.get(component, component)
    return component if component and is_plain(component) and escape_v1(component) == entry else None


def _require_short(entry: str, code: ErrorCode) -> None:
    if len(entry) > MAX_FILE_NAME:
        raise RegistryError(
            code,
            f"a name is too long for the registry's file system: on disk, {entry[:40]!r}... has {len(entry)} bytes of"
            f" {MAX_FILE_NAME} (each special character takes several); use a shorter one",
        )
