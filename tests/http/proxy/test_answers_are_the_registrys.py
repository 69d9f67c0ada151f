"""The proxy changes no answer of the registry: it is asked all that distribution is asked (`docs/differences.md`).

The same requests go to a registry, and through the proxy to another one with the same content: in its process, and
elsewhere. Nothing differs but the header that names the route.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import running_command
from tests.support.differences import Step, load_state, load_tables
from tests.support.ports import free_port
from tests.support.two_registries import Pair, write_settings

TABLES = {table.name: table for table in load_tables()}
ROUTE = "+X-Portside-Route"
DELETION = {"storage": {"delete": {"enabled": True}}}
ASKED: list[tuple[list[str], Mapping[str, Any]]] = [
    (["base", "blobs", "deleting", "listings", "manifests", "pushing", "uploads"], DELETION),
    (["host"], TABLES["host"].settings),
    (["relative"], TABLES["relative"].settings),
]


def is_the_registrys(step: Step) -> bool:
    """Whether the proxy hands a request to the registry, and does not answer it itself."""
    return step.target.startswith("$") or (step.target.startswith("/v2/") and step.target != "/v2/")


@contextmanager
def both(folder: Path, settings: Mapping[str, Any], *, elsewhere: bool) -> Iterator[Pair]:
    alone, behind, front = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        registries = {"alone": alone, **({"behind": behind} if elsewhere else {})}
        for name, port in registries.items():
            file = write_settings(folder / name, port, settings)
            stack.enter_context(running_command("v2", file, folder=folder / name, port=port))
        file = write_settings(folder / "front", front, settings)
        config = yaml.safe_load(file.read_text())
        del config["http"]["addr"]
        config["gateway"] = {
            "addr": "127.0.0.1:0",
            "plain": {"addr": f"127.0.0.1:{front}"},
            "certs": str(folder / "certs"),
            "v1": {"addr": ""},
            "v2": {"upstream": f"http://127.0.0.1:{behind}"} if elsewhere else {"addr": ""},
            "metrics": {"addr": ""},
        }
        if elsewhere:
            config = {key: config[key] for key in ("version", "http", "gateway")}
        file.write_text(yaml.safe_dump(config))
        role = "proxy" if elsewhere else "serve"
        stack.enter_context(running_command(role, file, folder=folder / "front", port=front))
        yield Pair(alone, front)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in its process", "elsewhere"])
@pytest.mark.parametrize(("names", "settings"), ASKED, ids=["as usual", "host", "relativeurls"])
def test_nothing_differs_but_the_header_that_names_the_route(
    tmp_path: Path,
    names: list[str],
    settings: Mapping[str, Any],
    elsewhere: bool,  # noqa: FBT001 - a table's column
) -> None:
    steps = [*load_state().steps, *(step for name in names for group in TABLES[name].groups for step in group.steps)]
    with both(tmp_path, settings, elsewhere=elsewhere) as pair:
        asked = pair.ask([step for step in steps if is_the_registrys(step)])
    differ = [f"{each.step} {set(each.facets)}" for each in asked if not each.facets <= {ROUTE}]
    assert not differ, "\n".join(differ)
    assert len([each for each in asked if not each.facets]) < 10  # refused before they are routed
