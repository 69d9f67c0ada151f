"""What anybody may read, access control or not: health, metrics, pings, the root, and the pages of errors.

None of it names a repository, a user, a tag or a path of the settings; and what is for operators has a listener of its
own, whose figures count without names.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.support.commands import RunningCommand, running_command
from tests.support.gated import basic
from tests.support.serving_here import Answer, Client

NAME, OLD, USER, TAG = "secretteam/plan", "secretteam/old", "wilhelmina", "unannounced"
AFAR = {"X-Forwarded-For": "192.0.2.7"}  # health tells its reasons to who is on the machine itself

OPEN = ["/", "/v1/_ping", "/_ping", "/debug/health", "/v2", "/v1/users", "/favicon.ico", "/robots.txt", "/metrics"]
CLOSED = ["/v2/", "/v2/_catalog", f"/v2/{NAME}/tags/list", "/v1/search?q=", "/debug/vars", "/v2/UPPER/tags/list"]


@contextmanager
def program(folder: Path) -> Iterator[tuple[RunningCommand, Client]]:
    users, rules = folder / "people-of-ours.htpasswd", folder / "who-may-what.yml"
    users.write_text(f"{USER}:{bcrypt.hashpw(b'pw', bcrypt.gensalt(4)).decode()}\n")
    rules.write_text(f"- {{allow: push, to: {USER}}}\n- {{group: inner-circle, members: [{USER}, othello]}}\n")
    environment = {
        "REGISTRY_AUTH_HTPASSWD_REALM": "here",
        "REGISTRY_AUTH_HTPASSWD_PATH": str(users),
        "REGISTRY_GATEWAY_ACCESS": str(rules),
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data-of-ours"),
        "REGISTRY_GATEWAY_CERTS": str(folder / "certs"),
        "REGISTRY_GATEWAY_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_METRICS_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_WORKERS": "1",
    }
    with running_command("serve", folder=folder, environment=environment) as running:
        trusted = ssl.create_default_context(cafile=folder / "certs" / "ca.crt")
        yield running, Client("127.0.0.1", running.port("proxy"), trusted)


async def _use(client: Client) -> None:
    """Has the program see names: of repositories, of users, of tags, of what is refused."""
    me = basic(USER, "pw")
    begun = await client.ask("POST", f"/v2/{NAME}/blobs/uploads/", me)
    assert begun.status == 202
    assert (await client.ask("PUT", f"/v1/repositories/{OLD}/", me, body=b"[]")).status == 200
    for headers in (me, basic(USER, "wrong"), basic("othello", "wrong"), {}):
        for path in (f"/v2/{NAME}/manifests/{TAG}", f"/v1/repositories/{OLD}/tags/{TAG}", "/v2/", "/v2/_catalog"):
            await client.ask("GET", path, headers)


def _require_no_names(answer: Answer, path: str, folder: Path) -> None:
    text = repr(answer.head.headers) + answer.body.decode("utf-8", "replace")
    for own in path.split("/"):  # what the client says itself may be said back
        text = text.replace(own, "") if len(own) > 3 else text
    words = [
        "secretteam",
        "plan",
        "wilhelmina",
        "othello",
        "inner-circle",
        TAG,
        "-of-ours",
        "who-may-what",
        str(folder),
    ]
    assert [word for word in words if word in text] == [], path


async def test_what_is_open_names_nobody_and_nothing(tmp_path: Path) -> None:
    with program(tmp_path) as (running, client):
        await _use(client)
        for path in [*OPEN, *CLOSED]:
            for method in ("GET", "HEAD", "OPTIONS", "POST", "TRACE"):
                answer = await client.ask(method, path, AFAR, body=b"" if method == "POST" else None)
                _require_no_names(answer, path, tmp_path)
                assert answer.status < 500, (method, path)
            if path in CLOSED:
                assert (await client.ask("GET", path, AFAR)).status in {400, 401, 404}, path
        assert b"# HELP" not in (await client.ask("GET", "/metrics", AFAR)).body
        health = await client.ask("GET", "/debug/health", AFAR)
        assert (health.status, health.body) == (200, b"{}\n")
        _require_figures(await _operators(running), tmp_path)


async def _operators(running: RunningCommand) -> list[tuple[str, Answer]]:
    operators = Client("127.0.0.1", running.port("metrics"))
    return [(path, await operators.ask("GET", path)) for path in ("/metrics", "/debug/vars", "/debug/health", "/none")]


def _require_figures(answers: list[tuple[str, Answer]], folder: Path) -> None:
    """The listener of operators is open to who reaches it, so its labels hold no names either."""
    for path, answer in answers:
        assert answer.status == (404 if path == "/none" else 200), path
        if path != "/debug/health":  # tells its reader what is wrong, and where
            _require_no_names(answer, path, folder)
    figures = answers[0][1].body.decode()
    assert 'portside_auth_failures_total{reason="wrong_password",scheme="htpasswd"}' in figures


@pytest.mark.parametrize("path", ["/v1/_ping", "/_ping", "/", "/debug/health", "/nothing"])
async def test_what_is_open_is_the_same_for_everybody(tmp_path: Path, path: str) -> None:
    with program(tmp_path) as (_, client):
        logins: list[dict[str, str]] = [{}, basic(USER, "pw"), basic(USER, "wrong")]
        answers = [await client.ask("GET", path, {**AFAR, **headers}) for headers in logins]
        shapes = [(each.status, sorted(key for key, _ in each.head.headers), each.body) for each in answers]
        assert shapes == [shapes[0]] * len(logins)
