"""What a start does with the htpasswd file of the settings, before there are workers: a missing one is made."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from backends.auth.htpasswd import DEFAULT_COST, HtpasswdSettings, PasswordTable
from backends.auth.password_file import PasswordFileError, read_password_file, tell_remarks
from portside.password_files.hashing import make_hash
from portside.password_files.writing import make_file
from portside.problems import Problem

USER = "docker"
"""distribution's."""
_RANDOM_BYTES = 32

_log = logging.getLogger("portside.auth")


def prepare_password_file(settings: HtpasswdSettings, key: str) -> PasswordTable:
    """Makes the file if there is none, as distribution does, and returns its users.

    The password of the file that was made is logged, once; nobody can find it out later.

    Args:
        settings: which file.
        key: what the settings call its path, for messages.

    Raises:
        Problem: it cannot be made, or cannot be read.
    """
    path = Path(settings.path)
    if _is_missing(path):
        password = secrets.token_urlsafe(_RANDOM_BYTES)
        content = f"{USER}:{make_hash(password.encode(), DEFAULT_COST)}\n".encode()
        try:
            is_made = make_file(Path(os.path.realpath(path)), content)
        except OSError as error:
            raise Problem(
                f"{key}: {path} is not there, and cannot be made ({error.strerror});"
                f" make it with `portside htpasswd {path} USER`"
            ) from None
        if is_made:
            told = {"user": USER, "password": password, "path": str(path.absolute())}
            _log.warning("htpasswd is missing, provisioning with default user", extra=told)
    try:
        table = read_password_file(settings.path)
    except PasswordFileError as error:
        raise Problem(f"{key}: {path} {error}") from None
    tell_remarks(settings.path, table)
    if not table.entries:
        _log.warning("%s: %s names nobody who can log in; `portside htpasswd %s USER` adds a user", key, path, path)
    return table


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        pass  # reading it says why
    return False
