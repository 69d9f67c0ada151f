"""Which repositories' images are converted for clients of other generations: an operator's rules. PURE.

Every part that converts asks here: the v1 view, schema 1 and schema 2 alike. What is served as it was pushed is no
conversion, and neither is the choice of an image from an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from backends.model.conversion.plans import LINUX_AMD64
from backends.model.descriptors import Platform
from backends.model.names import canonical_name

_PLATFORM = re.compile(r"[a-z0-9]{1,32}/[a-z0-9_]{1,32}(/[a-z0-9.]{1,32})?")
_PATTERN = re.compile(r"[A-Za-z0-9._/*-]{1,300}")


class Permission(Enum):
    """What may be done for clients that cannot read what was pushed."""

    ALLOW = "allow"
    """Convert it."""

    PINNED = "pinned"
    """Serve what was converted before, and make nothing new: what clients have seen stays as it is."""

    FORBID = "forbid"
    """Nothing: they get a 404 that says so, and no converted manifest is served by its digest either."""


@dataclass(frozen=True, slots=True)
class ConversionRule:
    """A rule.

    Attributes:
        repositories: the names that it is for; `*` stands for any text, slashes included.
        convert: what may be done there.
    """

    repositories: str
    convert: Permission


@dataclass(frozen=True, slots=True)
class ConversionPolicy:
    """All rules, and what else an operator says of conversions.

    Attributes:
        platform: of the image that a client gets of an index that it cannot read, where it does not say its own.
        rules: the first one that fits a name holds; without one that fits, conversions are allowed.
    """

    platform: Platform = LINUX_AMD64
    rules: tuple[ConversionRule, ...] = ()

    def permission(self, name: str) -> Permission:
        """Returns what may be done in a repository.

        Args:
            name: the repository's; v1's `library/x` is v2's `x`, and a rule for either is for both.
        """
        if not self.rules:
            return Permission.ALLOW
        short = canonical_name(name)
        names = {name, short} if "/" in short else {short, f"library/{short}"}
        for rule in self.rules:
            if any(fits(rule.repositories, each) for each in names):
                return rule.convert
        return Permission.ALLOW


ALL_CONVERSIONS = ConversionPolicy()
"""Whatever can be converted is."""


def refusal(permission: Permission, name: str) -> str:
    """Returns the end of a sentence: why a client that cannot read what is stored gets nothing else."""
    if permission is Permission.PINNED:
        return (
            f"the settings of this registry allow no new conversions in {name} (gateway.conversions.rules: pinned);"
            " pull it with a client that reads what was pushed, or let the registry's operator make this one with"
            " portside inspect --convert"
        )
    return (
        f"the settings of this registry forbid conversions in {name} (gateway.conversions.rules: forbid);"
        " pull it with a client that reads what was pushed"
    )


def fits(pattern: str, name: str) -> bool:
    """Whether a name is one of a pattern, in which `*` stands for any text. Takes linear time for each `*`."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    last = rest.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    return _in_order(rest, name[len(first) : len(name) - len(last)])


def _in_order(parts: Iterable[str], text: str) -> bool:
    at = 0
    for part in parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def parse_pattern(text: str) -> str:
    """Returns a pattern of repositories' names.

    Raises:
        ValueError: no name can fit it.
    """
    if not _PATTERN.fullmatch(text):
        raise ValueError("write a repository's name, in which * stands for any text, like legacy/*")
    return text


def parse_platform(text: str) -> Platform:
    """Parses `linux/arm64` or `linux/arm/v7`.

    Raises:
        ValueError: it is not a platform.
    """
    if not _PLATFORM.fullmatch(text):
        raise ValueError("write a platform as os/architecture or os/architecture/variant, like linux/arm64")
    os, architecture, *variant = text.split("/")
    return Platform(architecture, os, variant="".join(variant))
