"""Small settings files and variables with which distribution starts or does not: `tests/data/config/verdicts.yml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

_TABLE = Path(__file__).parents[1] / "data" / "config" / "verdicts.yml"
PROGRAMS = ("docker-registry", "registry")
"""distribution 2.8.2 and 3.1.2."""


@dataclass(frozen=True, slots=True)
class Case:
    """One of them.

    Attributes:
        name: what it is about.
        file: the file's text.
        environment: the variables.
        starts: whether each program starts with it, `portside` too.
        why: the row of the table in the documentation that explains a difference; "" where there is none.
    """

    name: str
    file: str
    environment: Mapping[str, str]
    starts: Mapping[str, bool]
    why: str

    def placed(self, folder: Path, port: int) -> tuple[str, dict[str, str]]:
        """The file's text and the variables, with a folder and a port."""

        def place(text: str) -> str:
            return text.replace("PORT", str(port)).replace("DIR", str(folder))

        return place(self.file), {name: place(value) for name, value in self.environment.items()}


def read_cases() -> list[Case]:
    """All of them."""
    return [
        Case(
            each["name"],
            each["file"],
            each.get("environment", {}),
            dict(zip((*PROGRAMS, "portside"), (verdict == "starts" for verdict in each["verdicts"]), strict=True)),
            each.get("why", ""),
        )
        for each in yaml.safe_load(_TABLE.read_text())
    ]
