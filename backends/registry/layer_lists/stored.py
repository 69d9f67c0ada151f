"""Reading lists of files that were kept, ours or docker-registry's, in pieces: JSON of one shape (`model/v1files.py`).

docker-registry writes them in place, so one may be half written; and whoever has the volume may have written anything.
Invariant: no more than a piece and a row are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from typing import Any

from backends.model.v1files import Row, are_details, is_row
from backends.storage.driver import Chunk

ROW_CHARACTERS = 8 * 1024 * 1024
"""A row has a name of a MiB at most, of which each byte may take six characters."""

GROUPS = ("deleted", "changed", "created")

_SPACES = " \t\r\n"
_decode = json.JSONDecoder().raw_decode

Parse = Generator[None, None, None]


class DamagedList(Exception):  # noqa: N818 - a finding, not a fault
    """It is no list of files, or not a whole one."""


class ListReader:
    """Reads what comes in pieces: feed each, then end.

    Args:
        parse: what it must be, `rows` or `changes`.
    """

    def __init__(self, parse: Callable[[_Text], Parse]) -> None:
        self._text = _Text()
        self._parse = parse(self._text)
        self._is_over = False

    def feed(self, chunks: Sequence[Chunk]) -> None:
        """Takes the bytes that follow.

        Raises:
            DamagedList: it is none.
        """
        try:
            more = b"".join(chunks).decode("ascii")
        except UnicodeDecodeError:
            raise DamagedList("it is not in ASCII") from None
        if self._is_over:
            self._require_nothing(more)
            return
        self._text.add(more)
        self._advance()

    def end(self) -> None:
        """Says that nothing follows.

        Raises:
            DamagedList: it is not whole.
        """
        if not self._is_over:
            raise DamagedList("it ends in the middle")

    def _advance(self) -> None:
        try:
            next(self._parse)
        except StopIteration:
            self._is_over = True
            self._require_nothing(self._text.rest())

    def _require_nothing(self, more: str) -> None:
        if more.strip(_SPACES):
            raise DamagedList("something follows its end")


class _Text:
    """What has come and was not read yet; what reads it waits for more by yielding."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0

    def add(self, more: str) -> None:
        self._text = self._text[self._at :] + more
        self._at = 0

    def rest(self) -> str:
        return self._text[self._at :]

    def next(self) -> Generator[None, None, str]:
        """Returns the next character that is no space, and passes over it."""
        while True:
            while self._at < len(self._text):
                found = self._text[self._at]
                self._at += 1
                if found not in _SPACES:
                    return found
            yield

    def back(self) -> None:
        """Goes back to the character that `next` has returned."""
        self._at -= 1

    def value(self) -> Generator[None, None, Any]:
        """Returns the text or the list that follows."""
        if (yield from self.next()) not in '"[':
            raise DamagedList("a row or a name is missing")
        self.back()
        while True:
            try:
                value, self._at = _decode(self._text, self._at)
            except RecursionError:
                raise DamagedList("it is nested too deeply") from None
            except ValueError:
                if len(self._text) - self._at > ROW_CHARACTERS:
                    raise DamagedList("a row in it is damaged") from None
                yield
                continue
            return value

    def expect(self, character: str) -> Parse:
        if (yield from self.next()) != character:
            raise DamagedList(f"{character!r} is missing in it")


def rows(take: Callable[[Row], None]) -> Callable[[_Text], Parse]:
    """Returns what parses a list of rows, and hands over each."""

    def parse(text: _Text) -> Parse:
        yield from text.expect("[")
        if (yield from text.next()) == "]":
            return
        text.back()
        while True:
            row = yield from text.value()
            if not is_row(row):
                raise DamagedList("a row in it is none")
            take(row)
            following = yield from text.next()
            if following == "]":
                return
            if following != ",":
                raise DamagedList("a comma is missing in it")

    return parse


def changes(text: _Text) -> Parse:
    """Parses a diff: three groups of rows by their names, in any order."""
    left = set(GROUPS)
    yield from text.expect("{")
    while True:
        group = yield from text.value()
        if not isinstance(group, str) or group not in left:
            raise DamagedList("it has no such group")
        left.remove(group)
        yield from text.expect(":")
        yield from _group(text)
        if not left:
            yield from text.expect("}")
            return
        yield from text.expect(",")


def _group(text: _Text) -> Parse:
    yield from text.expect("{")
    if (yield from text.next()) == "}":
        return
    text.back()
    while True:
        name = yield from text.value()
        yield from text.expect(":")
        details = yield from text.value()
        if not isinstance(name, str) or not are_details(details):
            raise DamagedList("a row in it is none")
        following = yield from text.next()
        if following == "}":
            return
        if following != ",":
            raise DamagedList("a comma is missing in it")
