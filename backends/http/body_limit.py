"""How many large bodies a process receives at once: each costs buffers and a descriptor, however slowly it comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backends.model.errors import ErrorCode, RegistryError

RETRY_SECONDS = 5


class BodyLimit:
    """Counts the layers that are being received.

    Args:
        most: how many there may be; 0 for any number.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Stands around the receiving of a body, which has not been asked for yet.

        Raises:
            RegistryError: TOOMANYREQUESTS.
        """
        if self._most and self._now >= self._most:
            raise RegistryError(
                ErrorCode.TOOMANYREQUESTS,
                f"the registry receives {self._now} layers already (gateway.uploadsatonce); push again in a moment",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1
