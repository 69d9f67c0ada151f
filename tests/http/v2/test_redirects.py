"""GET and HEAD of blobs that others serve: sent there as distribution does, and only whoever may have the blob."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.model.events import EventAction
from backends.registry.store import Store
from backends.storage.addresses import Redirect
from backends.storage.factory import open_storage
from backends.storage.settings import StorageSettings
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from portside.settings.loading import Role
from proxy.routing import Backend
from tests.support.drivers import ForwardingDriver
from tests.support.kept_events import KeptEvents
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.proxies import running_proxy
from tests.support.serving_here import Answer, Client, digest_of, serving_here
from tests.support.settings_files import loader

NAME = "team/app"
LAYER = b"a layer" * 20_000
DIGEST = digest_of(LAYER)
FILE = f"/docker/registry/v2/blobs/sha256/{DIGEST[7:9]}/{DIGEST[7:]}/data"
REDIRECT = {"name": "redirect", "options": {"baseurl": "https://cdn.example/x"}}
LISTS: dict[str, list[dict[str, Any]]] = {
    "redirect": [REDIRECT],
    "without a path": [{"name": "redirect", "options": {"baseurl": "http://cdn.example:8080"}}],
    "with a slash": [{"name": "redirect", "options": {"baseurl": "http://cdn.example/x/y/"}}],
    "with more than a path": [{"name": "redirect", "options": {"baseurl": "http://u:p@cdn.example//x/../a%20b?q=1#f"}}],
    "rewritten": [
        REDIRECT,
        {"name": "rewrite", "options": {"scheme": "http", "host": "b:1", "trimpathprefix": "/x/docker"}},
    ],
    "rewritten too early": [{"name": "rewrite", "options": {"host": "b"}}, REDIRECT],
    "two": [REDIRECT, {"name": "redirect", "options": {"baseurl": "https://other.example"}}],
    "none": [],
}


async def serving(folder: Path, layers: list[dict[str, Any]], *, deep: bool = False) -> AsyncIterator[Client]:
    """A registry over the settings that a file makes."""
    section = {"storage": {"filesystem": {"rootdirectory": str(folder / "root")}}, "middleware": {"storage": layers}}
    settings = loader(folder)(Role.V2, yaml.safe_dump(section))
    storage = open_storage(settings.storage)
    store = Store(replace(storage, driver=ForwardingDriver(storage.driver)) if deep else storage)
    async with serving_here(Registry(store, V2Settings()).handle) as client:
        yield client
    await storage.close()


@pytest.fixture
async def redirecting(tmp_path: Path) -> AsyncIterator[Client]:
    async for client in serving(tmp_path, [REDIRECT], deep=True):
        yield client


@contextlib.contextmanager
def distribution(folder: Path, layers: list[dict[str, Any]]) -> Iterator[Client]:
    port, config = free_port(), folder / "distribution.yml"
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "distribution")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "middleware": {"storage": layers},
    }
    config.write_text(yaml.safe_dump(document))
    with running([find_program("registry"), "serve", str(config)], folder / "log", port=port):
        yield Client("127.0.0.1", port)


ASKED: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("HEAD", {}),
    ("GET", {"Range": "bytes=0-3"}),
    ("GET", {"Range": "bytes=9999999-"}),
    ("GET", {"If-None-Match": f'"{DIGEST}"'}),
]


async def told(client: Client) -> list[tuple[int, str | None]]:
    """Status and `Location` of each way to ask for a blob that is there."""
    await client.push_blob(NAME, LAYER)
    answers = [await client.ask(method, f"/v2/{NAME}/blobs/{DIGEST}", headers) for method, headers in ASKED]
    return [(answer.status, answer.head.value("Location")) for answer in answers]


@pytest.mark.real
@pytest.mark.parametrize("what", LISTS)
async def test_status_and_location_are_distributions(tmp_path: Path, what: str) -> None:
    with distribution(tmp_path, LISTS[what]) as theirs:
        expected = await told(theirs)
    async for client in serving(tmp_path, LISTS[what]):
        assert await told(client) == expected


async def test_a_blob_is_elsewhere_and_everything_else_is_here(redirecting: Client) -> None:
    manifest = await redirecting.push_image(NAME, "latest")
    assert await told(redirecting) == [(307, f"https://cdn.example/x{FILE}")] * len(ASKED)
    answer = await redirecting.ask("GET", f"/v2/{NAME}/blobs/{DIGEST}")
    assert (answer.body, answer["Content-Length"], answer["Docker-Content-Digest"]) == (b"", "0", DIGEST)
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.head.value("Cache-Control") is None, "an address may be good for minutes only"
    assert (await redirecting.ask("GET", f"/v2/{NAME}/manifests/latest")).body == manifest


async def test_nobody_is_sent_to_a_blob_that_the_repository_does_not_have(redirecting: Client, tmp_path: Path) -> None:
    await redirecting.push_blob(NAME, LAYER)
    for name, digest in (("team/other", DIGEST), (NAME, digest_of(b"never"))):
        for method in ("GET", "HEAD"):
            answer = await redirecting.ask(method, f"/v2/{name}/blobs/{digest}")
            assert answer.status == 404
    (tmp_path / f"root{FILE}").unlink()
    assert (await redirecting.ask("GET", f"/v2/{NAME}/blobs/{DIGEST}")).told == (404, "BLOB_UNKNOWN")


async def test_being_sent_there_is_a_pull_of_the_whole_blob(tmp_path: Path) -> None:
    """As from distribution, which tells of it whether the client goes there or not."""
    events = KeptEvents()
    storage = open_storage(StorageSettings("filesystem", str(tmp_path), addresses=(Redirect("https://cdn.example"),)))
    async with serving_here(Registry(Store(storage, events=events), V2Settings()).handle) as client:
        await told(client)
        pulls = [event for event in events.take() if event.action is EventAction.PULL]
        assert [(str(event.target.digest), event.target.size) for event in pulls] == [(DIGEST, len(LAYER))] * len(ASKED)
        assert (await client.ask("GET", f"/v2/team/other/blobs/{DIGEST}")).status == 404
        assert not events.take()
    await storage.close()


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_the_proxy_leaves_the_address_as_it_is(tmp_path: Path, *, elsewhere: bool) -> None:
    storage = open_storage(StorageSettings("filesystem", str(tmp_path), addresses=(Redirect("https://cdn.example/x"),)))
    registry = Registry(Store(storage), V2Settings()).handle
    async with serving_here(registry) as client:
        upstream = f"http://127.0.0.1:{client.port}" if elsewhere else registry
        async with running_proxy({Backend.V2: upstream}) as proxy:
            assert await told(Client("127.0.0.1", proxy.port)) == [(307, f"https://cdn.example/x{FILE}")] * len(ASKED)
    await storage.close()


async def test_a_signed_address_is_new_each_time_it_is_asked_for(tmp_path: Path) -> None:
    from tests.support.signing_keys import as_pem, new_keys  # noqa: PLC0415 - makes keys

    key = tmp_path / "key.pem"
    key.write_bytes(as_pem(new_keys()["RSA"]))
    options = {"baseurl": "d1.cloudfront.net", "privatekey": str(key), "keypairid": "APKA1", "duration": "90s"}
    async for client in serving(tmp_path, [{"name": "cloudfront", "options": options}]):
        answers = await told(client)
        assert {status for status, _ in answers} == {307}
        assert all(str(url).startswith(f"https://d1.cloudfront.net{FILE}?Expires=") for _, url in answers)
        key.unlink()
        assert (await told(client))[0][0] == 307, "the key was read once"


async def test_a_key_that_went_away_before_it_was_read_is_an_error_of_ours(tmp_path: Path) -> None:
    from tests.support.signing_keys import as_pem, new_keys  # noqa: PLC0415 - makes keys

    key = tmp_path / "key.pem"
    key.write_bytes(as_pem(new_keys()["RSA"]))
    options = {"baseurl": "d1.cloudfront.net", "privatekey": str(key), "keypairid": "APKA1"}
    async for client in serving(tmp_path, [{"name": "cloudfront", "options": options}]):
        key.unlink()
        await client.push_blob(NAME, LAYER)
        answer: Answer = await client.ask("GET", f"/v2/{NAME}/blobs/{DIGEST}")
        assert answer.status == 500
        assert str(key) not in answer.body.decode()
