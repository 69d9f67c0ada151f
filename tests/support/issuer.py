"""An OpenID Connect issuer over HTTPS with a CA of its own, whose answers a test may change while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.tokens import PrivateKey, make_rsa, make_token, public_jwk

AUDIENCE = "registry.example"

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Issuer:
    """A running issuer.

    Attributes:
        url: what it calls itself.
        ca: its CA.
        keys: by their names; what signs is what is published.
        pages: answers by path, in place of its own.
        asked: paths that were asked for, with the Authorization of each.
        headers: of the key set.
    """

    url: str
    ca: Path
    keys: dict[str, PrivateKey] = field(default_factory=lambda: {"one": make_rsa()})
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    wants: str = ""

    def count(self, path: str = "/jwks") -> int:
        """How often a path was asked for."""
        return sum(each == path for each, _ in self.asked)

    def jwks(self) -> dict[str, Any]:
        """What it publishes."""
        return {"keys": [public_jwk(key, kid=name, use="sig") for name, key in self.keys.items()]}

    def token(self, header: Mapping[str, Any] | None = None, key: PrivateKey | None = None, **claims: Any) -> str:
        """A token of its own; claims that are `...` are left out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "nbf": now, "exp": now + 600, **claims}
        name = next(iter(self.keys))
        head = {"typ": "JWT", "alg": "RS256", "kid": name, **(header or {})}
        signs = key or self.keys.get(str(head["kid"])) or self.keys[name]
        return make_token(
            {k: v for k, v in head.items() if v is not ...}, {k: v for k, v in said.items() if v is not ...}, signs
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers as it is set to."""
        authorization = request.headers.get("Authorization", "")
        self.asked.append((request.path, authorization))
        if request.path in self.pages:
            return await self.pages[request.path](request)
        if self.wants and authorization != f"Bearer {self.wants}":
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        match request.path:
            case "/.well-known/openid-configuration":
                return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"})
            case "/jwks":
                return web.json_response(self.jwks(), headers=self.headers)
            case _:
                return web.Response(status=404)


def page(content: str | bytes, *, status: int = 200, **headers: str) -> Page:
    """An answer that is always the same."""
    body = content.encode() if isinstance(content, str) else content

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


async def silence(request: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.sleep(60)
    return web.Response()


def jwks_text(keys: Mapping[str, PrivateKey]) -> str:
    """A key set."""
    return json.dumps({"keys": [public_jwk(key, kid=name) for name, key in keys.items()]})


def _make_files(folder: Path) -> CertificateFiles:
    folder.mkdir(exist_ok=True)
    return make_certificate(folder)


@contextlib.asynccontextmanager
async def running_issuer(folder: Path, *, port: int = 0) -> AsyncIterator[Issuer]:
    """Serves one until the end of the block."""
    files = await asyncio.to_thread(_make_files, folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.chain, files.key)
    issuer = Issuer("", files.ca)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", issuer.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    bound: int = runner.addresses[0][1]
    issuer.url = f"https://localhost:{bound}"
    try:
        yield issuer
    finally:
        await runner.cleanup()
