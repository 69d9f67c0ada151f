"""The head of a registry's answer, read strictly: what it says, and how the body behind it is framed. PURE.

Two programs that disagree on where an answer ends put one client's answer into another's: so nothing here is guessed.
An answer whose head or framing could be read in two ways is none (RFC 9112 sections 6.3 and 11.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from proxy.headers import Header

MAX_HEAD = 128 * 1024
"""Bytes of an answer's head."""
END = b"\r\n\r\n"
_SECRET = frozenset({"set-cookie", "set-cookie2", "x-docker-token", "location"})
"""A session, a token of v1, a URL that is signed or names an upload."""
_BEGINNING = b"HTTP/1."
# No possessive quantifiers: with fullmatch, early versions of Python 3.11 take half a match for a whole one.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_NO_CONTENT = frozenset({204, 304})
_SWITCHING = 101


class MalformedAnswer(ValueError):  # noqa: N818 - a finding, not a fault
    """What came is not an answer of HTTP/1.x that can be read in one way only; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerHead:
    """A head; two are the same only if they are one object.

    Attributes:
        status: 100 to 999.
        reason: as it stands there.
        headers: in order.
        length: bytes of the body that its head announces; None where it announces none.
        chunked: whether the body has the transfer coding chunked.
        keeps_open: whether the connection may serve another request afterwards.
    """

    status: int
    reason: str
    headers: tuple[Header, ...]
    length: int | None
    chunked: bool
    keeps_open: bool

    @property
    def is_informational(self) -> bool:
        """Whether another head follows, the answer's own."""
        return self.status < HTTPStatus.OK

    @property
    def has_no_content(self) -> bool:
        """Whether no body follows, whatever was asked."""
        return self.is_informational or self.status in _NO_CONTENT

    @property
    def has_secret(self) -> bool:
        """Whether it may hold what is for one client alone, and so is not kept."""
        return any(name.lower() in _SECRET for name, _ in self.headers)


def require_beginning(data: bytes) -> None:
    """Requires that what has come of a head may become one.

    Raises:
        MalformedAnswer: it cannot, or is longer than any.
    """
    if not data.startswith(_BEGINNING[: len(data)]):
        raise MalformedAnswer("it does not begin with HTTP/1.")
    if data.count(b"\n") != data.count(b"\r\n"):  # others may see its end here, and none would come
        raise MalformedAnswer("a line of its head does not end with CR LF")
    if len(data) > MAX_HEAD:
        raise MalformedAnswer(f"its head is longer than {MAX_HEAD} bytes")


def parse_head(data: bytes) -> AnswerHead:
    """Reads a head.

    Args:
        data: all of it, its empty line at the end included.

    Raises:
        MalformedAnswer: it is none, or its framing is ambiguous.
    """
    require_beginning(data)
    line, *fields = data.removesuffix(END).split(b"\r\n")
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise MalformedAnswer("its status line is not valid")
    is_new, status = found[1] == b"1", int(found[2])
    if status == _SWITCHING:
        raise MalformedAnswer("it changes the protocol, which nobody asked for")
    headers = tuple(map(_field, fields))
    lengths, codings, options = _values(headers, "content-length"), _values(headers, "transfer-encoding"), set[str]()
    for value in _values(headers, "connection"):
        options |= {option.strip().lower() for option in value.split(",")}
    if codings and (lengths or not is_new or len(codings) > 1 or codings[0].lower() != "chunked"):
        raise MalformedAnswer("its Transfer-Encoding is not chunked alone")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise MalformedAnswer("its Content-Length is not one number")
    length = int(lengths[0]) if lengths else None
    keeps_open = "close" not in options if is_new else "keep-alive" in options
    if status == HTTPStatus.NO_CONTENT and (codings or length):
        keeps_open = False  # a body that must not be there may still come
    reason = (found[3] or b"").decode("utf-8", "surrogateescape")
    return AnswerHead(status, reason, headers, length, bool(codings), keeps_open)


def _field(line: bytes) -> Header:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise MalformedAnswer("one of its headers is not valid")
    return found[1].decode("ascii"), found[2].strip(b" \t").decode("utf-8", "surrogateescape")


def _values(headers: tuple[Header, ...], wanted: str) -> list[str]:
    return [value for name, value in headers if name.lower() == wanted]
