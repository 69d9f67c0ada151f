"""Which addresses a layer may name: the patterns of `validation.manifests.urls`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

LONGEST_URL = 4096


@dataclass(frozen=True, slots=True)
class PatternRule:
    """distribution's rule: http or https, without a fragment, matched by `allow`, not matched by `deny`.

    Attributes:
        allow: patterns, one of which must match somewhere in the address; None allows all.
        deny: patterns, none of which may match.
    """

    allow: tuple[str, ...] | None
    deny: tuple[str, ...] = ()

    def permits(self, url: str) -> bool:
        """Whether an address is allowed."""
        if len(url) > LONGEST_URL:
            return False
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        if parts.scheme not in {"http", "https"} or parts.fragment:
            return False
        return (self.allow is None or _matches(self.allow, url)) and not _matches(self.deny, url)


def _matches(patterns: tuple[str, ...], url: str) -> bool:
    return any(compile_pattern(pattern).isinstance_python(url) for pattern in patterns)


@lru_cache(maxsize=1000)
def compile_pattern(pattern: str) -> SchemaValidator:
    """Go's syntax, and Go's promise: no address takes longer than its length, whatever the pattern.

    Raises:
        SchemaError: it is not a regular expression.
    """
    from pydantic_core import SchemaValidator, core_schema  # noqa: PLC0415 - large, and few settings have patterns

    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
