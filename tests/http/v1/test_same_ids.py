"""Two teams with one base behind access control: each pulls its own bytes by both protocols, and learns of no other.

What one of them is answered is recorded, to the byte, with the other on the same registry and without it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from tests.support.gated import Gated, Passwords, basic, gated
from tests.support.layers import unpack
from tests.support.serving_here import Answer, Client
from tests.support.tenants import chain_of
from tests.support.v1_session import Session
from tests.support.v1server import Pushed

RULES = """
- {allow: [push, delete], to: alice, on: alice/**}
- {allow: [push, delete], to: bob, on: bob/**}
- {allow: pull, to: reader, on: [alice/**, bob/**]}
"""
NAMES = {"alice": "alice/app", "bob": "bob/app"}
CHAINS = {user: chain_of(f"{user}'s", "1", "2", "3") for user in NAMES}
FORMS = {
    "schema 1": "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "schema 2": "application/vnd.docker.distribution.manifest.v2+json",
    "OCI": "application/vnd.oci.image.manifest.v1+json",
}
MODERN = "docker/29.0.0 go/go1.24 git-commit/aaaaaaa kernel/6.1 os/linux arch/amd64"
LISTS = ("/v2/_catalog", "/v1/search?q=app")
VARYING = {"Date", "Expires", "X-Docker-Token", "WWW-Authenticate", "X-Docker-Endpoints", "Content-Length"}
SIGNATURES = re.compile(rb'"(jwk|protected|signature|[xy]|kid)": ?("[^"]*"|{[^}]*})')
"""The registry signs schema 1 with a key of its own, which each has made."""


Told = tuple[str, int, list[tuple[str, str]], bytes]


@dataclass(frozen=True, slots=True)
class Recorder(Client):
    """A client of v1, and by `other` of v2, that keeps what it was answered."""

    other: Client | None = None
    answers: list[Told] = field(default_factory=list)

    @override
    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        body: bytes | None = None,
        chunks: Sequence[bytes] | None = None,
    ) -> Answer:
        client = self.other if self.other is not None and target.startswith("/v2/") else Client(self.host, self.port)
        answer = await client.ask(method, target, headers, body=body, chunks=chunks)
        kept = [(key, value) for key, value in answer.head.headers if key not in VARYING]
        self.answers.append((f"{method} {target}", answer.status, kept, SIGNATURES.sub(b"", answer.body)))
        return answer


async def pull_by_v2(client: Client, user: str, form: str) -> list[bytes]:
    """What a client of v2 unpacks, base first."""
    name, headers = NAMES[user], {**basic(user), "User-Agent": MODERN}
    answer = await client.ask("GET", f"/v2/{name}/manifests/1.0", {**headers, "Accept": FORMS[form]})
    assert answer.status == 200, answer
    document = json.loads(answer.body)
    if "fsLayers" in document:
        digests = [each["blobSum"] for each in reversed(document["fsLayers"])]
    else:
        digests = [each["digest"] for each in document["layers"]]
    blobs = [await client.ask("GET", f"/v2/{name}/blobs/{digest}", headers) for digest in digests]
    assert {blob.status for blob in blobs} == {200}
    return [unpack(blob.body) for blob in blobs]


async def probe(client: Client, user: str) -> None:
    """Asks for everything of the other that can be asked for."""
    other = next(name for name in NAMES if name != user)
    for image in CHAINS[other]:
        for part in ("json", "layer", "ancestry"):
            await client.ask("GET", f"/v1/images/{image.id}/{part}", basic(user))
    for path in ("tags", "images", "tags/1.0", "json"):
        await client.ask("GET", f"/v1/repositories/{NAMES[other]}/{path}", basic(user))
    for path in (f"/v2/{NAMES[other]}/manifests/1.0", f"/v2/{NAMES[other]}/tags/list", *LISTS):
        await client.ask("GET", path, basic(user))


async def work(client: Client, user: str) -> None:
    """A day of a team: pushes, pulls in every form, probes, pushes again, deletes, and pushes once more."""
    name, chain = NAMES[user], CHAINS[user]
    session = Session(client, basic(user))
    await probe(client, user)
    assert await session.push(name, "1.0", chain[:2]) == [image.id for image in chain[:2]]
    assert await session.pull(name, "1.0") == chain[:2]
    await probe(client, user)
    for form in FORMS:
        assert await pull_by_v2(client, user, form) == [unpack(image.layer) for image in chain[:2]]
    assert await session.push(name, "1.0", chain) == [chain[2].id]
    assert await session.pull(name, "1.0") == chain
    answer = await client.ask("DELETE", f"/v1/repositories/{name}/", basic(user))
    assert answer.status == 200
    await probe(client, user)
    await session.push(name, "1.0", chain)
    assert await session.pull(name, "1.0") == chain
    for form in FORMS:
        assert await pull_by_v2(client, user, form) == [unpack(image.layer) for image in chain]


async def recorded(here: Gated, user: str) -> list[Told]:
    """What a team is answered in its day, without what differs from one time to the next."""
    recorder = Recorder(here.v1.host, here.v1.port, other=here.v2)
    await work(recorder, user)
    return recorder.answers


@pytest.mark.parametrize("user", NAMES)
async def test_what_one_team_is_answered_does_not_depend_on_the_other(user: str) -> None:
    other = next(name for name in NAMES if name != user)
    async with gated(Passwords(), rules=RULES) as here:
        alone = await recorded(here, user)
    async with gated(Passwords(), rules=RULES) as here:
        await recorded(here, other)
        after = await recorded(here, user)
        assert await Session(here.v1, basic(other)).pull(NAMES[other], "1.0") == CHAINS[other]
    async with gated(Passwords(), rules=RULES) as here:
        beside, _ = await asyncio.gather(recorded(here, user), recorded(here, other))
    for seen in (after, beside):
        for one, two in zip(alone, seen, strict=True):
            assert one == two


async def test_who_may_read_both_gets_of_each_what_its_token_is_for() -> None:
    async with gated(Passwords(), rules=RULES) as here:
        for user, name in NAMES.items():
            await Session(here.v1, basic(user)).push(name, "1.0", CHAINS[user])
        for user, name in NAMES.items():
            assert await Session(here.v1, basic("reader")).pull(name, "1.0") == CHAINS[user]


@pytest.mark.parametrize("is_tagged", [True, False])
async def test_a_base_that_a_team_may_pull_is_not_sent_again_whoever_else_has_its_id(is_tagged: bool) -> None:  # noqa: FBT001 - a table
    rules = RULES + "- {allow: pull, to: bob, on: alice/base}\n- {allow: push, to: carol, on: carol/**}\n"
    base, id_of_app = CHAINS["alice"][0], "9" * 64
    text = json.dumps({"id": id_of_app, "parent": base.id}).encode()
    app = Pushed(id_of_app, text, CHAINS["bob"][1].layer)
    told: list[list[Told]] = []
    for has_carol in (False, True):
        async with gated(Passwords(), rules=rules) as here:
            if has_carol:
                await Session(here.v1, basic("carol")).push("carol/app", "1.0", chain_of("carol's", "1", "9"))
            alice = Session(here.v1, basic("alice"))
            assert (await alice.begin_push("alice/base", [base])).status == 200
            assert await alice.put_image(base) == [200, 200, 200]
            if is_tagged:
                assert (await alice.put_tag("alice/base", "1.0", base)).status == 200
            recorder = Recorder(here.v1.host, here.v1.port, other=here.v2)
            assert await Session(recorder, basic("bob")).push("bob/app", "1.0", [base, app]) == [app.id]
            assert await Session(recorder, basic("bob")).pull("bob/app", "1.0") == [base, app]
            for part in ("json", "layer", "ancestry"):
                await recorder.ask("GET", f"/v1/images/{app.id}/{part}", basic("bob"))
                await recorder.ask("GET", f"/v1/images/{base.id}/{part}", basic("bob"))
            told.append(recorder.answers)
    for one, two in zip(*told, strict=True):
        assert one == two
