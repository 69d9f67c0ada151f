"""Calls of a Docker client on a v2 registry: the ping, who is asking, and what a daemon remembers of blobs.

One `V2Calls` is one command's talk about one repository (WIRE sections 2 and 5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from tests.support.fallback import Kind, RefusedError
from tests.support.profiles import Finding, Profile
from tests.support.v1_calls import Login, basic
from tests.support.wire import BrokenConnectionError, Call, HttpClient, Response

API_VERSION: Final = "Docker-Distribution-Api-Version"
SCHEMA2: Final = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(slots=True)
class V2Store:
    """What a daemon keeps: blobs by digest, and in which repositories of the registry it knows them to be."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, list[str]] = field(default_factory=dict)

    def remember(self, name: str, digest: str) -> None:
        names = self.repositories.setdefault(digest, [])
        if name not in names:
            names.append(name)

    def knows(self, name: str, digest: str) -> bool:
        return name in self.repositories.get(digest, [])


@dataclass(frozen=True, slots=True)
class Challenge:
    """``WWW-Authenticate`` of a ping: the scheme in lower case and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ping:
    """The answer to ``GET /v2/``."""

    status: int
    names_api: bool
    challenge: Challenge | None

    @property
    def accepted(self) -> bool:
        """Docker 1.5 to 1.7: 200 or 401, and the header that names the API."""
        return self.status in {200, 401} and self.names_api


def ping_v2(http: HttpClient, profile: Profile, base: str) -> Ping:
    """Ask ``GET /v2/`` with the agent that the release uses for it."""
    response = http.send(Call("GET", f"{base}/v2/", profile.ping_agent))
    names_api = any("registry/2.0" in value.split() for value in response.values(API_VERSION))
    return Ping(response.status, names_api, _challenge(response) if response.status == 401 else None)


def _challenge(response: Response) -> Challenge | None:
    for value in response.values("WWW-Authenticate"):
        scheme, _, rest = value.partition(" ")
        if scheme.lower() in {"basic", "bearer"}:
            return Challenge(scheme.lower(), dict(re.findall(r'(\w+)="([^"]*)"', rest)))
    return None


class V2Calls:
    """Requests on one repository of the v2 registry at `base` (``scheme://netloc``)."""

    def __init__(
        self,
        http: HttpClient,
        profile: Profile,
        base: str,
        name: str,
        *,
        login: Login | None,
        challenge: Challenge | None,
        basic_everywhere: bool,
        actions: str,
    ) -> None:
        self._http = http
        self.profile = profile
        self.base = base
        self.name = name
        self._login = login
        self._challenge = challenge
        self._basic_everywhere = basic_everywhere
        self._actions = actions
        self._bearer: str | None = None

    def url(self, path: str) -> str:
        """The URL of something in the repository."""
        return f"{self.base}/v2/{self.name}/{path}"

    def send(
        self,
        method: str,
        url: str,
        *,
        fields: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        chunked: bool = False,
    ) -> Response:
        """Send with the Authorization that the registry demanded.

        Raises:
            RefusedError: The connection broke, or nobody is logged in where somebody has to be.
        """
        try:
            authorization = self._authorization()
            lines = [*fields, *([("Authorization", authorization)] if authorization else [])]
            return self._http.send(Call(method, url, self.profile.agent, lines, body, chunked))
        except BrokenConnectionError as error:
            raise RefusedError(Kind.NONSENSE, str(error)) from error

    def has_blob(self, digest: str) -> bool:
        """Whether HEAD finds the blob."""
        return self.send("HEAD", self.url(f"blobs/{digest}")).status == 200

    def _authorization(self) -> str | None:
        scheme = self._challenge.scheme if self._challenge else ""
        if scheme == "bearer":
            self._bearer = self._bearer or self._fetch_token()
            return f"Bearer {self._bearer}"
        if scheme == "basic" and self._login is None and self.profile.finding is not Finding.ONE_PING:
            raise RefusedError(Kind.NO_CREDENTIALS, "no basic auth credentials")
        if self._basic_everywhere or (scheme == "basic" and self._login):
            return self._login.basic if self._login else basic(":")
        return None

    def _fetch_token(self) -> str:
        parameters = self._challenge.parameters if self._challenge else {}
        query = urlencode(
            {
                "scope": f"repository:{self.name}:{self._actions}",
                "service": parameters.get("service", ""),
            }
        )
        fields = [("Authorization", self._login.basic)] if self._login else []
        response = self._http.send(Call("GET", f"{parameters['realm']}?{query}", self.profile.agent, fields))
        if response.status != 200:
            raise RefusedError(Kind.CODED, "the token server refused", "UNAUTHORIZED")
        token: str = json.loads(response.body)["token"]
        return token
