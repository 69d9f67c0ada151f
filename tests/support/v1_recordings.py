"""What docker-registry 0.9.1 answered to the requests of v1's differential test, for machines on which it does not run.

`python -m tests.support.v1_recordings` asks it again, and writes `tests/data/differences-v1/recorded/`.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1
from tests.support.v1_contents import NAMED
from tests.support.v1_differences import DATA, Received, Table, load_tables, send

FOLDER: Final = DATA / "recorded"


def ask_the_original(table: Table, folder: Path) -> list[Received]:
    """Sends the requests of a table to docker-registry 0.9.1, on a fresh volume."""
    with docker_registry_0_9_1(folder, variables=table.variables) as registry:
        return [send(registry.port, step) for step in table.steps]


def write_recording(table: Table, answers: Sequence[Received], folder: Path = FOLDER) -> None:
    """Writes the answers to a table: sets of headers first, then a line for each answer, which names its set."""
    sets: list[dict[str, Sequence[str]]] = []
    lines = []
    for step, answer in zip(table.steps, answers, strict=True):
        headers = dict(answer.headers)
        if headers not in sets:
            sets.append(headers)
        lines.append(json.dumps([step.title, answer.status, sets.index(headers), _text(answer.body)]))
    folder.mkdir(exist_ok=True)
    shown = ",\n".join(map(json.dumps, sets))
    (folder / f"{table.name}.json").write_text(
        f'{{"headers": [\n{shown}\n],\n"answers": [\n' + ",\n".join(lines) + "\n]}\n"
    )


def read_recording(table: Table) -> list[Received]:
    """The recorded answers to a table, by its steps.

    Raises:
        AssertionError: it was made of other requests.
    """
    recorded: dict[str, list[Any]] = json.loads((FOLDER / f"{table.name}.json").read_text())
    titles = [title for title, *_ in recorded["answers"]]
    assert titles == [step.title for step in table.steps], "record again: python -m tests.support.v1_recordings"
    return [
        Received(status, recorded["headers"][number], _bytes(body)) for _, status, number, body in recorded["answers"]
    ]


def _text(body: bytes) -> str | dict[str, str]:
    for name, content in NAMED.items():
        if content and body == content:
            return {"content": name}
    return body.decode() if body.isascii() else {"base64": base64.b64encode(body).decode()}


def _bytes(text: str | dict[str, str]) -> bytes:
    if isinstance(text, str):
        return text.encode()
    return NAMED[text["content"]] if "content" in text else base64.b64decode(text["base64"])


if __name__ == "__main__":
    for each in load_tables():
        with tempfile.TemporaryDirectory() as temporary:
            write_recording(each, ask_the_original(each, Path(temporary)))
