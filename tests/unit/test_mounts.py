"""Which file system a folder is on, and what that means."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.storage import mounts
from backends.storage.mounts import mounted_type, network_file_system, tells_changes

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:50 / /srv/nfs rw,relatime shared:5 - nfs4 server:/export rw
31 30 254:1 / /srv/nfs/local\\040disk rw - xfs /dev/vdb rw
32 22 0:51 / /mnt/remote rw - fuse.sshfs me@host:/ rw
33 22 0:52 / /mnt/over rw - overlay overlay rw
34 33 0:53 / /mnt/over/above rw - overlay overlay rw
35 34 0:54 / /mnt/over/above rw - cifs //host/share rw
nonsense
"""

PLACES = [
    # path, its type, what network_file_system says, what tells_changes says
    ("/", "ext4", "", True),
    ("/data", "ext4", "", True),
    ("/srv/nfs", "nfs4", "nfs4", False),
    ("/srv/nfs/data", "nfs4", "nfs4", False),
    ("/srv/nfs2", "ext4", "", True),
    ("/srv/nfs/local disk/data", "xfs", "", True),
    ("/mnt/remote/x", "fuse.sshfs", "fuse.sshfs", False),
    ("/mnt/over/x", "overlay", "", False),
    ("/mnt/over/above/x", "cifs", "cifs", False),
]


@pytest.mark.parametrize(("path", "kind", "remote", "tells"), PLACES)
def test_a_file_system_is_known_by_where_it_is_mounted(
    path: str, kind: str, remote: str, *, tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mounted_type(path, MOUNTS) == kind
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", lambda *_arguments, **_options: MOUNTS)
        assert network_file_system(path) == remote
        assert tells_changes(path) is tells


def test_where_nothing_says_no_change_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_missing(*_arguments: object, **_options: object) -> str:
        raise FileNotFoundError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", is_missing)
        assert mounts.file_system_type("/") == ""
        assert not tells_changes("/")


def test_the_disk_of_the_tests_is_local(tmp_path: Path) -> None:
    assert network_file_system(str(tmp_path)) == ""
