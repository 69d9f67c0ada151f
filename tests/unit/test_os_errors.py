"""Each errno has its meaning: absent, impossible, full, refused, busy or broken; only busy is worth another try."""

from __future__ import annotations

import errno
import os

import pytest

from backends.storage.driver import (
    InvalidPath,
    PathNotFound,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
)
from backends.storage.locks import LockHeld
from backends.storage.os_errors import map_os_errors

TABLE: dict[type[StorageError], tuple[int, ...]] = {
    PathNotFound: (errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    InvalidPath: (errno.ENAMETOOLONG, errno.ELOOP, errno.EXDEV, errno.EILSEQ),
    StorageFull: (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    StorageReadOnly: (errno.EROFS, errno.EACCES, errno.EPERM),
    StorageBusy: (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK, errno.EBUSY, errno.ESTALE),
    StorageError: (errno.EIO, errno.ENODEV, errno.EINVAL),
}


@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind, row in TABLE.items() for number in row])
def test_an_errno_has_its_meaning(kind: type[StorageError], number: int) -> None:
    with pytest.raises(StorageError) as caught, map_os_errors("/a/b"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert "/a/b" in str(caught.value)


def test_only_what_passes_is_worth_another_try() -> None:
    kinds: list[type[StorageError]] = [*TABLE, LockHeld]
    assert [kind for kind in kinds if kind.transient] == [StorageBusy, LockHeld]


def test_a_name_that_is_too_long_is_shown_in_part_and_counted() -> None:
    with pytest.raises(InvalidPath) as caught, map_os_errors(f"/repositories/library/{'x' * 300}/tag_latest"):
        raise OSError(errno.ENAMETOOLONG, "File name too long")
    assert "300 bytes" in caught.value.why
    assert "x" * 40 in caught.value.why
    assert "x" * 41 not in caught.value.why
