"""Clients' credentials end at the proxy: it asks them itself, and shows distribution 2.8.2 and 3.1.2 its own."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.asking_proxy import PASSWORD, RULES, Site, hashed, me, push, running_distribution
from tests.support.commands import portside, running_command
from tests.support.gated import basic
from tests.support.programs import DISTRIBUTION
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of
from tests.support.upstreams import Peer, spoken_by_hand


@pytest.fixture(params=DISTRIBUTION)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    users = tmp_path / "behind.htpasswd"
    users.write_text(f"portside:{hashed(PASSWORD)}\n")
    auth = {"htpasswd": {"realm": "behind", "path": str(users)}}
    with running_distribution(request.param, tmp_path, auth) as address:
        yield Site(tmp_path, address)


@pytest.mark.real
async def test_the_proxy_s_own_users_and_rules_decide_about_a_registry_elsewhere(site: Site) -> None:
    with site.proxy() as (command, client):
        for name in ("public/base", "secret/plan", "team/app"):
            assert (await push(client, name)).status == 201
        asked = await client.ask("GET", "/v2/")
        assert asked.status == 401
        assert "behind" not in str(asked.head)
        assert (await client.ask("GET", "/v2/", basic("portside", PASSWORD))).status == 401, "it is no user here"
        assert (await client.ask("GET", "/v2/", me("bob"))).status == 200
        token = (await client.ask("GET", "/v2/_portside/token")).json["token"]
        nobody = {"Authorization": f"Bearer {token}"}
        head = {"Accept": OCI_MANIFEST}
        path = "/v2/{}/manifests/1"
        for caller, may in ((me("alice"), 7), (me("bob"), 5), (nobody, 1)):
            for bit, name in enumerate(("public/base", "secret/plan", "team/app")):
                said = await client.ask("GET", path.format(name), {**caller, **head})
                wanted = 200 if may & 1 << bit else 401 if caller is nobody else 404
                assert said.status == wanted, (caller, name, said)
        hidden = await client.ask("GET", path.format("secret/plan"), {**me("bob"), **head})
        absent = await client.ask("GET", path.format("secret/none"), {**me("bob"), **head})
        assert hidden.told == absent.told == (404, "MANIFEST_UNKNOWN")
        assert hidden.body.replace(b"plan", b"none") == absent.body
        same = [[pair for pair in each.head.headers if pair[0] != "Date"] for each in (hidden, absent)]
        assert same[0] == same[1]
        assert (await client.ask("POST", "/v2/team/app/blobs/uploads/", me("bob"))).told == (403, "DENIED")
        gone = await client.ask("DELETE", f"/v2/team/app/blobs/{digest_of(b'layer')}", me("bob"))
        assert gone.told == (403, "DENIED")
        assert (await client.ask("DELETE", f"/v2/team/app/blobs/{digest_of(b'layer')}", me("alice"))).status == 202
        assert (await client.ask("GET", "/v2/team/app/extension", me("alice"))).status == 404, "no route, no request"
        log = command.err.read_text()
        line = command.wait_for_line(command.out, "/v2/team/app/manifests/1", "bob")
    assert PASSWORD not in log + command.out.read_text(), line
    assert "secret/plan" in log, "a refusal leaves a line"


@pytest.mark.real
async def test_lists_of_a_registry_elsewhere_show_what_may_be_pulled(site: Site) -> None:
    with site.proxy() as (_, client):
        for name in ("public/base", "secret/plan", "team/app", "team/web"):
            assert (await push(client, name)).status == 201
        everything = await client.ask("GET", "/v2/_catalog", me("alice"))
        assert everything.json["repositories"] == ["public/base", "secret/plan", "team/app", "team/web"]
        whole = await client.ask("GET", "/v2/_catalog", me("bob"))
        assert whole.json["repositories"] == ["public/base", "team/app", "team/web"]
        seen, path = [], "/v2/_catalog?n=1"
        while path:
            page = await client.ask("GET", path, me("bob"))
            seen += page.json["repositories"]
            link = page.head.value("Link") or ""
            assert "secret" not in link
            path = (re.findall("<([^>]+)>", link) or [""])[0]
        assert seen == whole.json["repositories"]


@pytest.mark.real
async def test_a_mount_reaches_the_registry_only_where_its_source_may_be_pulled(site: Site) -> None:
    (site.folder / "rules.yml").write_text(f"{RULES}- {{allow: push, to: bob, on: team/*}}\n")
    with site.proxy() as (_, client):
        for name in ("public/base", "secret/plan"):
            assert (await push(client, name, content=name.encode())).status == 201
        for name, status in (("public/base", 201), ("secret/plan", 202)):
            digest = digest_of(name.encode())
            path = f"/v2/team/app/blobs/uploads/?mount={digest}&from={name}"
            assert (await client.ask("POST", path, me("bob"))).status == status
        digest = digest_of(b"secret/plan")
        for query in (
            f"mount={digest}",
            f"mount={digest}&from=public/base&from=secret/plan",
            f"mount={digest}&from=secret%2Fplan&from=public/base",
        ):
            assert (await client.ask("POST", f"/v2/team/app/blobs/uploads/?{query}", me("bob"))).status == 202
        assert (await client.ask("HEAD", f"/v2/team/app/blobs/{digest}", me("bob"))).status == 404


@pytest.mark.real
async def test_a_new_password_holds_a_second_later_and_a_wrong_one_is_told_once(site: Site) -> None:
    with site.proxy() as (command, client):
        assert (await client.ask("GET", "/v2/", me("bob"))).status == 200
        site.password.write_text("wrong\n")
        statuses = set()
        for _ in range(50):
            said = await client.ask("GET", "/v2/", me("bob"))
            statuses.add(said.status)
            if said.status == 502:
                assert said.head.value("WWW-Authenticate") is None
                assert "does not take the user and password of gateway.v2.credentials" in said.body.decode()
            await asyncio.sleep(0.05)
        assert 502 in statuses
        begun = await client.ask("POST", "/v2/team/app/blobs/uploads/", me("alice"))
        assert begun.status == 502
        line = command.wait_for_line(command.err, "does not take the user and password")
        assert "wrong" not in line
        lines = [each for each in command.err.read_text().splitlines() if "does not take the user" in each]
        assert len(lines) <= 2, "once by each worker"
        following = site.folder / "next"
        following.write_text(f"{PASSWORD}\n")
        following.replace(site.password)  # as Kubernetes and careful people change a file
        for _ in range(50):
            if [(await client.ask("GET", "/v2/", me("bob"))).status for _ in range(6)] == [200] * 6:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(command.err.read_text())


async def test_nothing_of_a_client_s_identity_passes_and_nothing_of_the_proxy_s_comes_back(tmp_path: Path) -> None:
    heads = []

    async def converse(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            heads.append(head)
            more = ("Set-Cookie: sid=of-the-proxy", "WWW-Authenticate: Basic", "X-Docker-Token: t", "ETag: kept")
            await peer.answer("200 OK", *more, body=b"{}")

    async with spoken_by_hand(converse) as registry:
        site = Site(tmp_path, registry.address)
        with site.proxy() as (_, client):
            sent = [
                *me("bob").items(),
                ("Cookie", "sid=of-bob"),
                ("X-Docker-Token", "true"),
                ("X-Remote-User", "admin"),
                ("X-HTTP-Method-Override", "DELETE"),
                ("X-Portside-Client-Certificate", "mine"),
                ("Accept", OCI_MANIFEST),
            ]
            said = await client.ask("GET", "/v2/team/app/manifests/1", sent)
            assert said.status == 200
            assert said.head.value("ETag") == "kept"
            for name in ("Set-Cookie", "WWW-Authenticate", "X-Docker-Token"):
                assert said.head.value(name) is None
        (head,) = heads
        assert head.values("Authorization") == [basic("portside", PASSWORD)["Authorization"]]
        names = {name.lower() for name, _ in head.headers}
        assert names <= {"host", "accept", "authorization", "x-real-ip", "x-forwarded-for", "x-forwarded-proto"}, names


@pytest.mark.parametrize(
    ("challenge", "own", "sentence"),
    [
        ('Bearer realm="https://elsewhere/token",service="s"', {}, "tokens of a token server (Bearer)"),
        ('Basic realm="r"', {"none": True}, "it wants credentials; name user and passwordfile"),
    ],
)
async def test_what_a_registry_wants_and_the_proxy_has_not_is_a_sentence(
    tmp_path: Path, challenge: str, own: dict[str, Any], sentence: str
) -> None:
    heads = []

    async def converse(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            await peer.answer("401 Unauthorized", f"WWW-Authenticate: {challenge}")

    async with spoken_by_hand(converse) as registry:
        site = Site(tmp_path, registry.address)
        with site.proxy(site.settings(**own)) as (_, client):
            said = await client.ask("GET", "/v2/team/app/tags/list", me("bob"))
    assert said.told == (502, "UNAVAILABLE")
    assert sentence in said.body.decode()
    assert said.head.value("WWW-Authenticate") is None
    assert len(heads) == 1, "it is asked once, and its realm never"
    assert [len(each.values("Authorization")) for each in heads] == [0 if own else 1]


async def test_a_catalog_without_end_is_refused(tmp_path: Path) -> None:
    async def converse(peer: Peer) -> None:
        number = 0
        while True:
            await peer.read_head()
            number += 1
            body = f'{{"repositories": ["secret/{number}"]}}'.encode()
            await peer.answer("200 OK", 'Link: </v2/_catalog?last=x>; rel="next"', body=body)

    async with spoken_by_hand(converse) as registry:
        with Site(tmp_path, registry.address).proxy() as (_, client):
            said = await client.ask("GET", "/v2/_catalog", me("bob"))
    assert said.told == (403, "DENIED")
    assert "too many repositories" in said.body.decode()


async def test_a_page_of_the_catalog_is_as_large_as_the_profile_has_it(tmp_path: Path) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", body=b'{"repositories": ["public/base"]}')

    async with spoken_by_hand(converse) as registry:
        site = Site(tmp_path, registry.address)
        settings = site.settings()
        settings["gateway"]["profile"] = "distribution"
        with site.proxy(settings) as (_, client):
            said = await client.ask("GET", "/v2/_catalog?n=1001", me("bob"))
    assert said.told == (400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.real
async def test_the_page_s_settings_and_commands(site: Site) -> None:
    """Typed from the page, with this test's folder, a port of its own, and the registry that there is."""
    page = (Path(__file__).parents[2] / "docs" / "foreign-registries.md").read_text()
    found = re.search(r"at the proxy\n.*?```yaml proxy\n(.*?)```\n\n```sh\n(.*?)```", page, re.DOTALL)
    assert found is not None
    folder = site.folder
    here = [
        each.replace("/etc/portside/", f"{folder}/").replace("/etc/portside.yml", f"{folder}/portside.yml")
        for each in found.groups()
    ]
    text = here[0].replace("https://registry.internal:5000", site.upstream).replace('":5000"', "127.0.0.1:0")
    (folder / "upstream-password").write_text(PASSWORD)
    (folder / "rules.yml").write_text(RULES)
    (folder / "portside.yml").write_text(text)
    adds, serves = (line.split()[1:] for line in here[1].splitlines())
    done = portside(*adds, folder=folder, typed="alice\n")
    assert done.returncode == 0, done
    with running_command(*serves, folder=folder) as command:
        tls = ssl.create_default_context(cafile=folder / "certs" / "ca.crt")
        client = Client("localhost", command.port("proxy"), tls)
        assert (await push(client, "team/app")).status == 201
        assert (await client.ask("GET", "/v2/team/app/tags/list", me("alice"))).json["tags"] == ["1"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"upstream": "http://registry.example:5000"}, "over plain http; use https, or write unencrypted: true"),
        ({"credentials": {"user": "portside"}}, "name both user and passwordfile, or write none: true"),
        ({"credentials": {"none": True, "user": "x"}}, "it says that there are no credentials, and there are"),
        ({"credentials": {"user": "a:b", "passwordfile": "password"}}, "it must have no colon"),
        ({"credentials": {"user": "portside", "passwordfile": "missing"}}, "missing cannot be read"),
        ({"credentials": {"user": "portside", "passwordfile": "lines"}}, "it must hold the password alone"),
        ({"auth": None, "access": None}, "whoever reaches the proxy could do what this user may"),
        ({"secret": None}, "it must be set: where rules may let in anyone"),
        ({"v1": True}, "could not be kept in front of a v1 registry elsewhere"),
    ],
)
def test_what_would_give_away_too_much_does_not_start(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    site = Site(tmp_path, "http://127.0.0.1:1")
    settings = site.settings()
    gateway = settings["gateway"]
    for key, value in change.items():
        if key in {"auth", "access"}:
            del gateway[key]
        elif key == "secret":
            del settings["http"]["secret"]
        elif key == "v1":
            gateway["v1"] = {"upstream": "http://127.0.0.1:2", "credentials": gateway["v2"]["credentials"]}
        else:
            gateway["v2"][key] = value
    (tmp_path / "lines").write_text("one\ntwo\n")
    path = site.write(settings)
    for command in (("proxy", path), ("config", "check", "--role", "proxy", path)):
        done = portside(*command, folder=tmp_path)
        assert done.returncode != 0, done
        said = done.stdout + done.stderr
        assert sentence in said, said
        assert PASSWORD not in said
        assert "two" not in said.replace("two of", "")


@pytest.mark.parametrize(
    "place", [{"upstream": "https://registry.example"}, {"upstream": "unix:/run/registry.sock"}, {"unencrypted": True}]
)
def test_where_nobody_can_read_it_the_password_may_go(tmp_path: Path, place: dict[str, Any]) -> None:
    site = Site(tmp_path, "http://registry.example")
    settings = site.settings()
    v2 = settings["gateway"]["v2"]
    (v2["credentials"] if "unencrypted" in place else v2).update(place)
    done = portside("config", "check", "--role", "proxy", site.write(settings), folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "ignored" not in done.stdout


@pytest.mark.real
async def test_a_registry_of_v1_may_be_in_the_same_process(site: Site) -> None:
    settings = site.settings()
    settings["storage"] = {"filesystem": {"rootdirectory": str(site.folder / "here")}}
    settings["gateway"]["metrics"] = {"addr": "127.0.0.1:0"}
    with running_command("serve", site.write(settings), folder=site.folder) as command:
        client = Client("127.0.0.1", command.port("proxy"))
        assert (await push(client, "secret/plan")).status == 201
        assert (await client.ask("GET", "/v2/secret/plan/tags/list", me("bob"))).told == (404, "NAME_UNKNOWN")
        assert (await client.ask("GET", "/v2/secret/plan/tags/list", me("alice"))).json["tags"] == ["1"]
        assert (await client.ask("GET", "/v1/repositories/secret/plan/images", me("bob"))).status == 404
        assert (await client.ask("GET", "/v1/repositories/secret/plan/images")).status == 401
        assert "decided there" not in command.err.read_text()


@pytest.mark.real
async def test_health_says_that_the_registry_does_not_take_the_proxy_s_credentials(site: Site) -> None:
    settings = site.settings()
    settings["gateway"]["metrics"] = {"addr": "127.0.0.1:0"}
    site.password.write_text("another\n")
    with site.proxy(settings) as (command, _):
        said = await Client("127.0.0.1", command.port("metrics")).ask("GET", "/debug/health")
    assert said.status == 503
    assert "does not take the user and password of gateway.v2.credentials" in said.body.decode()
    assert "another" not in said.body.decode()
