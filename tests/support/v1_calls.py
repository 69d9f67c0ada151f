"""Calls of a Docker client on a v1 registry: token, cookies, endpoints and credentials (WIRE sections 3 and 4).

One `V1Calls` is one command's session. It holds what real sessions held: the token, the cookies, the endpoint that
the index named, and whether Basic replaces the token (https and a standalone registry).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from tests.support.profiles import Profile
from tests.support.wire import BrokenConnectionError, Call, HttpClient, Response


class CommandError(Exception):
    """The command ends here, with this message on the terminal."""


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials as ``docker login -u … -p … -e …`` takes them."""

    user: str
    password: str
    email: str = "a@b.c"

    @property
    def basic(self) -> str:
        return basic(f"{self.user}:{self.password}")


def basic(credentials: str) -> str:
    """The Authorization of ``user:password``; nobody is ``:``."""
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def ping(http: HttpClient, profile: Profile, base: str) -> bool:
    """``GET /v1/_ping``: whether the registry is standalone, which it is unless it says otherwise."""
    response = http.send(Call("GET", f"{base}/v1/_ping", profile.ping_agent))
    standalone = response.value("X-Docker-Registry-Standalone")
    return standalone is None or standalone.lower() in {"true", "1"}


def compact(value: Any) -> bytes:
    """JSON without blanks, as Go writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


class V1Calls:
    """Requests of one session with the v1 registry at `base` (``scheme://netloc``)."""

    def __init__(
        self, http: HttpClient, profile: Profile, base: str, *, login: Login | None, standalone_tls: bool
    ) -> None:
        self._http = http
        self.profile = profile
        self.base = base
        self._login = login
        self._basic_everywhere = standalone_tls
        self._token: str | None = None
        self._cookies: dict[str, str] | None = None
        self.endpoint = f"{base}/v1/"

    def get(self, url: str) -> Response:
        """GET with the token, or with Basic where that replaces it."""
        return self.send("GET", url, self.registry_authorization(), {})

    def put(self, url: str, fields: Mapping[str, str], body: bytes | None, *, chunked: bool = False) -> Response:
        """PUT in the same way."""
        return self.send("PUT", url, self.registry_authorization(), fields, body, chunked=chunked)

    def put_list(self, url: str, body: bytes, authorization: str | None, extra: dict[str, str]) -> Response:
        """PUT a list of images; redirects of these two calls are followed with their body."""
        while True:
            fields = {self.profile.list_type_name: "application/json", "X-Docker-Token": "true", **extra}
            response = self.send("PUT", url, authorization, fields, body)
            location = response.value("Location")
            if not (300 <= response.status < 400 and location):
                return response
            url = urljoin(url, location)

    def send(
        self,
        method: str,
        url: str,
        authorization: str | None,
        fields: Mapping[str, str],
        body: bytes | None = None,
        *,
        chunked: bool = False,
    ) -> Response:
        """Send with an Authorization as it is given, and with the cookies.

        Raises:
            BrokenConnectionError: A layer was cut off; it may be asked for again.
            CommandError: Any other connection broke, which ends the command.
        """
        lines = [*fields.items()]
        if authorization is not None:
            lines.append(("Authorization", authorization))
        if self._cookies:
            jar = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            lines.append(("Cookie", jar))
        call = Call(method, url, self.profile.agent, lines, body, chunked)
        try:
            response = self._http.send(call)
        except BrokenConnectionError as error:
            if method == "GET" and url.endswith("/layer"):
                raise
            raise CommandError(str(error)) from error
        self._keep_cookies(response)
        return response

    def image_url(self, image_id: str, part: str) -> str:
        return f"{self.endpoint}images/{image_id}/{part}"

    def adopt(self, response: Response, *, must_have_token: bool, must_have_endpoints: bool) -> None:
        """Take token and endpoint from the answer to the first index call.

        Raises:
            CommandError: One of them is missing that this release needs.
        """
        tokens = response.values("X-Docker-Token")
        if must_have_token and not tokens and self.profile.needs_token:
            raise CommandError("Index response didn't contain an access token")
        endpoints = [item.strip() for value in response.values("X-Docker-Endpoints") for item in value.split(",")]
        if must_have_endpoints and not endpoints:
            raise CommandError("Index response didn't contain any endpoints")
        self._token = ",".join(tokens) if tokens or self.profile.needs_token else None
        if endpoints:
            self.endpoint = f"{urlsplit(self.base).scheme}://{endpoints[0]}/v1/"

    def _keep_cookies(self, response: Response) -> None:
        """The jar starts with the first index call, which is the first call of a session."""
        jar = dict(self._cookies or {})
        for line in response.values("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            jar[name.strip()] = value.strip()
        self._cookies = jar

    def _basic(self) -> str:
        return self._login.basic if self._login else basic(":")

    def list_authorization(self, *, always: bool) -> str | None:
        """Of the calls on image lists: Basic by rule of the release, or because somebody is logged in."""
        if always or self._login or self._basic_everywhere:
            return self._basic()
        return None

    def search_authorization(self) -> str | None:
        """Of a search; not every release shows who is logged in."""
        shows = self._login is not None and self.profile.search_login
        return self._basic() if shows or self._basic_everywhere else None

    def registry_authorization(self) -> str | None:
        return self._basic() if self._basic_everywhere else self.token_value()

    def token_value(self) -> str | None:
        # The word "Token" is put before a value that may begin with it already; registries are used to it.
        return None if self._token is None else f"Token {self._token}"
