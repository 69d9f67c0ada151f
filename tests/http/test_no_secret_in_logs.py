"""No secret that a client sends reaches a log, wherever it stands and whatever becomes of its request."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from pathlib import Path

import pytest

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.commands import RunningCommand, running_command
from tests.support.upstreams import Peer, spoken_by_hand

SECRET = "hunter2hunter2"
CREDENTIALS = base64.b64encode(f"me:{SECRET}".encode()).decode()
LOGIN = f'{{"username": "me", "password": "{SECRET}", "email": "me@x"}}'
QUERIES = [
    f"_state={SECRET}",
    f"n=x&_state={SECRET}&digest=sha256:0",
    f"digest={'sha256:' + '0' * 64}&token={SECRET}",
    f"access_token={SECRET}&n=-1",
    f"%5Fstate={SECRET}",
    f"X-Amz-Signature={SECRET}&X-Amz-Security-Token={SECRET}",
    "&".join([f"token={SECRET}"] * 200),  # more than are read
]
PATHS = [
    "/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/1", "/v2/a/blobs/uploads/", "/v2/A//x", "/nothing",
    "/v2/a/blobs/uploads/9b2a5b5e-0c0f-4e8e-8b0a-0123456789ab", "/v1/search", "/v1/images/x/json", "/v1/users/",
    "/metrics", "/debug/health",
]  # fmt: skip
HEADERS = [
    f"Authorization: Basic {CREDENTIALS}",
    f"Authorization: Bearer {SECRET}",
    f"Proxy-Authorization: Basic {CREDENTIALS}",
    f"Cookie: session={SECRET}",
    f"X-Docker-Token: Token signature={SECRET}",
    f"Expect: {SECRET}",
    f"Range: bytes={SECRET}",
    f"Content-Type: {SECRET}",
    f"X {SECRET}: not valid",
    f"Transfer-Encoding: {SECRET}, chunked",
]


def requests() -> list[bytes]:
    made: list[bytes] = []
    for path in PATHS:
        for query in QUERIES:
            made += [head(method, f"{path}?{query}") for method in ("GET", "PUT", "POST", "DELETE")]
        made.append(head("GET", f"http://me:{SECRET}@x{path}"))
        made.append(head("PUT", path, f"Content-Length: {len(LOGIN)}") + LOGIN.encode())
        made += [head("GET", path, header) for header in HEADERS]
    made.append(head("GET", f"/v2/?token={SECRET}", host=f"me:{SECRET}@x"))
    made.append(f"GET /v2/?token={SECRET} HTTP/9.9\r\n\r\n".encode())
    made.append(f"GET /v2/?token={SECRET} x HTTP/1.1\r\n\r\n".encode())
    made.append(f"{SECRET} / HTTP/1.1\r\n\r\n".encode())
    return made


def head(method: str, target: str, *headers: str, host: str = "x") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]).encode()


async def send_all(port: int, tls: ssl.SSLContext | None = None) -> None:
    gate = asyncio.Semaphore(8)

    async def send(request: bytes) -> None:
        async with gate, asyncio.timeout(60):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
                )
                writer.write(request)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):  # one that waits for the rest of a body
                        while await reader.read(65536):
                            pass
                writer.transport.abort()

    await asyncio.gather(*map(send, requests()))


def assert_nothing_leaked(running: RunningCommand) -> None:
    assert running.end() == 0
    for log in (running.out, running.err):
        for line in log.read_text().splitlines():
            assert SECRET not in line, line
            assert CREDENTIALS not in line, line


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificate(tmp_path)


@pytest.mark.parametrize("formatter", ["text", "json"])
async def test_with_registries_in_the_same_process(tmp_path: Path, files: CertificateFiles, formatter: str) -> None:
    settings = f"""
log: {{level: debug, formatter: {formatter}}}
storage: {{filesystem: {{rootdirectory: data}}}}
http: {{tls: {{certificate: {files.chain}, key: {files.key}}}}}
gateway: {{addr: "127.0.0.1:0", workers: 1, v1: {{addr: "127.0.0.1:0"}}, v2: {{addr: "127.0.0.1:0"}}}}
"""
    (tmp_path / "portside.yml").write_text(settings)
    with running_command("serve", "portside.yml", folder=tmp_path) as running:
        await send_all(running.port("proxy"), ssl.create_default_context(cafile=str(files.ca)))
        await send_all(running.port("proxy"))  # which speaks TLS
        await send_all(running.port("v1"))
        await send_all(running.port("v2"))
        assert_nothing_leaked(running)


async def _breaks_off(peer: Peer) -> None:
    await peer.read_head()
    await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x" * 70000)
    await asyncio.sleep(0.1)  # the proxy has taken the head: else it could still answer 502
    peer.reset()


async def _answers_nonsense(peer: Peer) -> None:
    await peer.read_head()
    await peer.send("HTTP/1.1 what?\r\n\r\n")


async def test_with_registries_elsewhere_that_fail(tmp_path: Path, files: CertificateFiles) -> None:
    async with spoken_by_hand(_breaks_off) as breaking, spoken_by_hand(_answers_nonsense) as nonsense:
        settings = f"""
log: {{level: debug}}
http: {{tls: {{certificate: {files.chain}, key: {files.key}}}}}
gateway:
  workers: 1
  v1: {{upstream: "{nonsense.address}"}}
  v2: {{upstream: "{breaking.address}"}}
"""
        (tmp_path / "portside.yml").write_text(settings)
        with running_command("proxy", "portside.yml", "--addr", "127.0.0.1:0", folder=tmp_path) as running:
            await send_all(running.port("proxy"), ssl.create_default_context(cafile=str(files.ca)))
            log = await asyncio.to_thread(running.err.read_text)
            assert "failed in the middle of" in log
            assert "its answer is not HTTP" in log
            assert_nothing_leaked(running)
