"""What the clients of requests can read, remembered: they are few and ask much.

The rules: `backends/model/conversion/readers.py`.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest

from backends.http.request_info import client_agent
from backends.model.cache import Cache
from backends.model.clients import parse_user_agent
from backends.model.conversion.readers import Reader, reader_of
from backends.model.descriptors import Platform

REMEMBERED = 1024
LONGEST = 2048
"""What is longer than all that real clients send is looked at each time, and not kept."""

_Asked = tuple[str, frozenset[str]]


class Readers:
    """Clients by what they send.

    Args:
        platform: for clients that do not say what they run on.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known: Cache[_Asked, Reader] = Cache(bound=REMEMBERED)

    def reader(self, request: BaseRequest) -> Reader:
        """Returns what the client of a request can read."""
        # As a set: Docker sends a line for each type, in another order each time.
        key = (client_agent(request), frozenset(request.headers.getall("Accept", ())))
        try:
            return self._known[key]
        except KeyError:
            reader = self._make(key)
        if len(key[0]) + sum(map(len, key[1])) <= LONGEST:
            self._known.put(key, reader)
        return reader

    def _make(self, key: _Asked) -> Reader:
        agent, accept = key
        return reader_of(tuple(accept), parse_user_agent(agent), platform=self._platform)
