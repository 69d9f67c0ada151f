"""The pages on settings are true: every key stands there, and what they show loads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from portside.settings.loading import Role
from portside.settings.schema import Config
from portside.settings.unsupported import NOT_YET, REFUSED
from tests.support.settings_files import Load

DOCS = Path(__file__).parents[2] / "docs"


def _sections(kind: Any) -> list[type[BaseModel]]:
    """The sections in a key's type: itself, or the one of `Section | None`."""
    parts = (kind,) if get_origin(kind) is tuple else (kind, *get_args(kind))
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def _keys(section: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inside = _sections(field.annotation)
        if inside and inside[0].model_fields:
            yield from _keys(inside[0], f"{above}{name}.")
        else:
            yield above + name


@pytest.mark.parametrize("key", [*_keys(Config), *NOT_YET, *REFUSED])
def test_every_key_stands_on_the_page(key: str) -> None:
    page = (DOCS / "settings.md").read_text()
    name = key.rpartition(".")[2]
    alike = key.replace("gateway.v2", "gateway.v1")  # the page names both in one row
    assert f"`{key}`" in page or f"`{alike}`" in page or f"`.{name}`" in page or key == "storage.inmemory", key


def test_the_page_on_foreign_registries_loads_as_it_is(load: Load) -> None:
    page = (DOCS / "foreign-registries.md").read_text()
    blocks = re.findall(r"```yaml proxy\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        settings = load(Role.PROXY, block)
        assert settings.proxy.v2 is not None
        assert settings.notes == ()


def test_the_containers_settings_load_for_every_role(load: Load) -> None:
    text = (DOCS.parent / "compose" / "portside.yml").read_text()
    for role in (Role.PROXY, Role.V1, Role.V2):
        assert load(role, text).notes == ()
