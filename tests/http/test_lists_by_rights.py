"""Lists show what their caller may pull, and count nothing else: pages, links, numbers of results."""

from __future__ import annotations

import json

import pytest

from tests.support.gated import Gated, Passwords, Tokens, basic, bearer, gated
from tests.support.serving_here import Answer

RULES = """
- {allow: push, to: alice, on: [team/*, base]}
- {allow: pull, to: bob, on: "*/b*"}
- {allow: pull, to: anyone, on: public/**}
- {deny: pull, to: bob, on: public/secret/**}
- {allow: [push, delete], to: owner}
"""
OF_V2 = ["base", "other/base", "public/a", "public/secret/b", "team/app", "team/app/cache", "team/base", "team/cc", "z"]
SHOWN = {
    "alice": ["base", "public/a", "public/secret/b", "team/app", "team/base", "team/cc"],
    "bob": ["other/base", "public/a", "team/base"],
    "": ["public/a", "public/secret/b"],
    "stranger": ["public/a", "public/secret/b"],
    "owner": OF_V2,
}


async def _fill(here: Gated) -> None:
    for name in OF_V2:
        await here.open.push_image(name, "t")


def _headers(user: str) -> dict[str, str]:
    return basic(user) if user else {}


@pytest.mark.parametrize("user", SHOWN)
async def test_the_catalog_has_full_pages_of_what_may_be_pulled(user: str) -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await _fill(here)
        assert (await here.v2.ask("GET", "/v2/_catalog", _headers(user))).json == {"repositories": SHOWN[user]}
        for size in (1, 2, 3, 100):
            pages, path = [], f"/v2/_catalog?n={size}"
            while path:
                answer = await here.v2.ask("GET", path, _headers(user))
                pages.append(answer.json["repositories"])
                path = _next(answer)
            assert [name for page in pages for name in page] == SHOWN[user]
            assert {len(page) for page in pages[:-1]} <= {size}
            assert 0 < len(pages[-1]) <= size  # a link that leads to nothing would say that more is there


@pytest.mark.parametrize("user", SHOWN)
@pytest.mark.parametrize("term", ["", "base", "SECRET", "a"])
async def test_a_search_finds_and_counts_what_may_be_pulled(user: str, term: str) -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await _fill(here)
        found = (await here.v1.ask("GET", f"/v1/search?q={term}", _headers(user))).json
        expected = [name for name in SHOWN[user] if term.lower() in name]
        assert found == {
            "num_results": len(expected),
            "query": term,
            "results": [{"description": "", "name": name} for name in sorted(expected)],
        }


async def test_who_may_pull_nothing_sees_empty_lists_and_nobody_is_asked_who_it_is() -> None:
    async with gated(Passwords(), rules="- {allow: push, to: owner}") as here:
        await _fill(here)
        assert (await here.v2.ask("GET", "/v2/_catalog", basic("bob"))).json == {"repositories": []}
        assert (await here.v1.ask("GET", "/v1/search?q=", basic("bob"))).json["num_results"] == 0
        for client, path in ((here.v2, "/v2/_catalog"), (here.v1, "/v1/search?q=")):
            assert (await client.ask("GET", path)).status == 401


@pytest.mark.parametrize(("rules", "shown"), [("", OF_V2), ("- {allow: pull, to: ci, on: team/*}", 3)])
async def test_a_token_for_the_catalog_shows_what_the_rules_allow_and_a_search_what_it_reaches(
    rules: str, shown: list[str] | int
) -> None:
    """Distribution's tokens for the catalog name no repository: whoever gives one has said that all may be listed."""
    known = {"catalog": ("ci", ["catalog:"]), "team": ("ci", ["search:", "pull:team/app", "pull:z"])}
    async with gated(Tokens(known), rules=rules) as here:
        await _fill(here)
        listed = (await here.v2.ask("GET", "/v2/_catalog", bearer("catalog"))).json["repositories"]
        assert listed == (shown if isinstance(shown, list) else ["team/app", "team/base", "team/cc"])
        assert (await here.v2.ask("GET", "/v2/_catalog", bearer("team"))).status == 401
        found = (await here.v1.ask("GET", "/v1/search?q=", bearer("team"))).json
        assert [each["name"] for each in found["results"]] == (["team/app", "z"] if not rules else ["team/app"])


async def test_lists_follow_a_change_of_the_rules() -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await _fill(here)
        for rules, shown in (("- {allow: pull, to: bob, on: z}", ["z"]), ("- {allow: pull, to: bob}", OF_V2)):
            here.change_rules(rules)
            listed = (await here.v2.ask("GET", "/v2/_catalog", basic("bob"))).json
            assert listed == {"repositories": shown}, json.dumps(listed)


def _next(answer: Answer) -> str:
    link = answer.head.value("Link")
    return link.partition("<")[2].partition(">")[0] if link else ""
