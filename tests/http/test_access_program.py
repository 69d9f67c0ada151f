"""Access control in the whole program, by real files: every role, the compose form, reloads, logs and metrics."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands import RunningCommand, portside, running_command
from tests.support.gated import basic
from tests.support.serving_here import Client, digest_of
from tests.support.webhooks import webhook

COMPOSE = Path(__file__).parents[2] / "compose" / "portside.yml"
APP = "team/app"
WRONG = "not the right one"
RULES = f"""
- {{allow: pull, to: users, on: {APP}}}
- {{allow: [push, delete], to: alice}}
"""


def users(*names: str) -> str:
    """An htpasswd file in which each user's password is its name."""
    return "".join(f"{name}:{bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode()}\n" for name in names)


def me(name: str) -> dict[str, str]:
    return basic(name, name)


@dataclass(frozen=True, slots=True)
class Site:
    """A folder with settings, users and rules."""

    folder: Path

    @property
    def htpasswd(self) -> Path:
        return self.folder / "users.htpasswd"

    @property
    def rules(self) -> Path:
        return self.folder / "rules.yml"

    def variables(self) -> dict[str, str]:
        return {
            "REGISTRY_AUTH_HTPASSWD_REALM": "here",
            "REGISTRY_AUTH_HTPASSWD_PATH": str(self.htpasswd),
            "REGISTRY_GATEWAY_ACCESS": str(self.rules),
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(self.folder / "data"),
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_GATEWAY_WORKERS": "2",
            "REGISTRY_GATEWAY_METRICS_ADDR": "127.0.0.1:0",
        }


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path)
    found.htpasswd.write_text(users("alice", "bob"))
    found.rules.write_text(RULES)
    return found


@contextmanager
def forms(site: Site, form: str) -> Iterator[dict[str, Client]]:
    """Clients of each protocol, whatever the form of the program."""
    plain = {f"REGISTRY_GATEWAY_{each}_ADDR": "127.0.0.1:0" for each in ("V1", "V2")}
    with ExitStack() as stack:

        def run(*arguments: str | Path, **variables: str) -> RunningCommand:
            folder = site.folder / f"{arguments[0]} {len(variables)}"
            folder.mkdir()
            more = {"REGISTRY_GATEWAY_CERTS": str(folder / "certs"), **site.variables(), **variables}
            return stack.enter_context(running_command(*arguments, folder=folder, environment=more))

        if form == "serve":
            running = run("serve", REGISTRY_GATEWAY_ADDR="127.0.0.1:0", **plain)
            yield dict.fromkeys(("v1", "v2"), over_tls(running))
        elif form == "roles":
            yield {each: Client("127.0.0.1", run(each, **plain).port(each)) for each in ("v1", "v2")}
        else:
            sockets = {
                f"REGISTRY_GATEWAY_{each}_{key}": f"{'unix:' if key == 'UPSTREAM' else ''}{site.folder / each}.sock"
                for each in ("V1", "V2")
                for key in ("UNIX", "UPSTREAM")
            }
            for each in ("v1", "v2"):
                run(each, COMPOSE, **sockets, **plain)
            running = run("proxy", COMPOSE, REGISTRY_GATEWAY_ADDR="127.0.0.1:0", **sockets, **plain)
            yield dict.fromkeys(("v1", "v2"), over_tls(running))


def over_tls(running: RunningCommand) -> Client:
    """A client of the proxy that trusts its CA."""
    trusted = ssl.create_default_context(cafile=running.err.parent / "certs" / "ca.crt")
    return Client("127.0.0.1", running.port("proxy"), trusted)


@pytest.mark.parametrize("form", ["serve", "roles", "compose"])
async def test_every_form_of_the_program_asks_and_obeys(site: Site, form: str) -> None:
    with forms(site, form) as clients:
        v1, v2 = clients["v1"], clients["v2"]
        for path in ("/v2/", f"/v2/{APP}/tags/list"):
            for headers in ({}, basic("alice", WRONG)):
                answer = await v2.ask("GET", path, {"User-Agent": "docker/24.0.7", **headers})
                assert answer.status == 401
                assert answer.head.values("WWW-Authenticate") == ['Basic realm="here"']
                assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
        assert (await v2.ask("GET", "/v2/", me("bob"))).status == 200
        place = await v2.ask("POST", f"/v2/{APP}/blobs/uploads/", me("bob"))
        assert (place.status, place.json["errors"][0]["code"]) == (403, "DENIED")
        assert (await v2.ask("POST", f"/v2/{APP}/blobs/uploads/", me("alice"))).status == 202
        assert (await v2.ask("GET", "/v2/other/tags/list", me("bob"))).status == 404
        assert (await v1.ask("GET", "/v1/_ping")).status == 200
        answer = await v1.ask("GET", f"/v1/repositories/{APP}/images")
        assert (answer.status, answer.body) == (401, b'{"error": "Requires authorization"}')
        assert (await v1.ask("GET", f"/v1/repositories/{APP}/images", me("bob"))).status == 404
        assert (await v1.ask("PUT", f"/v1/repositories/{APP}/", me("bob"), body=b"[]")).status == 403
        assert (await v1.ask("PUT", f"/v1/repositories/{APP}/", me("alice"), body=b"[]")).status == 200


@contextmanager
def registry(site: Site, **variables: str) -> Iterator[tuple[Client, RunningCommand]]:
    """A v2 registry."""
    more = {**site.variables(), "REGISTRY_GATEWAY_V2_ADDR": "127.0.0.1:0", **variables}
    with running_command("v2", folder=site.folder, environment=more) as running:
        yield Client("127.0.0.1", running.port("v2")), running


async def until(client: Client, path: str, headers: dict[str, str], status: int, *, again: Callable[[], None]) -> None:
    """Waits until all workers answer so."""
    deadline, row = time.monotonic() + 15, 0
    while row < 8:
        answered = (await client.ask("GET", path, headers)).status
        row = row + 1 if answered == status else 0
        assert time.monotonic() < deadline, answered
        again()


async def test_users_and_rules_are_read_again_when_they_change_and_at_sighup(site: Site) -> None:
    path = "/v2/other/tags/list"
    with registry(site) as (client, running):
        await client.ask("GET", "/v2/", me("carol"))
        site.htpasswd.write_text(users("alice", "bob", "carol"))
        await until(client, "/v2/", me("carol"), 200, again=lambda: None)
        site.htpasswd.write_text(users("bob", "carol"))
        await until(client, "/v2/", me("alice"), 401, again=lambda: None)
        assert (await client.ask("DELETE", f"/v2/{APP}/manifests/t", me("bob"))).status == 403
        site.rules.write_text("- {allow: [push, delete], to: anyone}")
        await until(client, path, {}, 404, again=lambda: None)
        assert (await client.ask("POST", "/v2/other/blobs/uploads/")).status == 202
        # a broken file keeps the rules, and says so
        site.rules.write_text("- {alow: pull, to: anyone}")
        kept = "the rules of access stay as they were"
        running.wait_for_line(running.err, kept, "line 1")
        told = running.err.read_text().count(kept)
        running.process.send_signal(signal.SIGHUP)  # who asks is told again
        deadline = time.monotonic() + 45
        while running.err.read_text().count(kept) == told:
            assert time.monotonic() < deadline, running.err.read_text()
            await asyncio.sleep(0.02)
        assert (await client.ask("POST", "/v2/other/blobs/uploads/")).status == 202
        site.rules.write_text(RULES)
        running.process.send_signal(signal.SIGHUP)
        await until(client, path, {}, 401, again=lambda: None)


async def test_metrics_and_logs_say_who_and_why_and_never_a_secret(site: Site) -> None:
    with registry(site) as (client, running):
        await client.ask("GET", "/v2/", me("alice"))
        await client.ask("GET", "/v2/", basic("alice", WRONG))
        await client.ask("POST", f"/v2/{APP}/blobs/uploads/", me("bob"))
        await client.ask("GET", "/v2/x/tags/list")
        await client.ask("GET", "/v2/x/tags/list", {"Authorization": f"Bearer {WRONG.replace(' ', '.')}"})
        text = (await Client("127.0.0.1", running.port("metrics")).ask("GET", "/metrics")).body.decode()
        counted = {
            (sample.labels["scheme"], sample.labels.get("reason", "login")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in {"portside_auth_failures_total", "portside_auth_logins_total"}
        }
        assert counted == {
            ("htpasswd", "login"): 1,
            ("htpasswd", "wrong_password"): 1,
            ("htpasswd", "denied"): 1,
            ("none", "no_credentials"): 1,
            ("none", "not_taken"): 1,
        }
        running.wait_for_line(running.err, "alice at 127.0.0.1 logged in (htpasswd")
        running.wait_for_line(running.err, "wrong credentials for alice from 127.0.0.1, to log in: ", "htpasswd")
        running.wait_for_line(running.err, f"bob at 127.0.0.1 was refused to push {APP}")
        running.wait_for_line(running.out, "127.0.0.1 - alice [", "GET /v2/ ", " 200 ")
        running.wait_for_line(running.out, "127.0.0.1 - - [", "GET /v2/ ", " 401 ")
        running.wait_for_line(running.out, "127.0.0.1 - bob [", " 403 ")
    logged = running.err.read_text() + running.out.read_text()
    assert WRONG not in logged
    assert WRONG.replace(" ", ".") not in logged
    assert me("alice")["Authorization"].partition(" ")[2] not in logged


async def test_a_json_log_names_the_user_as_distribution_does(site: Site) -> None:
    with registry(site, REGISTRY_LOG_FORMATTER="json") as (client, running):
        await client.ask("GET", "/v2/", me("alice"))
        await client.ask("GET", "/v2/")
        lines = [
            json.loads(running.wait_for_line(running.out, f'"http.response.status": {each}')) for each in (200, 401)
        ]
    assert lines[0]["auth.user.name"] == "alice"
    assert "auth.user.name" not in lines[1]


STARTS: list[tuple[dict[str, str], str]] = [
    ({"REGISTRY_GATEWAY_ACCESS": "FOLDER/none.yml"}, "gateway.access: "),
    ({"REGISTRY_GATEWAY_ACCESS": "FOLDER/broken.yml"}, "gateway.access: "),
    ({"REGISTRY_AUTH_HTPASSWD_PATH": "FOLDER/broken.yml/users"}, "auth.htpasswd.path: "),
    ({"REGISTRY_AUTH_HTPASSWD_PATH": "FOLDER/broken.htpasswd"}, "auth.htpasswd.path: "),
    ({"REGISTRY_AUTH_HTPASSWD_REALM": ""}, "auth.htpasswd.realm: "),
    (
        {"REGISTRY_GATEWAY_AUTH": "{token: {realm: r, service: s, issuer: i, rootcertbundle: FOLDER/none.pem}}"},
        "auth.token.rootcertbundle: ",
    ),
]


@pytest.mark.parametrize(("variables", "start"), STARTS)
@pytest.mark.parametrize("command", ["serve", "v1", "v2"])
def test_a_start_that_could_let_nobody_in_ends_with_one_sentence(
    site: Site, command: str, variables: dict[str, str], start: str
) -> None:
    (site.folder / "broken.yml").write_text("- {alow: pull, to: anyone}")
    (site.folder / "broken.htpasswd").write_text("alice\n")
    more = {key: value.replace("FOLDER", str(site.folder)) for key, value in variables.items()}
    ended = portside(command, folder=site.folder, environment={**site.variables(), **more})
    assert ended.returncode == 1
    (line,) = [each for each in ended.stderr.splitlines() if each.strip()]
    assert start in line
    assert "Traceback" not in ended.stderr


def test_a_missing_file_of_users_is_made_once_and_its_password_told(site: Site) -> None:
    site.htpasswd.unlink()
    with registry(site) as (_, running):
        line = running.wait_for_line(running.err, "provisioning with default user")
        assert "user=docker" in line
        assert site.htpasswd.stat().st_mode & 0o777 == 0o600
        running.wait_for_line(running.err, "access control: htpasswd; rules in ")


def test_rules_that_nobody_meets_are_warned_of(site: Site) -> None:
    site.rules.write_text("- {allow: pull, to: [alice, blob]}\n- {allow: push, to: users, claims: {iss: x}}\n")
    with registry(site) as (_, running):
        where = f"{site.rules}: line "
        running.wait_for_line(running.err, "level=warning", f"{where}1 names blob, who is not in the file of users")
        running.wait_for_line(
            running.err, "level=warning", f"{where}2 asks for claims, and only tokens of gateway.auth.o"
        )


def test_rules_without_a_scheme_are_warned_of(site: Site) -> None:
    variables = {name: value for name, value in site.variables().items() if "HTPASSWD" not in name}
    variables["REGISTRY_GATEWAY_V2_ADDR"] = "127.0.0.1:0"
    with running_command("v2", folder=site.folder, environment=variables) as running:
        running.wait_for_line(running.err, "level=warning", "access control: nobody can log in")


async def test_the_proxy_of_a_registry_elsewhere_only_passes_credentials_on(site: Site) -> None:
    with forms(site, "compose") as clients:
        answer = await clients["v2"].ask("GET", "/v2/", {**me("bob"), "User-Agent": "docker/24.0.7"})
        assert answer.status == 200
    said = next(site.folder.glob("proxy *")) / "stderr"
    assert "auth has no effect on the proxy" in said.read_text() or "gateway.access has no effect" in said.read_text()


@pytest.mark.parametrize("form", ["serve", "compose"])
async def test_anyone_pulls_and_users_push_by_two_lines(site: Site, form: str) -> None:
    """By tokens of Portside's own, which any process of the installation reads."""
    site.rules.write_text("- {allow: pull, to: anyone}\n- {allow: push, to: users}\n")
    agent = {"User-Agent": "docker/24.0.7"}
    with forms(site, form) as clients:
        client = clients["v2"]
        answer = await client.ask("GET", "/v2/", agent)
        (challenge,) = answer.head.values("WWW-Authenticate")
        realm = f"https://127.0.0.1:{client.port}/v2/_portside/token"
        assert (answer.status, challenge) == (401, f'Bearer realm="{realm}",service="127.0.0.1:{client.port}"')
        tokens = {}
        for name, headers in (("nobody", {}), ("bob", me("bob"))):
            answer = await client.ask("GET", "/v2/_portside/token?scope=repository:x:pull", headers | agent)
            tokens[name] = {"Authorization": f"Bearer {answer.json['token']}"} | agent
        wrong = await client.ask("GET", "/v2/_portside/token", basic("bob", WRONG) | agent)
        assert wrong.status == 401
        assert (await client.ask("GET", "/v2/", tokens["bob"])).status == 200
        assert (await client.ask("POST", "/v2/x/blobs/uploads/", tokens["bob"])).status == 202
        assert (await client.ask("POST", "/v2/x/blobs/uploads/", me("bob") | agent)).status == 202
        assert (await client.ask("POST", "/v2/x/blobs/uploads/", tokens["nobody"])).status == 401
        assert (await client.ask("GET", "/v2/x/tags/list", tokens["nobody"])).status == 404


async def test_events_name_the_user(site: Site) -> None:
    with webhook() as receiver:
        endpoint = f"[{{name: a, url: '{receiver.url}'}}]"
        with registry(site, REGISTRY_NOTIFICATIONS_ENDPOINTS=endpoint) as (client, _):
            blob = b"a blob"
            path = f"/v2/{APP}/blobs/uploads/?digest={digest_of(blob)}"
            assert (await client.ask("POST", path, me("alice"), body=blob)).status == 201
            deadline = time.monotonic() + 45
            while not receiver.received:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
    (event,) = receiver.received[0].events
    assert (event["action"], event["actor"]) == ("push", {"name": "alice"})
