"""docs/access-rules.md: each file of rules can be used, and each question below it has the answer that stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import portside
from tests.support.pages import FENCE, TOP

PAGE = TOP / "docs" / "access-rules.md"


def _questions() -> Iterator[Any]:
    rules = ""
    for match in FENCE.finditer(PAGE.read_text()):
        if match[1] == "yaml rules":
            rules = match[2]
        elif match[1] == "sh":
            for line in match[2].splitlines():
                command, _, answer = line.partition("#")
                yield pytest.param(rules, shlex.split(command), answer.strip(), id=" ".join(command.split()[2:]))


QUESTIONS = [*_questions()]


def test_there_are_questions_under_every_file_of_rules() -> None:
    files = re.findall(r"^```yaml rules\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(files) > 4
    assert {each.values[0] for each in QUESTIONS} == set(files)


@pytest.mark.parametrize(("rules", "command", "answer"), QUESTIONS)
def test_an_answer_is_what_the_page_says(rules: str, command: list[str], answer: str, tmp_path: Path) -> None:
    (tmp_path / "access.yml").write_text(rules)
    assert command[0] == "portside"
    done = portside(*command[1:], folder=tmp_path)
    if command[2] == "check":
        assert (done.returncode, done.stderr) == (0, "")
        return
    facts = dict(line.split(":", 1) for line in done.stdout.splitlines() if re.match(r"\w+: ", line))
    line = f", line {facts['line'].strip()}" if "line" in facts else ""
    assert f"{facts['answer'].strip()}{line}" == answer
    assert done.returncode == (0 if answer.startswith("allowed") else 1)
