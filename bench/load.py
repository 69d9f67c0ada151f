"""Driving the load generator, and measuring a contestant's processes exactly while it works."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import proc
from bench.contestants import HOST, Contestant, start_program
from bench.programs import Hindrance


@dataclass(frozen=True, slots=True)
class Result:
    """What the client saw: answers (all of them right), bytes of bodies, seconds, latencies in milliseconds."""

    requests: int
    bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What the client saw, and what the servers used meanwhile."""

    result: Result
    used: proc.Usage


class LoadRun:
    """A load generator that is connected and waits for its start."""

    def __init__(self, process: subprocess.Popen[bytes], doing: str) -> None:
        self._process = process
        self._doing = doing
        self.spoken = self._line().removeprefix("ready ")
        """The TLS version and cipher suite, as in `TLS1.3 TLS_AES_128_GCM_SHA256`."""

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()

    def result(self) -> Result:
        """Waits for the end of the work; the connections stay open.

        Raises:
            Hindrance: an answer was wrong.
        """
        found: dict[str, Any] = json.loads(self._line())
        return Result(**found)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            assert self._process.stderr is not None
            raise Hindrance(f"{self._doing}: {self._process.stderr.read().decode().strip()}")
        return line.strip()


@dataclass(frozen=True, slots=True)
class Load:
    """The load generator.

    Attributes:
        program: its path.
        folder: where it runs.
    """

    program: str
    folder: Path

    @contextlib.contextmanager
    def run(self, contestant: Contestant, verb: str, *arguments: str) -> Iterator[LoadRun]:
        """Connects; the block begins and waits; at its end the connections are closed.

        Args:
            contestant: whom to ask.
            verb: see `bench/load/main.go`.
            arguments: as `-name=value`.
        """
        where = [f"-server={HOST}:{contestant.port}", f"-ca={contestant.credentials.ca}"]
        if contestant.authorization:
            where.append(f"-authorization={contestant.authorization}")
        process = start_program(
            (self.program, verb, *where, *arguments),
            subprocess.PIPE,
            folder=self.folder,
            source=subprocess.PIPE,
            errors=subprocess.PIPE,
            serves=False,
        )
        try:
            yield LoadRun(process, f"{contestant.name}, {verb}")
            process.communicate()
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def measure(self, contestant: Contestant, verb: str, *arguments: str) -> Measured:
        """Runs a verb and looks at the servers right before and after it.

        Raises:
            Hindrance: an answer was wrong.
        """
        with self.run(contestant, verb, *arguments) as run:
            before = proc.usage(contestant.pids())
            run.begin()
            result = run.result()
            after = proc.usage(contestant.pids())
        return Measured(result, proc.used_between(before, after))

    def digests(self, seeds: Sequence[int], *, size: int = 0, files: Sequence[Path] = ()) -> tuple[str, ...]:
        """Returns the digests of contents of `size` bytes, or of gzip files, in turn, with the seeds as their times."""
        wanted = [*(f"-seed={seed}" for seed in seeds), *(f"-file={file}" for file in files)]
        output = subprocess.check_output([self.program, "digest", f"-size={size}", *wanted], cwd=self.folder)
        return tuple(json.loads(output))

    def write(self, path: Path, *, seed: int, size: int) -> None:
        """Writes a content to a file."""
        command = [self.program, "write", f"-seed={seed}", f"-size={size}", f"-file={path}"]
        subprocess.run(command, cwd=self.folder, check=True)
