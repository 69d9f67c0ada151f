"""What a token says of its bearer, as rules compare it: each claim as a set of texts. PURE.

A claim within another has both names with a dot between: `{"kubernetes.io": {"namespace": "ci"}}` is
`kubernetes.io.namespace`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backends.auth.signed_token import WrongToken

MAX_CLAIMS = 256
MAX_DEPTH = 5

Texts = Mapping[str, frozenset[str]]


def flatten(claims: Mapping[str, Any]) -> Texts:
    """Returns claims as sets of texts.

    A text is itself, a whole number as JSON writes it, true and false are words. Lists become sets. Null, fractions,
    and what lists hold beside these are left out: no rule can mean them.

    Raises:
        WrongToken: two claims have one name (`{"a.b": 1, "a": {"b": 2}}`), they are too many, or nested too deep.
    """
    found: dict[str, frozenset[str]] = {}
    for name, values in _walk(claims, "", MAX_DEPTH):
        if name in found:
            raise WrongToken(f"two of its claims are called {name[:100]!r}")
        if len(found) == MAX_CLAIMS:
            raise WrongToken(f"it has more than {MAX_CLAIMS} claims")
        found[name] = values
    return found


def only_text(texts: Texts, name: str) -> str:
    """Returns the one text of a claim; "" where it is missing.

    Raises:
        WrongToken: it has several.
    """
    values = texts.get(name, frozenset())
    if len(values) > 1:
        raise WrongToken(f"its {name} has several values")
    return next(iter(values), "")


def _walk(claims: Mapping[str, Any], above: str, depth: int) -> Iterator[tuple[str, frozenset[str]]]:
    if not depth:
        raise WrongToken(f"its claims are nested deeper than {MAX_DEPTH} levels")
    for key, value in claims.items():
        name = above + key
        if isinstance(value, dict):
            yield from _walk(value, f"{name}.", depth - 1)
        else:
            texts = frozenset(_texts(value if isinstance(value, list) else [value]))
            if texts:
                yield name, texts


def _texts(values: Sequence[Any]) -> Iterator[str]:
    for value in values:
        match value:
            case bool():
                yield "true" if value else "false"
            case str() | int():
                yield str(value)
            case _:
                pass
