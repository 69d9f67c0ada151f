"""Both registries over one folder, reached in two ways (a test may ask for a third, `in the proxy`); a tree beside it.

Each limit is met at its bound and one above it. What is bounded: bodies (`test_bodies`), what documents hold
(`test_documents`), heads and the time that reading them takes (`test_heads`), time and numbers of clients
(`test_waiting`), names, digests, uploads (`test_names`), queries and ranges (`test_queries`), User-Agents
(`test_agents`). What leads nowhere: paths (`test_paths`), what a volume holds (`test_strange_volumes`). What is said:
answers (`test_answers`), logs (`test_logs`). Then any request at all (`test_any_request`). Elsewhere: framing that
can be read in two ways (`serving/test_malformed.py`), connections of an address (`serving/test_address_limit.py`), what
may be changed (`test_gates.py`), a disk that is almost full (`test_low_room.py`).

After each test nobody has opened anything of that tree, and the log has no traceback: whatever a request holds, it is
answered, and it leads nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backends.registry.validation import Validation
from tests.support.limits import Place, open_place
from tests.support.trees import write_tree
from tests.support.watching import watching

SENTINEL: dict[str, bytes | str] = {
    "secret": "never read",
    "manifests/latest": "never read",
    "docker/registry/v2/repositories/a/_manifests/tags/latest/current/link": f"sha256:{'a' * 64}",
    "tags/list": "never read",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder; a test may put something there first."""
    return tmp_path / "root"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A tree beside the folder; a module that needs more there has its own."""
    folder = tmp_path / "outside"
    write_tree(folder, SENTINEL)
    return folder


@pytest.fixture
def validation() -> Validation:
    """A class that needs another has its own."""
    return Validation()


@pytest.fixture(params=["alone", "behind the proxy"])
async def place(
    request: pytest.FixtureRequest, root: Path, outside: Path, validation: Validation
) -> AsyncIterator[Place]:
    async with open_place(request.param, root, outside, validation) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_fails(outside: Path, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What holds after every test."""
    with watching(outside) as watch:
        (outside / "secret").read_bytes()
        assert watch.events()  # it sees
        yield
        assert not watch.events()
    failures = [record for record in caplog.get_records("call") if record.exc_info or record.levelno >= logging.ERROR]
    assert not failures, [record.getMessage() for record in failures]
