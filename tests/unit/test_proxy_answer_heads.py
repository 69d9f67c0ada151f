"""How a registry's answer is framed: read in one way only, or not at all."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.answer_heads import MAX_HEAD, AnswerHead, MalformedAnswer, parse_head, require_beginning
from proxy.chunked import CHUNKS_AT_ONCE, LAST_CHUNK, MAX_LINE, MAX_TRAILER, ChunkedBody
from proxy.message_heads import encode_head


def _parsed(*lines: str) -> AnswerHead:
    return parse_head("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1"))


@pytest.mark.parametrize(
    ("lines", "length", "chunked", "keeps_open"),
    [
        (["HTTP/1.1 200 OK", "Content-Length: 0"], 0, False, True),
        (["HTTP/1.1 200 OK", "content-length:5 \t"], 5, False, True),
        (["HTTP/1.1 200 OK", "Transfer-Encoding: Chunked"], None, True, True),
        (["HTTP/1.1 200 OK"], None, False, True),
        (["HTTP/1.1 200 OK", "Connection: X-A,  Close"], None, False, False),
        (["HTTP/1.1 200 OK", "Connection: X-A", "Connection: close"], None, False, False),
        (["HTTP/1.0 200 OK", "Content-Length: 5"], 5, False, False),
        (["HTTP/1.0 200 OK", "Content-Length: 5", "Connection: keep-alive"], 5, False, True),
        (["HTTP/1.1 204 No Content", "Content-Length: 5"], 5, False, False),
        (["HTTP/1.1 204 No Content", "Content-Length: 0"], 0, False, True),
        (["HTTP/1.1 304 Not Modified", "Content-Length: 5"], 5, False, True),
    ],
)
def test_framing(lines: list[str], length: int | None, chunked: bool, keeps_open: bool) -> None:  # noqa: FBT001
    head = _parsed(*lines)
    assert (head.length, head.chunked, head.keeps_open) == (length, chunked, keeps_open)


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [("HTTP/1.1 200", 200, ""), ("HTTP/1.1 200 ", 200, ""), ("HTTP/1.1 404 Not  Found", 404, "Not  Found")],
)
def test_status_lines(line: str, status: int, reason: str) -> None:
    head = _parsed(line, "A: b", "a:", "A:  c d ")
    assert (head.status, head.reason) == (status, reason)
    assert head.headers == (("A", "b"), ("a", ""), ("A", "c d"))


@pytest.mark.parametrize(
    "lines",
    [
        ["HTTP/2 200 OK"],
        ["HTTP/1.2 200 OK"],
        ["HTTP/1.1  200 OK"],
        ["HTTP/1.1 20 OK"],
        ["HTTP/1.1 2000 OK"],
        ["HTTP/1.1 200OK"],
        ["HTTP/1.1 099 Low"],
        ["HTTP/1.1 101 Switching Protocols", "Upgrade: x"],
        ["HTTP/1.1 200 O\x00K"],
        ["HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 5"],
        ["HTTP/1.1 200 OK", "Content-Length: 5, 5"],
        ["HTTP/1.1 200 OK", "Content-Length: +5"],
        ["HTTP/1.1 200 OK", "Content-Length: -5"],
        ["HTTP/1.1 200 OK", "Content-Length: 0x5"],
        ["HTTP/1.1 200 OK", "Content-Length:"],
        ["HTTP/1.1 200 OK", "Content-Length: \xb2"],
        ["HTTP/1.1 200 OK", "Content-Length: " + "9" * 19],
        ["HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"],
        ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"],
        ["HTTP/1.1 200 OK", "Transfer-Encoding: identity"],
        ["HTTP/1.1 200 OK", "Transfer-Encoding:"],
        ["HTTP/1.0 200 OK", "Transfer-Encoding: chunked"],
        ["HTTP/1.1 200 OK", "Content-Length : 5"],
        ["HTTP/1.1 200 OK", " Content-Length: 5"],
        ["HTTP/1.1 200 OK", "A: b", " c"],
        ["HTTP/1.1 200 OK", "A"],
        ["HTTP/1.1 200 OK", ": b"],
        ["HTTP/1.1 200 OK", "A: b\nContent-Length: 5"],
        ["HTTP/1.1 200 OK", "A: b\rContent-Length: 5"],
        ["HTTP/1.1 200 OK", "A: \x00"],
        ["HTTP/1.1 200 OK", "A\x80: b"],
    ],
)
def test_what_could_be_read_in_two_ways_is_no_answer(lines: list[str]) -> None:
    with pytest.raises(MalformedAnswer):
        _parsed(*lines)


def test_a_beginning_is_looked_at_before_the_end_is_there() -> None:
    for size in range(8):
        require_beginning(b"HTTP/1.1 200"[:size])
    with pytest.raises(MalformedAnswer):
        require_beginning(b"SSH-2")
    require_beginning(b"HTTP/1.1 200 OK\r\n" + b"a" * (MAX_HEAD - 17))
    with pytest.raises(MalformedAnswer):
        require_beginning(b"HTTP/1.1 200 OK\r\n" + b"a" * (MAX_HEAD - 16))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for tried in (data, b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n"):
        with contextlib.suppress(MalformedAnswer):
            parse_head(tried)


def _in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    return [data[first:last] for first, last in itertools.pairwise(places)]


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(0, 300)), st.binary(max_size=9))
def test_chunks_are_read_wherever_they_are_cut(chunks: list[bytes], cuts: list[int], rest: bytes) -> None:
    sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + LAST_CHUNK + rest
    body, found, behind = ChunkedBody(), b"", b""
    for piece in _in_pieces(sent, cuts):
        if body.is_whole:
            behind += piece
            continue
        found += b"".join(body.feed(piece))
        behind += body.rest
    assert (found, body.is_whole, behind) == (b"".join(chunks), True, rest)


def test_so_many_chunks_are_read_at_once_and_no_more() -> None:
    body = ChunkedBody()
    found = [body.feed(b"1\r\na\r\n" * 3 * CHUNKS_AT_ONCE)]
    while body.has_more:
        found.append(body.feed(b""))
    assert found == [[b"a" * CHUNKS_AT_ONCE]] * 3 + [[]] * (len(found) - 3)
    assert b"".join(body.feed(b"5\r\nhello\r\n" + LAST_CHUNK + b"rest")) == b"hello"
    assert (body.is_whole, body.has_more, body.rest) == (True, False, b"rest")


@pytest.mark.parametrize(
    ("data", "is_whole"),
    [
        (b"5;a=b\r\nhello\r\n0;x\r\nA: b\r\nC:\r\n\r\n", True),
        (b"00000005 \r\nhello\r\n000\r\n\r\n", True),
        (b"5\r\nhello\r\n0\r\n", False),
        (b"5\r\nhell", False),
    ],
)
def test_chunks(data: bytes, is_whole: bool) -> None:  # noqa: FBT001
    body = ChunkedBody()
    assert b"".join(body.feed(data)) == b"hello"[: len(data) - 3]
    assert body.is_whole is is_whole


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"0x5\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b" 5\r\n",
        b"5_0\r\n",
        b"\r\n",
        b"5 5\r\n",
        b"5;\x00\r\n",
        b"5\r\r\n",
        b"f" * 16 + b"\r\n",
        b"5;" + b"a" * MAX_LINE,
        b"0\r\nA b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\n" + (b"A: " + b"b" * 1000 + b"\r\n") * (MAX_TRAILER // 1000 + 1) + b"\r\n",
    ],
)
def test_what_is_no_chunk_breaks_the_body_off(data: bytes) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        with pytest.raises(MalformedAnswer):
            list(map(ChunkedBody().feed, pieces))


@pytest.mark.parametrize("name", ["A", "A\r\nB: c", "A\n", "A\r", "A\0"])
def test_a_line_of_a_head_never_becomes_two(name: str) -> None:
    headers = [(name, "b")]
    if name == "A":
        assert encode_head("GET / HTTP/1.1", headers) == b"GET / HTTP/1.1\r\nA: b\r\n"
        return
    for first, fields in (("GET / HTTP/1.1", headers), (f"GET {name}", []), ("GET /", [("A", name)])):
        with pytest.raises(ValueError, match="line"):
            encode_head(first, fields)
