"""An index elsewhere, through the whole program: what starts, what it says, and every form that processes have."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from portside.password_files.hashing import make_hash
from tests.support.certificate import make_certificate
from tests.support.commands import portside, running_command
from tests.support.serving_here import Client
from tests.support.small_index import Listed, SmallIndex, header, small_index
from tests.support.v1server import make_pushed

IMAGE = make_pushed("a", layer=b"a layer")
NAME = "team/app"


@pytest.fixture
def index() -> Iterator[SmallIndex]:
    with small_index(SmallIndex()) as served:
        yield served


def written(folder: Path, v1: dict[str, Any], **gateway: Any) -> Path:
    settings = {
        "http": {"addr": "127.0.0.1:0"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "gateway": {"workers": 2, "v1": {"standalone": False, **v1}, **gateway},
    }
    path = folder / "portside.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


async def push(client: Client, index: SmallIndex, name: str = NAME) -> None:
    index.repositories[name] = Listed([IMAGE.id])
    writer = header(index.give(name, "write"))
    path = f"/v1/images/{IMAGE.id}"
    assert (await client.ask("PUT", f"{path}/json", writer, body=IMAGE.json)).status == 200
    assert (await client.ask("PUT", f"{path}/layer", writer, body=IMAGE.layer)).status == 200
    checksum = {**writer, "X-Docker-Checksum-Payload": IMAGE.payload}
    assert (await client.ask("PUT", f"{path}/checksum", checksum, body=b"")).status == 200
    tag = json.dumps(IMAGE.id).encode()
    assert (await client.ask("PUT", f"/v1/repositories/{name}/tags/t", writer, body=tag)).status == 200


async def test_v1_alone_asks_the_index_and_says_so(tmp_path: Path, index: SmallIndex) -> None:
    path = written(tmp_path, {"index": index.url})
    with running_command("v1", path, folder=tmp_path) as command:
        log = command.err.read_text()
        assert f"access control of v1: tokens of the index {index.url}" in log
        assert "no access control" not in log
        client = Client("127.0.0.1", command.port("v1"))
        assert (await client.ask("GET", "/v1/_ping"))["X-Docker-Registry-Standalone"] == "False"
        await push(client, index)
        tags = f"/v1/repositories/{NAME}/tags"
        assert (await client.ask("GET", tags)).status == 401
        reader = header(index.give(NAME, "read"))
        assert (await client.ask("GET", tags, reader)).json == {"t": IMAGE.id}
        assert (await client.ask("GET", f"/v1/images/{IMAGE.id}/layer", reader)).body == IMAGE.layer
    kept = tmp_path / "data" / "repositories" / "team" / "app" / "_images_list"
    assert kept.read_text() == f'["{IMAGE.id}"]'


@pytest.mark.parametrize("command", ["serve", "v2"])
def test_what_would_serve_the_same_by_v2_to_everybody_does_not_start(tmp_path: Path, command: str) -> None:
    done = portside(command, written(tmp_path, {"index": "https://index.test"}), folder=tmp_path)
    assert done.returncode != 0
    assert "gateway.v1.standalone: the index would guard v1 alone" in done.stderr
    assert "portside v1 alone" in done.stderr


async def test_rules_hold_beside_it_in_one_process(tmp_path: Path, index: SmallIndex) -> None:
    (tmp_path / "users").write_text(f"index:{make_hash(b'wonder', 4)}\n")
    (tmp_path / "rules.yml").write_text("- {allow: push, to: [v1:index, carol, v1:privileged], on: team/*}\n")
    users = {"htpasswd": {"realm": "x", "path": str(tmp_path / "users")}}
    path = written(tmp_path, {"index": index.url}, access=str(tmp_path / "rules.yml"), auth=users)
    with running_command("serve", path, folder=tmp_path) as command:
        assert "line 1 names carol, v1:privileged, who are not in the file of users" in command.err.read_text()
        client = Client("127.0.0.1", command.port("proxy"))
        await push(client, index)
        denied = await client.ask("PUT", "/v1/repositories/x/y/tags/t", header(index.give("x/y", "write")), body=b'"x"')
        assert denied.status == 403
        as_index = {"Authorization": "Basic " + b64encode(b"index:wonder").decode()}  # to be called so opens nothing
        for headers in ({}, header(index.give(NAME, "read")), as_index):
            assert (await client.ask("GET", f"/v2/{NAME}/manifests/t", headers)).status in {401, 403, 404}


async def test_the_proxy_in_another_process_passes_tokens_on(tmp_path: Path, index: SmallIndex) -> None:
    path = written(tmp_path, {"index": index.url})
    with running_command("v1", path, folder=tmp_path) as registry:
        upstream = f"http://127.0.0.1:{registry.port('v1')}"
        front = {"http": {"addr": "127.0.0.1:0"}, "gateway": {"v1": {"upstream": upstream}}}
        (tmp_path / "front").mkdir()
        (tmp_path / "front" / "proxy.yml").write_text(yaml.safe_dump(front))
        with running_command("proxy", tmp_path / "front" / "proxy.yml", folder=tmp_path / "front") as command:
            client = Client("127.0.0.1", command.port("proxy"))
            await push(client, index)
            tags = f"/v1/repositories/{NAME}/tags"
            refused = await client.ask("GET", tags)
            assert (refused.status, refused["WWW-Authenticate"]) == (401, "Token")
            assert (await client.ask("GET", tags, header(index.give(NAME, "read")))).json == {"t": IMAGE.id}


MISTAKES = [
    ({}, "gateway.v1.index: the index says who may do what"),
    ({"index": "index.example"}, "write it like https://index.example.com"),
    ({"index": "https://u:p@index.example"}, "without user, password and query"),
    ({"index": "https://index.example?x"}, "without user, password and query"),
    ({"index": "https://i.test", "indexca": "/nowhere/ca.pem"}, "gateway.v1.indexca: /nowhere/ca.pem cannot be used"),
    ({"index": "https://i.test", "privilegedkey": "/nowhere/key.pem"}, "gateway.v1.privilegedkey: /nowhere/key.pem"),
    ({"index": "https://i.test", "mirroring": {"source": "https://m.test"}}, "gateway.v1.mirroring: a mirror gives"),
    ({"index": "https://i.test", "endpoints": ["https://r.test"]}, "each is what clients connect to"),
]


@pytest.mark.parametrize(("v1", "sentence"), MISTAKES)
def test_mistakes_keep_it_from_starting_with_one_sentence(tmp_path: Path, v1: dict[str, Any], sentence: str) -> None:
    path = written(tmp_path, v1)
    done = portside("v1", path, folder=tmp_path)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    checked = portside("config", "check", "--role", "v1", path, folder=tmp_path)
    assert checked.returncode == 1
    assert (sentence.partition(": ")[2] or sentence) in checked.stdout


def test_what_is_worth_a_second_look_is_said(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    public = rsa.generate_private_key(65537, 2048).public_key()
    key.write_bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1))
    ca = make_certificate(tmp_path).ca
    for v1, sentence in (
        ({"index": "http://index.test"}, "gateway.v1.index is not https: the tokens of clients go to another machine"),
        ({"index": "HTTP://index.test"}, "gateway.v1.index is not https: the tokens of clients go to another machine"),
        ({"index": "http://127.0.0.1:1", "indexca": str(ca)}, "gateway.v1.indexca has no effect"),
        ({"standalone": True, "index": "https://index.test"}, "gateway.v1.index has no effect"),
        ({"standalone": True, "privilegedkey": str(key)}, "gateway.v1.privilegedkey has no effect"),
    ):
        with running_command("v1", written(tmp_path, v1), folder=tmp_path) as command:
            assert sentence in command.err.read_text()
