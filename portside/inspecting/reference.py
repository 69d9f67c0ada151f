"""What `portside inspect` is asked about: NAME, NAME:TAG or NAME@DIGEST. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.v1names import V1Name, parse_v1_name, parse_v1_tag


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository, or something in it.

    Attributes:
        text: the name as it was given.
        name: what v1 calls it; every repository has such a name.
        tag: as v1 takes it, which takes more than v2; None for none.
        digest: of a manifest; None for none.
    """

    text: str
    name: V1Name
    tag: str | None = None
    digest: Digest | None = None


def parse_reference(text: str) -> Reference:
    """Parses NAME, NAME:TAG or NAME@DIGEST.

    Raises:
        ValueError: a sentence with what is wrong.
    """
    rest, at, digest = text.partition("@")
    name, tag = _split_tag(rest)
    first, slash, _ = name.partition("/")
    if slash and (":" in first or first == "localhost"):
        raise ValueError(f"leave out the registry's address: {text.partition('/')[2]}")
    try:
        parsed = parse_v1_name(name)
        if at:
            return Reference(name, parsed, digest=parse_digest(digest))
        return Reference(name, parsed, None if tag is None else parse_v1_tag(tag))
    except RegistryError as error:
        raise ValueError(f"{error.detail}; write NAME, NAME:TAG or NAME@DIGEST") from None


def _split_tag(text: str) -> tuple[str, str | None]:
    """Splits at the colon behind the last slash; an address with a port stays with the name."""
    folder, slash, last = text.rpartition("/")
    name, colon, tag = last.partition(":")
    return (folder + slash + name, tag) if colon else (text, None)
