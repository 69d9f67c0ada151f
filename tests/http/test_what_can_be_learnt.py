"""What a caller learns by any sequence of reads is what it would learn from a store with only what it may pull.

Whatever the rules and whatever the repositories: they share layers, manifests and images of v1, across what the caller
may pull and what it may not, and have been converted for others before it comes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.auth.identity import Identity
from backends.auth.rules_text import parse_rules
from backends.model.actions import Action
from backends.model.names import RepositoryName
from tests.support.formats import example
from tests.support.gated import Gated, Passwords, basic
from tests.support.pushed_examples import SCHEMA2, expected_v1, push_example
from tests.support.schema1_pushes import push_schema1
from tests.support.serving_here import digest_of
from tests.support.two_stores import two_stores
from tests.support.v1_session import Session
from tests.support.v1server import make_pushed

NAMES = ["a", "library/a", "b", "team/a", "team/b", "team/b/c"]
CHAIN = (make_pushed("a", layer=b"base"), make_pushed("b", parent="a" * 64, layer=b"top"))
KINDS = ["oci-image", "schema2-image", "schema 1", "v1"]
DIGESTS = [
    *(digest_of(example(f"{each}/manifest.json")) for each in KINDS[:2]),
    *(digest_of(example(f"{each}/config.json")) for each in KINDS[:2]),
    *(digest_of(image.layer) for image in CHAIN),
    "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4",
]
IMAGES = [*(image.id for image in CHAIN), *(each.image_id for kind in KINDS[:2] for each in expected_v1(kind))]
CLIENTS: Sequence[Mapping[str, str]] = [
    {"Accept": f"{SCHEMA2}, application/vnd.oci.image.manifest.v1+json"},
    {"Accept": SCHEMA2},
    {"User-Agent": "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/4 os/linux arch/amd64"},
]

names, tags = st.sampled_from(NAMES), st.sampled_from(["t", "none"])
stores = st.dictionaries(names, st.sampled_from(KINDS), min_size=1, max_size=5)
patterns = st.lists(st.sampled_from(["a", "b", "team/*", "team/**", "*", "**/b", "team/b"]), min_size=1, max_size=2)
rules_files = st.lists(st.tuples(st.sampled_from(["allow", "deny"]), patterns), min_size=1, max_size=3)
of_v2 = st.one_of(
    st.builds("/v2/{}/manifests/{}".format, names, st.one_of(tags, st.sampled_from(DIGESTS))),
    st.builds("/v2/{}/blobs/{}".format, names, st.sampled_from(DIGESTS)),
    st.builds("/v2/{}/referrers/{}".format, names, st.sampled_from(DIGESTS)),
    st.builds("/v2/{}/tags/list".format, names),
    st.builds("/v2/_catalog?n={}".format, st.integers(1, 3)),
    st.just("/v2/_catalog"),
)
of_v1 = st.one_of(
    st.builds("/v1/images/{}/{}".format, st.sampled_from(IMAGES), st.sampled_from(["json", "ancestry", "layer"])),
    st.builds("/v1/repositories/{}/{}".format, names, st.sampled_from(["images", "tags", "json", "properties"])),
    st.builds("/v1/repositories/{}/tags/{}".format, names, tags),
    st.builds("/v1/repositories/{}/tags/{}/json".format, names, tags),
    st.builds("/v1/search?q={}".format, st.sampled_from(["", "a", "team"])),
)
reads = st.lists(
    st.tuples(st.sampled_from(["GET", "GET", "HEAD"]), st.one_of(of_v2, of_v1), st.sampled_from(CLIENTS)),
    min_size=8,
    max_size=25,
)


async def fill(here: Gated, *, kinds: Mapping[str, str], converted: bool) -> None:
    """Pushes what each repository has, in the order of their names; has it converted for clients of all kinds."""
    for name in sorted(kinds):
        repository = RepositoryName(name)
        match kinds[name]:
            case "schema 1":
                await push_schema1(here.store, repository, "t", CHAIN)
            case "v1":
                await Session(here.v1, basic("root")).push(name, "t", CHAIN)
            case example_of:
                await push_example(here.store, repository, "t", example_of)
        if converted:
            for headers in CLIENTS:
                await here.v2.ask("GET", f"/v2/{name}/manifests/t", {**basic("root"), **headers})
            await here.v1.ask("GET", f"/v1/repositories/{name}/images", basic("root"))


@given(stores, rules_files, reads, st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
async def test_a_caller_learns_nothing_of_what_it_may_not_pull(
    kinds: dict[str, str],
    entries: list[tuple[str, list[str]]],
    questions: list[tuple[str, str, Mapping[str, str]]],
    converted: bool,  # noqa: FBT001 - a case
) -> None:
    lines = ["- {allow: [push, delete], to: root}", "- {allow: pull, to: alice, on: nothing/here}"]
    lines += [f"- {json.dumps({verb: 'pull', 'to': 'alice', 'on': on})}" for verb, on in entries]
    rules = "\n".join(lines)
    may = parse_rules(rules).scope(Identity("alice", "htpasswd"), Action.PULL).allows
    bare = {name: kind for name, kind in kinds.items() if may(name)}
    async with two_stores(
        Passwords(),
        rules=rules,
        everything=partial(fill, kinds=kinds, converted=converted),
        bare=partial(fill, kinds=bare, converted=converted),
    ) as both:
        for method, path, headers in questions:
            answers = await both.ask(path[1:3], method, path, {**basic("alice"), **headers})
            assert answers[0] == answers[1], (method, path)
