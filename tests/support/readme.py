"""README's commands and what they print, and which test runs each block of them.

A block that is run has a name behind its language: ```` ```sh docker ````. In one of `console` a line that begins with
`$ ` is a command, and the lines below it are what it prints; `…` stands for what differs from run to run, on a line of
its own for any number of lines.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.pages import FENCE, TOP, block

PAGE: Final = "README.md"

RUN_BY: Final[Mapping[str, str]] = {
    "console refused": "tests/real/test_readme.py::test_an_image_of_2015_is_refused_and_then_pulled",
    "console pulled": "tests/real/test_readme.py::test_an_image_of_2015_is_refused_and_then_pulled",
    "console inspected": "tests/real/test_readme.py::test_an_image_of_2015_is_refused_and_then_pulled",
    "sh two": "tests/real/test_readme.py::test_make_run_and_make_test",
    "sh docker": "tests/real/test_readme.py::test_docker_pushes_and_pulls",
    "sh users": "tests/real/test_access_page.py::test_my_team_and_one_file_of_users",
    "sh container": "tests/real/test_image.py::test_one_container_as_the_readme_starts_it",
    "sh compose": "tests/real/test_compose.py::test_the_readmes_commands",
    "console route": "tests/journeys/test_readme_commands.py::test_the_route_is_explained",
    "sh servers": "tests/journeys/test_readme_commands.py::test_single_parts_serve",
    "sh commands": "tests/journeys/test_readme_commands.py::test_commands_for_operators",
}
"""Every block of commands in README, and the test that runs it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and what README says that it prints (nothing for `sh`)."""

    command: str
    printed: str = ""

    @property
    def words(self) -> str:
        """The command without the comment behind it."""
        return re.sub(r"\s+# .*$", "", self.command)


def named_blocks() -> list[str]:
    """The words behind the backticks of every fenced block, in README's order; a drawing has none."""
    return [words for words, _ in FENCE.findall((TOP / PAGE).read_text()) if words]


def inline_code() -> list[str]:
    """What stands between single backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", (TOP / PAGE).read_text()))


def steps(name: str, page: str = PAGE) -> list[Step]:
    """The commands of a block, in order."""
    language, *words = name.split()
    text = block(page, language, *words)
    if language == "sh":
        return [Step(line) for line in text.splitlines() if line and not line.startswith("#")]
    found: list[Step] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        found.append(Step(command, printed))
    return found


def check_printed(step: Step, printed: str, replaced: Mapping[str, str]) -> None:
    """Compares what a command printed with README, but for digests, times, sizes of progress, and blanks.

    Args:
        replaced: what stands in README, and what it was in this run.

    Raises:
        AssertionError: README says something else.
    """
    for there, here in replaced.items():
        printed = printed.replace(here, there)
    pattern = "".join(_pattern(line) for line in _general(step.printed).splitlines())
    lines = "".join(f"{line}\n" for line in _general(printed).splitlines())
    assert re.fullmatch(pattern, lines), f"{step.command}\nsays:\n{step.printed}\nis:\n{printed}"


def _pattern(line: str) -> str:
    if line == "…":
        return r"(?:.*\n)*?"
    return ".*".join(map(re.escape, line.split("…"))) + "\n"


def _general(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b", "HEX", text)
    text = re.sub(r"elapsed: *\S+ s", "elapsed: T s", text)
    text = re.sub(r"total: *\S+ \S+ \(\S+ \S+\)", "total: N", re.sub(r"[ \t]+", " ", text))
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def run_shell(
    command: str, folder: Path, *, environment: Mapping[str, str], columns: int | None = None, timeout_s: float = 240.0
) -> str:
    """Runs a line of shell in a folder and returns all that it printed.

    Args:
        columns: as on a terminal that is so wide; None for none.

    Raises:
        AssertionError: It did not end with status 0; with all that it printed.
    """
    status, printed = try_shell(command, folder, environment=environment, columns=columns, timeout_s=timeout_s)
    assert status == 0, f"{command} ended with {status}:\n{printed}"
    return printed


def try_shell(
    command: str, folder: Path, *, environment: Mapping[str, str], columns: int | None = None, timeout_s: float = 240.0
) -> tuple[int, str]:
    """The same, whatever its status, which it returns first."""
    bash: Sequence[str] = ("bash", "-ec", command)
    if columns is None:
        done = subprocess.run(
            bash, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip
        return done.returncode, done.stdout
    ours, its = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as reading:
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen(bash, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its)
        os.close(its)
        printed = b""
        try:
            while piece := reading.read(4096):
                printed += piece
        except OSError:  # EIO: nobody has the terminal any more
            pass
        return process.wait(timeout_s), printed.decode().replace("\r\n", "\n")
