"""A small index of v1 as Docker's own was, apart from its registry: it knows users and gives tokens for repositories.

It is a real server in threads of its own, over TLS where it has a certificate, so tests that block can use it, too, and
the original registry, which asks it as Portside does (V1API section 7).
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from tests.support.certificate import CertificateFiles

_REPOSITORY = re.compile(r"/v1/repositories/([^/]+/[^/]+?)/?(images|layer/([0-9a-f]+)/access)?")


@dataclass(slots=True)
class Listed:
    """A repository.

    Attributes:
        ids: of its images, in their order.
        owner: who may push, and read what is private; "" for everybody.
        is_private: whether others may not pull.
    """

    ids: list[str] = field(default_factory=list)
    owner: str = ""
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that arrived."""

    method: str
    path: str
    authorization: str


@dataclass(slots=True)
class SmallIndex:
    """The index.

    Attributes:
        registry: what it tells clients to connect to.
        users: passwords.
        repositories: by `namespace/name`.
        shared: ids that everybody may build upon and read.
        asked: what arrived.
        answers: what it answers to registries, instead of what is so: status, headers and body.
        delay: seconds before each answer.
        gives: the repository and the access that it writes into tokens, instead of what was asked for; None for these.
    """

    registry: str = ""
    users: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, Listed] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)
    answers: tuple[int, dict[str, str], bytes] | None = None
    delay: float = 0.0
    gives: tuple[str, str] | None = None
    url: str = ""
    _given: dict[str, tuple[str, str]] = field(default_factory=dict)

    def give(self, repository: str, access: str, *, given: str = "") -> str:
        """Gives a token; returns it as `X-Docker-Token` says it."""
        signature = f"SIGNATURE{len(self._given):07}"
        self._given[signature] = (repository, given or access)
        return f'signature={signature},repository="{repository}",access={access}'

    def revoke(self) -> None:
        """Takes back all tokens."""
        self._given.clear()

    def takes(self, authorization: str, repository: str) -> bool:
        """Whether a token is one of its own, as it gave it, for a repository."""
        found = dict(re.findall(r'(\w+)="?([^",]+)', authorization))
        given = self._given.get(found.get("signature", ""))
        return given == (found.get("repository"), found.get("access", "")) and found["repository"] == repository


def header(token: str) -> dict[str, str]:
    """What Docker makes of a token."""
    return {"Authorization": f"Token {token}"}


@contextlib.contextmanager
def small_index(index: SmallIndex, files: CertificateFiles | None = None, *, port: int = 0) -> Iterator[SmallIndex]:
    """Serves it until the end of the block."""

    class Handler(_Handler):
        served = index

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if files is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.chain, files.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    index.url = f"{'https' if files else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: SmallIndex
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @override
    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _serve(self) -> None:
        index = self.served
        body = self._body()
        authorization = self.headers.get("Authorization", "")
        index.asked.append(Asked(self.command, self.path, authorization))
        if index.delay:
            time.sleep(index.delay)
        if self.path == "/v1/_ping":
            return self._say(200, {}, {"X-Docker-Registry-Standalone": "false"})
        found = _REPOSITORY.fullmatch(self.path)
        if found is None:
            return self._say(404, {"error": "nothing is here"})
        name = found[1]
        if authorization.lower().startswith("token"):
            return self._answer_registry(name, found[3], authorization)
        return self._answer_client(name, found[2] or "", authorization, body)

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - as http.server calls them

    def _answer_registry(self, name: str, image: str | None, authorization: str) -> None:
        """Answers whether a token is good, with the list of its images, or whether its holder may have one image."""
        index = self.served
        if index.answers is not None:
            status, headers, content = index.answers
            return self._send(status, headers, content)
        if not index.takes(authorization, name):
            return self._say(401, {"error": "wrong token"})
        if self.command == "PUT":  # the end of a push
            return self._say(204, None)
        listed = index.repositories.get(name, Listed())
        if image is not None:
            return self._say(200, {"access": image in listed.ids or image in index.shared})
        return self._say(200, [{"id": each, "checksum": ""} for each in listed.ids])

    def _answer_client(self, name: str, what: str, authorization: str, body: bytes) -> None:
        """Answers Docker, which shows a user's password: what is listed, and a token for the registry."""
        index = self.served
        user = self._user(authorization)
        if user is None:
            return self._say(401, {"error": "wrong password"})
        listed = index.repositories.get(name)
        access = {"GET": "read", "PUT": "write", "DELETE": "delete"}[self.command]
        mine = listed is None or listed.owner in {"", user}
        if access == "read" and (listed is None or (listed.is_private and not mine)):
            return self._say(404, {"error": "no such repository"})
        if access != "read" and (not user or not mine):
            return self._say(403, {"error": "not yours"})
        if access == "write":
            listed = index.repositories.setdefault(name, Listed(owner=user))
            listed.ids += [each["id"] for each in json.loads(body) if each["id"] not in listed.ids]
        token = f"Token {index.give(*(index.gives or (name, access)))}"
        told = {"X-Docker-Token": token, "WWW-Authenticate": token, "X-Docker-Endpoints": index.registry}
        if access == "read":
            assert listed is not None
            return self._say(200, [{"id": each} for each in listed.ids], told)
        return self._say(204 if what == "images" else 200, None if what == "images" else "", told)

    def _user(self, authorization: str) -> str | None:
        if not authorization or authorization == "Basic Og==":
            return ""
        user, _, password = b64decode(authorization.partition(" ")[2]).decode().partition(":")
        return user if self.served.users.get(user) == password else None

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _say(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = b"" if value is None else json.dumps(value).encode()
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, content)

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked has gone
            self.wfile.write(content)


def paths(asked: Sequence[Asked]) -> list[str]:
    """What was asked for, without the part that all have in common."""
    return [f"{each.method} {each.path.removeprefix('/v1/repositories/')}" for each in asked]
