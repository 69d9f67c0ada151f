"""Whether a folder is on a network file system, where locks and syncs of a log mean less than they say."""

from __future__ import annotations

import os
import re
from pathlib import Path

NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "gpfs", "beegfs", "afs", "9p", "gfs2", "ocfs2")
)
NETWORK_FUSE = ("fuse.sshfs", "fuse.s3fs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.goofys", "fuse.gcsfuse")

_OCTAL = re.compile(r"\\([0-7]{3})")


def network_file_system(folder: str) -> str:
    """Returns the type of the network file system that a folder is on; "" when it is local, or nothing says."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    return network_type(os.path.realpath(folder), mounts)


def network_type(path: str, mounts: str) -> str:
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
    return found if found in NETWORK or found.startswith(NETWORK_FUSE) else ""
