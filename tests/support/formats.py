"""The worked examples of images in every form (FORMATS section 10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FORMATS = Path(__file__).parents[1] / "data" / "formats"


def example(path: str) -> bytes:
    """The bytes of an example file."""
    return (FORMATS / path).read_bytes()


def example_json(path: str) -> Any:
    """What an example file of JSON says."""
    return json.loads(example(path))
