"""What is impossible is remembered for a while, unless it may be possible at any time."""

from __future__ import annotations

import pytest

from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow
from backends.registry import known_impossible
from backends.registry.known_impossible import KnownImpossible


def refusal(known: KnownImpossible, error: Exception | None = None) -> str:
    """Returns why something was refused; "" where it was not, though it may have failed."""
    try:
        with known.noted("key"):
            if error is not None:
                raise error
    except (ImpossibleConversion, KeyError) as found:
        return str(found)
    return ""


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (ImpossibleConversion("it has too many layers"), "it has too many layers"),
        (ValueError("it is no image"), "it is no image; pull it with the tool that pushed it"),
        (ImpossibleNow("a layer is not stored"), ""),
        (KeyError("something else"), ""),
    ],
)
def test_only_what_content_makes_impossible_is_remembered(error: Exception, after: str) -> None:
    known = KnownImpossible()
    assert refusal(known) == ""
    assert refusal(known, error)
    assert refusal(known) == after


def test_it_is_looked_at_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownImpossible()
    monkeypatch.setattr(known_impossible, "SECONDS", -1.0)
    assert refusal(known, ImpossibleConversion("damaged"))
    assert refusal(known) == ""
