"""ARCHITECTURE.md and the decisions name files and folders that exist, and no room is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("backends", "portside", "proxy")
PAGES = [ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs" / "adr").glob("*.md"))]
FILES = [
    "/" + path.relative_to(ROOT).as_posix()
    for folder in (*PACKAGES, "bench", "tests")
    for path in (ROOT / folder).rglob("*.py")
]
ELSEWHERE = {"certs/", "data/", "index/", "primary/", "tmp/"}
"""Made when it runs."""


def named(page: Path) -> list[str]:
    """What looks like a file or a folder of this repository, between backticks."""
    tokens = re.findall(r"`([\w./-]+)`", page.read_text())
    return [token for token in tokens if token.endswith((".py", "/")) and not token.startswith(("/", "docker/"))]


def exists(token: str) -> bool:
    if token.endswith("/"):
        return token in ELSEWHERE or any((ROOT / above / token).is_dir() for above in ("", *PACKAGES, "tests"))
    return any(file.endswith(f"/{token}") for file in FILES)  # the end of its path, where the row names its folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_it_names_is_there(page: Path) -> None:
    assert [token for token in named(page) if not exists(token)] == []


def test_it_names_enough_to_be_worth_the_test() -> None:
    assert len(named(PAGES[0])) > 100


def test_every_room_is_on_the_map() -> None:
    text = PAGES[0].read_text()
    rooms = {
        path.parent.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    inner = {
        "backends",
        "backends/model/conversion",
        "backends/model/manifests",
        "backends/registry/derived",
        "backends/registry/layers",
        "backends/registry/redis",
        "backends/registry/tags",
        "backends/registry/v1",
        "backends/registry/v1_view",
    }
    assert [room for room in sorted(rooms - inner) if f"`{room}/`" not in text] == []


@pytest.mark.parametrize(
    "package", ["multidict", "yarl", "cryptography", "jwt", "yaml", "pydantic", "pydantic_core", "redis", "click"]
)
def test_a_dependency_is_imported_only_where_its_row_says(package: str) -> None:
    written = {"yaml": "PyYAML", "pydantic_core": "pydantic", "jwt": "PyJWT"}.get(package, package)
    rows = PAGES[0].read_text().partition("## Dependencies")[2].splitlines()
    (row,) = (row for row in rows if re.match(rf"\| [^|]*\b{written}\b", row))
    places = tuple(re.findall(r"`([\w./]+)`", row.rpartition(" | ")[2]))
    imports = re.compile(rf"^\s*(?:from|import) {package}\b", re.MULTILINE)
    files = [path for above in PACKAGES for path in (ROOT / above).rglob("*.py") if imports.search(path.read_text())]
    assert files
    assert [each for path in files if not (each := path.relative_to(ROOT).as_posix()).startswith(places)] == []


def test_every_decision_has_its_parts_and_its_number() -> None:
    for page in PAGES[1:]:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences")), page.name
    numbers = [int(page.name[:4]) for page in PAGES[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
