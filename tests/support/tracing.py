"""A disk that loses what was not synced, made of a trace of system calls.

Each line of `strace -f -y` that made, wrote, synced, renamed or removed something is played on a model of the folder:
which bytes and which names a power cut would spare at any moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "openat,write,writev,pwrite64,pwritev2,sendto,sendmsg,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir"  # noqa: E501 - one argument of a program

_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_AT = re.compile(r'(?:(?:\d+|AT_FDCWD)<([^>]*)>|AT_FDCWD), "([^"]*)"')
_ABSOLUTE = re.compile(r'"(/[^"]*)"')
_FD = re.compile(r"\d+<([^>]*)>")
_STATUS = re.compile(r'"HTTP/1\.1 (\d+)')


@dataclass(slots=True)
class _Name:
    """A name in a folder, and the file that it means (several names may mean one)."""

    file: _File
    synced: bool = False


@dataclass(slots=True)
class _File:
    synced: bool = True
    is_folder: bool = False


@dataclass(slots=True)
class Disk:
    """What a trace did below `root`.

    Attributes:
        faults: files that got a final name before their bytes were synced.
        answered: how many answers of each status had been sent.
    """

    root: str
    faults: list[str] = field(default_factory=list)
    _names: dict[str, _Name] = field(default_factory=dict)
    _removed: set[str] = field(default_factory=set)

    def would_be_lost(self) -> list[str]:
        """Visible files that a power cut would take now, wholly or in part, with the reason."""
        lost = []
        for path, name in self._names.items():
            if name.file.is_folder or not is_visible(path):
                continue
            if not name.file.synced:
                lost.append(f"{path}: its bytes are not synced")
            above = path
            while above:
                found = self._names.get(above)
                if found is not None and not found.synced:
                    lost.append(f"{path}: the folder of {above} is not synced")
                above = above.rpartition("/")[0]
        return lost

    def would_return(self) -> list[str]:
        """Visible files and folders that were removed and that a power cut would bring back now."""
        return sorted(self._removed)

    def visible(self) -> list[str]:
        """Paths of files that stand for something."""
        return [path for path, name in self._names.items() if not name.file.is_folder and is_visible(path)]

    def play(self, call: str, arguments: str) -> None:
        """Takes in one call that succeeded."""
        match call:
            case "openat":
                if "O_CREAT" in arguments and (path := self._at(arguments)) and path not in self._names:
                    self._appear(path, _Name(_File()))
            case "mkdirat" | "mkdir":
                if path := self._at(arguments):
                    self._names[path] = _Name(_File(is_folder=True))
            case "write" | "writev" | "pwrite64" | "pwritev2" | "ftruncate":
                if (path := self._fd(arguments)) in self._names:
                    self._names[path].file.synced = False
            case "fsync" | "fdatasync":
                self._sync(self._fd(arguments))
            case "rename" | "renameat" | "renameat2":
                source, target = self._two(arguments)
                self._remove(source)
                moved = [path for path in self._names if path == source or path.startswith(f"{source}/")]
                taken = {path: self._names.pop(path) for path in moved}
                for path, name in taken.items():
                    if path == source:
                        name.synced = False
                    self._appear(target + path.removeprefix(source), name)
            case "link" | "linkat":
                source, target = self._two(arguments)
                if source in self._names:
                    self._appear(target, _Name(self._names[source].file))
            case "unlink" | "unlinkat" | "rmdir":
                path = self._at(arguments)
                self._remove(path)
                self._names.pop(path, None)
            case _:
                pass  # it sends or reads

    def _remove(self, path: str) -> None:
        name = self._names.get(path)
        if name is not None and name.synced and is_visible(path):
            self._removed.add(path)

    def _appear(self, path: str, name: _Name) -> None:
        self._removed.discard(path)
        self._names[path] = name
        if is_visible(path) and not name.file.is_folder and not name.file.synced:
            self.faults.append(f"{path} became visible before its bytes were synced")

    def _sync(self, path: str) -> None:
        if path in self._names:
            self._names[path].file.synced = True
        gone = {other for other in self._removed if other.rpartition("/")[0] == path}
        # What was below a folder that is gone for good cannot come back either.
        self._removed = {other for other in self._removed if not any(f"{other}/".startswith(f"{top}/") for top in gone)}
        for other, name in self._names.items():
            if other.rpartition("/")[0] == path:
                name.synced = True

    def _below(self, path: str) -> str:
        return path.removeprefix(self.root) if path == self.root or path.startswith(f"{self.root}/") else ""

    def _fd(self, arguments: str) -> str:
        match = _FD.match(arguments)
        path = match[1] if match else ""
        return self._below(path) if path.startswith(self.root) else "elsewhere"

    def _at(self, arguments: str) -> str:
        match = _AT.match(arguments)
        if match is None:
            absolute = _ABSOLUTE.match(arguments)
            return self._below(absolute[1]) if absolute else ""
        return self._below(match[2] if match[2].startswith("/") else f"{match[1]}/{match[2]}")

    def _two(self, arguments: str) -> tuple[str, str]:
        source, target = (f"{match[1]}/{match[2]}" for match in _AT.finditer(arguments))
        return self._below(source), self._below(target)


def is_visible(path: str) -> bool:
    """Whether a file here is a promise to clients: not a temporary one, nor an upload, nor staged, nor a hint."""
    return not any(
        mark in path
        for mark in (
            "/portside/tmp",
            "/_uploads/",
            "/v1/staging",
            "/portside/locks",
            "/portside/unsynced",
            "/portside/index/holders/",
            "/portside/index/layers/",
            "/portside/index/v1-layers/",
            "/portside/index/v1-layer-files/",
            "/primary/events/endpoints/",
            "/primary/events/lock",
            "/primary/events/log/trimming",
        )
    )


def read_calls(trace: Path) -> Iterator[tuple[str, str, int]]:
    """Yields name, arguments and result of each call in the order in which they were finished."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        process, text = match[1], match[2]
        if text.endswith("<unfinished ...>"):
            begun[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := _RESUMED.fullmatch(text):
            text = begun.pop(process, "") + resumed[1]
        if call := _CALL.match(text):
            yield call[1], call[2], int(call[3])


def answered_status(call: str, arguments: str) -> int | None:
    """The status of the answer that a call sends to a client, if it sends one."""
    if call not in {"write", "writev", "sendto", "sendmsg"}:
        return None
    match = _STATUS.search(arguments)
    return int(match[1]) if match else None
