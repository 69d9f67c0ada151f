"""Who asks for a change: what a service knows of its caller."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller, with one request of it.

    Attributes:
        user: its name once it has authenticated; "" as long as there is no access control.
        address: its IP address, or the one that a trusted proxy names; "unix" for a unix socket without either.
        agent: its User-Agent, at most 1024 characters of it.
        request_id: names the request, in the log too.
    """

    user: str
    address: str
    agent: str
    request_id: str

    @override
    def __str__(self) -> str:
        """Returns a few words for a line of the log."""
        who = f"{self.user} at {self.address}" if self.user else self.address
        return f"{who} ({self.agent[:100] or 'no User-Agent'}, request {self.request_id})"
