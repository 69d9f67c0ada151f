"""Clients' credentials end at the proxy in front of docker-registry 0.9.1, which nginx guards with one password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from portside.settings.loading import Role
from tests.support.asking_proxy import PASSWORD, Site, me
from tests.support.certificate import make_certificate
from tests.support.commands import portside
from tests.support.docker import Docker
from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1
from tests.support.gated import basic
from tests.support.images import make_image
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.settings_files import loader, mistakes_of
from tests.support.upstreams import Peer, spoken_by_hand
from tests.support.v1_calls import Login
from tests.support.v1_session import Session
from tests.support.v1server import make_pushed
from tests.support.wire import Address

BASE = make_pushed("a", layer=b"the layer of the base")
APP = make_pushed("b", parent=BASE.id, layer=b"the layer of the app")
NAME = "team/app"


def site_of(folder: Path, upstream: str) -> Site:
    return Site(folder, upstream, "v1")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port, users = free_port(), tmp_path / "behind.htpasswd"
    users.write_text(f"portside:{{PLAIN}}{PASSWORD}\n")
    config = tmp_path / "nginx.conf"
    with docker_registry_0_9_1(tmp_path / "original") as original:
        config.write_text(
            f"""
            daemon off; user root; error_log stderr; pid {tmp_path}/nginx.pid; events {{}}
            http {{
                access_log {tmp_path}/nginx.log; client_max_body_size 0; client_body_temp_path {tmp_path};
                proxy_temp_path {tmp_path}; fastcgi_temp_path {tmp_path}; uwsgi_temp_path {tmp_path};
                scgi_temp_path {tmp_path};
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        auth_basic "behind"; auth_basic_user_file {users};
                        proxy_pass http://{original.authority};
                        proxy_set_header Host $http_host; proxy_set_header Authorization "";
                    }}
                    location /v1/_ping {{ proxy_pass http://{original.authority}; }}
                }}
            }}
            """
        )
        with running([find_program("nginx"), "-c", str(config), "-p", str(tmp_path)], tmp_path / "n.log", port=port):
            yield site_of(tmp_path, f"http://127.0.0.1:{port}")


@pytest.mark.real
async def test_who_has_logged_in_at_the_proxy_uses_the_registry_as_its_user(site: Site) -> None:
    with site.proxy() as (command, client):
        assert (await client.ask("GET", "/v1/_ping"))["X-Docker-Registry-Standalone"] == "False"
        for headers, status in (({}, 401), (basic("portside", PASSWORD), 401), (me("alice"), 200)):
            assert (await client.ask("GET", "/v1/users/", headers)).status == status
        assert (await client.ask("POST", "/v1/users/", me("alice"), body=b"{}")).status == 401
        assert await Session(client, me("alice")).push(NAME, "t", [BASE, APP]) == [BASE.id, APP.id]
        pulled = await Session(client, me("bob")).pull(NAME, "t")
        assert [(each.id, each.json, each.layer) for each in pulled] == [
            (each.id, each.json, each.layer) for each in (BASE, APP)
        ]
        reading = Session(client, me("bob"))
        begun = await reading.begin_pull(NAME)
        assert begun["X-Docker-Endpoints"] == client.authority
        assert begun.head.values("X-Docker-Token") == begun.head.values("WWW-Authenticate") == [reading.token]
        assert (await reading.put_image(make_pushed("c")))[0] == 403
        assert (await reading.put_tag(NAME, "x", APP)).status == 401
        for path in (f"/v1/images/{APP.id}/layer", f"/v1/repositories/{NAME}/tags", "/v1/search?q=app"):
            refused = await client.ask("GET", path)
            assert refused.status == 401
            assert "behind" not in str(refused.head)
        assert (await client.ask("GET", "/v1/search?q=app", me("bob"))).json["num_results"] == 1
        assert (await client.ask("DELETE", f"/v1/repositories/{NAME}/", me("alice"))).status == 200
        said = command.err.read_text() + command.out.read_text()
    assert PASSWORD not in said
    assert {line.split()[2] for line in (site.folder / "nginx.log").read_text().splitlines()} <= {"portside", "-"}


@pytest.mark.real
@pytest.mark.parametrize("version", ["1.0.1", "1.3.3", "1.5.0"])
async def test_old_docker_logs_in_pushes_and_pulls(site: Site, version: str) -> None:
    files = make_certificate(site.folder)
    settings = site.settings()
    tls = {"certificates": [{"certificate": str(files.chain), "key": str(files.key)}]}
    settings["gateway"] |= {"addr": settings["http"].pop("addr"), "tls": tls}
    with site.proxy(settings) as (command, _):
        address = Address("localhost", command.port("proxy"), files.ca)
        login = Login("alice", "alice")
        assert Docker(version, address).login(login).output == "Login Succeeded"
        pushed = Docker(version, address, login=login).push(NAME, "b", make_image(NAME))
        assert pushed.statement == "ok v1", pushed.output
        pulled = Docker(version, address, login=Login("bob", "bob")).pull(NAME, "b")
        assert pulled.statement == "ok v1", pulled.output
        for stranger in (None, Login("alice", "wrong")):
            assert not Docker(version, address, login=stranger).pull(NAME, "b").ok
            assert not Docker(version, address, login=stranger).push(NAME, "c", make_image(NAME)).ok


async def test_nothing_of_a_client_s_identity_passes_and_nothing_of_the_registry_s_comes_back(tmp_path: Path) -> None:
    heads = []

    async def converse(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            told = ("X-Docker-Token: theirs", "WWW-Authenticate: theirs", "Set-Cookie: session=1")
            await peer.answer("200 OK", *told, body=b"[]")

    async with spoken_by_hand(converse) as registry:
        with site_of(tmp_path, registry.address).proxy() as (_, client):
            sent = {**me("alice"), "X-Docker-Token": "true", "X-Signature": "data=x", "Cookie": "a=b", "X-User": "root"}
            begun = await client.ask("GET", f"/v1/repositories/{NAME}/images", sent)
            refused = await client.ask("GET", "/v1/elsewhere", me("alice"))
    (head,) = heads
    shown = dict(head.headers)
    assert shown["Authorization"] == basic("portside", PASSWORD)["Authorization"]
    assert shown["X-Docker-Token"] == "true"
    assert not {"X-Signature", "Cookie", "X-User"} & shown.keys()
    assert begun.status == 200
    assert "theirs" not in str(begun.head)
    assert "session" not in str(begun.head)
    assert refused.status == 404, "no route, no request"


@pytest.mark.parametrize("trusted", ["127.0.0.1", "192.0.2.1"])
async def test_the_registry_is_told_that_no_nginx_asks_for_a_layer(tmp_path: Path, trusted: str) -> None:
    """A registry that has nginx send layers would answer with an empty body, which is an empty layer to a client."""
    heads = []

    async def converse(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            await peer.answer("200 OK", body=b"layer")

    async with spoken_by_hand(converse) as registry:
        site = site_of(tmp_path, registry.address)
        settings = site.settings()
        settings["gateway"]["trustedproxies"] = [trusted]
        with site.proxy(settings) as (_, client):
            assert (await client.ask("GET", f"/v1/images/{APP.id}/layer", me("alice"))).body == b"layer"
    (head,) = heads
    assert ("X-Portside-Accel" in dict(head.headers)) is (trusted != "127.0.0.1")


MISTAKES = [
    ({"gateway": {"access": "RULES"}}, "could not be kept in front of a v1 registry elsewhere"),
    ({"gateway": {"auth": None}}, "say who may: auth, gateway.auth"),
    ({"http": {"secret": ""}}, "http.secret: it must be set"),
    ({"realm": "https://auth.example/token", "service": "s"}, "takes Basic, and no tokens"),
    ({"upstream": "http://registry.example"}, "over plain http"),
    ({"user": ""}, "name both user and passwordfile"),
]


@pytest.mark.parametrize(("change", "sentence"), MISTAKES)
def test_what_would_give_away_too_much_does_not_start(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    site = site_of(tmp_path, change.get("upstream", "https://registry.example"))
    settings = site.settings()
    (tmp_path / "rules.yml").write_text("- {allow: pull, to: alice}\n")
    for name, value in change.get("gateway", {}).items():
        settings["gateway"][name] = str(tmp_path / "rules.yml") if value == "RULES" else value
    settings["http"] |= change.get("http", {})
    own = {name: value for name, value in change.items() if name in {"realm", "service", "user"}}
    settings["gateway"]["v1"]["credentials"] |= own
    done = portside("proxy", site.write(settings), folder=tmp_path)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_serve_without_a_registry_of_its_own_wants_a_secret_too(tmp_path: Path) -> None:
    """Each of its workers would make a key for tokens in its own memory, and refuse those of the others."""
    settings = site_of(tmp_path, "https://registry.example").settings()
    settings["http"]["secret"] = ""
    settings["gateway"]["v2"] = {"upstream": "https://other.example"}
    (mistake,) = mistakes_of(loader(tmp_path), Role.SERVE, yaml.safe_dump(settings))
    assert mistake.startswith("http.secret: it must be set")
