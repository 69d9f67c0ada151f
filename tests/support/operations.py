"""Every operation of both protocols with a path that reaches it, taken from the tables of routes themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from typing_extensions import override

from backends.v1.routes import ROUTES as V1_ROUTES
from backends.v2.routes import ROUTES as V2_ROUTES
from backends.web.dispatch import Route
from backends.web.operations import Operation

DIGEST = "sha256:" + "d" * 64
_VALUES = {
    "name": "team/app",
    "reference": "latest",
    "digest": DIGEST,
    "upload": "01234567-89ab-cdef-0123-456789abcdef",
    "image": "a" * 64,
    "tag": "latest",
    "user": "bob",
}
_ROUTES: dict[str, Sequence[Route]] = {"v1": V1_ROUTES, "v2": V2_ROUTES}


@dataclass(frozen=True, slots=True)
class Named:
    """An operation and how to reach it."""

    protocol: str
    method: str
    path: str
    operation: Operation

    @override
    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def all_operations() -> Iterator[Named]:
    """Yields them in the order of the tables."""
    for protocol, routes in _ROUTES.items():
        for route in routes:
            path = re.sub(r"\{(\w+)\*?\}", lambda match: _VALUES[match[1]], route.pattern)
            for method, operation in route.operations.items():
                yield Named(protocol, method, path, operation)
