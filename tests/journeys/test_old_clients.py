"""Every replayed release of Docker ends on Portside as it ended in reality, and gets back what it pushed."""

from __future__ import annotations

import uuid

import pytest

from tests.journeys.outcomes import EXPECTED
from tests.support.docker import VERSIONS, Docker, Outcome
from tests.support.images import Image, make_image
from tests.support.profiles import PROFILES
from tests.support.v1_calls import Login
from tests.support.wire import Address

every_version = pytest.mark.parametrize("version", VERSIONS)


def new_name(version: str, *, namespace: str = "team/") -> str:
    """A repository that no other test, form or run uses."""
    return f"{namespace}by-{version}-{uuid.uuid4().hex[:8]}"


def assert_ends(outcome: Outcome, scenario: str, version: str) -> None:
    assert outcome.statement == EXPECTED[scenario, version], outcome.output


def assert_same(outcome: Outcome, image: Image, version: str) -> None:
    """The layers, and what describes them, came back to the byte."""
    profile = PROFILES[version]
    chain = image.v1_chain(final_newline=profile.json_newline, closing_blocks=profile.closing_blocks)
    (pulled,) = outcome.pulled
    assert pulled.layers == tuple(item.layer for item in chain)
    if profile.digest_ids:
        assert pulled.metadata == (image.config(),)
    else:
        assert pulled.metadata == tuple(item.json for item in chain)


@every_version
def test_a_push_comes_back_to_a_client_of_the_same_release(version: str, portside_address: Address) -> None:
    name = new_name(version)
    image = make_image(name)
    pushed = Docker(version, portside_address).push(name, "b", image)
    assert_ends(pushed, "push", version)
    pulled = Docker(version, portside_address).pull(name, "b")
    assert_ends(pulled, "pull", version)
    assert_same(pulled, image, version)
    if pushed.digests:
        assert pulled.pulled[0].digest == pushed.digests["b"]


@every_version
def test_a_second_push_sends_no_layer_again(version: str, portside_address: Address) -> None:
    name = new_name(version)
    image = make_image(name)
    client = Docker(version, portside_address)
    assert client.push(name, "b", image).ok
    again = client.push(name, "b", image)
    assert_ends(again, "push again", version)
    assert not any(exchange.request.chunks for exchange in again.exchanges)


@every_version
def test_a_push_by_a_client_that_forgot_everything_succeeds(version: str, portside_address: Address) -> None:
    name = new_name(version)
    image = make_image(name)
    assert Docker(version, portside_address).push(name, "b", image).ok
    assert_ends(Docker(version, portside_address).push(name, "b", image), "push again", version)


@every_version
def test_a_second_pull_fetches_no_layer_again(version: str, portside_address: Address) -> None:
    name = new_name(version)
    assert Docker(version, portside_address).push(name, "b", make_image(name)).ok
    client = Docker(version, portside_address)
    assert client.pull(name, "b").ok
    again = client.pull(name, "b")
    assert_ends(again, "pull again", version)
    targets = [exchange.request.target for exchange in again.exchanges]
    assert not any(target.endswith("/layer") or "/blobs/" in target for target in targets)


@every_version
def test_all_tags_are_pushed_and_pulled(version: str, portside_address: Address) -> None:
    name = new_name(version)
    image = make_image(name)
    pushed = Docker(version, portside_address).push_all(name, {"a": image.parent(), "b": image})
    assert_ends(pushed, "push all tags", version)
    pulled = Docker(version, portside_address).pull_all(name)
    assert_ends(pulled, "pull all tags", version)
    if pulled.ok:
        assert {one.tag: len(one.layers) for one in pulled.pulled} == {"a": 2, "b": 3}


@every_version
def test_a_name_without_namespace_is_the_same_repository_both_ways(version: str, portside_address: Address) -> None:
    name = new_name(version, namespace="")
    image = make_image(name)
    assert_ends(Docker(version, portside_address).push(name, "b", image), "push without namespace", version)
    pulled = Docker(version, portside_address).pull(name, "b")
    assert_ends(pulled, "pull without namespace", version)
    assert_same(pulled, image, version)


@every_version
def test_a_missing_tag_ends_as_in_reality(version: str, portside_address: Address) -> None:
    name = new_name(version)
    assert Docker(version, portside_address).push(name, "b", make_image(name)).ok
    assert_ends(Docker(version, portside_address).pull(name, "zz"), "pull missing tag", version)


@every_version
def test_a_missing_repository_ends_as_in_reality(version: str, portside_address: Address) -> None:
    outcome = Docker(version, portside_address).pull(new_name(version), "x")
    assert_ends(outcome, "pull missing repository", version)


@every_version
def test_a_login_ends_as_in_reality(version: str, portside_address: Address) -> None:
    outcome = Docker(version, portside_address).login(Login("alice", "secret"))
    assert_ends(outcome, "login", version)


@every_version
def test_a_client_that_logged_in_pushes_and_pulls(version: str, portside_address: Address) -> None:
    name = new_name(version)
    image = make_image(name)
    login = Login("alice", "secret")
    assert_ends(Docker(version, portside_address, login=login).push(name, "b", image), "push", version)
    pulled = Docker(version, portside_address, login=login).pull(name, "b")
    assert_ends(pulled, "pull", version)
    assert_same(pulled, image, version)


@every_version
def test_a_search_finds_what_was_pushed_by_v1(version: str, portside_address: Address) -> None:
    name = new_name("1.5.0")
    assert Docker("1.5.0", portside_address).push(name, "b", make_image(name)).ok
    outcome = Docker(version, portside_address).search(name.rpartition("/")[2])
    assert_ends(outcome, "search", version)
    if outcome.ok:
        assert name in outcome.found


@pytest.mark.parametrize("version", ["1.0.1", "1.3.3", "1.5.0"])
@pytest.mark.parametrize("name", ["{}_", "_{}", "{}-", "a..{}", "x_.{}", "team/{}_"])
def test_names_that_only_old_docker_allowed_are_pushed_and_pulled(
    version: str, name: str, portside_address: Address
) -> None:
    name = name.format(uuid.uuid4().hex[:8])
    image = make_image(name)
    pushed = Docker(version, portside_address).push(name, "b", image)
    assert (pushed.ok, pushed.protocol) == (True, "v1"), pushed.output
    again = Docker(version, portside_address).push(name, "c_", image)
    assert again.ok, again.output
    for tag in ("b", "c_"):
        pulled = Docker(version, portside_address).pull(name, tag)
        assert (pulled.ok, pulled.protocol) == (True, "v1"), pulled.output
        assert_same(pulled, image, version)
