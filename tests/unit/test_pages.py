"""The pages are true as far as that can be checked here: settings load, links lead somewhere, commands are spelt right.

tests/support/pages.py says how a block is marked; tests/real gives the blocks of other programs to those programs.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from portside.cli import main
from portside.settings.loading import Role
from portside.settings.unsupported import notes, unknown_keys
from portside.settings.yaml_values import parse_yaml
from tests.support.pages import FENCE, PAGES, TOP, Block, blocks
from tests.support.settings_files import Load

ROLES = {**{role.value: role for role in Role}, "mirror": Role.V1, "accel": Role.V1}
"""By the word behind `yaml`; other tests find the last two by it."""
OTHERS = {"kubernetes", "traefik", "fragment"}
RULES = "rules"
"""Rules of access: tests/unit/test_access_rules_page.py asks them questions."""


def _parameters(found: list[Block]) -> list[Any]:
    return [pytest.param(each, id=f"{each.page}-{number}") for number, each in enumerate(found)]


SETTINGS = [each for each in blocks("yaml") if not {RULES, *OTHERS}.intersection(each.words)]
FOREIGN = [each for each in blocks("yaml") if OTHERS.intersection(each.words)]


def test_there_are_pages_and_blocks_to_look_at() -> None:
    assert len(PAGES) > 10
    assert len(SETTINGS) > 5


def _unhonoured(text: str) -> list[str]:
    raw = parse_yaml(text)
    return [each.text for each in (*notes(raw), *unknown_keys(raw))]


@pytest.mark.parametrize("block", _parameters(SETTINGS))
def test_settings_load_and_every_key_is_honoured(block: Block, load: Load) -> None:
    assert len(block.words) <= 1, f"{block.words} are not a role"
    role = ROLES[block.words[0]] if block.words else Role.SERVE
    load(role, block.text)
    assert _unhonoured(block.text) == []


@pytest.mark.parametrize("block", _parameters(FOREIGN))
def test_files_of_other_programs_are_yaml(block: Block, load: Load) -> None:
    documents = list(yaml.safe_load_all(block.text))
    assert all(documents)
    for document in documents:
        for name, text in document.get("data", {}).items() if document.get("kind") == "ConfigMap" else ():
            load(Role.SERVE, text)
            assert _unhonoured(text) == [], name


def _commands() -> Iterator[Any]:
    """Every call of `portside` in a block of shell, its lines joined."""
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            names = [
                index for index, word in enumerate(words) if word.rpartition("/")[2] == "portside" and "=" not in word
            ]
            # `docker run … portside -c …` names an image, `systemctl start portside` a service.
            if names and all("=" in word or word in {"sudo", "env"} for word in words[: names[0]]):
                given = itertools.takewhile(lambda word: not re.match(r"\d*[<>|&;]", word), words[names[0] + 1 :])
                yield pytest.param([*given], id=f"{block.page}: {' '.join(words)}")


@pytest.mark.parametrize("arguments", [*_commands()])
def test_commands_take_the_arguments_that_the_pages_give(arguments: list[str]) -> None:
    name, command, rest = main.resolve_command(click.Context(main), arguments)
    assert command is not None, name
    command.make_context(name, rest, resilient_parsing=False)


def _anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = (TOP / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(text)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = (TOP / page).parent / name if name else TOP / page
        assert found.exists(), f"{page} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", FENCE.sub("", found.read_text()), re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_pages_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:docs|compose|certs)/[\w./-]+\.(?:md|yml))`", (TOP / page).read_text()):
        assert (TOP / name).exists(), f"{page} names {name}"


def test_every_page_of_docs_can_be_found_from_the_readme() -> None:
    reached, waiting = set(), [Path("README.md")]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        text = (TOP / page).read_text()
        linked = [(TOP / page).parent / name for name in re.findall(r"\]\(([^)#\s]+\.md)", text)]
        named = [TOP / name for name in re.findall(r"`((?:docs/)?[\w./-]+\.md)`", text)]
        waiting += [path.resolve().relative_to(TOP) for path in (*linked, *named) if path.exists()]
    left_out = [page for page in PAGES if page.parent == Path("docs") and page not in reached]
    assert left_out == []
