"""A disk that is slow, made of a file: a loop device whose writes the kernel holds to a number of bytes a second.

Nothing of the machine is changed but the limits of that one device: others write as fast as ever. Invariant: after the
block the file system is unmounted, the device is free, and its limits are what they were.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.programs import Unavailable

PROGRAMS = ("mkfs.ext4", "mount", "umount")
BLKIO = Path("/sys/fs/cgroup/blkio")
LIMIT = "blkio.throttle.write_bps_device"
BDI = Path("/sys/class/bdi")
UNMOUNT_SECONDS = 60


@contextlib.contextmanager
def slow_disk(folder: Path, *, size: int, speed: int, dirty: int) -> Iterator[Path]:
    """Mounts a slow ext4 below a folder.

    Args:
        folder: where its file and its mount point are made.
        size: bytes that it holds; its file has holes, and grows with what is written.
        speed: bytes a second that are written to it, by all together.
        dirty: bytes that may wait in memory to be written: whoever writes more is stopped by the kernel in `write`,
            for up to 200 ms.

    Raises:
        Unavailable: this machine or this user cannot make one; says what is missing.
    """
    _require()
    image, mount = folder / "slow.img", folder / "slow"
    mount.mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(image.unlink, missing_ok=True)
        with image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
        _run("mount", "-o", "loop", str(image), str(mount))
        stack.callback(_unmount, mount)
        device = mount.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        for group in _groups():
            stack.callback((group / LIMIT).write_text, f"{number} 0")
            (group / LIMIT).write_text(f"{number} {speed}")
        # Without `strict_limit` the other counts only when the whole machine has much to write.
        for setting, value, restored in (("max_bytes", dirty, "max_ratio"), ("strict_limit", 1, "strict_limit")):
            stack.callback((BDI / number / restored).write_text, (BDI / number / restored).read_text())
            (BDI / number / setting).write_text(f"{value}")
        yield mount


def _require() -> None:
    if os.geteuid() != 0:
        raise Unavailable("a slow disk is made by root alone; run the bench as root")
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise Unavailable(f"a slow disk needs {', '.join(missing)}; install e2fsprogs and mount")
    if not (BLKIO / LIMIT).exists():
        raise Unavailable(
            f"a slow disk is slowed by {BLKIO / LIMIT}, the limit of Linux's cgroup v1, which is not here"
        )
    if not any(BDI.glob("*/strict_limit")):
        raise Unavailable("a slow disk needs strict_limit of Linux 6.2 or newer")


def _groups() -> set[Path]:
    """Of blkio: the root, which writes back, and our own, in whose name `fsync` writes; servers inherit it."""
    lines = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    own = next((path for _, controllers, path in lines if "blkio" in controllers.split(",")), "/")
    return {BLKIO, BLKIO / own.lstrip("/")}


def _unmount(mount: Path) -> None:
    _run("umount", str(mount), seconds=UNMOUNT_SECONDS)
    mount.rmdir()


def _run(*command: str, seconds: float | None = None) -> None:
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    if found.returncode:
        raise Unavailable(f"{' '.join(command)}: {found.stderr.strip()}; a slow disk cannot be made here")
