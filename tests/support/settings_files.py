"""Settings from a file's text, variables and flags, and how tests look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from portside.server.listening import UnixAddress
from portside.settings.loading import Role, Settings, SettingsProblem, load_settings
from portside.settings.schema.config import Config
from portside.settings.schema.section import Section, inner_type, keys_of

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
    return _mistakes(lambda: load(role, text, **more))


def mistakes_of_file(role: Role, path: Path) -> list[str]:
    """The same of a file."""
    return _mistakes(lambda: load_settings(role, path, {}, {}))


def _mistakes(load: Callable[[], object]) -> list[str]:
    with pytest.raises(SettingsProblem) as caught:
        load()
    _, *lines = str(caught.value).splitlines()
    return [line.strip() for line in lines] or [str(caught.value).partition("cannot be used: ")[2]]


def every_key(section: type[Section] = Config, above: str = "") -> Iterator[str]:
    """Every key of the schema, sections too; what is in the elements of a list is behind `[].`."""
    for key, (_, field) in keys_of(section).items():
        yield above + key
        kind = inner_type(field.annotation)
        listed = get_origin(kind) is tuple
        inside = inner_type(get_args(kind)[0]) if listed else kind
        if isinstance(inside, type) and issubclass(inside, Section):
            yield from every_key(inside, f"{above}{key}{'[]' if listed else ''}.")


def variable_of(key: str) -> str:
    """What the environment calls a key that is in no list."""
    section: Any = Config
    names = []
    for part in key.split("."):
        field = keys_of(section)[part][1] if isinstance(section, type) and part in keys_of(section) else None
        called = {key: name for name, key in section.variables.items()} if field is not None else {}
        names.append(called.get(part, part))
        section = inner_type(field.annotation) if field is not None else None
    return "_".join(("REGISTRY", *names)).upper()
