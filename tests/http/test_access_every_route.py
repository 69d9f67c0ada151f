"""Every route of both protocols, by every kind of caller: a route that is not in this table fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tests.support.gated import Gated, Passwords, Tokens, basic, bearer, gated
from tests.support.operations import DIGEST, Named, all_operations
from tests.support.serving_here import Answer, digest_of

APP, ABSENT = "team/app", "team/not"
IMAGE = "a" * 64
UPLOAD = "01234567-89ab-cdef-0123-456789abcdef"

OPEN, LOGIN, LIST, PULL, PUSH, DELETE, PULL_IMAGE, PUSH_IMAGE = (
    *("open", "login", "list", "pull", "push", "delete", "pull image", "push image"),
)
NEEDS: Mapping[str, str] = {
    "GET /v1/_ping": OPEN,
    "GET /_ping": OPEN,
    "GET /": OPEN,
    "GET /v1/users/": LOGIN,
    "POST /v1/users/": LOGIN,
    "GET /v1/users": LOGIN,
    "POST /v1/users": LOGIN,
    "PUT /v1/users/bob/": LOGIN,
    "PUT /v1/users/bob": LOGIN,
    f"GET /v1/images/{IMAGE}/json": PULL_IMAGE,
    f"PUT /v1/images/{IMAGE}/json": PUSH_IMAGE,
    f"GET /v1/images/{IMAGE}/layer": PULL_IMAGE,
    f"PUT /v1/images/{IMAGE}/layer": PUSH_IMAGE,
    f"PUT /v1/images/{IMAGE}/checksum": PUSH_IMAGE,
    f"GET /v1/images/{IMAGE}/ancestry": PULL_IMAGE,
    f"GET /v1/images/{IMAGE}/files": PULL_IMAGE,
    f"GET /v1/images/{IMAGE}/diff": PULL_IMAGE,
    f"GET /v1/repositories/{APP}/images": PULL,
    f"PUT /v1/repositories/{APP}/images": PUSH,
    f"DELETE /v1/repositories/{APP}/images": DELETE,
    f"PUT /v1/repositories/{APP}/auth": LOGIN,
    f"GET /v1/repositories/{APP}/properties": PULL,
    f"PUT /v1/repositories/{APP}/properties": PUSH,
    f"GET /v1/repositories/{APP}/tags/latest/json": PULL,
    f"GET /v1/repositories/{APP}/tags/latest": PULL,
    f"PUT /v1/repositories/{APP}/tags/latest": PUSH,
    f"DELETE /v1/repositories/{APP}/tags/latest": DELETE,
    f"GET /v1/repositories/{APP}/tags": PULL,
    f"DELETE /v1/repositories/{APP}/tags": DELETE,
    f"GET /v1/repositories/{APP}/json": PULL,
    f"PUT /v1/repositories/{APP}/": PUSH,
    f"DELETE /v1/repositories/{APP}/": DELETE,
    f"PUT /v1/repositories/{APP}": PUSH,
    f"DELETE /v1/repositories/{APP}": DELETE,
    "GET /v1/search": LIST,
    "GET /v2/": LOGIN,
    "GET /v2/_portside/token": OPEN,
    f"GET /v2/{APP}/manifests/latest": PULL,
    f"PUT /v2/{APP}/manifests/latest": PUSH,
    f"DELETE /v2/{APP}/manifests/latest": DELETE,
    f"POST /v2/{APP}/blobs/uploads/": PUSH,
    f"GET /v2/{APP}/blobs/uploads/{UPLOAD}": PUSH,
    f"PATCH /v2/{APP}/blobs/uploads/{UPLOAD}": PUSH,
    f"PUT /v2/{APP}/blobs/uploads/{UPLOAD}": PUSH,
    f"DELETE /v2/{APP}/blobs/uploads/{UPLOAD}": PUSH,
    f"GET /v2/{APP}/blobs/{DIGEST}": PULL,
    f"DELETE /v2/{APP}/blobs/{DIGEST}": DELETE,
    f"GET /v2/{APP}/referrers/{DIGEST}": PULL,
    f"GET /v2/{APP}/tags/list": PULL,
    f"DELETE /v2/{APP}/_portside/repository": DELETE,
    "GET /v2/_catalog": LIST,
}
RULES = f"""
- {{allow: pull, to: [reader, owner], on: {APP}}}
- {{allow: push, to: [writer, owner], on: {APP}}}
- {{allow: delete, to: owner, on: {APP}}}
- {{allow: [push, delete], to: foreigner, on: foreign/*}}
"""
OPERATIONS = list(all_operations())
KNOWN = Tokens({"pulls": ("owner", [f"pull:{APP}"]), "elsewhere": ("owner", ["pull:other", "push:other"])})
NOBODY: Sequence[Mapping[str, str]] = ({}, basic("reader", "wrong"), bearer("forged"), {"Authorization": "Basic Og=="})


def test_every_route_is_in_the_table() -> None:
    assert {str(each) for each in OPERATIONS} == NEEDS.keys()


async def filled(here: Gated) -> None:
    """Has something at each path that is asked for."""
    await here.open.push_image(APP, "latest")


async def ask(here: Gated, each: Named, headers: Mapping[str, str], *, name: str = APP, open_: bool = False) -> Answer:
    clients = (here.open_v1, here.open) if open_ else (here.v1, here.v2)
    client = clients[each.protocol == "v2"]
    path = each.path.replace(APP, name).replace(DIGEST, digest_of(b"image layer"))
    body = b"[]" if each.method in {"PUT", "POST", "PATCH"} else None
    return await client.ask(each.method, path, headers, body=body)


def shown(answer: Answer, name: str = APP) -> tuple[int, list[str], bytes]:
    """All that a caller sees; of headers the names, for some have the time in them."""
    names = sorted(key.lower() for key, _ in answer.head.headers)
    return answer.status, names, answer.body.replace(name.encode(), b"NAME")


@pytest.mark.parametrize("each", OPERATIONS, ids=str)
async def test_nobody_gets_no_farther_than_a_challenge(each: Named) -> None:
    async with gated(KNOWN, Passwords(), rules=RULES) as here:
        await filled(here)
        for headers in NOBODY:
            answer = await ask(here, each, headers)
            if NEEDS[str(each)] == OPEN:
                assert (answer.status == 401) == (each.path == "/v2/_portside/token" and headers not in ({}, NOBODY[3]))
            else:
                assert answer.status == 401
                challenges = answer.head.values("WWW-Authenticate")
                assert [value.partition(" ")[0] for value in challenges][:2] == ["Bearer", "Basic"]


@pytest.mark.parametrize("each", OPERATIONS, ids=str)
async def test_a_stranger_learns_nothing_and_changes_nothing(each: Named) -> None:
    """What is answered is the same whether the thing is there or not, to the byte."""
    async with gated(Passwords(), rules=RULES) as here:
        await filled(here)
        for user in ("stranger", "foreigner"):
            there = await ask(here, each, basic(user))
            match NEEDS[str(each)]:
                case "push":
                    assert there.status == 403
                case "pull" | "delete" | "pull image":
                    assert there.status in {200, 204, 404}
                    absent = await ask(here, each, basic(user), name=ABSENT)
                    assert shown(there) == shown(absent, ABSENT)
                case "list":
                    assert (there.status, b"app" in there.body) == (200, False)
                case "push image":
                    assert there.status >= 400  # without a token it names no repository
                case _:
                    pass
        assert (await here.open.ask("GET", f"/v2/{APP}/manifests/latest")).status == 200


@pytest.mark.parametrize("each", OPERATIONS, ids=str)
async def test_a_reader_sees_what_is_there_and_changes_nothing(each: Named) -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await filled(here)
        before = await ask(here, each, {}, open_=True) if NEEDS[str(each)] == PULL else None
        answer = await ask(here, each, basic("reader"))
        match NEEDS[str(each)]:
            case "pull":
                assert before is not None
                assert shown(answer) == shown(before)
            case "push" | "delete":
                assert answer.status == 403
            case "push image":
                assert answer.status >= 400
            case "list":
                assert answer.status == 200
            case _:
                pass


@pytest.mark.parametrize("each", OPERATIONS, ids=str)
async def test_who_may_do_everything_there_is_never_refused(each: Named) -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await filled(here)
        if NEEDS[str(each)] in {PULL, PUSH, DELETE, LIST}:
            answer = await ask(here, each, basic("owner"))
            assert answer.status not in {401, 403}
            assert answer.head.values("WWW-Authenticate") == [] or each.protocol == "v1"  # v1's tokens


@pytest.mark.parametrize("each", OPERATIONS, ids=str)
async def test_who_pushes_may_not_delete(each: Named) -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await filled(here)
        answer = await ask(here, each, basic("writer"))
        if NEEDS[str(each)] == DELETE:
            assert answer.status == 403
        elif NEEDS[str(each)] in {PULL, PUSH, LIST}:
            assert answer.status not in {401, 403}


@pytest.mark.parametrize("each", OPERATIONS, ids=str)
async def test_a_token_reaches_no_farther_than_it_says(each: Named) -> None:
    """Although the rules would allow its bearer everything."""
    async with gated(KNOWN, Passwords(), rules=RULES) as here:
        await filled(here)
        need = NEEDS[str(each)]
        pulls, elsewhere = [await ask(here, each, bearer(token)) for token in ("pulls", "elsewhere")]
        if need == PULL:
            assert pulls.status not in {401, 403}
            assert elsewhere.status == 401
        elif need in {PUSH, DELETE, LIST}:
            assert (pulls.status, elsewhere.status) == (401, 401)
            assert 'error="insufficient_scope"' in pulls.head.values("WWW-Authenticate")[0]
