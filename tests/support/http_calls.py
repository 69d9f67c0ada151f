"""Requests of programs whose every header is known, over the client that the replayer uses."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.wire import Address, Call, HttpClient, Response, TlsVersion, Transcript


class Caller:
    """A program that talks to one registry; what went over the wire is in `transcript`."""

    def __init__(self, address: Address, agent: str, *, timeout_s: float = 30.0) -> None:
        self.transcript = Transcript()
        self._agent = agent
        self._base = f"{'https' if address.ca else 'http'}://{address.netloc}"
        self._http = HttpClient(
            address, self.transcript, newest_tls=TlsVersion.V1_3, says_close=False, timeout_s=timeout_s
        )

    def send(
        self,
        method: str,
        path: str,
        fields: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Response:
        """Send to a path of the registry, or to a whole URL; redirects of GET and HEAD are followed."""
        url = path if "://" in path else self._base + path
        return self._http.send(Call(method, url, self._agent, fields, body))
