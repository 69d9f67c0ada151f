"""Where layers are read, and when: a few at once in a process, in threads of its own, once for all who ask."""

from __future__ import annotations

import asyncio

from backends.registry.layers.flights import Flights
from backends.registry.layers.reading import Pace
from backends.registry.layers.settings import LayerSettings
from backends.registry.layers.threads import Threads

BELOW = 5
"""By how much the kernel prefers requests to layers that somebody waits for."""


class Turns:
    """Shared by all that reads layers.

    Args:
        settings: how many are read at once.

    Attributes:
        flights: the work that goes on.
        slots: held while a layer is read that somebody waits for.
        threads: where it is read.
        demand: how fast.
    """

    def __init__(self, settings: LayerSettings) -> None:
        self.flights = Flights()
        self.slots = asyncio.Semaphore(settings.at_once)
        self.threads = Threads(settings.at_once, below=BELOW)
        self.demand = Pace(self.threads)
