"""Requests that are data: written byte for byte, each sent on a connection of its own, and what comes back as it is."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Final

HOST: Final = "registry.example:5000"
"""Whom a request asks that does not say it."""

_TIMEOUT_S: Final = 20.0
_SENDS_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Exchanged:
    """An answer.

    Attributes:
        status: with `cut off` where the answer ended before the length that it announced; or `no answer`.
        headers: as they came.
    """

    status: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


def written(
    start: str,
    headers: Sequence[tuple[str, str]],
    *,
    body: bytes | None = None,
    pieces: Sequence[bytes] | None = None,
) -> tuple[bytes, bytes]:
    """Returns head and body of a request.

    Args:
        start: its first line.
        headers: its own; Host and what says how long the body is are added where they are not among them.
        body: None for none.
        pieces: of a chunked body, in place of `body`.
    """
    given = {name.lower() for name, _ in headers}
    lines = [start] if "host" in given else [start, f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in headers]
    sent = body or b""
    if pieces is not None:
        lines.append("Transfer-Encoding: chunked")
        sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    elif not given & {"content-length", "transfer-encoding"} and (
        body is not None or start.partition(" ")[0] in _SENDS_LENGTH
    ):
        lines.append(f"Content-Length: {len(sent)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"), sent


def exchange(port: int, request: bytes, *, method: str, ends: bool = False) -> Exchanged:
    """Sends a request; `ends` says that nothing follows, so what its head announced never comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        try:
            connection.sendall(request)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass  # it may have answered before it has read everything
        try:
            response = HTTPResponse(connection, method=method)
            response.begin()
        except (HTTPException, ConnectionError):
            return Exchanged("no answer")
        try:
            body, cut_off = response.read(), ""
        except IncompleteRead as error:
            body, cut_off = error.partial, " cut off"
    return Exchanged(f"{response.status}{cut_off}", response.getheaders(), body)
