"""Tokens of issuers at the doors of the whole program, in every role, with the issuer down, and beside passwords."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from tests.support.commands import RunningCommand, portside, running_command
from tests.support.gated import basic, bearer
from tests.support.issuer import AUDIENCE, Issuer, page, running_issuer
from tests.support.serving_here import OCTETS, Client, digest_of

APP = "acme/app"
RULES = f"""
- {{allow: push, to: users, on: acme/**, claims: {{repository_owner: acme, ref: refs/heads/main}}}}
- {{allow: pull, to: users, on: acme/**, claims: {{kubernetes.io.namespace: [ci, production]}}}}
- {{allow: pull, to: group ci:devs, on: {APP}}}
- {{allow: [push, delete], to: alice}}
"""
MAIN: dict[str, Any] = {"repository_owner": "acme", "ref": "refs/heads/main"}


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    async with running_issuer(tmp_path / "issuer") as running:
        yield running


@dataclass(frozen=True, slots=True)
class Site:
    """A folder with settings and rules."""

    folder: Path
    settings: dict[str, Any]

    def write(self) -> Path:
        """Write the settings file."""
        path = self.folder / "config.yml"
        path.write_text(yaml.safe_dump(self.settings))
        return path


@pytest.fixture
def site(tmp_path: Path, issuer: Issuer) -> Site:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    said = {"issuer": issuer.url, "audience": AUDIENCE, "ca": str(issuer.ca), "prefix": "ci:"}
    return Site(
        tmp_path,
        {
            "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0"},
            "gateway": {
                "workers": 2,
                "access": str(rules),
                "auth": {"openid": [said]},
                "v1": {"addr": "127.0.0.1:0"},
                "v2": {"addr": "127.0.0.1:0"},
                "metrics": {"addr": "127.0.0.1:0"},
            },
        },
    )


@contextmanager
def serving(site: Site) -> Iterator[tuple[RunningCommand, Client]]:
    """Serves; a client of the proxy."""
    with running_command("serve", site.write(), folder=site.folder) as command:
        yield command, Client("127.0.0.1", command.port("proxy"))


@contextmanager
def clients(site: Site, role: str) -> Iterator[dict[str, Client]]:
    """Serves in one process or as roles; a client of each protocol."""
    with ExitStack() as stack:
        if role == "serve":
            yield dict.fromkeys(("v1", "v2"), stack.enter_context(serving(site))[1])
            return
        found = {}
        for each in ("v1", "v2"):
            folder = site.folder / each
            folder.mkdir()
            command = stack.enter_context(running_command(each, site.write(), folder=folder))
            found[each] = Client("127.0.0.1", command.port(each))
        yield found


def told(answer: Any) -> tuple[int, list[str]]:
    return answer.status, answer.head.values("WWW-Authenticate")


@pytest.mark.parametrize("role", ["serve", "roles"])
async def test_a_job_pushes_and_a_pod_pulls_with_a_token_in_either_place(site: Site, role: str, issuer: Issuer) -> None:
    with clients(site, role) as found:
        v1, v2 = found["v1"], found["v2"]
        asked = ['Basic realm="a token of an OpenID Connect issuer"']
        assert told(await v2.ask("GET", "/v2/")) == (401, asked)
        assert told(await v2.ask("GET", "/v2/", bearer(issuer.token(aud="other")))) == (401, asked)
        assert told(await v2.ask("GET", "/v2/", basic("any", issuer.token(aud="other")))) == (401, asked)
        job, pod = issuer.token(**MAIN), issuer.token(None, None, **{"kubernetes.io": {"namespace": "ci"}})
        for me in (bearer(job), basic("token", job), basic("", job)):
            assert (await v2.ask("GET", "/v2/", me)).status == 200
            assert (await v2.ask("POST", f"/v2/{APP}/blobs/uploads/", me)).status == 202
            assert (await v2.ask("POST", "/v2/other/app/blobs/uploads/", me)).status == 403
        branch = issuer.token(repository_owner="acme", ref="refs/heads/work")
        for other in (pod, branch):
            assert (await v2.ask("POST", f"/v2/{APP}/blobs/uploads/", bearer(other))).status == 403
        for path, allowed in ((f"/v2/{APP}/tags/list", True), ("/v2/other/app/tags/list", False)):
            code = (await v2.ask("GET", path, basic("x", pod))).json["errors"][0]["code"]
            assert code == "NAME_UNKNOWN", "it is not there, or may not be known to be"
            assert (await v2.ask("GET", path, bearer(branch))).status == 404, allowed
        member = issuer.token(groups=["devs"])
        assert (await v2.ask("GET", f"/v2/{APP}/tags/list", bearer(member))).status == 404
        assert (await v1.ask("GET", "/v1/users/", basic("any", job))).status == 200
        assert (await v1.ask("GET", "/v1/users/", basic("any", issuer.token(exp=1)))).status == 401


async def test_what_rules_say_of_claims_decides_what_is_there(site: Site, issuer: Issuer) -> None:
    with serving(site) as (command, v2):
        me = bearer(issuer.token(**MAIN))
        place = (await v2.ask("POST", f"/v2/{APP}/blobs/uploads/", me)).path
        digest = digest_of(b"foo")
        joined = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        put = await v2.ask("PUT", joined, me | OCTETS, body=b"foo")
        assert put.status == 201
        cases: list[tuple[dict[str, Any], int]] = [
            ({"kubernetes.io": {"namespace": "ci"}}, 200),
            ({"kubernetes.io": {"namespace": "production"}}, 200),
            ({"kubernetes.io": {"namespace": "ci2"}}, 404),
            ({"kubernetes.io": {"namespace": ["x", "ci"]}}, 200),
            ({"kubernetes.io.namespace": "ci"}, 200),
            ({"groups": ["devs"]}, 200),
            ({"groups": ["ci:devs"]}, 404),
            ({"sub": "alice"}, 404),  # who is `ci:alice`
        ]
        for claims, status in cases:
            answer = await v2.ask("GET", f"/v2/{APP}/blobs/{digest}", bearer(issuer.token(None, None, **claims)))
            assert answer.status == status, claims
        log = command.err.read_text()
        assert "ci:alice at 127.0.0.1 was refused to pull acme/app" in log
        for secret in (issuer.token(**MAIN), me["Authorization"].removeprefix("Bearer ")):
            assert secret not in log + command.out.read_text()


async def test_a_start_waits_for_no_issuer_and_an_outage_takes_nobodys_access(site: Site, issuer: Issuer) -> None:
    issuer.pages["/jwks"] = page("", status=503)
    with serving(site) as (command, v2):
        answer = await v2.ask("GET", "/v2/", bearer(issuer.token()))
        assert answer.status == 503
        assert answer["Retry-After"] == "10"
        assert answer.json["errors"][0]["code"] == "UNAVAILABLE"
        command.wait_for_line(command.err, "cannot be had", "it answers 503", "its tokens cannot be checked")
        assert command.err.read_text().count("cannot be had: ") == 1, "each worker says it"
        metrics = Client("127.0.0.1", command.port("metrics"))
        async with asyncio.timeout(45):
            while not (health := await metrics.ask("GET", "/debug/health")).json:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        assert health.status == 200, "pulls work"
        assert health.json == {
            f"openid issuer {issuer.url}": f"its keys cannot be had ({issuer.url}/jwks: it answers 503)"
        }
        del issuer.pages["/jwks"]
        async with asyncio.timeout(30):
            while (await v2.ask("GET", "/v2/", bearer(issuer.token()))).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def test_passwords_and_tokens_are_taken_beside_each_other(site: Site, issuer: Issuer) -> None:
    users = site.folder / "htpasswd"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    site.settings["gateway"]["auth"]["htpasswd"] = {"realm": "here", "path": str(users)}
    with serving(site) as (command, v2):
        assert told(await v2.ask("GET", "/v2/")) == (401, ['Basic realm="here"'])
        assert (await v2.ask("GET", "/v2/", basic("alice", "secret"))).status == 200
        assert (await v2.ask("GET", "/v2/", basic("alice", issuer.token()))).status == 200
        assert (await v2.ask("GET", "/v2/", basic("alice", "wrong"))).status == 401
        # Whoever has a token is who that says, not the user that stands beside it.
        assert (await v2.ask("POST", "/v2/x/blobs/uploads/", basic("alice", "secret"))).status == 202
        assert (await v2.ask("POST", "/v2/x/blobs/uploads/", basic("alice", issuer.token()))).status == 403
        forged = issuer.token(sub="alice").rpartition(".")[0] + ".c2ln"
        assert told(await v2.ask("GET", "/v2/", basic("alice", forged))) == (401, ['Basic realm="here"'])
        # A token of somebody else is a password like any other.
        assert (await v2.ask("GET", "/v2/", basic("alice", issuer.token(iss="https://other.example")))).status == 401
        log = command.err.read_text()
        assert "(openid, " in log
        assert "(htpasswd, " in log


async def test_where_anyone_may_pull_clients_get_a_token_of_this_registry_for_theirs(
    site: Site, issuer: Issuer
) -> None:
    site.folder.joinpath("rules.yml").write_text(RULES + "- {allow: pull, to: anyone, on: public/**}\n")
    with serving(site) as (_, v2):
        here = f'Bearer realm="http://{v2.authority}/v2/_portside/token",service="{v2.authority}"'
        assert told(await v2.ask("GET", "/v2/")) == (401, [here])
        nobody = (await v2.ask("GET", "/v2/_portside/token")).json["token"]
        assert (await v2.ask("GET", "/v2/public/x/tags/list", bearer(nobody))).json["errors"][0][
            "code"
        ] == "NAME_UNKNOWN"
        job = (await v2.ask("GET", "/v2/_portside/token", basic("token", issuer.token(**MAIN)))).json["token"]
        assert (await v2.ask("POST", f"/v2/{APP}/blobs/uploads/", bearer(job))).status == 202
        assert (await v2.ask("POST", "/v2/public/x/blobs/uploads/", bearer(job))).status == 403
        wrong = await v2.ask("GET", "/v2/_portside/token", basic("token", issuer.token(aud="other")))
        assert wrong.status == 401
        # A token is not made another by who has it only as a bearer.
        assert (await v2.ask("GET", "/v2/_portside/token", bearer(issuer.token(**MAIN)))).status == 403


def start(site: Site) -> str:
    ended = portside("serve", site.write(), folder=site.folder, timeout_s=20)
    assert ended.returncode == 1, ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda said, _: said.pop("access"), "gateway.auth.openid: it needs gateway.access"),
        (lambda _, one: one.pop("audience"), "gateway.auth.openid.0.audience: it must be set"),
        (lambda _, one: one.pop("issuer"), "gateway.auth.openid.0.issuer: it must be set"),
        (lambda _, one: one.update(issuer="http://issuer.example"), "by https, or by http on this machine alone"),
        (lambda _, one: one.update(issuer="my-issuer"), "or set jwks beside it"),
        (lambda _, one: one.update(jwks="http://10.0.0.1/jwks"), "openid.0.jwks: keys are asked for by https"),
        (lambda _, one: one.update(jwks="/nowhere/jwks.json"), "openid.jwks: /nowhere/jwks.json cannot be read"),
        (lambda _, one: one.update(ca="/nowhere/ca.crt"), "openid.ca: /nowhere/ca.crt does not exist"),
        (lambda _, one: one.update(token="/nowhere/token"), "openid.token: /nowhere/token does not exist"),
        (lambda said, one: said["auth"].update(openid=[one, one]), "is there already"),
        (lambda said, one: said["auth"].update(
            token={"realm": "https://t.example", "service": "s", "issuer": one["issuer"], "jwks": "/x"}
        ), "it is the issuer of token, too"),
    ],
)  # fmt: skip
def test_a_start_is_refused_with_a_sentence(change: Any, sentence: str, site: Site) -> None:
    gateway = site.settings["gateway"]
    change(gateway, gateway["auth"]["openid"][0])
    assert sentence in start(site)


async def test_one_issuer_may_stand_alone_with_a_file_of_keys_and_several_audiences(site: Site, issuer: Issuer) -> None:
    file = site.folder / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    site.settings["gateway"]["auth"]["openid"] = {
        "issuer": "kubernetes/serviceaccount", "audience": ["other", AUDIENCE], "jwks": str(file), "groups": "",
    }  # fmt: skip
    with serving(site) as (_, v2):
        me = bearer(issuer.token(iss="kubernetes/serviceaccount", sub="alice"))
        assert (await v2.ask("POST", "/v2/x/blobs/uploads/", me)).status == 202
    assert issuer.asked == []
