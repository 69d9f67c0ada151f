"""`http.headers` stands on every answer of every form: a browser's page reads errors too, and asks OPTIONS first."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from backends import request_context
from backends.http.configured_headers import ConfiguredHeaders
from backends.http.sending import respond
from portside.observe.requests import observed
from proxy.proxy import InProcess, Proxy
from proxy.routing import Backend
from proxy.settings import ProxySettings
from tests.support.commands import RunningCommand, running_command
from tests.support.loopback import Handler
from tests.support.ports import free_port
from tests.support.programs import docker_registry
from tests.support.serving_here import Answer, Client, digest_of, make_manifest, serving_here

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Origin": "https://ui.example",
}
PREFLIGHT = {
    **BROWSER,
    "Access-Control-Request-Method": "DELETE",
    "Access-Control-Request-Headers": "authorization,docker-content-digest",
}
HEADERS = """
  headers:
    Access-Control-Allow-Origin: ['https://ui.example']
    Access-Control-Allow-Methods: [HEAD, GET, OPTIONS, DELETE]
    Access-Control-Allow-Headers: [Authorization, Accept]
    Access-Control-Expose-Headers: [Docker-Content-Digest]
    Access-Control-Allow-Credentials: [true]
    Access-Control-Max-Age: [1728000]
    Cache-Control: [no-store]
    Content-Type: [text/x-nonsense]
"""
EXPECTED = {
    "Access-Control-Allow-Origin": "https://ui.example",
    "Access-Control-Allow-Methods": "HEAD, GET, OPTIONS, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Accept",
    "Access-Control-Expose-Headers": "Docker-Content-Digest",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Max-Age": "1728000",
}
CONTENT = b"some content"
DIGEST = digest_of(CONTENT)
MANIFEST = make_manifest(CONTENT, CONTENT)


def asserted(answer: Answer, status: int) -> Answer:
    assert answer.status == status
    assert {name: answer.head.value(name) for name in EXPECTED} == EXPECTED
    return answer


@contextlib.contextmanager
def portside(form: str, folder: Path, more: str = "", *, plain: int = 0) -> Iterator[RunningCommand]:
    settings = folder / "config.yml"
    addresses = "{addr: '127.0.0.1:0', certs: made, v1: {addr: '127.0.0.1:0'}, v2: {addr: '127.0.0.1:0'}"
    http = f"http:{HEADERS}" + ("  addr: 127.0.0.1:0\n" if form != "serve" else "")
    gateway = f"gateway: {addresses}, plain: {{addr: '127.0.0.1:{plain}'}}, workers: 1}}\n" if form == "serve" else more
    settings.write_text(
        f"version: 0.1\nstorage: {{delete: {{enabled: false}}, filesystem: {{rootdirectory: data}}}}\n{http}{gateway}"
    )
    with running_command(form, settings, folder=folder) as running:
        yield running


@pytest.mark.parametrize("form", ["v2", "serve"])
async def test_every_answer_of_the_v2_registry_has_them(form: str, tmp_path: Path) -> None:
    with portside(form, tmp_path) as running:
        client = Client("127.0.0.1", running.port("v2"))
        asserted(await client.ask("GET", "/v2/", BROWSER), 200)
        asserted(await client.ask("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", BROWSER, body=CONTENT), 201)
        pushed = await client.ask(
            "PUT",
            "/v2/a/manifests/t",
            {**BROWSER, "Content-Type": "application/vnd.oci.image.manifest.v1+json"},
            body=MANIFEST,
        )
        asserted(pushed, 201)
        begun = asserted(await client.ask("POST", "/v2/a/blobs/uploads/", BROWSER), 202)
        blob = f"/v2/a/blobs/{DIGEST}"
        answer = asserted(await client.ask("GET", blob, BROWSER), 200)
        # What a handler says itself goes before the settings, as in distribution.
        assert (answer["Content-Type"], answer["Cache-Control"]) == ("application/octet-stream", "max-age=31536000")
        for status, method, path, headers in (
            (200, "HEAD", blob, {}),
            (206, "GET", blob, {"Range": "bytes=0-3"}),
            (206, "GET", blob, {"Range": "bytes=0-3,5-6"}),
            (304, "GET", blob, {"If-None-Match": "*"}),
            (412, "GET", blob, {"If-Match": '"x"'}),
            (416, "GET", blob, {"Range": "bytes=99-"}),
            (405, "DELETE", blob, {}),
            (405, "POST", "/v2/", {}),
            (404, "GET", "/v2/a/manifests/none", {}),
            (404, "HEAD", "/v2/a/manifests/none", {}),
            (400, "GET", "/v2/A/tags/list", {}),
            (404, "GET", "/v2/nothing", {}),
            (301, "GET", "/v2", {}),
            (301, "GET", "/v2//a/tags/list", {}),
            (200, "GET", "/v2/a/tags/list", {}),
            (200, "GET", "/v2/_catalog", {}),
            (200, "GET", "/", {}),
            (200, "GET", "/debug/health", {}),
            (204, "GET", begun.path, {}),
            (204, "DELETE", begun.path, {}),
        ):
            asserted(await client.ask(method, path, {**BROWSER, **headers}), status)


@pytest.mark.parametrize("form", ["v2", "serve"])
async def test_a_preflight_of_any_path_succeeds_without_credentials(form: str, tmp_path: Path) -> None:
    plain = free_port()
    with portside(form, tmp_path, plain=plain) as running:
        for port in (running.port("v2"), *([plain] if form == "serve" else [])):
            client = Client("127.0.0.1", port)
            for path in ("/v2/", "/v2/_catalog", "/v2/a/manifests/t", "/v2/A/nothing", "/v2/x//y"):
                answer = asserted(await client.ask("OPTIONS", path, PREFLIGHT), 200)
                assert answer.body == b""


async def test_the_proxys_own_answers_have_them_too_and_v1s(tmp_path: Path) -> None:
    plain = free_port()
    with portside("serve", tmp_path, plain=plain) as running:
        proxy, v1 = Client("127.0.0.1", plain), Client("127.0.0.1", running.port("v1"))
        for status, path in ((200, "/"), (404, "/nothing"), (301, "/v2"), (404, "/v2/a/manifests/x")):
            asserted(await proxy.ask("GET", path, BROWSER), status)
        for client in (proxy, v1):
            asserted(await client.ask("GET", "/v1/_ping", BROWSER), 200)
            asserted(await client.ask("GET", "/v1/repositories/a/b/tags", BROWSER), 404)
        old = asserted(await proxy.ask("GET", "/v2/", {"User-Agent": "docker/1.5.0"}), 404)
        assert old.head.value("Docker-Distribution-Api-Version") is None


@pytest.mark.real
async def test_a_foreign_registrys_answers_have_them_once(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    with docker_registry(tmp_path / "foreign") as address:
        upstream = f"gateway: {{v2: {{upstream: 'http://127.0.0.1:{address.port}'}}}}\n"
        with portside("proxy", tmp_path, upstream) as running:
            client = Client("127.0.0.1", running.port("proxy"))
            for status, path in ((200, "/v2/"), (404, "/v2/a/manifests/x"), (404, "/nothing")):
                answer = asserted(await client.ask("GET", path, BROWSER), status)
                assert len(answer.head.values("Content-Type")) == 1


@contextlib.asynccontextmanager
async def _serving(headers: ConfiguredHeaders, handler: Handler) -> AsyncIterator[Client]:
    async with serving_here(observed(handler, "v2", access=None, metrics=None, headers=headers)) as client:
        yield client


async def _fail(_: web.BaseRequest) -> web.StreamResponse:
    raise RuntimeError("on purpose")


async def test_the_last_nets_answer_has_them() -> None:
    async with _serving(ConfiguredHeaders({"X-One": "1"}), _fail) as client:
        answer = await client.ask("GET", "/v2/")
        assert (answer.told, answer["X-One"]) == ((500, "UNKNOWN"), "1")


async def test_they_can_change_while_serving() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return respond(request, 200, {"Server": "x", "X-Said": "handler"}, b"")

    headers = ConfiguredHeaders({"X-One": "1"})
    proxy = Proxy(ProxySettings(), {Backend.V2: InProcess(answer)}, headers=headers)
    for handler in (answer, proxy.handle):
        headers.change({"X-One": "1"})
        async with _serving(headers, handler) as client:
            assert (await client.ask("GET", "/v2/"))["X-One"] == "1"
            headers.change({"X-Two": "2", "Server": "mine", "x-said": "settings"})
            said = await client.ask("GET", "/v2/")
            assert (said.head.value("X-One"), said["X-Two"], said["Server"]) == (None, "2", "mine")
            assert said.head.values("X-Said") == ["handler"]


async def test_the_settings_cannot_keep_an_old_client_from_falling_back() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return respond(request, 200, {"X-Route": request[request_context.BACKEND]}, b"")

    headers = ConfiguredHeaders({"docker-distribution-api-version": "registry/2.0", "X-One": "1"})
    proxy = Proxy(ProxySettings(), {backend: InProcess(answer) for backend in Backend}, headers=headers)
    async with _serving(headers, proxy.handle) as client:
        for agent, path, version in (
            ("docker/1.5.0", "/v2/", None),
            ("docker/1.5.0", "/v1/_ping", None),
            ("docker/28.0.0", "/v2/", "registry/2.0"),
        ):
            said = await client.ask("GET", path, {"User-Agent": agent})
            assert (said.head.value("Docker-Distribution-Api-Version"), said["X-One"]) == (version, "1")
