"""What a setting forbids is refused by either protocol, in every form of the program; everything else goes on."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from backends.model.actions import Action
from backends.registry.store import Store
from backends.storage.factory import open_memory
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.errors import Handler
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.commands import running_command
from tests.support.loopback import serve
from tests.support.operations import Named, all_operations

READ_ONLY, DELETION_OFF = "storage.maintenance.readonly", "storage.delete.enabled: true"
OPERATIONS = list(all_operations())


def registry(protocol: str, gates: GateSettings) -> Handler:
    if protocol == "v1":
        return V1Registry(Store(open_memory()), V1Settings(), gates=make_gates(gates)).handle
    return V2Registry(Store(open_memory()), V2Settings(), gates=make_gates(gates)).handle


async def ask(handler: Handler, method: str, path: str) -> tuple[int, str]:
    async with (
        serve(handler) as port,
        aiohttp.ClientSession() as client,
        client.request(
            method, f"http://127.0.0.1:{port}{path}", data=b"[]" if method in {"PUT", "POST", "PATCH"} else None
        ) as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize("each", OPERATIONS, ids=str)
@pytest.mark.parametrize(
    ("gates", "refused", "words"),
    [
        (GateSettings(), {Action.DELETE}, DELETION_OFF),
        (GateSettings(read_only=True, delete_enabled=True), {Action.PUSH, Action.DELETE}, READ_ONLY),
        (GateSettings(read_only=True), {Action.PUSH, Action.DELETE}, READ_ONLY),
        (GateSettings(delete_enabled=True), set(), ""),
    ],
    ids=["default", "read only", "read only without deletion", "everything on"],
)
async def test_an_operation_is_refused_by_its_action_alone(
    each: Named, gates: GateSettings, refused: set[Action], words: str
) -> None:
    status, text = await ask(registry(each.protocol, gates), each.method, each.path)
    if each.operation.action in refused:
        assert status == 405
        assert words in text
    else:
        assert status != 405
        assert READ_ONLY not in text
        assert DELETION_OFF not in text


@pytest.mark.parametrize(
    ("protocol", "method", "path", "status"),
    [
        ("v1", "GET", "/v1/_ping", 200),
        ("v1", "POST", "/v1/users/", 201),
        ("v1", "GET", f"/v1/images/{'a' * 64}/json", 404),
        ("v1", "DELETE", "/v1/repositories/team/img/images", 204),
        ("v1", "OPTIONS", "/v1/repositories/team/img/tags/t", 200),
        ("v2", "GET", "/v2/", 200),
        ("v2", "GET", "/v2/_catalog", 200),
        ("v2", "OPTIONS", "/v2/team/img/manifests/t", 200),
    ],
)
async def test_looking_and_logging_in_go_on(protocol: str, method: str, path: str, status: int) -> None:
    for gates in (GateSettings(), GateSettings(read_only=True)):
        assert (await ask(registry(protocol, gates), method, path))[0] == status


@pytest.mark.parametrize(
    ("protocol", "path", "gates", "allow"),
    [
        ("v2", "/v2/team/img/manifests/t", GateSettings(), "GET, HEAD, PUT"),
        ("v2", "/v2/team/img/manifests/t", GateSettings(read_only=True), "GET, HEAD"),
        ("v2", f"/v2/team/img/blobs/sha256:{'a' * 64}", GateSettings(), "GET, HEAD"),
        ("v1", "/v1/repositories/team/img/tags/t", GateSettings(), "GET, HEAD, PUT"),
    ],
)
async def test_what_is_refused_says_what_is_possible(protocol: str, path: str, gates: GateSettings, allow: str) -> None:
    async with serve(registry(protocol, gates)) as port, aiohttp.ClientSession() as client:
        for method, status in (("DELETE", 405), ("OPTIONS", 200), ("PATCH", 405)):
            async with client.request(method, f"http://127.0.0.1:{port}{path}") as answer:
                assert (answer.status, answer.headers.get("Allow")) == (status, allow)


_COMPOSE = Path(__file__).parents[2] / "compose" / "portside.yml"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, {"v1": DELETION_OFF, "v2": DELETION_OFF}),
        ({"REGISTRY_STORAGE_DELETE_ENABLED": "true"}, {"v1": "Tag not found: t", "v2": "has no tag t"}),
        ({"REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED": "true"}, {"v1": READ_ONLY, "v2": READ_ONLY}),
    ],
    ids=["default", "deletion on", "read only"],
)
@pytest.mark.parametrize("form", ["serve", "v1", "v2", "compose v1", "compose v2"])
async def test_every_form_of_the_program_obeys(
    tmp_path: Path, form: str, options: dict[str, str], told: dict[str, str]
) -> None:
    role = form.rpartition(" ")[2]
    protocols = ("v1", "v2") if role == "serve" else (role,)
    settings: list[str | Path] = []
    environment = {**options, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "data")}
    if form.startswith("compose"):
        settings = [_COMPOSE]
        environment |= {f"REGISTRY_GATEWAY_{role.upper()}_UNIX": str(tmp_path / "socket")}
    environment |= {
        "REGISTRY_GATEWAY_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_CERTS": str(tmp_path / "certs"),
        "REGISTRY_GATEWAY_WORKERS": "1",
        "REGISTRY_GATEWAY_METRICS_ADDR": "127.0.0.1:0",
        **{f"REGISTRY_GATEWAY_{each.upper()}_ADDR": "127.0.0.1:0" for each in protocols},
    }
    paths = {"v1": "/v1/repositories/team/img/tags/t", "v2": "/v2/team/img/manifests/t"}
    with running_command(role, *settings, folder=tmp_path, environment=environment) as running:
        for protocol in protocols:
            base = f"http://127.0.0.1:{running.port(protocol)}"
            async with (
                aiohttp.ClientSession() as client,
                client.delete(base + paths[protocol]) as answer,
            ):
                text = await answer.text()
                assert told[protocol] in text
                assert answer.status == (405 if told[protocol] in {DELETION_OFF, READ_ONLY} else 404)
                assert json.loads(text)
