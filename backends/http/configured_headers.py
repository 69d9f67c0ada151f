"""`http.headers`: what a process's settings want on every answer that it gives, errors and preflights included.

As in distribution, a handler's own headers go before them; but who answers (`Server`) and what browsers may guess
(`X-Content-Type-Options`) is the settings' to say.
"""

from __future__ import annotations

from collections.abc import Mapping

from backends.request_context import OuterHeaders

_REPLACING = frozenset({"server", "x-content-type-options"})


class ConfiguredHeaders:
    """The headers as they are now; they may change while serving.

    Attributes:
        current: what `request_context.RESPONSE_HEADERS` is to hold; another object after each change.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.current = OuterHeaders()
        self.change(headers)

    def change(self, headers: Mapping[str, str]) -> None:
        """Takes other headers from now on."""
        pairs = tuple(headers.items())
        self.current = OuterHeaders(
            tuple(pair for pair in pairs if pair[0].lower() in _REPLACING),
            tuple(pair for pair in pairs if pair[0].lower() not in _REPLACING),
        )
