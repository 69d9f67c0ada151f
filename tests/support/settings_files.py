"""Settings from a file's text, variables and flags, and how tests look at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portside.server.listening import UnixAddress
from portside.settings.loading import Role, Settings, SettingsProblem, load_settings

Load = Callable[..., Settings]


def loader(folder: Path) -> Load:
    """A function `(role, text=None, environment=None, flags=None)` that loads settings; the file lies in `folder`."""

    def load(
        role: Role,
        text: str | None = None,
        environment: dict[str, str] | None = None,
        flags: dict[str, Any] | None = None,
    ) -> Settings:
        path = None
        if text is not None:
            path = folder / "config.yml"
            path.write_text(text)
        return load_settings(role, path, environment or {}, flags or {})

    return load


def roots(settings: Settings) -> list[tuple[str, str, bool]]:
    """Name, address and whether it speaks TLS, of every listener."""
    return [
        (
            found.name,
            f"unix:{found.address.path}"
            if isinstance(found.address, UnixAddress)
            else f"{found.address.host}:{found.address.port}",
            found.tls is not None,
        )
        for found in settings.listeners
    ]


def mistakes_of(load: Load, role: Role, text: str | None = None, **more: Any) -> list[str]:
    """The mistakes that loading tells, without what comes before the list."""
    with pytest.raises(SettingsProblem) as caught:
        load(role, text, **more)
    _, *lines = str(caught.value).splitlines()
    return [line.strip() for line in lines] or [str(caught.value).partition("cannot be used: ")[2]]
