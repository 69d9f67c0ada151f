"""Blobs and v1's layers where three processes see one folder: the proxy sends them, and nobody notices."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from backends.http.handed_files import FILE, TAKES
from tests.support.commands import RunningCommand, running_command
from tests.support.serving_here import Client
from tests.support.v1server import make_pushed

LARGE, SMALL = random.Random(12).randbytes(512_000), b"a small blob"
LAYER = make_pushed("a", layer=bytes(range(255)) * 4000)


@dataclass(frozen=True, slots=True)
class Roles:
    """Three processes.

    Attributes:
        client: of the proxy.
        alone: of the v2 registry's own port.
        logs: the access logs of the proxy and of the registries.
    """

    client: Client
    alone: Client
    logs: Mapping[str, RunningCommand]

    def size_of(self, role: str, line: str, status: int) -> int:
        """Returns the size in the access log's line of a request."""
        command = self.logs[role]
        words = command.wait_for_line(command.out, f'"{line} HTTP/1.1" {status} ').split(f'" {status} ')[1].split()
        return int(words[0])


@contextmanager
def roles(folder: Path, *, files: bool, seen: str = "data") -> Iterator[Roles]:
    """v1, v2 and the proxy, joined by unix sockets, over one folder; the proxy sees it as `seen`."""
    with tempfile.TemporaryDirectory(prefix="ps-") as sockets, ExitStack() as stack:
        both = {name: {"unix": f"{sockets}/{name}", "upstream": f"unix:{sockets}/{name}"} for name in ("v1", "v2")}
        if files:
            for each in both.values():
                each["files"] = str(folder / "data")
        settings = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": "127.0.0.1:0"},
            "gateway": {
                "workers": 1,
                **{name: {"addr": "127.0.0.1:0", **each} for name, each in both.items()},
            },
        }
        running = {}
        for role in ("v1", "v2", "proxy"):
            own = folder / role
            own.mkdir()
            text = yaml.safe_dump(settings)
            if role == "proxy":
                text = text.replace(f"files: {folder}/data", f"files: {folder}/{seen}")
            (own / "roles.yml").write_text(text)
            running[role] = stack.enter_context(running_command(role, "roles.yml", folder=own))
        yield Roles(
            Client("127.0.0.1", running["proxy"].port("proxy")), Client("127.0.0.1", running["v2"].port("v2")), running
        )


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("files", [False, True], ids=["through the socket", "handed over"])
async def test_every_answer_is_as_without(tmp_path: Path, files: bool) -> None:  # noqa: FBT001 - a case
    with roles(tmp_path, files=files) as place:
        client = place.client
        for content in (LARGE, SMALL):
            pushed = await client.ask("POST", f"/v2/a/blobs/uploads/?digest={_digest(content)}", body=content)
            assert pushed.status == 201
        large = f"/v2/a/blobs/{_digest(LARGE)}"
        etag = f'"{_digest(LARGE)}"'
        for headers, status, body in (
            ({}, 200, LARGE),
            ({"Range": "bytes=7-300006"}, 206, LARGE[7:300_007]),
            ({"Range": "bytes=-100000"}, 206, LARGE[-100_000:]),
            ({"Range": "bytes=1-3"}, 206, LARGE[1:4]),
            ({"Range": f"bytes={len(LARGE)}-"}, 416, None),
            ({"If-None-Match": etag}, 304, b""),
            ({"Range": "bytes=0-299999", "If-Range": etag}, 206, LARGE[:300_000]),
            ({"Range": "bytes=0-299999", "If-Range": '"x"'}, 200, LARGE),
            ({TAKES: "yes", FILE: "0-1/2 /x"}, 200, LARGE),
        ):
            answer = await client.ask("GET", large, headers)
            assert answer.status == status, headers
            assert answer.head.value(FILE) is None
            if body is not None:
                assert answer.body == body
                assert status == 304 or answer.head.value("Content-Length") == str(len(body))
            if status == 206 and body:
                first = LARGE.index(body)
                assert answer.head.value("Content-Range") == f"bytes {first}-{first + len(body) - 1}/{len(LARGE)}"
        for role in ("proxy", "v2"):
            assert place.size_of(role, f"GET {large}", 200) == len(LARGE)
            assert place.size_of(role, f"GET {large}", 206) == 300_000
        several = await client.ask("GET", large, {"Range": "bytes=0-99999,200000-299999"})
        assert several.status == 206
        assert LARGE[:100_000] in several.body
        assert LARGE[200_000:300_000] in several.body
        head = await client.ask("HEAD", large)
        assert (head.status, head.body, head.head.value("Content-Length")) == (200, b"", str(len(LARGE)))
        assert (await client.ask("GET", f"/v2/a/blobs/{_digest(SMALL)}")).body == SMALL
        assert (await place.alone.ask("GET", large, {TAKES: "yes"})).body == LARGE, "no trusted peer"
        agent = {"User-Agent": "docker/1.5.0"}
        for path, body, more in (
            (f"/v1/images/{LAYER.id}/json", LAYER.json, {}),
            (f"/v1/images/{LAYER.id}/layer", LAYER.layer, {}),
            (f"/v1/images/{LAYER.id}/checksum", b"", {"X-Docker-Checksum-Payload": LAYER.payload}),
        ):
            assert (await client.ask("PUT", path, {**agent, **more}, body=body)).status == 200
        layer = await client.ask("GET", f"/v1/images/{LAYER.id}/layer", agent)
        assert (layer.status, layer.body) == (200, LAYER.layer)
        rest = await client.ask("GET", f"/v1/images/{LAYER.id}/layer", {**agent, "Range": "bytes=5-"})
        assert (rest.status, rest.body) == (206, LAYER.layer[5:])


async def test_the_bytes_are_those_that_the_proxy_sees(tmp_path: Path) -> None:
    digest = _digest(LARGE)
    place = "docker/registry/v2/blobs/sha256"
    mirror = tmp_path / "seen" / place / digest[7:9] / digest[7:] / "data"
    mirror.parent.mkdir(parents=True)
    mirror.write_bytes(LARGE[::-1])  # what no registry would have
    with roles(tmp_path, files=True, seen="seen") as running:
        client = running.client
        assert (await client.ask("POST", f"/v2/a/blobs/uploads/?digest={digest}", body=LARGE)).status == 201
        assert (await client.ask("GET", f"/v2/a/blobs/{digest}")).body == LARGE[::-1]
        mirror.write_bytes(LARGE[1:])
        assert (await client.ask("GET", f"/v2/a/blobs/{digest}")).status == 502
        mirror.unlink()
        assert (await client.ask("GET", f"/v2/a/blobs/{digest}")).status == 502
        assert (await client.ask("GET", f"/v2/a/blobs/{digest}", {"Range": "bytes=0-9"})).body == LARGE[:10]
