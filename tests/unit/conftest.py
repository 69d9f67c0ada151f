"""What unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.settings_files import Load, loader


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a role's settings from a file's text, variables and flags."""
    return loader(tmp_path)
