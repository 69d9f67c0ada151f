"""Which answers are kept at all: by the heads of their requests, by what they depend on, and by how they were made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser

from backends.dependencies import NOTED, Dependencies
from portside.server.keeping import Candidate, may_be_kept
from portside.server.kept_answers import KeptAnswers
from tests.support.same_heads import get

SENT = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\n{}"


async def message_of(head: bytes) -> Any:
    loop = asyncio.get_running_loop()
    messages, _, _ = HttpRequestParser(BaseProtocol(loop), loop, 65536).feed_data(head)
    ((message, _),) = messages
    return message


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (get("/v2/"), True),
        (get("/v2/", method="HEAD"), True),
        (get("/v2/", "Connection: close"), True),
        (get("/v2/", "Connection: Keep-Alive"), True),
        (get("/v2/", method="OPTIONS"), False),
        (get("/v2/", method="DELETE"), False),
        (get("/v2/").replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (get("/v2/", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (get("/v2/", "Connection: close, keep-alive"), False),
        (get("/v2/", "Connection: keep-alive", "Connection: close"), False),
        (get("/v2/", "Connection: X-Other"), False),
        (get("/v2/", "Content-Length: 0"), False),
        (get("/v2/", "Content-Length: 5"), False),
        (get("/v2/", "Transfer-Encoding: chunked"), False),
        (get("/v2/", "Expect: 100-continue"), False),
        (get("/v2/", "Upgrade: h2c"), False),
        (get("/v2/", "Connection: Upgrade", "Upgrade: websocket"), False),
    ],
)
async def test_what_says_more_than_what_it_asks_for_has_no_answer_kept(head: bytes, *, kept: bool) -> None:
    assert may_be_kept(await message_of(head)) == kept


def test_an_answer_may_be_given_again_only_where_everybody_says_so() -> None:
    noted = Dependencies()
    assert not noted.are_known
    noted.permit(needs_storage=True)
    assert not noted.are_known
    noted.add(lambda: True)
    assert not noted.are_known
    noted.add_of_storage(lambda: True)
    assert noted.are_known
    noted.refuse()
    assert not noted.are_known
    noted.permit(needs_storage=False)
    assert not noted.are_known


async def answered(*, waits: bool) -> KeptAnswers:
    """Has a request answered by a handler that waits for something, or not; returns what was kept."""
    answers, head = KeptAnswers(1 << 20), get("/v2/")
    candidate = Candidate(answers, head, await message_of(head))

    async def handler() -> web.StreamResponse:
        noted = NOTED.get()
        assert noted is not None
        noted.permit(needs_storage=False)
        if waits:
            await asyncio.sleep(0)
        return web.Response(body=b"{}")

    candidate.judge(await candidate.watch(handler()))
    assert NOTED.get() is None
    candidate.keep(SENT)
    return answers


async def test_an_answer_that_was_made_in_one_go_is_kept() -> None:
    assert (await answered(waits=False)).find(get("/v2/")) is not None


async def test_an_answer_that_waited_for_anything_is_not_kept() -> None:
    assert (await answered(waits=True)).find(get("/v2/")) is None


@pytest.mark.parametrize(
    "response",
    [
        web.Response(status=404),
        web.Response(status=206),
        web.StreamResponse(),
        web.Response(headers={"Date": "yesterday"}),
    ],
    ids=["404", "206", "a stream", "a date of its own"],
)
async def test_only_a_whole_good_answer_is_kept(response: web.StreamResponse) -> None:
    answers, head = KeptAnswers(1 << 20), get("/v2/")
    candidate = Candidate(answers, head, await message_of(head))

    async def handler() -> web.StreamResponse:
        noted = NOTED.get()
        assert noted is not None
        noted.permit(needs_storage=False)
        return response

    candidate.judge(await candidate.watch(handler()))
    candidate.keep(SENT)
    assert answers.find(head) is None
