"""A token server, as distribution's `auth: token` wants one: over TLS, with users, and what each may do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp.web import BaseRequest, Response

from tests.support.certificate import CertificateFiles
from tests.support.loopback import serve
from tests.support.tokens import PrivateKey, make_claims, make_token, thumbprint


@dataclass(slots=True)
class TokenServer:
    """Signs for each user what is asked for and they may.

    Attributes:
        key: signs.
        passwords: of each user.
        rights: what each may do with any repository; "" is who shows no password.
        header: of its tokens beside `alg`; a kid as distribution 3 has it, unless given.
        seconds: how long a token holds; None leaves `expires_in` out.
        asked: every question that it was asked: who, and which scopes.
        status: of every answer, where it is not 200.
        gate: what every answer waits for, if anything.
    """

    key: PrivateKey
    passwords: Mapping[str, str]
    rights: Mapping[str, Sequence[str]]
    algorithm: str = "ES256"
    header: Mapping[str, Any] | None = None
    seconds: int | None = 300
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    scheme: str = "https"
    port: int = 0

    @property
    def realm(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/token"

    async def handle(self, request: BaseRequest) -> Response:
        """Answers one question."""
        self.methods.append(request.method)
        if request.method == "POST":
            form = await request.post()
            user, password = str(form.get("username", "")), str(form.get("password", ""))
            scopes = tuple(str(form.get("scope", "")).split())
        else:
            kind, _, rest = request.headers.get("Authorization", "").partition(" ")
            user, _, password = b64decode(rest).decode().partition(":") if kind == "Basic" else ("", "", "")
            scopes = tuple(part for one in request.query.getall("scope", []) for part in one.split(" "))
        self.asked.append((user, scopes))
        if self.gate is not None:
            await self.gate.wait()
        if self.status != 200:
            return Response(status=self.status, headers=self.headers)
        if user and self.passwords.get(user) != password:
            return Response(status=401, text=json.dumps({"details": "incorrect username or password"}))
        text = self.sign(user, scopes)
        says: dict[str, Any] = {"token": text, "access_token": text}
        if self.seconds is not None:
            says["expires_in"] = self.seconds
        return Response(text=json.dumps(says), content_type="application/json")

    def sign(self, user: str, scopes: Sequence[str]) -> str:
        """A token for what of these scopes a user may."""
        granted = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            may = [action for action in actions.split(",") if action in self.rights.get(user, ())]
            granted.append({"type": kind, "name": name, "actions": may})
        header = {"kid": thumbprint(self.key)} if self.header is None else self.header
        now = time.time()
        claims = make_claims(now, sub=user, access=granted, exp=int(now) + (self.seconds or 60))
        return make_token({"typ": "JWT", "alg": self.algorithm, **header}, claims, self.key)


@contextlib.asynccontextmanager
async def running_token_server(server: TokenServer, files: CertificateFiles | None) -> AsyncIterator[TokenServer]:
    """Serves it until the end of the block; by plain HTTP for programs that trust the system's authorities alone."""
    context = None
    if files is None:
        server.scheme = "http"
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.chain, files.key)
    async with serve(server.handle, tls=context) as port:
        server.port = port
        yield server
