"""Which file system a folder is on: on some, locks, syncs and times mean less than they say."""

from __future__ import annotations

import os
import re
from pathlib import Path

NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "gpfs", "beegfs", "afs", "9p", "gfs2", "ocfs2")
)
NETWORK_FUSE = ("fuse.sshfs", "fuse.s3fs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.goofys", "fuse.gcsfuse")
TELLING = frozenset(("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs"))

_OCTAL = re.compile(r"\\([0-7]{3})")


def network_file_system(folder: str) -> str:
    """Returns the type of the network file system that a folder is on; "" when it is local, or nothing says."""
    found = file_system_type(folder)
    return found if found in NETWORK or found.startswith(NETWORK_FUSE) else ""


def tells_changes(folder: str) -> bool:
    """Whether every change of a file below a folder shows in the times of its open descriptor, whoever makes it.

    It does on local file systems that keep files themselves. On overlayfs a descriptor may stay with the file of a
    layer below, and on a network others' changes show late.
    """
    return file_system_type(folder) in TELLING


def file_system_type(folder: str) -> str:
    """Returns the type of the file system that a folder is on, as Linux calls it; "" when nothing says."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    return mounted_type(os.path.realpath(folder), mounts)


def mounted_type(path: str, mounts: str) -> str:
    """Decides it by the text of `/proc/self/mountinfo`."""
    longest, found = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:  # noqa: PLR2004 - the fifth is where it is mounted
            continue
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
        if len(point) >= len(longest) and f"{path}/".startswith(f"{point.rstrip('/')}/"):
            longest, found = point, after.split(" ")[0]
    return found
