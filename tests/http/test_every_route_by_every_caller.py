"""What may not be pulled looks exactly like what is not there: every route, every kind of caller.

Each request is sent to registries over two stores, of which only one has what is hidden, and the answers are the same:
status, headers and body. Paths are made of the tables of routes: a route with something new in its path fails, and so
does one by which whoever may pull sees nothing. What each route needs is in a table (`test_access_every_route`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import pytest

from backends.model.names import RepositoryName
from backends.model.v1names import V1Name
from backends.storage import layout
from backends.v1.routes import ROUTES as V1_ROUTES
from backends.v2.routes import ROUTES as V2_ROUTES
from backends.web.dispatch import Route
from tests.support.gated import Gated, Passwords, Tokens, basic, bearer
from tests.support.pushed_examples import SCHEMA2, expected_v1, push_example
from tests.support.schema1_pushes import push_schema1
from tests.support.serving_here import OCI_MANIFEST, digest_of, make_manifest
from tests.support.two_stores import Told, TwoStores, told, two_stores
from tests.support.v1_session import Session
from tests.support.v1server import make_pushed

HIDDEN, MINE = "team/hidden", "team/mine"
RULES = f"""
- {{allow: [push, delete], to: [admin, limited]}}
- {{allow: pull, to: reader, on: [{HIDDEN}, hidden]}}
- {{allow: push, to: mine, on: {MINE}}}
- {{allow: delete, to: sweeper, on: team/swept}}
"""
CHAIN = (make_pushed("a", layer=b"base"), make_pushed("b", parent="a" * 64, layer=b"top"))
OLD = (make_pushed("c", layer=b"a layer of the old days"),)
EMPTY_LAYER = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
EXAMPLE = "oci-image"
UPLOAD = "01234567-89ab-4def-8123-456789abcdef"
DOCKER_1_9 = {"User-Agent": "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/4 os/linux arch/amd64"}
TYPES = f"{SCHEMA2}, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"

IGNORANT: Mapping[str, Mapping[str, str]] = {
    "nobody": {},
    "an old client that has never logged in": {"Authorization": "Basic Og=="},
    "a wrong password": basic("reader", "wrong"),
    "a user with nothing": basic("stranger"),
    "who may push elsewhere": basic("mine"),
    "who may delete elsewhere": basic("sweeper"),
    "an admin's token for another repository": bearer("elsewhere"),
    "an admin's token for nothing": bearer("nothing"),
    "a token that nobody gave": bearer("forged"),
}
KNOWN = {
    "elsewhere": ("limited", [f"{each}:{MINE}" for each in ("pull", "push", "delete")]),
    "nothing": ("limited", []),
}

NAMES = [HIDDEN, "hidden", "library/hidden", MINE]
OLD_NAMES = [HIDDEN, "library/hidden", "hidden", "Team/hidden", MINE]
TAGS = ["t", "s", "old", "none"]
PLACE = re.compile(r"\{(\w+)\*?\}")
"""In a pattern, what is filled in; of `values` below."""

ROUTES: Sequence[tuple[str, Route]] = [("v2", each) for each in V2_ROUTES] + [("v1", each) for each in V1_ROUTES]


def _subject(digest: str) -> dict[str, str | int]:
    return {"mediaType": OCI_MANIFEST, "digest": digest, "size": 100}


class Things:
    """What is hidden, by the names that whoever has seen it knows: filled in when it is pushed."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {
            "name": NAMES,
            "old_name": OLD_NAMES,
            "tag": TAGS,
            "user": ["bob"],
            "upload": [UPLOAD],
            "image": [CHAIN[1].id, OLD[0].id, "f" * 64, *(each.image_id for each in expected_v1(EXAMPLE))],
            "digest": [EMPTY_LAYER, digest_of(CHAIN[1].layer), digest_of(b"nobody has this")],
            "reference": ["t", "s", "old", "none", digest_of(b"nobody has this")],
        }

    async def everything(self, here: Gated) -> None:
        """Pushes it all, has it converted for other generations, and begins uploads."""
        digests: list[str] = []
        for name in (HIDDEN, "library/hidden"):  # a folder of this name, as distribution makes it
            digests += [
                str(await push_example(here.store, RepositoryName(name), "t", EXAMPLE)),
                str(await push_schema1(here.store, RepositoryName(name), "s", CHAIN)),
            ]
        await Session(here.v1, basic("admin")).push(HIDDEN, "old", OLD)
        of_v1_alone = V1Name("Team", "hidden")  # as docker-registry wrote it
        tag = layout.v1_tag(of_v1_alone.namespace, of_v1_alone.stored, "old")
        await here.storage.driver.write(tag, OLD[0].id.encode())
        config, artifact = await here.open.push_blob(HIDDEN, b"{}"), make_manifest(b"{}", subject=_subject(digests[0]))
        assert (await here.open.put_manifest(HIDDEN, digest_of(artifact), artifact)).status == 201
        self.values["digest"].append(config)
        for tag in ("t", "s", "old"):
            for headers in ({"Accept": SCHEMA2}, {"Accept": TYPES}, DOCKER_1_9):
                answer = await here.v2.ask("GET", f"/v2/{HIDDEN}/manifests/{tag}", {**basic("admin"), **headers})
                if answer.status == 200:
                    digests.append(answer["Docker-Content-Digest"])
                    self.values["digest"] += re.findall(r"sha256:[0-9a-f]{64}", answer.body.decode())[:2]
        assert len(set(digests)) > 3  # some are derived
        self.values["digest"] = sorted({*self.values["digest"], digests[0]})
        self.values["reference"] += sorted(set(digests))
        assert (await here.v1.ask("GET", f"/v1/repositories/{HIDDEN}/tags/t", basic("admin"))).status == 200
        for name in (HIDDEN, MINE):
            begun = await here.v2.ask("POST", f"/v2/{name}/blobs/uploads/", basic("admin"))
            self.values["upload"].append(begun.path.rpartition("/")[2])
        await self.bare(here)

    async def bare(self, here: Gated) -> None:
        """Pushes what is not hidden."""
        await Session(here.v1, basic("mine")).push(MINE, "t", [make_pushed("d", layer=b"my own")])

    def paths(self, protocol: str, pattern: str) -> Iterator[str]:
        """Yields the paths of a route: everything that is filled in, in every combination."""
        found = [pattern]
        for place in PLACE.finditer(pattern):
            what = "old_name" if (protocol, place[1]) == ("v1", "name") else place[1]
            found = [path.replace(place[0], value) for path in found for value in self.values[what]]
        yield from found


def _methods(route: Route) -> list[str]:
    return [*sorted({*route.operations, *(["HEAD"] if "GET" in route.operations else [])}), "OPTIONS"]


def _without_length(told: Told) -> tuple[int, list[tuple[str, str]]]:
    """What HEAD tells of what GET tells; it need not say how long nothing is."""
    return told[0], [line for line in told[1] if line[0] != "content-length"]


def _body(method: str, path: str) -> bytes | None:
    if method not in {"PUT", "POST", "PATCH"}:
        return None
    if path.endswith("/json"):
        return json.dumps({"id": path.split("/")[-2]}).encode()
    return b"[]"


async def _compare(both: TwoStores, things: Things, login: Mapping[str, str]) -> list[int]:
    """Asks for everything by every route, and returns the statuses; HEAD is GET without its body."""
    statuses = []
    for protocol, route in ROUTES:
        for path in things.paths(protocol, route.pattern):
            query = f"?mount={things.values['digest'][0]}&from={HIDDEN}" if path.endswith("/uploads/") else ""
            got = None
            for method in _methods(route):
                full, bare = await both.ask(protocol, method, path + query, login, body=_body(method, path))
                assert full == bare, (method, path)
                statuses.append(full[0])
                if method == "GET":
                    got = full
                elif method == "HEAD":
                    assert got is not None
                    assert _without_length(full) == _without_length(got), path
        for method, path in _mistakes(next(things.paths(protocol, route.pattern))):
            full, bare = await both.ask(protocol, method, path, login)
            assert full == bare, (method, path)
    return statuses


def _mistakes(path: str) -> Iterator[tuple[str, str]]:
    """Yields what is asked wrongly: too many slashes, methods and names that cannot be."""
    yield "GET", f"{path}/"
    yield "GET", path.replace("/team", "//team")
    yield "GET", path.replace(HIDDEN, "team/HIDDEN")
    yield "BREW", path
    yield "PATCH", path


@pytest.mark.parametrize("caller", IGNORANT)
async def test_what_may_not_be_pulled_looks_like_what_is_not_there(caller: str) -> None:
    things = Things()
    schemes = (Tokens(KNOWN), Passwords())
    async with two_stores(*schemes, rules=RULES, everything=things.everything, bare=things.bare) as both:
        statuses = await _compare(both, things, IGNORANT[caller])
    assert len(statuses) > 400
    assert {500, 502, 503}.isdisjoint(statuses)


@pytest.mark.parametrize("caller", ["nobody", "an old client that has never logged in", "a user with nothing"])
async def test_it_does_where_anyone_may_pull_something(caller: str) -> None:
    """Then nobody is asked who it is before it comes to what it may not; images of v1 are looked for all the same."""
    things, rules = Things(), RULES + "- {allow: pull, to: anyone, on: [public/**, team/mine]}"
    async with two_stores(Passwords(), rules=rules, everything=things.everything, bare=things.bare) as both:
        statuses = await _compare(both, things, IGNORANT[caller])
    assert 200 in statuses
    assert {500, 502, 503}.isdisjoint(statuses)


@pytest.mark.parametrize("access", ["read", "write"])
async def test_a_token_of_v1_shows_nothing_but_its_repository(access: str) -> None:
    things = Things()
    async with two_stores(Passwords(), rules=RULES, everything=things.everything, bare=things.bare) as both:
        tokens = []
        for here in (both.full, both.bare):
            session = Session(here.v1, basic("mine"))
            await (session.begin_pull(MINE) if access == "read" else session.begin_push(MINE, []))
            tokens.append({"Authorization": f"Token {session.token}"})
        assert all(len(each["Authorization"]) > 30 for each in tokens)
        for protocol, route in ROUTES:
            for path in things.paths(protocol, route.pattern) if protocol == "v1" else ():
                for method in _methods(route):
                    full, bare = [
                        told(here.v1, await here.v1.ask(method, path, token, body=_body(method, path)))
                        for here, token in zip((both.full, both.bare), tokens, strict=True)
                    ]
                    assert full == bare, (method, path)


async def test_whoever_may_pull_sees_the_difference() -> None:
    """Else the tests above would show nothing: each route that reads what is hidden tells it to who may know."""
    things = Things()
    async with two_stores(Passwords(), rules=RULES, everything=things.everything, bare=things.bare) as both:
        every = {(protocol, route.pattern) for protocol, route in ROUTES}
        same = set(every)
        for method in ("GET", "DELETE"):  # in this order, and of what is deleted only what has nothing to be read
            for protocol, route in ROUTES:
                key, is_read = (protocol, route.pattern), "GET" in route.operations
                if key not in same or method not in route.operations or is_read != (method == "GET"):
                    continue
                for path in things.paths(*key):
                    full, bare = await both.ask(protocol, method, path, basic("admin"))
                    if full != bare:
                        same.discard(key)
                        break
    nothing_to_read = ("{user}", "{user}/", "/uploads/", "/auth", "/checksum", "/properties", "{name*}/json")
    expected = {key for key in every if not PLACE.search(key[1]) or key[1].endswith(nothing_to_read)}
    assert same == expected - {("v2", "/v2/_catalog"), ("v1", "/v1/search")}
