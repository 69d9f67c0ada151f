"""What `make` and the image install is what pyproject.toml asks for: a package that no lock has is missing there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
INSTALLED = {
    "requirements.lock": [*PROJECT["dependencies"], *EXTRAS["redis"]],
    "requirements-test.lock": [*PROJECT["dependencies"], *EXTRAS["redis"], *EXTRAS["test"]],
}


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


@pytest.mark.parametrize("lock", INSTALLED)
def test_a_lock_has_whatever_is_asked_for(lock: str) -> None:
    locked = {_name(line) for line in Path(lock).read_text(encoding="utf-8").splitlines() if re.match(r"\w", line)}
    asked = {_name(each) for each in INSTALLED[lock]} - {_name(PROJECT["name"])}
    assert asked - locked == set()
