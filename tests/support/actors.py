"""Who asks for changes in tests that speak to services directly."""

from __future__ import annotations

from typing import Final

from backends.model.actor import Actor

ACTOR: Final = Actor("", "192.0.2.1", "docker/1.5.0 go/go1.4.1 os/linux arch/amd64", "a-request")
