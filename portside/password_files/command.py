"""What `portside htpasswd` does to a file; where passwords come from is its caller's business."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from backends.auth.htpasswd import HtpasswdError, PasswordTable, parse_htpasswd, password_bytes
from backends.auth.passwords import compare
from portside.password_files.edits import check_password, listed, with_user, without_user
from portside.password_files.hashing import make_hash
from portside.password_files.writing import change_file, make_file, read_file
from portside.problems import Problem


class NoSuchUserError(Exception):
    """The file does not name a user; `str()` is a sentence."""


class WrongPasswordError(Exception):
    """It is not this user's password; `str()` is a sentence."""


def make_line(user: str, password: bytes, cost: int) -> str:
    """Returns the line of a user.

    Raises:
        Problem: the password cannot be set.
    """
    try:
        check_password(password)
    except ValueError as error:
        raise Problem(str(error)) from None
    return f"{user}:{make_hash(password, cost)}"


def set_password(path: Path, user: str, password: bytes, *, cost: int, is_new: bool = False) -> str:
    """Gives a user a password, and makes the file where there is none; returns what was done.

    Args:
        path: the file.
        user: a name that `check_user` has let pass.
        password: at most 72 bytes.
        cost: bcrypt's.
        is_new: there must not be a file yet.

    Raises:
        Problem: the password cannot be set, or the file cannot be written.
    """
    line = make_line(user, password, cost)
    hashed = line.partition(":")[2]
    was_there = False

    def change(content: bytes) -> bytes:
        nonlocal was_there
        after, was_there = with_user(content, user, hashed)
        return after

    file = Path(os.path.realpath(path))  # a symbolic link goes on naming it
    while True:
        if not is_new:
            try:
                change_file(file, change)
            except FileNotFoundError:
                pass
            else:
                return f"{user} has another password" if was_there else f"{user} was added"
        try:
            if make_file(file, f"{line}\n".encode()):
                return f"{user} was added to {path}, a new file that only you may read"
        except OSError as error:
            raise Problem(f"{path} cannot be made ({error.strerror})") from None
        if is_new:
            raise Problem(f"{path} is there already; without -c, {user} is added to it")


def remove_user(path: Path, user: str) -> str:
    """Removes a user from a file; returns what was done.

    Raises:
        NoSuchUserError: it is not in there.
        Problem: the file cannot be read or written.
    """

    def change(content: bytes) -> bytes:
        after = without_user(content, user)
        if after is None:
            raise NoSuchUserError(f"{path} has no user {user}")
        return after

    try:
        change_file(Path(os.path.realpath(path)), change)
    except FileNotFoundError:
        raise Problem(f"{path} is not there") from None
    return f"{user} was removed"


def verify(path: Path, user: str, password: bytes) -> str:
    """Compares a password as the registry does; returns that it is right.

    Raises:
        NoSuchUserError: nobody of this name can log in.
        WrongPasswordError: it is not.
        Problem: the file cannot be read.
    """
    table, remarks = _table(path, read_file(path))
    if user not in table.entries:
        raise NoSuchUserError(remarks.get(user) or f"{path} has no user {user}")
    if not compare(password_bytes(password.decode("utf-8", "surrogateescape")), table.hash_of(user)):
        raise WrongPasswordError(f"this is not the password of {user}")
    return f"this is the password of {user}"


def trouble_of(path: Path) -> str | None:
    """Returns why the registry does not read a file; None where it does."""
    try:
        _table(path, read_file(path))
    except Problem as problem:
        return str(problem)
    return None


def list_users(path: Path) -> Iterator[str]:
    """Yields a line for each of a file.

    Raises:
        Problem: it cannot be read.
    """
    content = read_file(path)
    table, _ = _table(path, content)
    lines = list(listed(content, table))
    width = max((len(each.user) for each in lines), default=0)
    for each in lines:
        effect = "" if each.counts else "  (no effect)"
        yield f"{each.number:>5}  {each.user:{width}}  {each.hash}{effect}"


def _table(path: Path, content: bytes) -> tuple[PasswordTable, dict[str, str]]:
    """Returns what a file says, and why users that it names cannot log in."""
    try:
        table = parse_htpasswd(content)
    except HtpasswdError as error:
        raise Problem(f"the registry does not read {path}: {error}") from None
    sentences = {each.line: each.sentence for each in table.remarks}
    return table, {each.user: sentences[each.number] for each in listed(content, table) if each.number in sentences}
