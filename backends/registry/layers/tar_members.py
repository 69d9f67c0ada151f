"""The members of a tar archive as its bytes pass by, in little memory whatever the archive says.

Invariant: no more is kept than one header of the largest kind that is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace

from backends.model.tar_headers import (
    BLOCK,
    LONG_LINK,
    LONG_NAME,
    PAX,
    PAX_GLOBAL,
    PAX_KEYS,
    PAX_SOLARIS,
    SPARSE,
    BadHeader,
    TarHeader,
    continues_sparse,
    is_end,
    long_text,
    padded,
    parse_header,
    parse_pax,
    with_pax,
)
from backends.storage.driver import Chunk

EXTRA_BYTES = 1024 * 1024
"""So much may a header say beyond its block (a long name, PAX records), as of Go's own reader."""

EXTRA_HEADERS = 64
"""So many headers may stand before one member that say more of it."""

_SAY_MORE = frozenset({LONG_NAME, LONG_LINK, PAX, PAX_SOLARIS, PAX_GLOBAL})


class NotATar(Exception):  # noqa: N818 - a finding, not a fault
    """It is no tar archive, or ends in the middle of a member."""


class TarMembers:
    """Reads an archive that comes in pieces: take each, then end.

    Like docker-registry's Python, it goes by what it meets: an archive may end without the blocks that should end it,
    and what follows those is not looked at.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0
        self._is_over = False
        self._global: Mapping[bytes, bytes] = {}
        self._walk = self._members()
        self._wanted = 0
        self._found: list[TarHeader] = []
        self._advance(None)

    def take(self, chunk: Chunk) -> Iterator[TarHeader]:
        """Takes the bytes that follow, and yields the members that begin in them.

        Raises:
            NotATar: it is none.
        """
        view, at = memoryview(chunk), 0
        while at < len(view) and not self._is_over:
            if self._skip:
                step = min(self._skip, len(view) - at)
                self._skip -= step
                at += step
                continue
            step = min(self._wanted - len(self._buffer), len(view) - at)
            self._buffer += view[at : at + step]
            at += step
            if len(self._buffer) == self._wanted:
                block = bytes(self._buffer)
                self._buffer.clear()
                self._advance(block)
                yield from self._found
                self._found.clear()

    def end(self) -> None:
        """Says that nothing follows.

        Raises:
            NotATar: content is missing, or it was none at all.
        """
        if self._is_over:
            return
        if self._skip:
            raise NotATar("it ends in the middle of a file")
        self._is_over = True
        if self._buffer and self._is_first:
            raise NotATar("it is shorter than a header")
        if self._says_more:
            raise NotATar("it ends in the middle of a header")

    def _advance(self, block: bytes | None) -> None:
        try:
            self._wanted = next(self._walk) if block is None else self._walk.send(block)
        except StopIteration:
            self._is_over = True

    def _members(self) -> Generator[int, bytes, None]:
        """Asks for so many bytes as come next, and gets them; what it finds lies in `_found`."""
        self._is_first, self._says_more = True, False
        while True:
            block = yield BLOCK
            if is_end(block):
                return
            try:
                header = parse_header(block)
            except BadHeader as error:
                if self._is_first:
                    raise NotATar(str(error)) from None
                return
            member = yield from self._whole(header, block)
            self._is_first = False
            self._found.append(member)
            self._skip = padded(member.stored)

    def _whole(self, header: TarHeader, block: bytes) -> Generator[int, bytes, TarHeader]:
        """Returns the member that a header begins, with all that the headers before it say of it."""
        before: list[tuple[bytes, bytes]] = []
        self._says_more = header.kind in _SAY_MORE
        while header.kind in _SAY_MORE:
            if header.size > EXTRA_BYTES or len(before) == EXTRA_HEADERS:
                raise NotATar("its headers are too long")
            content = (yield padded(header.size)) if header.size else b""
            if header.kind == PAX_GLOBAL:
                self._add_global(parse_pax(content))
            elif header.kind != LONG_LINK:
                before.append((header.kind, content))
            block = yield BLOCK
            try:
                if is_end(block):
                    raise BadHeader("a header in it is about nothing")
                header = parse_header(block)
            except BadHeader as error:
                raise NotATar(str(error)) from None
        self._says_more = False
        is_first = True
        while header.kind == SPARSE and continues_sparse(block, is_first=is_first):
            block, is_first = (yield BLOCK), False
        if self._global:
            header = with_pax(header, self._global, moves_end=False)
        for kind, content in reversed(before):  # what stands first counts
            if kind == LONG_NAME:
                header = replace(header, name=long_text(content))
            else:
                header = with_pax(header, {**self._global, **parse_pax(content)}, moves_end=True)
        return header

    def _add_global(self, records: Mapping[bytes, bytes]) -> None:
        self._global = {**self._global, **{key: records[key] for key in PAX_KEYS & records.keys()}}
        if sum(len(key) + len(value) for key, value in self._global.items()) > EXTRA_BYTES:
            raise NotATar("its headers are too long")
