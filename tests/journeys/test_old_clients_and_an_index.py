"""Old Docker with an index and a registry apart: it asks the index, and shows its token to the registry, over TLS."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest

from tests.support.certificate import make_certificate
from tests.support.docker import Docker
from tests.support.images import make_image
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.small_index import SmallIndex, header, small_index
from tests.support.v1_calls import Login
from tests.support.wire import Address, Exchange

ALICE, BOB = Login("alice", "her password"), Login("bob", "his password")
VERSIONS = ("1.0.1", "1.3.3", "1.5.0")
every_version = pytest.mark.parametrize("version", VERSIONS)


@dataclass(frozen=True, slots=True)
class Place:
    """An index, and a Portside that asks it."""

    index: SmallIndex
    portside: RunningPortside
    address: Address

    def docker(self, version: str, login: Login | None = None) -> Docker:
        """A machine on which somebody has logged in at the index."""
        return Docker(version, self.address, login=login)

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> int:
        """Asks the registry by hand; returns the status."""
        tls = ssl.create_default_context(cafile=self.address.ca)
        with closing(http.client.HTTPSConnection(self.portside.address.netloc, context=tls, timeout=20)) as connection:
            connection.request(method, path, body, headers)
            return connection.getresponse().status

    def at_registry(self, exchanges: list[Exchange]) -> list[Exchange]:
        return [each for each in exchanges if f":{self.portside.address.port}/" in each.request.url]


@pytest.fixture(scope="module", params=[Form.ONE, Form.ROLES], ids=["one", "roles"])
def running(request: pytest.FixtureRequest) -> Iterator[Place]:
    form: Form = request.param
    with tempfile.TemporaryDirectory(prefix="portside-") as name, ExitStack() as stack:
        folder = Path(name)
        files = make_certificate(folder)
        index = SmallIndex(users={each.user: each.password for each in (ALICE, BOB)})
        stack.enter_context(small_index(index, files))
        (folder / "htpasswd").write_text(f"admin:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
        settings = {
            "auth": {"htpasswd": {"realm": "v2", "path": str(folder / "htpasswd")}},
            "gateway": {"v1": {"standalone": False, "index": index.url, "indexca": str(files.ca)}},
        }
        portside = stack.enter_context(running_portside(form, folder, settings, certificate=files))
        index.registry = portside.address.netloc
        yield Place(index, portside, Address("localhost", int(index.url.rpartition(":")[2]), files.ca))


@pytest.fixture
def place(running: Place) -> Iterator[Place]:
    """The index as it should be, again."""
    yield running
    running.index.answers = running.index.gives = None


def new_name() -> str:
    return f"team/{uuid.uuid4().hex[:12]}"


@every_version
def test_a_push_and_a_pull_go_to_the_registry_with_the_index_s_token(place: Place, version: str) -> None:
    name = new_name()
    client = place.docker(version, ALICE)
    pushed = client.push(name, "b", make_image(name))
    assert pushed.statement == "ok v1", pushed.output
    again = place.docker(version, ALICE).push(name, "again", make_image(name))
    assert again.ok, again.output
    pulled = place.docker(version).pull(name, "b")
    assert pulled.statement == "ok v1", pulled.output
    assert place.docker(version).pull(name, "again").pulled[0].layers == pulled.pulled[0].layers
    for outcome in (pushed, again, pulled):
        seen = place.at_registry(outcome.exchanges)
        assert len(seen) > 5
        assert all(each.request.values("Authorization")[0].startswith("Token Token signature=") for each in seen)
        assert not any("/v1/repositories/" in each.request.url and "/tags" not in each.request.url for each in seen)
    statuses = {each.response.status for each in place.at_registry(pulled.exchanges) if each.response}
    assert statuses == {200}
    # A write token is not for reading: Docker sends JSON again of what is there, and goes on when it is told so.
    statuses = {each.response.status for each in place.at_registry(again.exchanges) if each.response}
    assert statuses == {200, 401, 409}


@every_version
def test_one_image_in_two_repositories_of_two_people(place: Place, version: str) -> None:
    name, other = new_name(), new_name()
    image = make_image(name)
    assert place.docker(version, ALICE).push(name, "b", image).ok
    pushed = place.docker(version, BOB).push(other, "b", image)
    assert pushed.ok, pushed.output
    layers = [place.docker(version).pull(each, "b").pulled[0].layers for each in (name, other)]
    assert layers[0] == layers[1]


@every_version
@pytest.mark.parametrize("gives", ["another repository", "another access"])
def test_a_token_for_something_else_ends_the_command(place: Place, version: str, gives: str) -> None:
    name, other = new_name(), new_name()
    for each in (name, other):
        assert place.docker(version, ALICE).push(each, "b", make_image(each)).ok
    for command, wrong in (("push", "read"), ("pull", "write")):
        place.index.gives = (other, "write" if command == "push" else "read")
        if gives == "another access":
            place.index.gives = (name, wrong)
        client = place.docker(version, ALICE)
        outcome = client.pull(name, "b") if command == "pull" else client.push(name, "c", make_image(new_name()))
        assert not outcome.ok
        refused = [each.response.status for each in place.at_registry(outcome.exchanges) if each.response]
        assert set(refused) <= {400, 401, 404}  # with a token to read, images may be looked for
        assert refused[-1] in {400, 401}


@every_version
def test_a_revoked_token_is_refused(place: Place, version: str) -> None:
    name = new_name()
    assert place.docker(version, ALICE).push(name, "b", make_image(name)).ok
    place.index.answers = (401, {}, b"")  # as soon as it has given it
    for outcome in (
        place.docker(version, ALICE).pull(name, "b"),
        place.docker(version, ALICE).push(name, "c", make_image(new_name())),
    ):
        assert not outcome.ok
        assert {each.response.status for each in place.at_registry(outcome.exchanges) if each.response} == {401}


@every_version
def test_an_index_that_cannot_be_asked_is_told_and_nothing_is_lost(place: Place, version: str) -> None:
    name = new_name()
    image = make_image(name)
    assert place.docker(version, ALICE).push(name, "b", image).ok
    place.index.answers = (500, {}, b"")
    for outcome in (
        place.docker(version, ALICE).pull(name, "b"),
        place.docker(version, ALICE).push(name, "c", make_image(new_name())),
    ):
        assert not outcome.ok
        seen = [each.response.status for each in place.at_registry(outcome.exchanges) if each.response]
        assert seen[-1] == 503
        assert set(seen) <= {401, 503}  # to look, a push shows its token to write, which is not for that
    assert f"the index {place.index.url} cannot be asked" in place.portside.log()
    place.index.answers = None
    assert place.docker(version).pull(name, "b").ok
    assert place.docker(version, ALICE).push(name, "c", make_image(new_name())).ok


@every_version
def test_a_private_repository_is_its_owner_s(place: Place, version: str) -> None:
    name = new_name()
    assert place.docker(version, ALICE).push(name, "b", make_image(name)).ok
    place.index.repositories[name].is_private = True
    writer = header(place.index.give(name, "write"))
    assert place.ask("PUT", f"/v1/repositories/{name}/properties", writer, b'{"access": "private"}') == 200
    assert place.docker(version, ALICE).pull(name, "b").ok
    for login in (None, BOB):
        outcome = place.docker(version, login).pull(name, "b")
        assert not outcome.ok
        assert not place.at_registry(outcome.exchanges)
    # Nor does a token of another repository help who has read the ids somewhere.
    stranger = header(place.index.give(new_name(), "read"))
    for image_id in place.index.repositories[name].ids:
        assert place.ask("GET", f"/v1/images/{image_id}/layer", stranger) == 404


def test_v2_does_not_take_the_index_s_tokens(place: Place) -> None:
    name = new_name()
    assert place.docker("1.5.0", ALICE).push(name, "b", make_image(name)).ok
    for headers in ({}, header(place.index.give(name, "read"))):
        assert place.ask("GET", f"/v2/{name}/manifests/b", {"User-Agent": "docker/20.10", **headers}) == 401
