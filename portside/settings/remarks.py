"""What is said about settings: a sentence, what it is about, and what follows from it. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_SUBJECT = re.compile(r"([a-z][a-z0-9]*(?:\.[\w-]+)+|[A-Z][A-Z0-9_]+)(?=[:, ])|([a-z0-9]+)(?=:| has no effect)")


class Kind(Enum):
    """What becomes of a setting, from good to bad."""

    USED = "used"
    OVERRIDDEN = "overridden"
    RENAMED = "renamed"
    IGNORED = "ignored"
    DANGEROUS = "dangerous"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence to be said at start; one of kind REFUSED keeps Portside from starting.

    Attributes:
        path: the key by its dotted path, numbers for elements of lists; the variable, where no key is meant; "" where
            it is about nothing in particular.
        text: the whole sentence.
        line: of the file, where it is about what no key names; else 0.
    """

    kind: Kind
    path: str
    text: str
    line: int = 0


def refused(path: str, why: str) -> Remark:
    """Returns a remark that keeps Portside from starting."""
    return Remark(Kind.REFUSED, path, f"{path}: {why}" if path else why)


def ignored(path: str, why: str) -> Remark:
    """Returns a remark about what does nothing."""
    return Remark(Kind.IGNORED, path, f"{path} {why}")


def remarks_of(kind: Kind, sentences: Iterable[str]) -> list[Remark]:
    """Returns remarks about the key or variable that each sentence begins with."""
    return [Remark(kind, found[1] or found[2] if (found := _SUBJECT.match(each)) else "", each) for each in sentences]
