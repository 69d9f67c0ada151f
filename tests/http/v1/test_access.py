"""Who may what by v1: tokens, logins, and images whose addresses name no repository."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from backends.auth.v1_tokens import V1_TOKEN_SECONDS
from backends.model.names import RepositoryName
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.registry.v1_view.viewer import Viewer
from tests.support.gated import PASSWORD, Gated, Passwords, basic, gated
from tests.support.pushed_examples import expected_v1, push_example
from tests.support.schema1_pushes import push_schema1
from tests.support.serving_here import Answer
from tests.support.tars import tar_of
from tests.support.v1_session import Session
from tests.support.v1server import Pushed, make_pushed

RULES = """
- {allow: pull, to: anyone, on: public/**}
- {allow: [push, delete], to: [alice, both], on: alice/**}
- {allow: [push, delete], to: [bob, both], on: bob/**}
- {allow: pull, to: reader, on: alice/app}
- {allow: push, to: reader, on: reader/**}
- {allow: push, to: alice, on: [shared, public/**]}
- {allow: pull, to: users, on: shared}
- {allow: push, to: anyone, on: drop/**}
"""
BASE = make_pushed("a", layer=b"the layer of the base")
APP = make_pushed("b", parent=BASE.id, layer=b"alice's secret")
CHAIN = (BASE, APP)
OTHER = make_pushed("c", parent=BASE.id, layer=b"bob's own")
PARTS = ("json", "layer", "ancestry")


@pytest.fixture
async def here() -> AsyncIterator[Gated]:
    async with gated(Passwords(), rules=RULES) as served:
        yield served


def session(here: Gated, user: str = "") -> Session:
    return Session(here.v1, basic(user) if user else {})


async def begun(here: Gated, user: str, name: str) -> Session:
    """A session with the token of a push that has begun."""
    made = session(here, user)
    assert (await made.begin_push(name, [])).status == 200
    return made


async def absent(here: Gated, user: str = "alice") -> dict[str, Answer]:
    """What is answered of an image that nobody has, part by part."""
    found = {}
    for part in PARTS:
        found[part] = await (await begun(here, user, f"{user}/other")).part(make_pushed("f"), part)
        assert found[part].status == 404
    return found


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers differ in nothing but their dates."""
    first, second = ([(key, value) for key, value in each.head.headers if key != "Date"] for each in (one, other))
    return (one.status, one.body, first) == (other.status, other.body, second)


# docker login


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic Og=="}, 401),
        (basic("alice"), 200),
        (basic("alice", "wrong"), 401),
        (basic("älice", PASSWORD), 200),
        (basic("alice", "a:b:c"), 401),
        (basic("alice", "x" * 9000), 401),
        (basic("x" * 300, PASSWORD), 401),
        (basic("alice", "pässwörd ✓"), 401),
        ({"Authorization": "Basic"}, 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Basic YWxpY2U="}, 401),
    ],
)
async def test_a_login_is_right_or_wrong(here: Gated, headers: dict[str, str], status: int) -> None:
    for path in ("/v1/users/", "/v1/users"):
        answer = await here.v1.ask("GET", path, headers)
        assert answer.status == status
        if status == 200:
            assert answer.body == b'"OK"'
        else:
            assert answer.json == {"error": "Requires authorization"}
            assert "Token" in answer.head.values("WWW-Authenticate")


@pytest.mark.parametrize("headers", [{}, basic("alice"), basic("alice", "wrong")])
@pytest.mark.parametrize("body", [b"{}", b'{"username": "alice", "password": "x"}', b"nonsense", b""])
async def test_no_account_is_ever_made(here: Gated, headers: dict[str, str], body: bytes) -> None:
    """A 201 would tell any Docker that its password is right."""
    answer = await here.v1.ask("POST", "/v1/users/", headers, body=body)
    assert answer.status == 401
    assert "Token" in answer.head.values("WWW-Authenticate")
    for user in ("alice", "bob"):
        changed = await here.v1.ask("PUT", f"/v1/users/{user}/", headers, body=body)
        assert changed.status == (403 if headers == basic("alice") else 401)


async def test_without_access_control_every_login_succeeds_as_before(here: Gated) -> None:
    assert (await here.open_v1.ask("GET", "/v1/users/", basic("alice", "wrong"))).status == 200
    assert (await here.open_v1.ask("POST", "/v1/users/", body=b"{}")).status == 201
    assert (await here.open_v1.ask("GET", "/v1/_ping"))["X-Docker-Registry-Standalone"] == "True"


async def test_a_ping_is_open_and_says_that_tokens_are_to_be_used(here: Gated) -> None:
    for path in ("/v1/_ping", "/_ping"):
        for headers in ({}, basic("alice", "wrong")):
            answer = await here.v1.ask("GET", path, headers)
            assert (answer.status, answer["X-Docker-Registry-Standalone"]) == (200, "False")


# a push, a pull


@pytest.mark.parametrize("name", ["alice/app", "shared", "library/shared", "alice/very/deep"])
async def test_who_may_push_pushes_and_who_may_pull_pulls(here: Gated, name: str) -> None:
    assert await session(here, "alice").push(name, "1", CHAIN) == [BASE.id, APP.id]
    assert await session(here, "alice").push(name, "2", CHAIN) == []
    assert await session(here, "alice").pull(name, "2") == [*CHAIN]


async def test_anybody_pushes_and_pulls_where_anyone_may(here: Gated) -> None:
    anonymous = Session(here.v1, {"Authorization": "Basic Og=="})
    assert await anonymous.push("drop/box", "1", CHAIN) == [BASE.id, APP.id]
    for nobody in (session(here), anonymous, session(here, "alice")):
        assert await nobody.pull("drop/box", "1") == [*CHAIN]


@pytest.mark.parametrize(
    ("user", "name", "status"),
    [
        ("", "alice/app", 401),
        ("", "nobody/app", 401),
        ("bob", "alice/app", 403),
        ("reader", "alice/app", 403),
        ("alice", "drop/box", 200),
        ("alice", "dropbox", 403),
        ("alice", "library/alice", 403),
    ],
)
async def test_who_may_not_push_is_told_at_once(here: Gated, user: str, name: str, status: int) -> None:
    answer = await session(here, user).begin_push(name, CHAIN)
    assert answer.status == status
    assert (answer.head.value("X-Docker-Token") is not None) == (status == 200)
    if status == 403:
        assert user in answer.json["error"]
        assert "portside access explain" in answer.json["error"]


async def test_what_may_not_be_pulled_is_not_there(here: Gated) -> None:
    await session(here, "alice").push("alice/app", "1", CHAIN)
    theirs, nothing = await session(here, "bob").begin_pull("alice/app"), await session(here, "bob").begin_pull("a/b")
    assert theirs.status == 404
    assert same(theirs, nothing)
    assert (await session(here).begin_pull("alice/app")).status == 401
    assert (await session(here).begin_pull("a/b")).status == 401
    assert await session(here, "reader").pull("alice/app", "1") == [*CHAIN]


# images by id


async def test_an_image_is_there_for_those_who_may_pull_a_repository_that_holds_it(here: Gated) -> None:
    await session(here, "alice").push("alice/app", "1", CHAIN)
    nothing = await absent(here, "bob")
    bob = await begun(here, "bob", "bob/other")
    reader = session(here, "reader")
    assert (await reader.begin_pull("alice/app")).status == 200
    for image in CHAIN:
        for part in PARTS:
            assert (await reader.part(image, part)).status == 200
            for user, status in (("reader", 200), ("alice", 200), ("bob", 404)):
                answer = await here.v1.ask("GET", f"/v1/images/{image.id}/{part}", basic(user))
                assert answer.status == status, (user, part)
            refused = await bob.part(image, part)
            assert same(refused, nothing[part])
            unknown = await here.v1.ask("GET", f"/v1/images/{'f' * 64}/{part}")
            answer = await here.v1.ask("GET", f"/v1/images/{image.id}/{part}")
            assert answer.status == 401
            assert same(answer, unknown)


async def test_an_image_that_anyone_may_pull_needs_no_credentials(here: Gated) -> None:
    await session(here, "alice").push("public/app", "1", CHAIN)
    assert (await here.v1.ask("GET", f"/v1/images/{APP.id}/layer")).body == APP.layer
    assert (await here.v1.ask("GET", f"/v1/images/{'f' * 64}/layer")).status == 401


async def test_an_image_goes_with_the_last_tag_that_holds_it(here: Gated) -> None:
    await session(here, "alice").push("alice/app", "1", CHAIN)
    await session(here, "both").push("bob/copy", "1", CHAIN)
    bob = session(here, "bob")
    assert (await bob.begin_pull("bob/copy")).status == 200
    assert (await bob.part(APP, "layer")).body == APP.layer
    answer = await here.v1.ask("DELETE", "/v1/repositories/bob/copy/tags/1", basic("bob"))
    assert answer.status == 200
    assert (await bob.part(APP, "layer")).status == 404
    assert (await here.v1.ask("GET", f"/v1/images/{APP.id}/layer", basic("bob"))).status == 404
    assert await session(here, "alice").pull("alice/app", "1") == [*CHAIN]


async def test_an_image_that_is_being_pushed_is_there_for_its_repository_alone(here: Gated) -> None:
    alice, bob = await begun(here, "alice", "alice/app"), await begun(here, "bob", "bob/app")
    nothing = await absent(here, "bob")
    assert (await alice.ask("PUT", f"/v1/images/{BASE.id}/json", body=BASE.json)).status == 200
    assert (await alice.part(BASE, "json")).json == {"error": "Image is being uploaded, retry later"}
    assert same(await bob.part(BASE, "json"), nothing["json"])
    assert await alice.put_image(BASE) == [200, 200, 200]
    assert (await alice.part(BASE, "json")).status == 200
    assert same(await bob.part(BASE, "json"), nothing["json"])


async def test_knowing_an_id_is_no_way_to_its_layer(here: Gated) -> None:
    await session(here, "alice").push("alice/app", "1", CHAIN)
    bob = await begun(here, "bob", "bob/app")
    refused = await bob.put_tag("bob/app", "1", APP)
    assert (refused.status, refused.json) == (404, {"error": "Image not found"})
    assert same(refused, await bob.put_tag("bob/app", "1", make_pushed("f")))
    child = make_pushed("d", parent=APP.id)
    refused = await bob.ask("PUT", f"/v1/images/{child.id}/json", body=child.json)
    orphan = make_pushed("d", parent="e" * 64)
    assert same(refused, await bob.ask("PUT", f"/v1/images/{orphan.id}/json", body=orphan.json))
    assert refused.status == 400


async def test_who_pushes_what_another_has_is_told_nothing_of_that(here: Gated) -> None:
    await session(here, "alice").push("alice/app", "1", CHAIN)
    mine = [make_pushed("a", layer=b"bob's base"), make_pushed("b", parent=BASE.id, layer=b"bob's app")]
    assert await session(here, "bob").push("bob/app", "1", mine) == [BASE.id, APP.id]
    assert await session(here, "bob").pull("bob/app", "1") == mine
    assert await session(here, "alice").pull("alice/app", "1") == [*CHAIN]


async def test_a_base_that_the_pusher_may_pull_is_not_pushed_again(here: Gated) -> None:
    """All that build on one base would have a copy each."""
    await session(here, "alice").push("shared", "1", [BASE])
    child = make_pushed("d", parent=BASE.id, layer=b"on the base")
    assert await session(here, "bob").push("bob/app", "1", [BASE, child]) == [child.id]
    assert await session(here, "bob").pull("bob/app", "1") == [BASE, child]
    unknowing = make_pushed("e", parent=BASE.id)
    assert await Session(here.v1, {"Authorization": "Basic Og=="}).push("drop/x", "1", [BASE, unknowing]) == [
        BASE.id,
        unknowing.id,
    ]


# tokens


async def test_a_token_is_good_for_its_repository_alone(here: Gated) -> None:
    await session(here, "both").push("alice/app", "1", CHAIN)
    await session(here, "both").push("bob/app", "1", [BASE, OTHER])
    for access in ("read", "write"):
        both = session(here, "both")
        answer = await (both.begin_pull("alice/app") if access == "read" else both.begin_push("alice/app", []))
        assert answer.status == 200
        assert (await both.ask("GET", "/v1/repositories/alice/app/tags")).status == 200
        for method, path in (("GET", "tags"), ("GET", "tags/1"), ("GET", "images"), ("DELETE", "tags/1")):
            answer = await both.ask(method, f"/v1/repositories/bob/app/{path}")
            assert (answer.status, answer.json) == (401, {"error": "Requires authorization"}), path
        assert (await both.put_tag("bob/app", "2", OTHER)).status == 401
        for part in ("layer", "ancestry"):
            assert (await both.part(OTHER, part)).status == 404
        # A push may find that it is there; a pull of this repository has no use for it.
        assert (await both.part(OTHER, "json")).status == (404 if access == "read" else 200)


@pytest.mark.parametrize(
    ("access", "allowed"), [("read", {"GET", "HEAD"}), ("write", {"GET", "HEAD", "PUT"}), ("delete", {"DELETE"})]
)
async def test_a_token_is_good_for_what_was_begun(here: Gated, access: str, allowed: set[str]) -> None:
    await session(here, "alice").push("alice/app", "1", CHAIN)
    alice = session(here, "alice")
    if access == "write":
        answer = await alice.begin_push("alice/app", [])
    else:
        answer = await (alice.begin_pull if access == "read" else alice.begin_deletion)("alice/app")
    assert answer.head.value("WWW-Authenticate") == alice.token
    assert alice.token.endswith(f',repository="alice/app",access={access}')
    tag = json.dumps(APP.id).encode()
    for method, body in (("GET", None), ("HEAD", None), ("PUT", tag), ("DELETE", None)):
        answer = await alice.ask(method, "/v1/repositories/alice/app/tags/1", body=body)
        assert answer.status == (200 if method in allowed else 401), method
    other = make_pushed("d")
    assert ((await alice.ask("PUT", f"/v1/images/{other.id}/json", body=other.json)).status == 200) == (
        access == "write"
    )


async def test_a_token_that_is_none_is_refused_and_says_so(here: Gated) -> None:
    await session(here, "alice").push("alice/app", "1", CHAIN)
    reader = session(here, "reader")
    await reader.begin_pull("alice/app")
    good = reader.token
    for bad in (
        good.replace("alice/app", "bob/app"),
        good.replace("read", "write"),
        good.replace("signature=", "signature=A"),
        'Token signature=K4C6UUT6258IWYG3,repository="alice/app",access=read',
        "Token",
        'signature="x"',
    ):
        reader.token = bad
        answer = await reader.part(APP, "json")
        assert (answer.status, answer.json) == (401, {"error": "Requires authorization"}), bad
        assert "Token" in answer.head.values("WWW-Authenticate")
    reader.token = good
    assert (await reader.part(APP, "json")).status == 200
    assert V1_TOKEN_SECONDS > 3600


async def test_rules_hold_for_a_token_that_was_given_before(here: Gated) -> None:
    """What it proves is who has it; the rules are asked each time."""
    await session(here, "alice").push("alice/app", "1", CHAIN)
    alice = await begun(here, "alice", "alice/app")
    assert (await alice.ask("DELETE", "/v1/repositories/alice/app/tags/1")).status == 401
    assert (await here.v1.ask("DELETE", "/v1/repositories/alice/app/tags/1", basic("alice"))).status == 200


async def test_an_image_is_not_pushed_without_the_token_of_a_repository(here: Gated) -> None:
    for headers, status in (({}, 401), (basic("alice"), 403)):
        answer = await here.v1.ask("PUT", f"/v1/images/{BASE.id}/json", headers, body=BASE.json)
        assert answer.status == status
        assert len(answer.json["error"]) > 20


# what v2 has pushed


async def test_an_image_of_a_manifest_is_there_where_the_manifest_is(here: Gated) -> None:
    await push_example(here.store, RepositoryName("alice/app"), "1", "oci-zstd-image")
    chain = [image.image_id for image in expected_v1("oci-zstd-image")]
    assert [image.id for image in await session(here, "reader").pull("alice/app", "1")] == chain
    nothing = await absent(here, "bob")
    bob = await begun(here, "bob", "bob/app")
    for image_id in chain:
        image = Pushed(image_id, b"", b"")
        for part in PARTS:
            assert same(await bob.part(image, part), nothing[part])
            assert (await here.v1.ask("GET", f"/v1/images/{image_id}/{part}", basic("bob"))).status == 404
            assert (await here.v1.ask("GET", f"/v1/images/{image_id}/{part}")).status == 401
            assert (await here.v1.ask("GET", f"/v1/images/{image_id}/{part}", basic("alice"))).status == 200
        assert (await bob.put_tag("bob/app", "1", image)).status == 404
        child = make_pushed("d", parent=image_id)
        assert (await bob.ask("PUT", f"/v1/images/{child.id}/json", body=child.json)).status == 400


async def test_an_image_of_schema_1_is_there_where_its_manifest_is(here: Gated) -> None:
    """Its ids are made for it: those that it claims could be another's already, which nobody is to learn by that."""
    await push_schema1(here.store, RepositoryName("alice/app"), "1", CHAIN)
    pulled = await session(here, "reader").pull("alice/app", "1")
    assert [image.layer for image in pulled] == [image.layer for image in CHAIN]
    assert not {image.id for image in pulled} & {image.id for image in CHAIN}
    nothing = await absent(here, "bob")
    bob = await begun(here, "bob", "bob/app")
    for image in (*CHAIN, *pulled):
        for part in PARTS:
            assert same(await bob.part(image, part), nothing[part])
    await push_as_theirs(here)
    assert await session(here, "reader").pull("alice/app", "1") == pulled


async def test_ids_that_schema_1_got_before_access_was_controlled_stay(here: Gated) -> None:
    before = Store(here.storage)
    await push_schema1(before, RepositoryName("alice/app"), "1", CHAIN)
    tags = await before.v1_view.repositories.tags(parse_v1_name("alice/app"), Viewer(patience=None))
    assert tags == {"1": APP.id}
    await before.close()
    assert await session(here, "reader").pull("alice/app", "1") == [*CHAIN]
    nothing = await absent(here, "bob")
    bob = await begun(here, "bob", "bob/app")
    for image in CHAIN:
        for part in PARTS:
            assert same(await bob.part(image, part), nothing[part])
    await push_as_theirs(here)
    assert await session(here, "reader").pull("alice/app", "1") == [*CHAIN]


async def push_as_theirs(here: Gated) -> None:
    """Bob pushes, and pulls, images with the ids of alice's."""
    mine = [make_pushed("a", layer=b"bob's base"), make_pushed("b", parent=BASE.id, layer=b"bob's app")]
    assert await session(here, "bob").push("bob/app", "1", mine) == [BASE.id, APP.id]
    assert await session(here, "bob").pull("bob/app", "1") == mine


async def test_many_pull_and_push_at_once_each_what_is_theirs(here: Gated) -> None:
    mine = [make_pushed("a", layer=b"bob's base"), make_pushed("b", parent=BASE.id, layer=b"bob's app")]
    await session(here, "alice").push("alice/app", "0", CHAIN)
    await session(here, "bob").push("bob/app", "0", mine)

    async def work(user: str, number: int) -> None:
        name, own = f"{user}/app", [*CHAIN] if user == "alice" else mine
        assert await session(here, user).push(name, f"{number}", own) == []
        assert await session(here, user).pull(name, f"{number}") == own

    await asyncio.gather(*[work(user, number) for user in ("alice", "bob") for number in range(1, 6)])


# lists of files


LISTED = make_pushed("1", layer=tar_of("etc/secret"))
ON_IT = make_pushed("2", parent=LISTED.id, layer=tar_of("etc/secret", "new"))


async def test_what_an_image_changes_tells_nothing_of_images_below_that_one_may_not_read(here: Gated) -> None:
    """bob has built on what all may read; since then it is alice's alone. What is in it, his image must not tell."""
    await session(here, "both").push("alice/base", "1", [LISTED])
    await session(here, "both").push("bob/app", "1", [LISTED, ON_IT])
    for user, name in (("bob", "bob/app"), ("both", "bob/app")):
        reader = session(here, user)
        await reader.begin_pull(name)
        for part in ("files", "diff"):
            assert (await reader.part(ON_IT, part)).status == 200
    own = session(here, "both")
    await own.begin_push("bob/other", [])
    pushed = make_pushed("3", parent=LISTED.id, layer=tar_of("etc/secret", "mine"))
    assert await own.put_image(pushed) == [200, 200, 200]  # pushed, and in no tag
    await session(here, "both").begin_deletion("bob/app")
    gone = await here.v1.ask("DELETE", "/v1/repositories/bob/app/", basic("both"))
    assert gone.status == 200
    reader = session(here, "bob")
    await reader.begin_pull("bob/other")
    assert (await reader.part(LISTED, "json")).status == 404
    for part, status in (("json", 200), ("files", 200), ("diff", 404)):
        assert (await reader.part(pushed, part)).status == status, part
    assert (await reader.part(pushed, "diff")).json == {"error": "Image not found"}


@pytest.mark.parametrize("part", ["files", "diff"])
async def test_a_token_to_push_lists_no_files_of_other_repositories(here: Gated, part: str) -> None:
    """It finds what need not be sent again, and no content: as with layers."""
    await session(here, "both").push("alice/base", "1", [LISTED])
    pusher = await begun(here, "both", "bob/app")
    assert (await pusher.part(LISTED, "json")).status == 200
    for each in ("layer", part):
        assert (await pusher.part(LISTED, each)).status == 404
