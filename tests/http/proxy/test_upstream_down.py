"""A registry that does not answer is reported at once, in its own error shape, with the reason."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from pathlib import Path

import pytest

from proxy.routing import Backend
from proxy.settings import UpstreamSettings
from tests.support.certificate import make_certificate
from tests.support.loopback import Answer
from tests.support.ports import free_port
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry, spoken_by_hand


def _reason(answer: Answer) -> str:
    error = json.loads(answer.body)["errors"][0]
    assert (error["code"], error["message"]) == ("UNAVAILABLE", "service unavailable")
    # Without it Docker 1.6 to 1.13 would take the answer for "no v2 here".
    assert answer.head.value("Docker-Distribution-Api-Version") == "registry/2.0"
    reason: str = error["detail"]["reason"]
    assert "gateway.v2.upstream" in reason
    return reason


@pytest.mark.parametrize("address", ["tcp", "unix", "name"])
@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("HEAD", b""), ("PUT", b"x" * 100_000), ("POST", b"")])
async def test_a_registry_that_is_not_there_is_502_at_once(
    tmp_path: Path, address: str, method: str, body: bytes
) -> None:
    where = {
        "tcp": f"http://127.0.0.1:{free_port()}",
        "unix": f"unix:{tmp_path / 'none.sock'}",
        "name": "http://registry.invalid:5000",
    }[address]
    async with running_proxy({Backend.V2: where, Backend.V1: where}) as proxy:
        start = time.perf_counter()
        answer = await proxy.ask(method, "/v2/a/blobs/x", body=body)
        assert answer.status == 502
        assert time.perf_counter() - start < 15
        if method != "HEAD":
            assert f"{where} does not answer: it cannot be reached (" in _reason(answer)
        old = await proxy.ask("GET", "/v1/_ping")
        assert (old.status, old.head.value("Docker-Distribution-Api-Version")) == (502, None)
        assert json.loads(old.body)["error"].startswith(f"the v1 registry at {where} does not answer")


async def test_a_silent_registry_is_504(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.other_side_closed()

    async with registry(converse) as upstream:
        settings = UpstreamSettings(upstream.address, read_seconds=0.3)
        async with running_proxy({Backend.V2: settings}) as proxy:
            answer = await proxy.ask("GET", "/v2/")
            assert answer.status == 504
            assert "it said nothing for 0.3 seconds" in _reason(answer)


async def test_a_body_that_is_being_sent_slowly_is_not_silence(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_body(await peer.read_head())
        await peer.answer("201 Created")

    async with registry(converse) as upstream:
        settings = UpstreamSettings(upstream.address, read_seconds=1.5)
        async with (
            running_proxy({Backend.V2: settings}) as proxy,
            asyncio.timeout(30),
            proxy.connection() as client,
        ):
            await client.send("PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n")
            for _ in range(8):
                await client.send(b"x")
                await asyncio.sleep(0.3)
            assert (await client.read_head()).status == 201


async def test_a_registry_that_takes_no_connection_is_504() -> None:
    # A listener that completes no TLS handshake stands for all that accept and say nothing.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with running_proxy({Backend.V2: UpstreamSettings(address, connect_seconds=0.3)}) as proxy:
            answer = await proxy.ask("GET", "/v2/")
            assert answer.status == 504
            assert "no connection within 0.3 seconds" in _reason(answer)


async def test_a_certificate_is_checked_and_what_is_wrong_with_it_is_said(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", body=b"{}")

    async with spoken_by_hand(converse, tls=context) as upstream:
        trusting = UpstreamSettings(upstream.address, ca=str(certificate.ca))
        async with running_proxy({Backend.V2: trusting}) as proxy:
            assert (await proxy.ask("GET", "/v2/")).status == 200
        async with running_proxy({Backend.V2: upstream.address}) as proxy:
            answer = await proxy.ask("GET", "/v2/")
            assert answer.status == 502
            reason = _reason(answer)
            assert "its certificate is not trusted" in reason
            assert reason.endswith(
                "; name its CA in gateway.v2.ca, or the name of its certificate in gateway.v2.upstream"
            )


async def test_a_registry_of_plain_http_that_is_asked_by_tls_is_told_as_such() -> None:
    async def converse(peer: Peer) -> None:
        await peer.answer("400 Bad Request")

    async with spoken_by_hand(converse) as upstream:
        address = upstream.address.replace("http://", "https://")
        async with running_proxy({Backend.V2: address}) as proxy:
            answer = await proxy.ask("GET", "/v2/")
            assert answer.status == 502
            assert _reason(answer).endswith("it speaks plain HTTP; write http:// in gateway.v2.upstream")


async def test_the_registry_is_asked_again_as_soon_as_it_is_back(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("200 OK")

    port = free_port()
    async with running_proxy({Backend.V2: f"http://127.0.0.1:{port}"}) as proxy:
        assert (await proxy.ask("GET", "/v2/")).status == 502

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await converse(Peer(reader, writer))
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", port)
        assert (await proxy.ask("GET", "/v2/")).status == 200
        server.close()
        await server.wait_closed()
