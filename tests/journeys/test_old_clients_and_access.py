"""Old Docker where access is controlled: what it prints and does with a login, a wrong password, none, and elsewhere.

Each release is replayed against the whole program, over TLS, by a file of passwords and by a token server.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.docker import Docker, Outcome
from tests.support.images import make_image
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.profiles import PROFILES
from tests.support.token_server import TokenServer, running_token_server
from tests.support.tokens import ISSUER, SERVICE, certify, make_ec, pem
from tests.support.v1_calls import Login
from tests.support.wire import Exchange

ALICE, BOB = Login("alice", "secret:with a colon"), Login("bøb", "pässwörd ✓")
WRONG = Login("alice", "secret")
RULES = """
- {allow: push, to: alice, on: [team/*, flat*]}
- {allow: push, to: bøb, on: others/*}
- {allow: pull, to: [alice, bøb], on: common/*}
- {allow: push, to: alice, on: common/*}
"""
BY_V1 = ("1.0.1", "1.3.3", "1.5.0")
BY_V2 = ("1.6.2", "1.9.1")
VERSIONS = (*BY_V1, *BY_V2)


@dataclass(frozen=True, slots=True)
class Place:
    """A Portside and by what it knows its users."""

    portside: RunningPortside
    scheme: str

    def docker(self, version: str, login: Login | None = None) -> Docker:
        """A machine on which somebody has logged in."""
        return Docker(version, self.portside.address, login=login)


@contextlib.contextmanager
def in_a_thread(server: TokenServer, files: CertificateFiles) -> Iterator[None]:
    """Runs a token server beside a test that blocks."""
    ready, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def work() -> None:
        async with running_token_server(server, files):
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module", params=["htpasswd", "token"])
def scheme(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module", params=[Form.ONE, Form.ROLES], ids=["one", "roles"])
def place(request: pytest.FixtureRequest, scheme: str) -> Iterator[Place]:
    form: Form = request.param
    with tempfile.TemporaryDirectory(prefix="portside-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        files = make_certificate(folder)
        (folder / "rules.yml").write_text(RULES)
        settings: dict[str, Any] = {"gateway": {"access": str(folder / "rules.yml")}}
        if scheme == "htpasswd":
            lines = [
                f"{each.user}:{bcrypt.hashpw(each.password.encode(), bcrypt.gensalt(4)).decode()}\n"
                for each in (ALICE, BOB)
            ]
            (folder / "htpasswd").write_text("".join(lines))
            settings["auth"] = {"htpasswd": {"realm": "here", "path": str(folder / "htpasswd")}}
        else:
            key = make_ec()
            (folder / "tokens.pem").write_bytes(pem(certify("tokens", key)))
            all_of_it = ("pull", "push", "delete", "*")
            server = TokenServer(
                key,
                {each.user: each.password for each in (ALICE, BOB)},
                {ALICE.user: all_of_it, BOB.user: all_of_it, "": ()},
            )
            stack.enter_context(in_a_thread(server, files))
            settings["auth"] = {
                "token": {
                    "realm": server.realm,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(folder / "tokens.pem"),
                }
            }
        # The token server's certificate is of a private authority, as most are.
        trusting = {"SSL_CERT_FILE": str(files.ca)}
        running = running_portside(form, folder, settings, certificate=files, environment=trusting)
        yield Place(stack.enter_context(running), scheme)


def new_name(namespace: str = "team") -> str:
    return f"{namespace}/{uuid.uuid4().hex[:12]}"


def shown(exchange: Exchange) -> str:
    """What a request showed of its sender: the first words of `Authorization`."""
    (value,) = exchange.request.values("Authorization") or [""]
    return value.partition("signature=")[0].strip() if "signature=" in value else value.partition(" ")[0]


def printed(outcome: Outcome) -> tuple[bool, str]:
    return outcome.ok, outcome.output


every_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.parametrize("version", BY_V1)
@pytest.mark.parametrize("login", [ALICE, BOB], ids=["alice", "bøb"])
def test_a_login_succeeds_by_its_password_alone(place: Place, version: str, login: Login) -> None:
    client = place.docker(version)
    assert printed(client.login(login)) == (True, "Login Succeeded")
    asked = [(each.request.method, each.request.target) for each in client.login(login).exchanges]
    assert asked[-2:] == [("POST", "/v1/users/"), ("GET", "/v1/users/")]
    wrong = Login(login.user, login.password[:-1])
    assert printed(place.docker(version).login(wrong)) == (False, "Wrong login/password, please try again")
    assert not place.docker(version).login(Login("mallory", login.password)).ok


@pytest.mark.parametrize("version", BY_V2)
def test_later_releases_log_in_by_v2(place: Place, version: str) -> None:
    outcome, wrong = place.docker(version).login(ALICE), place.docker(version).login(WRONG)
    if place.scheme == "htpasswd":
        assert printed(outcome) == (True, "Login Succeeded")
        assert not wrong.ok
        assert "401 Unauthorized" in wrong.output
    else:  # a login to a token server is not on record
        assert "token server" in outcome.output


@every_version
def test_who_has_logged_in_pushes_and_pulls(place: Place, version: str) -> None:
    name = new_name()
    image = make_image(name)
    client = place.docker(version, ALICE)
    pushed = client.push(name, "b", image)
    assert pushed.statement == ("ok v1" if version in BY_V1 else "ok v2"), pushed.output
    assert client.push(name, "again", image).ok
    client.forget_images()
    pulled = client.pull(name, "b")
    assert pulled.statement == pushed.statement, pulled.output
    assert place.docker(version, ALICE).pull(name, "again").pulled[0].layers == pulled.pulled[0].layers


@pytest.mark.parametrize("version", BY_V1)
def test_v1_sends_the_password_first_and_then_the_token(place: Place, version: str) -> None:
    """Over TLS too, since the ping says that the registry does not stand alone."""
    name = new_name()
    client = place.docker(version, ALICE)
    pushed = client.push(name, "b", make_image(name)).exchanges
    client.forget_images()
    pulled = client.pull(name, "b").exchanges
    for exchanges in (pushed, pulled):
        pings = [each for each in exchanges if each.request.target == "/v1/_ping"]
        assert pings
        assert all(each.response and each.response.value("X-Docker-Registry-Standalone") == "False" for each in pings)
        lists = [each for each in exchanges if each.request.target.startswith(f"/v1/repositories/{name}/")]
        assert shown(lists[0]) == "Basic"
        images = [each for each in exchanges if each.request.target.startswith("/v1/images/")]
        tags = [each for each in exchanges if "/tags" in each.request.target]
        assert {shown(each) for each in [*images, *tags]} == {"Token Token"}
    assert not any(each.request.values("Cookie") for each in [*pushed, *pulled])


@every_version
def test_who_has_not_logged_in_is_told_to(place: Place, version: str) -> None:
    name = new_name()
    assert place.docker(version, ALICE).push(name, "b", make_image(name)).ok
    nobody = place.docker(version)
    for outcome in (nobody.push(name, "c", make_image(name)), nobody.pull(name, "b"), nobody.pull(new_name(), "b")):
        assert not outcome.ok
        told = ("Please login prior to", "no basic auth credentials", "UNAUTHORIZED", "unauthorized", "401")
        assert any(text in outcome.output for text in told), outcome.output
        if version in BY_V1:
            assert "Please login prior to" in outcome.output


@every_version
def test_a_wrong_password_is_as_good_as_none(place: Place, version: str) -> None:
    name = new_name()
    assert place.docker(version, ALICE).push(name, "b", make_image(name)).ok
    stranger = place.docker(version, WRONG)
    for outcome in (stranger.push(name, "c", make_image(name)), stranger.pull(name, "b")):
        assert not outcome.ok
        if version in BY_V1:
            assert "Please login prior to" in outcome.output


@every_version
def test_anothers_repository_is_not_there_and_takes_no_push(place: Place, version: str) -> None:
    name = new_name()
    image = make_image(name)
    assert place.docker(version, ALICE).push(name, "b", image).ok
    theirs, nothing = place.docker(version, BOB).pull(name, "b"), place.docker(version, BOB).pull("team/nothing", "b")
    assert not theirs.ok
    assert theirs.output == nothing.output.replace("team/nothing", name)
    assert [each.response and each.response.status for each in theirs.exchanges] == [
        each.response and each.response.status for each in nothing.exchanges
    ]
    refused = place.docker(version, BOB).push(name, "c", image)
    assert not refused.ok
    if version in BY_V1:
        assert f"Error: Status 403 trying to push repository {name}" in refused.output
        assert "portside access explain" in refused.output
    else:
        assert "403" in refused.output or "may not push" in refused.output


@every_version
def test_the_same_images_are_pushed_to_two_repositories_by_two_who_may_not_see_each_other(
    place: Place, version: str
) -> None:
    """Their ids are the same; each gets back what it has pushed."""
    name, other = new_name(), new_name("others")
    image = make_image(name)
    assert place.docker(version, ALICE).push(name, "b", image).ok
    assert place.docker(version, BOB).push(other, "b", image).ok
    layers = [
        place.docker(version, login).pull(repository, "b").pulled[0].layers
        for login, repository in ((ALICE, name), (BOB, other))
    ]
    assert layers[0] == layers[1]
    assert not place.docker(version, BOB).pull(name, "b").ok
    assert not place.docker(version, ALICE).pull(other, "b").ok


@every_version
def test_what_another_generation_has_pushed_is_pulled_by_those_who_may(place: Place, version: str) -> None:
    name, hidden = new_name("common"), new_name()
    for repository in (name, hidden):
        assert place.docker("1.13.1", ALICE).push(repository, "b", make_image(name)).ok
    pulled = place.docker(version, BOB).pull(name, "b")
    assert pulled.ok, pulled.output
    assert not place.docker(version, BOB).pull(hidden, "b").ok


@pytest.mark.parametrize("version", ["1.3.3", "1.5.0", "1.6.2", "1.9.1"])
def test_a_search_finds_what_may_be_pulled_where_a_release_says_who_searches(place: Place, version: str) -> None:
    name, hidden = new_name("common"), new_name()
    for repository in (name, hidden):
        assert place.docker("1.5.0", ALICE).push(repository, "b", make_image(repository)).ok
    assert place.docker(version, BOB).search(hidden.partition("/")[2]).found == ()
    outcome = place.docker(version, BOB).search(name.partition("/")[2])
    if PROFILES[version].search_login and place.scheme == "htpasswd":
        assert outcome.found == (name,)
    elif not PROFILES[version].search_login:  # it shows nobody's password over TLS to what does not stand alone
        assert outcome.found == ()
        # Whoever asks a token server for nobody in particular has shown something, and is told that there is nothing.
        assert outcome.output == ("Unexpected status code 401" if place.scheme == "htpasswd" else "")
