"""Where a registry elsewhere is, and connecting to it: a unix socket, or a host and port, with TLS or without.

A host's addresses are asked for in threads of our own (`OwnResolver`), remembered for seconds, and tried in turn, the
next one as soon as one does not answer at once (RFC 8305): one of two families is often not routed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.staggered import staggered_race
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from backends.resolving import OwnResolver
from proxy.settings import UpstreamSettings
from proxy.upstream_connection import UpstreamConnection
from proxy.upstream_failures import UpstreamFailure

SEND_BUFFER = 1024 * 1024
"""Bytes of a body that the kernel may hold for a registry behind a unix socket."""
NEXT_ADDRESS_SECONDS = 0.25
ADDRESSES_SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""What OpenSSL, before and since 3.2, says of bytes that are not TLS."""

Make = Callable[[], UpstreamConnection]


class UpstreamAddress:
    """A registry's place. Made inside a running event loop.

    Args:
        settings: address, CA and patience.
        name: what the registry is called in `Host` where its place is a socket.

    Attributes:
        origin: its URL without what stands after the path, as in `http://registry:5000/prefix`.
        hidden: the path in that, "" for none.
        host: what `Host` says of it where a client says nothing.
        is_https: whether it is asked by TLS.

    Raises:
        OSError: its CA cannot be used.
    """

    def __init__(self, settings: UpstreamSettings, *, name: str) -> None:
        self._unix = settings.address.removeprefix("unix:") if settings.address.startswith("unix:") else ""
        self.origin = f"http://{name}" if self._unix else settings.address.rstrip("/")
        parts = urlsplit(self.origin)
        self.hidden = parts.path
        self.host = parts.netloc
        self._seconds = settings.connect_seconds
        self._name = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        # Its own context also without a CA of its own: aiohttp's default one is made without the system's CAs, which
        # take a tenth of the cold start to load.
        self.is_https = parts.scheme == "https"
        self._tls = ssl.create_default_context(cafile=settings.ca or None) if self.is_https else None
        self._resolver = OwnResolver()
        self._found: Sequence[str] = ()
        self._found_at = 0.0

    async def connect(self, make: Make) -> UpstreamConnection:
        """Connects.

        Args:
            make: makes the connection's protocol.

        Raises:
            UpstreamFailure: it cannot be reached.
        """
        patience = asyncio.timeout(self._seconds)
        try:
            async with patience:
                if self._unix:
                    transport, made = await asyncio.get_running_loop().create_unix_connection(make, self._unix)
                    # By the usual buffer a push stops and goes on for each piece; the kernel has a limit of its own.
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                    return made
                return await self._connect_by_name(make)
        except TimeoutError as error:
            if patience.expired():
                raise UpstreamFailure(f"no connection within {self._seconds:g} seconds", status=504) from None
            raise _unreachable(error) from None
        except ssl.SSLCertVerificationError as error:
            remedy = "name its CA in {}.ca, or the name of its certificate in {}.upstream"
            raise UpstreamFailure(f"its certificate is not trusted ({error})", remedy=remedy) from None
        except ssl.SSLError as error:
            raise _without_session(error) from None
        except OSError as error:
            raise _unreachable(error) from None

    async def _connect_by_name(self, make: Make) -> UpstreamConnection:
        hosts = await self._hosts()
        if len(hosts) == 1:
            return await self._connect_to(make, hosts[0])
        tries = [partial(self._connect_to, make, host) for host in hosts]
        found, _, errors = await staggered_race(tries, NEXT_ADDRESS_SECONDS)
        if found is None:
            self._found = ()
            raise next((error for error in errors if error is not None), OSError("it has no address"))
        connected: UpstreamConnection = found
        return connected

    async def _connect_to(self, make: Make, host: str) -> UpstreamConnection:
        name = self._name.rstrip(".") if self._tls is not None else None
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(make, host, self._port, ssl=self._tls, server_hostname=name))[1]

    async def _hosts(self) -> Sequence[str]:
        """Returns its IP addresses, the best first."""
        try:
            ip_address(self._name)
        except ValueError:
            pass
        else:
            return (self._name,)
        now = asyncio.get_running_loop().time()
        if not self._found or now - self._found_at > ADDRESSES_SECONDS:
            self._found = [each["host"] for each in await self._resolver.resolve(self._name, self._port)]
            self._found_at = now
        return self._found

    async def close(self) -> None:
        """Ends the lookups."""
        await self._resolver.close()


def _without_session(error: ssl.SSLError) -> UpstreamFailure:
    if error.reason in _NO_TLS:
        return UpstreamFailure("it speaks plain HTTP", remedy="write http:// in {}.upstream")
    return _unreachable(error)


def _unreachable(error: OSError) -> UpstreamFailure:
    return UpstreamFailure(f"it cannot be reached ({error.strerror or error})")
