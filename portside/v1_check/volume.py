"""Files and folders of a volume, looked at and never changed; what cannot be read is a finding, not an error."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from portside.v1_check.findings import Evidence, Finding, Kind

MAX_TEXT = 16 * 1024 * 1024
"""So much of a file of JSON is read: no registry writes a larger one."""

FOLDERS = 1024
"""Of so many folders and links it is remembered where they are: a folder's files are looked at one after the other."""

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a fifo must not keep it waiting


class Gone(Exception):  # noqa: N818 - a finding, not a fault
    """There is no such file or folder."""


class Unreadable(Exception):  # noqa: N818 - as above
    """It is there and cannot be read."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Text:
    """The content of a small file, and the file as it was."""

    content: bytes
    evidence: Evidence
    modified: float


@dataclass(frozen=True, slots=True)
class User:
    """Whom the registry runs as: its uid and groups."""

    uid: int
    groups: frozenset[int]

    def may(self, info: os.stat_result, bits: int) -> bool:
        """Whether it has these rights (4 read, 2 write, 1 search) to a file."""
        if self.uid == 0:
            return True
        if info.st_uid == self.uid:
            return (info.st_mode >> 6) & bits == bits
        if info.st_gid in self.groups:
            return (info.st_mode >> 3) & bits == bits
        return info.st_mode & bits == bits


class Volume:
    """What lies below a root.

    Args:
        root: the folder.
        user: whom the registry runs as.
    """

    def __init__(self, root: Path, user: User) -> None:
        self.root = os.path.realpath(root)
        self.user = user
        self._folders: dict[str, str] = {}

    def place(self, path: str) -> str:
        """Returns where a path of `layout` is on this machine."""
        return self.root + path

    def entries(self, path: str) -> Mapping[str, os.DirEntry[str]]:
        """Returns what is in a folder, sorted by name.

        Raises:
            Gone, Unreadable.
        """
        info = self.stat(path)
        try:
            with os.scandir(self.place(path)) as found:
                listed = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise self._refused(path, error) from None
        if not self.user.may(info, 5):
            raise self._forbidden(path, info)
        return {entry.name: entry for entry in listed}

    def stat(self, path: str) -> os.stat_result:
        """Returns what is known about a file, links followed.

        Raises:
            Gone, Unreadable: it leads out of the volume.
        """
        where = self.place(path)
        self._require_inside(path.rpartition("/")[0])
        try:
            info = os.lstat(where)
            if stat.S_ISLNK(info.st_mode):
                self._require_inside(path)
                info = os.stat(where)  # noqa: PTH116 - of thousands, without an object for each path
        except OSError as error:
            raise self._refused(path, error) from None
        return info

    def open(self, path: str) -> int:
        """Opens a regular file that the registry could read; returns its descriptor.

        Raises:
            Gone, Unreadable.
        """
        info = self.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise Unreadable(Finding(Kind.NOT_READABLE, _shown(path), "is not a file", mend="Move {where} away."))
        if not self.user.may(info, 4):
            raise self._forbidden(path, info)
        try:
            return os.open(self.place(path), _OPEN)
        except OSError as error:
            raise self._refused(path, error) from None

    def read(self, path: str) -> Text:
        """Returns the content of a small file.

        Raises:
            Gone, Unreadable.
        """
        file = self.open(path)
        try:
            info = os.fstat(file)
            content = b""
            while piece := os.read(file, MAX_TEXT - len(content)):
                content += piece
        except OSError as error:
            raise self._refused(path, error) from None
        finally:
            os.close(file)
        return Text(content, evidence_of(info), info.st_mtime)

    def is_there(self, path: str) -> bool:
        """Whether there is a file or folder; a link that leads nowhere is none."""
        try:
            self.stat(path)
        except Gone:
            return False
        except Unreadable:
            return True
        return True

    def _require_inside(self, path: str) -> None:
        if len(self._folders) >= FOLDERS:
            self._folders.clear()
        target = self._folders.get(path)
        if target is None:
            target = self._folders[path] = os.path.realpath(self.place(path))
        if target != self.root and not target.startswith(self.root + os.sep):
            what = f"is a link that leads out of the volume, to {target}: no registry follows it"
            raise Unreadable(Finding(Kind.LINK_OUTSIDE, _shown(path), what))

    def _forbidden(self, path: str, info: os.stat_result) -> Unreadable:
        mode = stat.S_IMODE(info.st_mode)
        what = f"belongs to uid {info.st_uid} with mode {mode:04o}: uid {self.user.uid} cannot read it"
        return Unreadable(Finding(Kind.NOT_READABLE, _shown(path), what, evidence_of(info)))

    def _refused(self, path: str, error: OSError) -> Gone | Unreadable:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return Gone(path)
        if error.errno in {errno.EACCES, errno.EPERM}:
            try:
                return self._forbidden(path, Path(self.place(path)).stat())
            except OSError:
                pass
        return Unreadable(Finding(Kind.NOT_READABLE, _shown(path), f"cannot be read: {error.strerror}", mend=""))


def evidence_of(info: os.stat_result) -> Evidence:
    """Returns by what it is seen that a file has changed."""
    return info.st_ino, info.st_mtime_ns, info.st_size


def _shown(path: str) -> str:
    return path.lstrip("/")
