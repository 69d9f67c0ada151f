"""Who asks for a change: what a service knows of its caller."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller, with one request of it.

    Attributes:
        user: its name once it has authenticated; "" where it has not, or there is no access control.
        address: its IP address, or the one that a trusted proxy names; "unix" for a unix socket without either.
        agent: its User-Agent, at most 1024 characters of it.
        request_id: names the request, in the log too.
        port: the client's, where it is connected to this process itself and by TCP; else 0.
        method: of the request; "" unless events are wanted, as all that follows.
        host: the request's `Host`.
        origin: scheme and authority of addresses that are told to others; "" for addresses without either.
    """

    user: str
    address: str
    agent: str
    request_id: str
    port: int = 0
    method: str = ""
    host: str = ""
    origin: str = ""

    @override
    def __str__(self) -> str:
        """Returns a few words for a line of the log."""
        who = f"{self.user} at {self.address}" if self.user else self.address
        return f"{who} ({self.agent[:100] or 'no User-Agent'}, request {self.request_id})"
