"""What an object holds, as far as Python's collector can see."""

from __future__ import annotations

import gc
from types import ModuleType


def texts_held_by(what: object) -> set[str]:
    """Returns all texts, and bytes as Latin-1, that an object leads to; modules and what they define left out."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [what]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, ModuleType | type) or (isinstance(each, dict) and "__spec__" in each):
            continue
        seen.add(id(each))
        if isinstance(each, str):
            found.add(each)
        elif isinstance(each, bytes | bytearray):
            found.add(each.decode("latin-1"))
        else:
            waiting += gc.get_referents(each)
    return found
