"""Giving a client a registry's answer: small ones whole, in one write, under a head that is made once.

A registry says the same again and again: what its head becomes is kept by the head's bytes (`upstream_connection`
gives one object for the same bytes). Only a head is kept in which nothing depends on the request: no address, and a
`Date` of the registry's own, which changes each second, and so ends what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from typing_extensions import override

from backends.http.handed_files import FILE
from backends.http.sending import put_outer_headers
from backends.request_context import OuterHeaders
from proxy.answer_heads import AnswerHead
from proxy.headers import ADDRESSES_IN, Addresses, response_headers
from proxy.message_heads import encode_head

_CLOSE = b"Connection: close\r\n\r\n"
_END = b"\r\n"
_NO_CONTENT = 204
_NOT_MODIFIED = 304
KEPT_BYTES = 1024 * 1024
"""Bytes of heads that are kept for clients."""


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A head for clients.

    Attributes:
        data: its bytes without its empty line.
        headers: the same headers.
    """

    data: bytes
    headers: CIMultiDict[str]


Asked = tuple[AnswerHead, OuterHeaders | None, bool]
"""What a kept head was made of: the registry's, what the layers around want on the answer, whether content follows."""


def weigh(_: Asked, kept: KeptHead) -> int:
    """Returns about how many bytes a kept head takes."""
    return 1024 + 3 * len(kept.data)


def may_be_kept(head: AnswerHead) -> bool:
    """Whether a head can be kept for clients of HTTP/1.1."""
    if head.status == _NO_CONTENT or head.chunked or head.has_secret:
        return False
    names = {name.lower() for name, _ in head.headers}
    return "date" in names and not names & (ADDRESSES_IN | {FILE.lower()})


def make_kept(head: AnswerHead, outer: OuterHeaders | None, *, has_content: bool) -> KeptHead:
    """Makes a head for clients of HTTP/1.1 of one that may be kept.

    Args:
        head: the registry's.
        outer: what the layers around want on the answer.
        has_content: whether a body follows.
    """
    headers = CIMultiDict(response_headers(head.headers, _no_addresses))
    headers.setdefault("Server", "Portside")
    if outer is not None:
        put_outer_headers(outer, headers)
    if head.status == _NOT_MODIFIED:
        headers.popall("Content-Length", None)  # as aiohttp does
    if has_content:
        headers.setdefault("Content-Type", "application/octet-stream")
    return KeptHead(encode_head(f"HTTP/1.1 {head.status} {head.reason}", headers.items()), headers)


def _no_addresses() -> Addresses:
    raise AssertionError("a head with an address is not kept")


def message_of(kept: KeptHead, body: bytes, *, closes: bool) -> bytes:
    """Returns an answer as it is sent."""
    return b"".join((kept.data, _CLOSE if closes else _END, body))


class KeptAnswer(web.Response):
    """An answer under a kept head, to a request of HTTP/1.1.

    Args:
        head: the registry's.
        kept: made of it.
        body: whole.
    """

    def __init__(self, head: AnswerHead, kept: KeptHead, body: bytes) -> None:
        super().__init__(status=head.status, reason=head.reason, headers=kept.headers, body=body)
        self._kept = kept
        self._asked: web.BaseRequest | None = None

    @property
    @override
    def keep_alive(self) -> bool:
        return super().keep_alive is not False

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        if not request.keep_alive:
            self.force_close()
        self._asked = request
        return request.writer

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        assert self._asked is not None
        assert isinstance(self.body, bytes)
        await self._asked.writer.write(message_of(self._kept, self.body, closes=not self.keep_alive))


def takes_kept(request: web.BaseRequest) -> bool:
    """Whether a client can be given a kept head."""
    return request.version is HttpVersion11
