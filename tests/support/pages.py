"""The fenced blocks of this project's pages.

What a block holds stands behind its three backticks: `yaml` alone is a settings file of Portside's, for `serve` unless
a role follows (`yaml v2`); `yaml rules` is a file of rules of access; `yaml kubernetes` and `yaml traefik` are files of
other programs; `fragment` is a part of a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(TOP) for path in (*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("*/README.md"))
)
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its page (from the top of the repository), the words after its language, its text."""

    page: Path
    words: tuple[str, ...]
    text: str


def blocks(language: str, page: Path | None = None) -> list[Block]:
    """Every block of a language, of one page or of all."""
    found = []
    for each in PAGES if page is None else (page,):
        for match in FENCE.finditer((TOP / each).read_text()):
            named, *words = match[1].split() or [""]
            if named == language:
                found.append(Block(each, tuple(words), match[2]))
    return found


def block(page: str, language: str, *words: str) -> str:
    """The text of the first block of a page that has this language and these words.

    Raises:
        LookupError: the page has none.
    """
    for found in blocks(language, Path(page)):
        if found.words == words:
            return found.text
    raise LookupError(f"{page} has no block ```{' '.join((language, *words))}")
