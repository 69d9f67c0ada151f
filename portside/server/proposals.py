"""What is to change while serving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portside.server.listening import Listener


@dataclass(frozen=True, slots=True)
class Change:
    """What a worker receives.

    Attributes:
        listeners: the listeners that it serves, in the same order, with other TLS settings or trusted networks.
        services: the argument of `Services.change`; it is pickled.
    """

    listeners: tuple[Listener, ...]
    services: Any


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that the parent is to try.

    Attributes:
        accept: called when it can be made, so that workers which start later have it from the beginning.
    """

    change: Change
    accept: Callable[[], None]
