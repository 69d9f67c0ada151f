"""The pages on settings are true: every key stands there, and what they show loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from backends.auth.schemes import Failure
from portside.settings.loading import Role
from portside.settings.unsupported import REFUSED, WITHOUT_EFFECT
from tests.support.settings_files import Load, every_key

DOCS = Path(__file__).parents[2] / "docs"


KEYS = sorted({*every_key(), *REFUSED})
# A section is described by its keys, and a list of sections in one row.
SECTIONS = {key.rpartition(".")[0] for key in KEYS if "[]" not in key}


@pytest.mark.parametrize("key", [key for key in KEYS if key not in SECTIONS and "[]" not in key])
def test_every_key_stands_on_the_page(key: str) -> None:
    page = (DOCS / "settings.md").read_text()
    name = key.rpartition(".")[2]
    alike = key.replace("gateway.v2", "gateway.v1")  # the page names both in one row
    assert f"`{key}`" in page or f"`{alike}`" in page or f"`.{name}`" in page or key == "storage.inmemory", key


@pytest.mark.parametrize("key", [*WITHOUT_EFFECT, *REFUSED])
def test_what_is_not_supported_is_named_by_itself(key: str) -> None:
    assert f"`{key}`" in (DOCS / "settings.md").read_text().partition("## What keeps it")[2]


@pytest.mark.parametrize("key", [key for key in KEYS if "[]" in key])
def test_the_row_of_a_list_names_the_keys_of_its_elements(key: str) -> None:
    listed, _, inside = key.partition("[].")
    row = next(line for line in (DOCS / "settings.md").read_text().splitlines() if line.startswith(f"| `{listed}`"))
    assert inside.rpartition(".")[2] in re.findall(r"\w+", row)


def test_the_page_on_foreign_registries_loads_as_it_is(load: Load) -> None:
    page = (DOCS / "foreign-registries.md").read_text()
    blocks = re.findall(r"```yaml proxy\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        settings = load(Role.PROXY, block)
        assert settings.proxy.v1 is not None or settings.proxy.v2 is not None
        assert settings.notes == ()


def test_the_containers_settings_load_for_every_role(load: Load) -> None:
    compose = DOCS.parent / "compose"
    text = (compose / "portside.yml").read_text()
    services = yaml.safe_load((compose / "docker-compose.yml").read_text())["services"]
    for role, name in ((Role.PROXY, "proxy"), (Role.V1, "registryv1"), (Role.V2, "registryv2")):
        assert load(role, text).notes == ()  # with a compose file of one's own
        service = services[name]
        environment = {key: value for key, value in service["environment"].items() if "$" not in value}
        settings = load(role, text, environment)
        assert settings.notes == ()
        seen = [each.files for each in (settings.proxy.v1, settings.proxy.v2) if each is not None]
        if role is not Role.PROXY:
            seen = [settings.v1.files if role is Role.V1 else settings.v2.files]
        mounted = {each.removesuffix(":ro").rpartition(":")[2] for each in service["volumes"]}
        assert seen, name
        assert {*seen} <= mounted


def test_every_reason_for_which_a_request_is_refused_stands_on_the_page() -> None:
    lines = (DOCS / "settings.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| `portside_auth_failures_total`"))
    assert [each.value for each in Failure if f"`{each.value}`" not in row] == []
