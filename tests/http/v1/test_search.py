"""`GET /v1/search`: terms, order and pages, over everything that clients of both protocols have pushed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from backends.storage.factory import open_memory
from backends.v1.search import MOST_RESULTS, ONLY_V1
from backends.v1.settings import V1Settings
from tests.support.commands import RunningCommand, children, running_command
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of, make_manifest
from tests.support.trees import write_tree
from tests.support.v1server import RunningRegistry, make_pushed, running_v1

V2_TREE = "docker/registry/v2/repositories"
ALL = ["Team/app_", "app", "apps", "big-app", "library/own", "other/thing", "team/app", "team/app/deep", "z"]


def fill(root: Path) -> None:
    """Repositories of both generations, as their own programs have written them."""
    old = ("library/app", "Team/app_", "team/app%252Fdeep", "other/thing")
    write_tree(root, {f"repositories/{name}/tag_1": "f" * 64 for name in old})
    for name in ("apps", "big-app", "team/app", "library/own", "z"):
        (root / V2_TREE / name / "_manifests").mkdir(parents=True)


async def found(registry: RunningRegistry, query: str) -> dict[str, Any]:
    told = await registry.ask("GET", f"/v1/search?{query}")
    assert told.status == 200, told.body
    answer: dict[str, Any] = told.json
    return answer


def names(answer: Mapping[str, Any]) -> list[str]:
    return [each["name"] for each in answer["results"]]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("", ALL),
        ("app", ["app", "apps", "Team/app_", "big-app", "team/app", "team/app/deep"]),
        ("APP", ["app", "apps", "Team/app_", "big-app", "team/app", "team/app/deep"]),
        ("team/app", ["team/app", "Team/app_", "team/app/deep"]),
        ("library/app", ["app", "apps"]),
        ("library/", ["app", "apps", "big-app", "library/own", "z"]),
        ("library", ["library/own"]),
        ("ary/z", ["z"]),
        ("/", ["Team/app_", "app", "apps", "big-app", "library/own", "other/thing", "team/app", "team/app/deep", "z"]),
        ("%", []),
        ("_", ["Team/app_"]),
        ("a%p", []),
        ("*", []),
        (" app", []),
        ("app\x00", []),
        ("\N{WHALE}", []),
        ("app/" * 200, []),
        ("x" * 7000, []),
    ],
)
async def test_a_term_finds_names_and_what_is_meant_comes_first(
    registry: RunningRegistry, root: Path, term: str, expected: list[str]
) -> None:
    fill(root)
    answer = await found(registry, f"q={quote(term, safe='')}")
    assert names(answer) == expected
    assert answer["query"] == term
    assert answer["num_results"] == len(expected)
    assert set(answer) == {"num_results", "query", "results"}
    assert [each["description"] for each in answer["results"] if each["name"] == "Team/app_"] in ([], [ONLY_V1])


@pytest.mark.parametrize(
    ("query", "page", "size", "pages", "expected"),
    [
        ("n=25", 1, 25, 1, ALL),
        ("n=4", 1, 4, 3, ALL[:4]),
        ("n=4&page=2", 2, 4, 3, ALL[4:8]),
        ("page=3&page_size=4", 3, 4, 3, ALL[8:]),
        ("n=9", 1, 9, 1, ALL),
        ("n=8&page=2", 2, 8, 2, ALL[8:]),
        ("n=2&page_size=4", 1, 4, 3, ALL[:4]),  # the Hub's name of it before docker's
        ("page=4&page_size=4", 4, 4, 3, []),
        ("page=1", 1, MOST_RESULTS, 1, ALL),
        ("page=999999999999999999999&n=4", 10**9, 4, 3, []),
        ("n=0004", 1, 4, 3, ALL[:4]),
        (f"n={MOST_RESULTS + 1}", 1, MOST_RESULTS, 1, ALL),
        ("n=" + "9" * 5000, 1, MOST_RESULTS, 1, ALL),
    ],
)
async def test_a_page_is_what_was_asked_for(
    registry: RunningRegistry, root: Path, query: str, page: int, size: int, pages: int, expected: list[str]
) -> None:
    fill(root)
    answer = await found(registry, query)
    assert names(answer) == expected
    assert answer == {
        "num_results": len(ALL),
        "num_pages": pages,
        "page": page,
        "page_size": size,
        "query": "",
        "results": answer["results"],
    }


@pytest.mark.parametrize("key", ["n", "page", "page_size"])
@pytest.mark.parametrize("wrong", ["0", "00", "-1", "x", "1x", "1.0", "1e3", "+1", "%20", "%D9%A1", "%C2%B2", "%00"])
async def test_what_is_no_number_from_1_on_is_refused(registry: RunningRegistry, key: str, wrong: str) -> None:
    told = await registry.ask("GET", f"/v1/search?{key}={wrong}")
    assert told.status == 400
    assert key in told.json["error"]
    assert told.json["error"].isprintable()


async def test_who_asks_for_no_page_gets_a_thousand_and_is_told_of_the_rest(
    registry: RunningRegistry, root: Path
) -> None:
    for number in range(MOST_RESULTS + 5):
        (root / V2_TREE / f"r{number:04}" / "_manifests").mkdir(parents=True)
    answer = await found(registry, "q=r")
    assert names(answer) == [f"r{number:04}" for number in range(MOST_RESULTS)]
    assert (answer["num_results"], answer["num_pages"]) == (MOST_RESULTS + 5, 2)
    assert names(await found(registry, "q=r&page=2")) == [f"r{number:04}" for number in range(1000, 1005)]


async def test_descriptions_are_found_and_shown_as_one_line() -> None:
    said: dict[str, Any] = {"config": {"Labels": {"org.opencontainers.image.description": "\x1b[2JPrints\ninvoices"}}}
    async with running_v1(open_memory()) as registry:
        assert names(await found(registry, "q=")) == []
        await registry.push("team/old", "latest", [make_pushed("a", **said)])
        assert names(await found(registry, "q=")) == ["team/old"]
        answer = await found(registry, "q=NTS+INV")
        for _ in range(100):
            if answer["results"]:
                break
            await asyncio.sleep(0.05)
            answer = await found(registry, "q=NTS+INV")
        assert answer["results"] == [{"description": "[2JPrints invoices", "name": "team/old"}]
        assert names(await found(registry, "q=in")) == ["team/old"]
        await registry.push("team/in", "latest", [make_pushed("b")])
        assert names(await found(registry, "q=in")) == ["team/in", "team/old"]


async def test_a_registry_that_may_not_be_searched_says_so() -> None:
    async with running_v1(open_memory(), V1Settings(search=False)) as registry:
        for method in ("GET", "HEAD"):
            told = await registry.ask(method, "/v1/search?q=a&n=x")
            assert told.status == 404
            assert told.value("Content-Type") == "application/json"
        told = await registry.ask("GET", "/v1/search")
        assert told.told == (404, "this registry cannot be searched: its setting gateway.v1.search is false")
        assert (await registry.ask("POST", "/v1/search")).status == 405


# several processes

DELETES = {"REGISTRY_STORAGE_DELETE_ENABLED": "true"}


def environment(**more: str) -> dict[str, str]:
    plain = {f"REGISTRY_GATEWAY_{name}_ADDR": "127.0.0.1:0" for name in ("V1", "V2", "METRICS")}
    return {"REGISTRY_GATEWAY_ADDR": "127.0.0.1:0", **DELETES, **plain, **more}


@contextlib.contextmanager
def processes(kind: str, folder: Path) -> Iterator[tuple[int, int]]:
    """The ports of v1 and v2: of two workers, of a process for each registry, of these with a root for each."""
    if kind == "two workers":
        with running_command("serve", "--workers", "2", folder=folder, environment=environment()) as running:
            yield running.port("v1"), running.port("v2")
        return
    apart = {"REGISTRY_GATEWAY_V1_STORAGEPATH": str(folder / "v1-data")} if kind == "two roots" else {}
    root = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data"), **DELETES, **apart}
    with contextlib.ExitStack() as stack:
        ports = []
        for role in ("v1", "v2"):
            (folder / role).mkdir()
            running = stack.enter_context(
                running_command(role, "--addr", "127.0.0.1:0", folder=folder / role, environment=root)
            )
            ports.append(running.port(role))
        yield ports[0], ports[1]


@pytest.mark.parametrize("kind", ["two workers", "two processes", "two roots"])
async def test_what_one_process_has_pushed_every_other_finds_at_once(tmp_path: Path, kind: str) -> None:
    with processes(kind, tmp_path) as (v1, v2):
        old, new = RunningRegistry(v1), Client("127.0.0.1", v2)
        assert names(await found(old, "q=")) == []
        pushed: list[str] = []
        manifests: dict[str, bytes] = {}
        for number in range(12):
            if number % 3 == 2:
                pushed.append(f"team/old{number:02}")
                await old.push(pushed[-1], "latest", [make_pushed(f"{number:064x}")])
            else:
                pushed.append(f"team/new{number:02}")
                manifests[pushed[-1]] = await new.push_image(pushed[-1], "latest")
            for _ in range(3):  # of two workers, now one answers, now the other
                assert names(await found(old, "q=")) == sorted(pushed)
        for name in pushed[::2]:
            if name in manifests:
                gone = await new.ask("DELETE", f"/v2/{name}/manifests/{digest_of(manifests[name])}")
                assert gone.status == 202
            else:
                assert (await old.ask("DELETE", f"/v1/repositories/{name}/")).status == 200
            for _ in range(3):
                assert name not in names(await found(old, "q="))
        assert names(await found(old, "q=")) == sorted(pushed[1::2])


async def test_a_description_of_v2_is_found_within_a_second(tmp_path: Path) -> None:
    with processes("two processes", tmp_path) as (v1, v2):
        old, new = RunningRegistry(v1), Client("127.0.0.1", v2)
        assert names(await found(old, "q=")) == []
        blobs = [b"{}", b"layer"]
        for blob in blobs:
            await new.push_blob("team/new", blob)
        manifest = make_manifest(*blobs, annotations={"org.opencontainers.image.description": "Prints invoices"})
        assert (await new.put_manifest("team/new", "latest", manifest, OCI_MANIFEST)).status == 201
        await found(old, "q=")
        wanted = [{"description": "Prints invoices", "name": "team/new"}]
        async with asyncio.timeout(10):  # on a machine that does nothing else, within one
            while (await found(old, "q=invoices"))["results"] != wanted:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)


def kill_all(running: RunningCommand) -> None:
    for pid in (*children(running.process.pid), running.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.process.wait(20)


async def test_who_is_killed_while_it_searches_leaves_an_index_that_is_right_or_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number in range(3000):
        (root / V2_TREE / f"team{number % 10}" / f"app{number:04}" / "_manifests").mkdir(parents=True)
    settings = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(root)}
    chance = random.Random(11)
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        with running_command("v1", "--addr", "127.0.0.1:0", folder=folder, environment=settings) as running:
            registry = RunningRegistry(running.port("v1"))
            asking = asyncio.create_task(registry.ask("GET", "/v1/search?q=app&n=5"))
            await asyncio.sleep(chance.random() * 0.4)
            kill_all(running)
            with contextlib.suppress(Exception):
                await asking
        (root / V2_TREE / f"team0/app{number:04}0/_manifests").mkdir(parents=True)  # by another program
    folder = tmp_path / "last"
    folder.mkdir()
    with running_command("v1", "--addr", "127.0.0.1:0", folder=folder, environment=settings) as running:
        registry = RunningRegistry(running.port("v1"))
        answer = await found(registry, "q=app&n=5")
        assert 3000 <= answer["num_results"] <= 3006
        image = make_pushed("a")
        await registry.push("team0/pushed", "latest", [image])
        assert names(await found(registry, "q=pushed")) == ["team0/pushed"]
